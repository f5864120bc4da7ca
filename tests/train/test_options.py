"""What needs nothing but the arguments is refused before anything slow is imported."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from train import options

ROOT = pathlib.Path(__file__).parents[2]

# Each option of a kind has the type of that kind; these stand for all.
LONG = "n" * 300
REFUSED = [
    ("vae", "--network transformer", "invalid choice: 'transformer'"),
    ("vae", "--epochs 0", "--epochs: 0 is not a positive integer"),
    ("vae", "--epochs 1e3", "--epochs: 1e3 is not a positive integer"),
    ("vae", "--latent-dim x", "--latent-dim: x is not a positive integer"),
    ("vae", "--batch-size 9999999999", "9999999999 is not a positive integer below 2^31"),
    ("vae", "--seed -1", "--seed: -1 is not an integer in [0, 2^31)"),
    ("vae", "--learning-rate nan", "nan is not a positive, finite number"),
    ("vae", "--learning-rate 0", "0 is not a positive, finite number"),
    ("vae", "--learning-rate 1e39", "1e39 is not a positive, finite number"),
    ("vae", "--beta nan", "--beta: nan is not a finite number that is not negative"),
    ("vae", "--beta -1", "--beta: -1 is not a finite number that is not negative"),
    ("vae", "--free-bits -1", "--free-bits: -1 is not a finite number that is not negative"),
    ("vae", "--free-bits inf", "--free-bits: inf is not a finite number"),
    ("vae", "--dynamic-binarization --likelihood gaussian", "which --likelihood gaussian does not"),
    ("vae", "--prior flow --free-bits 1", "under --prior flow these have no KL of their own"),
    ("vae", "--prior flow --latent-dim 1", "--latent-dim 1 has no halves. Pass --prior mixture"),
    ("vae", "--prior flow --components 5", "--components is for --prior mixture or vamp"),
    ("vae", "--iwae 5 --beta 2", "has no KL term of its own to weight"),
    ("vae", "--keep-best --distribute", "--keep-best reads the best model from --out"),
    ("vae", "--dataset ring", "--dataset ring is for train.gan"),
    ("vae", "--dataset ./photos", "'./photos' is no folder or file, and not the name"),
    (
        "vae",
        "--size 32",
        "--size: for images of your own, and digits is no folder or archive that is there.",
    ),
    ("gan", "--dataset ring --flip --channels 3", "--channels, --flip: for images of your own"),
    ("gan", "--dataset there --size 8 8 3", "--size has 3 numbers. Pass one, or height and width"),
    ("vae", "--dataset there --channels 4", "invalid choice: 4"),
    ("vae", f"--out {LONG}", "names no folder: File name too long"),
    ("vae", f"--out there/{LONG}/run", "names no folder: File name too long"),
    ("vae", f"--out not_there/{LONG}", "cannot be written to: File name too long"),
    ("vae", f"--data-dir {LONG}", "names no folder: File name too long"),
    ("gan", "--loss vanilla", "invalid choice: 'vanilla'"),
    ("gan", "--beta-1 nan", "--beta-1: nan is not a number in [0, 1)"),
    ("gan", "--beta-1 1", "--beta-1: 1 is not a number in [0, 1)"),
    ("gan", "--ema 1.5", "--ema: 1.5 is not a number between 0 and 1"),
    ("gan", "--generator-learning-rate -inf", "expected one argument"),
    ("gan", "--penalty-weight nan", "nan is not a positive, finite number"),
    ("gan", "--penalty-weight 3", "and there is none"),
    ("gan", "--network resnet --filters 8 16", "--filters is for --network dcgan, and the network"),
    ("gan", "--recipe r3gan --discriminator-norm batch", "--discriminator-norm is for --network"),
    ("gan", "--network mlp --width 8", "--width is for --network resnet, and the network is mlp"),
    ("gan", "--dataset mnist --hidden 512", "--hidden is for --network points, and the network is"),
    (
        "gan",
        "--dataset ring --network mlp --frequencies 3",
        "--frequencies is for --network points",
    ),
    ("gan", "--dataset ring --depth 2", "--depth is for --network resnet"),
    ("gan", "--augment none --augment-ramp 9", "--augment-ramp is for --augment adaptive"),
    ("gan", "--dataset there --augment-ramp 9", "and this is chosen by the images"),
    ("vae", "--beta 0 --warm-up 2", "beta rise from 0 to --beta, which is 0"),
    ("vae", "--dataset there --out there/run", "--out there/run lies in --dataset there: the pict"),
    ("gan", "--dataset . --overwrite", "--out runs/gan lies in --dataset ."),
    ("sample", "runs/gan --grid grid.jpg", "--grid: grid.jpg does not end in .png"),
    ("sample", "runs/gan --npz a.txt", "--npz: a.txt does not end in .npz"),
    ("gan", "--recipe wgan --conditional", "See --recipe wgan_gp"),
    ("gan", "--penalty r1 --penalty-weight-end 1", "Pass both"),
    ("gan", "--dataset ring --network dcgan", "Pass --network points or mlp"),
    ("gan", "--network points", "Pass --network dcgan or resnet or mlp"),
    ("gan", "--dataset ring --batch-size 3 --packing 4", "--batch-size 3 is too small"),
    ("evaluate", f"{LONG}", "names no folder: File name too long"),
    ("evaluate", "runs/vae --num-samples 0", "0 is not a positive integer"),
    ("reproduce.__main__", "burda-2", "invalid choice: 'burda-2'"),
    ("reproduce.__main__", "nll-20 --json nowhere/rows.json", "is in a folder that is not there"),
    ("reproduce.__main__", "nll-20 --dataset mnist", "--dataset is for one-class-mnist"),
    ("export", f"runs/vae --out {LONG}", "names no folder: File name too long"),
]

PROGRAM = """
import contextlib, importlib, io, json, sys

ends = []
for module, line, _ in json.loads(sys.argv[1]):
    said, code = io.StringIO(), 0
    with contextlib.redirect_stderr(said):
        try:
            importlib.import_module(f"train.{module}").main(line.split())
        except SystemExit as stopped:
            code = stopped.code
    imported = [name for name in ("keras", "numpy") if name in sys.modules]
    ends.append((code, said.getvalue(), imported))
print(json.dumps(ends))
"""


@pytest.mark.once
def test_bad_arguments_end_in_one_message_before_anything_is_imported(tmp_path):
    (tmp_path / "there").mkdir()
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(REFUSED)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    ends = json.loads(process.stdout)
    assert len(ends) == len(REFUSED)
    for (_, line, message), (code, said, imported) in zip(REFUSED, ends, strict=True):
        assert (code, imported) == (2, []), line
        assert message in said and "Traceback" not in said, said
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.once
def test_a_set_that_tfds_has_prepared_here_is_no_folder_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("mnist/3.0.1", "emnist/letters/3.1.0", "photos/2.5.1"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("mnist/3.0.1", "emnist/letters/3.1.0"):
        (tmp_path / folder / "dataset_info.json").touch()
    paths = ("mnist", "emnist", "emnist/letters", "photos", "digits", "nowhere")
    assert [path for path in paths if options.is_path(path)] == ["photos"]
