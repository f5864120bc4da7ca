import numpy as np
from keras import ops

from keras_gen.losses import divergences


def test_kl_is_zero_at_the_prior():
    kl = divergences.kl_to_standard_normal(ops.zeros((2, 3)), ops.zeros((2, 3)))
    np.testing.assert_array_equal(ops.convert_to_numpy(kl), [0, 0])


def test_kl_to_the_prior_is_the_closed_form_per_dimension():
    # (mu^2 + s^2 - 1 - log s^2) / 2 for mu = 1, s^2 = 4 and mu = -2, s^2 = 1/4.
    expected = (1 + 4 - 1 - np.log(4)) / 2 + (4 + 0.25 - 1 - np.log(0.25)) / 2
    mean, log_var = np.array([[1.0, -2.0]]), np.log([[4.0, 0.25]])
    kl = divergences.kl_to_standard_normal(*map(ops.convert_to_tensor, (mean, log_var)))
    np.testing.assert_allclose(ops.convert_to_numpy(kl), [expected], rtol=1e-6)


def test_kl_between_normals_is_a_mean_log_ratio():
    rng = np.random.default_rng(0)
    mean_q, log_var_q, mean_p, log_var_p = 0.5 * rng.standard_normal((4, 3))

    def log_density(z, mean, log_var):
        squares = (z - mean) ** 2 / np.exp(log_var)
        return -0.5 * (squares + log_var + np.log(2 * np.pi)).sum(-1)

    z = mean_q + np.exp(log_var_q / 2) * rng.standard_normal((400_000, 3))
    ratios = log_density(z, mean_q, log_var_q) - log_density(z, mean_p, log_var_p)
    kl = divergences.kl_between_normals(
        *(ops.convert_to_tensor(a[None]) for a in (mean_q, log_var_q, mean_p, log_var_p))
    )
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(float(ops.convert_to_numpy(kl)[0]) - ratios.mean()) < 4 * error


def test_kl_between_normals_contains_the_kl_to_the_prior():
    rng = np.random.default_rng(1)
    mean, log_var = map(ops.convert_to_tensor, rng.standard_normal((2, 5, 3)).astype("float32"))
    zeros = ops.zeros((5, 3))
    np.testing.assert_allclose(
        ops.convert_to_numpy(divergences.kl_between_normals(mean, log_var, zeros, zeros)),
        ops.convert_to_numpy(divergences.kl_to_standard_normal(mean, log_var)),
        rtol=1e-5,
    )


def test_kl_keeps_its_digits_near_the_prior():
    # To second order log_var^2 / 4: 1 - exp(1e-4) in float32 would leave three digits.
    log_var = ops.full((1, 1), 1e-3)
    kl = float(ops.convert_to_numpy(divergences.kl_to_standard_normal(0 * log_var, log_var))[0])
    np.testing.assert_allclose(kl, (np.expm1(1e-3) - 1e-3) / 2, rtol=5e-3)


def test_the_kls_of_latents_add_up_to_the_kl():
    random = np.random.default_rng(0)
    mean, log_var = random.normal(size=(2, 5, 3)).astype("float32")
    tensors = ops.convert_to_tensor(mean), ops.convert_to_tensor(log_var)
    kls = ops.convert_to_numpy(divergences.kl_of_latents(*tensors))
    variance = np.exp(log_var.astype("float64"))
    np.testing.assert_allclose(kls, (mean**2 + variance - 1 - log_var) / 2, rtol=1e-4)
    total = ops.convert_to_numpy(divergences.kl_to_standard_normal(*tensors))
    np.testing.assert_allclose(kls.sum(-1), total, rtol=1e-6)
