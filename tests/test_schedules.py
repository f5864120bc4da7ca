import keras
import numpy as np
import pytest
from keras import ops

from keras_gen.schedules import CosineRamp, Cyclical, LinearWarmUp
from tests.models import tiny


def values(schedule, steps):
    return [float(ops.convert_to_numpy(schedule(step))) for step in steps]


def test_a_warm_up_is_a_line_and_then_flat():
    schedule = LinearWarmUp(4, start=0.2, end=1.0)
    np.testing.assert_allclose(values(schedule, range(7)), [0.2, 0.4, 0.6, 0.8, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(values(LinearWarmUp(1), (0, 1, 10**6)), [0, 1, 1])


def test_a_cosine_is_flat_at_both_ends_and_half_way_in_the_middle():
    seen = values(CosineRamp(6, start=2.0, end=1.0), (0, 2, 3, 4, 6, 9))
    np.testing.assert_allclose(seen, [2, 1.75, 1.5, 1.25, 1, 1], rtol=1e-6)


def test_cycles_rise_for_a_part_and_begin_again():
    expected = [0, 0.5, 1, 1, 0, 0.5, 1, 1, 0]
    np.testing.assert_allclose(values(Cyclical(4), range(9)), expected, atol=1e-6)
    expected = [0.1, 0.3, 0.5, 0.7, 0.1]
    np.testing.assert_allclose(
        values(Cyclical(4, ramp=1.0, start=0.1, end=0.9), range(5)), expected, rtol=1e-5
    )


def test_after_the_last_cycle_it_stays_at_the_end():
    expected = [0, 0.5, 1, 1, 0, 0.5, 1, 1, 2, 2, 2, 2]
    seen = values(Cyclical(4, cycles=2, end=2.0), range(12))
    np.testing.assert_allclose(seen, np.minimum(2 * np.array(expected), 2), atol=1e-6)


@pytest.mark.parametrize("schedule", [LinearWarmUp(3), Cyclical(4, cycles=1)])
def test_beta_follows_it_in_the_compiled_step_and_after_loading(schedule, tmp_path):
    vae = tiny.vae(beta=schedule)
    vae.compile(keras.optimizers.SGD(0.0))
    seen = []
    for step in range(6):
        if step == 2:
            vae.save(tmp_path / "vae.keras")
            vae = keras.saving.load_model(tmp_path / "vae.keras")
            assert vae.beta.get_config() == schedule.get_config()
        vae.reset_metrics()
        logs = vae.train_on_batch(tiny.images(8), return_dict=True)
        seen.append((logs["loss"] - logs["reconstruction"]) / logs["kl"])
    np.testing.assert_allclose(seen, values(schedule, range(6)), atol=2e-3)


@pytest.mark.parametrize(
    "build, match",
    [
        (lambda: LinearWarmUp(0), "`steps` is 0"),
        (lambda: LinearWarmUp(5, start=-1.0), "`start` is -1.0"),
        (lambda: LinearWarmUp(5, end=float("nan")), "`end` is nan"),
        (lambda: CosineRamp(0), "`steps` is 0"),
        (lambda: CosineRamp(5, end=-1.0), "`end` is -1.0"),
        (lambda: Cyclical(0), "`period` is 0"),
        (lambda: Cyclical(5, ramp=0.0), "`ramp` is 0.0"),
        (lambda: Cyclical(5, ramp=1.5), "`ramp` is 1.5"),
        (lambda: Cyclical(5, cycles=0), "`cycles` is 0"),
        (lambda: LinearWarmUp("10"), "`steps` is '10'. Pass at least 1"),
        (lambda: LinearWarmUp(None), "`steps` is None"),
        (lambda: CosineRamp(5, start="0"), "`start` is '0'. Pass a number"),
        (lambda: CosineRamp(5, end=float("inf")), "`end` is inf"),
        (lambda: Cyclical([5]), r"`period` is \[5\]"),
        (lambda: Cyclical(5, cycles="2"), "`cycles` is '2'. Pass at least 1, or None"),
    ],
)
def test_what_is_no_schedule_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()
