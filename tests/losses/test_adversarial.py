import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import losses
from keras_gen.losses import adversarial
from tests.steps import input_gradient

LOG_2 = np.log(2)
NAMES = ["minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic"]
# Midpoints of cells of 1/1000; every edge that matters lies between two cells.
CELL = 1e-3
NODES = np.arange(-12 + CELL / 2, 12, CELL)
WEIGHTS = np.exp(-0.5 * NODES**2) / np.sqrt(2 * np.pi) * CELL


def numbers(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def expected_losses(loss, discriminator, m):
    """E[loss] of both players, for p = N(0, 1) and q = N(m, 1), by quadrature."""
    real_logits = ops.convert_to_tensor(discriminator(NODES).astype("float32"))
    fake_logits = ops.convert_to_tensor(discriminator(NODES + m).astype("float32"))
    return (
        np.sum(WEIGHTS * numbers(loss.discriminator_loss(real_logits, fake_logits))),
        np.sum(WEIGHTS * numbers(loss.generator_loss(real_logits, fake_logits))),
    )


@pytest.mark.parametrize(
    "m, d_loss, saturating, non_saturating",
    [
        (0.0, 1.386294, -0.693147, 0.693147),
        (0.5, 1.325672, -0.662836, 0.787836),
        (1.0, 1.163451, -0.581726, 1.081726),
    ],
)
def test_logistic_losses_of_two_normals_at_the_optimal_logit(m, d_loss, saturating, non_saturating):
    def log_ratio(x):  # log p(x) / q(x)
        return m**2 / 2 - m * x

    minimax = expected_losses(losses.Minimax(), log_ratio, m)
    assert minimax == pytest.approx((d_loss, saturating), abs=1e-6)
    usual = expected_losses(losses.NonSaturating(), log_ratio, m)
    assert usual == pytest.approx((d_loss, non_saturating), abs=1e-6)


@pytest.mark.parametrize("m, value", [(0.0, 0.25), (0.5, 0.235264), (1.0, 0.198986)])
def test_least_squares_of_two_normals_at_the_optimal_discriminator(m, value):
    def posterior(x):  # p / (p + q)
        return 1 / (1 + np.exp(m * x - m**2 / 2))

    d_loss, _ = expected_losses(losses.LeastSquares(), posterior, m)
    assert d_loss == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("m, value", [(0.5, 1.605175), (1.0, 1.234150)])
def test_hinge_of_two_normals_is_twice_what_total_variation_leaves(m, value):
    d_loss, _ = expected_losses(losses.Hinge(), lambda x: np.sign(m / 2 - x), m)
    assert d_loss == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("m", [0.5, 1.0])
def test_wasserstein_of_two_normals_at_slope_one_is_their_distance(m):
    d_loss, _ = expected_losses(losses.Wasserstein(), lambda x: -x, m)
    assert -d_loss == pytest.approx(m, abs=1e-6)


@pytest.mark.parametrize(
    "loss, output, d_loss, g_loss",
    [
        (losses.Minimax(), 0.0, 2 * LOG_2, -LOG_2),
        (losses.NonSaturating(), 0.0, 2 * LOG_2, LOG_2),
        (losses.LeastSquares(), 0.5, 0.25, 0.125),
        (losses.Hinge(), 0.0, 2.0, 0.0),
        (losses.Wasserstein(), 0.0, 0.0, 0.0),
        (losses.Relativistic(), 0.0, LOG_2, LOG_2),
    ],
)
def test_losses_where_real_and_fake_are_one_distribution(loss, output, d_loss, g_loss):
    outputs = ops.full((3,), output)
    np.testing.assert_allclose(numbers(loss.discriminator_loss(outputs, outputs)), d_loss, 1e-6)
    np.testing.assert_allclose(
        numbers(loss.generator_loss(outputs, outputs)), g_loss, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "loss, d_loss, g_loss",
    [
        # D = .9 on the real example and .2 on the fake one.
        (losses.Minimax(), -np.log(0.9) - np.log(0.8), np.log(0.8)),
        (losses.NonSaturating(), -np.log(0.9) - np.log(0.8), -np.log(0.2)),
        (
            losses.NonSaturating(label_smoothing=0.1),
            -0.9 * np.log(0.9) - 0.1 * np.log(0.1) - np.log(0.8),
            -np.log(0.2),
        ),
        # The odds are 9 and 1/4, so of the pair sigmoid(log 36) = 36/37.
        (losses.Relativistic(), -np.log(36 / 37), -np.log(1 / 37)),
    ],
)
def test_logistic_losses_by_their_probabilities(loss, d_loss, g_loss):
    real_logits, fake_logits = ops.full((1, 1), np.log(9.0)), ops.full((1, 1), np.log(0.25))
    np.testing.assert_allclose(
        numbers(loss.discriminator_loss(real_logits, fake_logits)), [d_loss], 1e-5
    )
    np.testing.assert_allclose(
        numbers(loss.generator_loss(real_logits, fake_logits)), [g_loss], 1e-5
    )


@pytest.mark.parametrize("p, q", [(0.3, 0.3), (0.5, 0.1), (0.01, 0.4)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.3])
def test_optimal_discriminator_under_smoothing_is_a_p_over_p_plus_q(p, q, label_smoothing):
    loss = losses.NonSaturating(label_smoothing)
    optimum = (1 - label_smoothing) * p / (p + q)
    logits = np.log(optimum / (1 - optimum)) + np.array([-0.1, 0.0, 0.1])

    def pointwise(logits):  # p times the term of real, and q times that of fake
        zeros = ops.zeros_like(logits)
        return p * loss.discriminator_loss(logits, zeros) + q * loss.discriminator_loss(
            zeros, logits
        )

    below, at, above = input_gradient(pointwise, logits.astype("float32"))
    assert below < -1e-4 and above > 1e-4
    assert at == pytest.approx(0, abs=1e-7)


def test_on_disjoint_supports_only_the_saturating_gradient_vanishes():
    real_logits, fake_logits = np.array([30.0, 1e4], "float32"), np.array([-30.0, -1e4], "float32")
    gradients = {}
    for loss in (losses.Minimax(), losses.NonSaturating()):
        d_loss = loss.discriminator_loss(
            ops.convert_to_tensor(real_logits), ops.convert_to_tensor(fake_logits)
        )
        np.testing.assert_allclose(numbers(d_loss), 0, atol=1e-12)
        gradients[type(loss)] = input_gradient(
            lambda logits, loss=loss: loss.generator_loss(None, logits), fake_logits
        )
    np.testing.assert_allclose(gradients[losses.Minimax], 0, atol=1e-12)
    np.testing.assert_allclose(gradients[losses.NonSaturating], -1)


@pytest.mark.parametrize(
    "name, d_loss, g_loss, d_gradient, g_gradient",
    [
        # At (real, fake) = (1e4, 1e4), (1e4, -1e4), (-1e4, 1e4) and (-1e4, -1e4).
        ("minimax", [1e4, 0, 2e4, 1e4], [-1e4, 0, -1e4, 0], [1, 0, 1, 0], [-1, 0, -1, 0]),
        ("non_saturating", [1e4, 0, 2e4, 1e4], [0, 1e4, 0, 1e4], [1, 0, 1, 0], [0, -1, 0, -1]),
        (
            "least_squares",
            [99990000.5, 99990000.5, 100010000.5, 100010000.5],
            [49990000.5, 50010000.5, 49990000.5, 50010000.5],
            [1e4, -1e4, 1e4, -1e4],
            [9999, -10001, 9999, -10001],
        ),
        ("hinge", [10001, 0, 20002, 10001], [-1e4, 1e4, -1e4, 1e4], [1, 0, 1, 0], [-1] * 4),
        ("wasserstein", [0, -2e4, 2e4, 0], [-1e4, 1e4, -1e4, 1e4], [1] * 4, [-1] * 4),
        (
            "relativistic",
            [LOG_2, 0, 2e4, LOG_2],
            [LOG_2, 2e4, 0, LOG_2],
            [0.5, 0, 1, 0.5],
            [-0.5, -1, 0, -0.5],
        ),
    ],
)
def test_losses_and_their_fake_gradients_at_outputs_of_ten_thousand(
    name, d_loss, g_loss, d_gradient, g_gradient
):
    loss = adversarial.get(name)
    real_logits = ops.convert_to_tensor(np.array([1e4, 1e4, -1e4, -1e4], "float32"))
    fake_logits = np.array([1e4, -1e4, 1e4, -1e4], "float32")
    for of, value, gradient in (
        (loss.discriminator_loss, d_loss, d_gradient),
        (loss.generator_loss, g_loss, g_gradient),
    ):
        np.testing.assert_allclose(
            numbers(of(real_logits, ops.convert_to_tensor(fake_logits))), value, 1e-6, 1e-6
        )
        np.testing.assert_allclose(
            input_gradient(lambda x, of=of: of(real_logits, x), fake_logits), gradient, 1e-6, 1e-6
        )


def test_half_precision_outputs_give_float32_losses():
    outputs = ops.full((2, 1), 3.0, dtype="float16")
    for name in NAMES:
        d_loss = adversarial.get(name).discriminator_loss(outputs, outputs)
        assert keras.backend.standardize_dtype(d_loss.dtype) == "float32"
        assert tuple(d_loss.shape) == (2,)


def test_only_logistic_losses_have_probabilities():
    logits = ops.convert_to_tensor(np.log([[9.0], [0.25]]).astype("float32"))
    for name in NAMES:
        loss = adversarial.get(name)
        if name in ("minimax", "non_saturating"):
            np.testing.assert_allclose(numbers(loss.probability(logits)), [[0.9], [0.2]], 1e-6)
        else:
            assert loss.probability is None


def test_only_the_relativistic_generator_needs_real_outputs():
    assert [name for name in NAMES if adversarial.get(name).needs_real] == ["relativistic"]
    with pytest.raises(ValueError, match="`real_logits` is None. Pass both"):
        losses.Relativistic().generator_loss(None, ops.zeros((2, 1)))


@pytest.mark.parametrize("loss", [*map(adversarial.get, NAMES), losses.Minimax(0.25)])
def test_a_loss_survives_serialisation(loss):
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_get_returns_the_object_itself():
    loss = losses.NonSaturating(label_smoothing=0.1)
    assert adversarial.get(loss) is loss


@pytest.mark.parametrize("identifier", ["nonsense", None, losses.Hinge])
def test_get_refuses_what_is_no_loss_and_lists_the_names(identifier):
    with pytest.raises(ValueError, match="'non_saturating'.*'relativistic'"):
        adversarial.get(identifier)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_outside_its_range_is_refused(label_smoothing):
    with pytest.raises(ValueError, match=r"pass a number in \[0, 1\)"):
        losses.Minimax(label_smoothing)


def test_outputs_that_are_not_one_number_an_example_are_refused():
    with pytest.raises(ValueError, match=r"has shape \(2, 4, 4, 1\).*Dense\(1\)"):
        losses.Hinge().discriminator_loss(ops.zeros((2, 4, 4, 1)), ops.zeros((2, 1)))


def test_different_numbers_of_real_and_fake_are_refused():
    with pytest.raises(ValueError, match="3 real and 2 fake"):
        losses.Hinge().discriminator_loss(ops.zeros((3, 1)), ops.zeros((2, 1)))
