"""What a run says while it trains, and training on fewer examples."""

import json
import types

import keras
import numpy as np
import pytest

import keras_gen as kg
from train import gan, progress, subset, vae

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "durations, said",
    [
        # 98 epochs of 30 s: not of the first. After a minute, 96.
        ([1, 30, 30, 30], [(10, "49 minutes"), (10, "48 minutes")]),
        ([70, 60, 20], [(4, "116 minutes"), (5, "98 minutes")]),
        ([1, 0.1, 0.1], [(3000, "half a minute")]),
        ([1], []),
    ],
)
def test_a_run_says_how_long_it_will_take(monkeypatch, capsys, durations, said):
    times = iter(np.cumsum([0.0, *durations]))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    callback = progress.say_how_long(epochs=100, num_examples=300)
    for epoch in range(len(durations) + 1):
        callback.on_epoch_begin(epoch)
    lines = [f"{speed:,} examples a second: about {rest} to go.\n" for speed, rest in said]
    assert capsys.readouterr().out == "".join(lines)


def test_a_preview_stops_by_the_clock_and_says_how_long_the_run_takes(
    run_here, tmp_path, monkeypatch
):
    # 39 steps of 256 points an epoch. The third step ends after two minutes.
    times = iter([0.0, 100.0, 110.0, 120.0])
    clock = types.SimpleNamespace(perf_counter=lambda: next(times))
    monkeypatch.setattr(progress, "time", clock)
    process = run_here(gan, "--dataset", "ring", "--preview", "--epochs", 4, "--examples", 39 * 256)
    assert process.returncode == 0, process.stderr
    # 156 steps of 10 s: the first is left out.
    assert "Preview: 3 of 156 steps in 120 seconds, 26 examples a second." in process.stdout
    assert "takes about 26 minutes." in process.stdout
    (out,) = (tmp_path / "runs/gan").iterdir()  # Nothing stands in the way of the run itself.
    assert out.name == "preview" and (out / "samples/epoch_0001.png").exists()
    assert not (out / "checkpoint").exists()
    assert json.loads((out / "config.json").read_text())["arguments"]["ema"] is None
    process = run_here(gan, "--preview", "--resume")
    assert "--preview starts anew. Leave out --resume." in process.stderr


def test_fewer_examples_are_the_first_of_the_seeded_order():
    x, y = np.arange(50, dtype="float32").reshape(50, 1) / 50, np.arange(50) % 5

    class Source:
        def __len__(self):
            return 50

        def __getitems__(self, indices):
            return [{"image": np.float32(x[i]), "label": y[i]} for i in indices]

    in_memory = subset.first(kg.data.ArrayDataset(x, y, 4, seed=3), 7)
    on_disk = kg.data.SourceDataset(Source(), 1, 4, seed=3, labels=True, num_classes=5)
    rows = np.random.default_rng((3, 0)).permutation(50)[:7]
    for data in (in_memory, subset.first(on_disk, 7)):
        assert (len(data), data.num_examples, data.num_classes) == (2, 7, 5)
        for batches in ([data[0], data[1]], [data[1], data[0]]):
            seen = np.concatenate([batch[0] for batch in batches])
            np.testing.assert_array_equal(np.sort(seen[:, 0]), np.sort(x[rows, 0]))
    assert in_memory is subset.first(in_memory, None)
    with pytest.raises(ValueError, match="--examples 8: the training set holds 7"):
        subset.first(in_memory, 8)
    with pytest.raises(ValueError, match="read as a stream"):
        subset.first(iter([]), 8)


def test_a_conditional_iwae_of_few_digits_with_its_curves(run_here, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    arguments = ("--iwae", 2, "--conditional", "--hidden", 4, "--latent-dim", 2, "--epochs", 2)
    process = run_here(vae, *arguments, "--examples", 100, "--tensorboard")
    assert process.returncode == 0, process.stderr
    out = tmp_path / "runs" / "vae"
    assert json.loads((out / "config.json").read_text())["arguments"]["examples"] == 100
    model = keras.saving.load_model(out / "model.keras")
    assert isinstance(model, kg.IWAE) and model.num_classes == 10
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == 2  # Of one batch each.
    (file,) = (out / "tensorboard").iterdir()  # One, or TensorBoard follows the last alone.
    events = [(e.step, v.tag) for e in EventFileLoader(str(file)).Load() for v in e.summary.value]
    assert {(1, "elbo"), (2, "elbo"), (2, "val_elbo"), (0, "SampleGrid")} <= set(events)
    # The settings, as the tab "HPARAMS" reads them.
    from tensorboard.plugins.hparams import metadata

    (start,) = [
        metadata.parse_session_start_info_plugin_data(v.metadata.plugin_data.content)
        for e in EventFileLoader(str(file)).Load()
        for v in e.summary.value
        if v.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME
    ]
    assert start.hparams["latent_dim"].number_value == 2
    assert start.hparams["conditional"].bool_value is True
    assert start.hparams["dataset"].string_value == "digits"
    # The networks, as the tab "GRAPHS" reads them.
    from tensorboard.plugins.graph import keras_util
    from tensorboard.plugins.graph.metadata import PLUGIN_NAME_KERAS_MODEL

    graphs = [
        keras_util.keras_model_to_graph_def(json.loads(v.tensor.string_val[0]))
        for e in EventFileLoader(str(file)).Load()
        for v in e.summary.value
        if v.metadata.plugin_data.plugin_name == PLUGIN_NAME_KERAS_MODEL
    ]
    names = [{node.name.split("/")[-1] for node in graph.node} for graph in graphs]
    networks = (model.encoder, model.decoder)
    assert names == [{each.name for each in network.operations} for network in networks]
    assert all(any(node.input for node in graph.node) for graph in graphs)


def test_a_gan_of_fewer_points_has_no_batch_that_is_not_full(run_here, tmp_path):
    few = ("--dataset", "ring", "--examples", 600, "--epochs", 1)
    process = run_here(gan, *few)
    assert process.returncode == 0, process.stderr
    model = keras.saving.load_model(tmp_path / "runs/gan/model.keras")
    assert keras.ops.convert_to_numpy(model.optimizer.generator.iterations) == 2
    process = run_here(gan, *few, "--batch-size", 601)
    assert "--batch-size 601 is more than the training set, ring, holds" in process.stderr
