import subprocess

import pytest


@pytest.fixture
def run_here(tmp_path, tmp_path_factory, monkeypatch, capsys):
    """Runs a script in `tmp_path`, without the seconds that a process takes to import everything.

    For what does not depend on a process of its own: `run_here(vae, "--epochs", 1)`.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.getbasetemp() / "tfds"))

    def run_here(script, *arguments):
        try:
            script.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as error:
            code = error.code
        out, errors = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, errors)

    return run_here
