"""`compile(jit_compile=...)` is what the table or the command line says."""

import keras
import pytest

import keras_gen as kg
from train import gan, options, speed, vae

ROWS = ("mlp_vae", "conv_vae", "dcgan", "wgan_gp")


def test_the_table_has_a_value_for_each_backend_and_row_of_the_benchmark():
    backends = ("tensorflow", "jax", "torch")
    assert set(speed.JIT_COMPILE) == {(backend, row) for backend in backends for row in ROWS}
    assert set(speed.JIT_COMPILE.values()) <= {"auto", True, False}


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Run a script up to `compile`, and return what that is given."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))

    class Compiled(Exception):
        pass

    def compile(self, *args, **kwargs):
        raise Compiled(kwargs["jit_compile"])

    for model in (kg.VAE, kg.GAN):
        monkeypatch.setattr(model, "compile", compile, raising=False)

    def compiled(script, *arguments):
        with pytest.raises(Compiled) as stopped:
            script.main([*arguments, "--out", str(tmp_path / "run")])
        return stopped.value.args[0]

    return compiled


@pytest.mark.parametrize(
    ("script", "arguments", "row"),
    [
        (vae, ("--hidden", "4"), "mlp_vae"),
        (vae, ("--network", "conv", "--hidden", "2"), "conv_vae"),
        (gan, ("--filters", "2", "2"), "dcgan"),
        (gan, ("--filters", "2", "2", "--recipe", "wgan_gp"), "wgan_gp"),
    ],
)
def test_a_script_compiles_as_its_row_says(compiled, monkeypatch, script, arguments, row):
    assert compiled(script, *arguments) == speed.JIT_COMPILE[keras.config.backend(), row]
    monkeypatch.setitem(speed.JIT_COMPILE, (keras.config.backend(), row), True)
    assert compiled(script, *arguments) is True
    assert compiled(script, *arguments, "--jit-compile", "auto") == "auto"
    assert compiled(script, *arguments, "--jit-compile", "false") is False


def test_several_devices_compile_only_if_told(monkeypatch):
    monkeypatch.setitem(speed.JIT_COMPILE, (keras.config.backend(), "mlp_vae"), True)
    parser = options.training_parser("", "vae", 1)
    args = parser.parse_args([])
    assert speed.jit_compile(args, "mlp_vae") is True
    args.devices = 2
    assert speed.jit_compile(args, "mlp_vae") == "auto"
    args.jit_compile = "true"
    assert speed.jit_compile(args, "mlp_vae") is True
    assert speed.jit_compile(parser.parse_args([]), None) == "auto"
