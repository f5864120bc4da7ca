"""What `python -m tests.faults` counts, on one backend and with fewer kills."""

import json
import sys

import pytest

from tests.faults import bad_input, survival


@pytest.fixture(scope="module", autouse=True)
def data_dir(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.mark.parametrize("model", ["vae", pytest.param("gan", marks=pytest.mark.once)])
def test_a_run_that_is_killed_ends_as_one_that_is_not(backend, model, tmp_path, monkeypatch):
    monkeypatch.setattr(survival, "EPOCHS", {"vae": 20, "gan": 10})
    assert survival.kills(backend, model, tmp_path, count=1) == (1, 1)
    assert survival.identical(backend, model, tmp_path) == (4, 4)


@pytest.mark.once
@pytest.mark.parametrize("model", survival.ARGUMENTS)
def test_bad_input_is_refused(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tests.faults.bad_input", model, str(tmp_path)])
    bad_input.main()
    outcomes = json.loads(capsys.readouterr().out)
    assert outcomes == dict.fromkeys(bad_input.CASES)


@pytest.mark.once
def test_a_checkpoint_that_is_not_whole_does_not_count(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    assert survival.last_whole(tmp_path) == 0
    (folder / "epoch_0003.keras").write_bytes(b"abc")
    # sha256 of "abc": FIPS 180-2, appendix B.1.
    checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    manifest = {"epoch": 3, "sha256": {"keras": checksum}}
    (folder / "epoch_0003.json").write_text(json.dumps(manifest))
    assert survival.last_whole(tmp_path) == 3
    (folder / "epoch_0003.keras").write_bytes(b"abd")
    assert survival.last_whole(tmp_path) == 0
