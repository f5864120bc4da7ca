"""The steps of one execution as one program."""

import itertools

import jax
import jax.numpy as jnp
import keras


class FusedSteps:
    """Mixin of models: `steps_per_execution` of `fit` and `evaluate` as a loop on the device.

    Keras starts the compiled step once for each batch. Here the batches of an execution are
    stacked and scanned, if they are alike; others, as at the end of the data, go one by one.
    """

    def _make_function(self, step_function, concatenate_outputs=False):
        one_by_one = super()._make_function(step_function, concatenate_outputs)
        compiled = hasattr(step_function, "lower")
        if self.steps_per_execution == 1 or concatenate_outputs or not compiled:
            return one_by_one
        return _Execution(step_function, one_by_one, self.steps_per_execution)


class _Execution:
    def __init__(self, step, one_by_one, steps):
        self.step, self.one_by_one, self.steps = step, one_by_one, steps
        self.fused = None  # Not known yet.

    def __call__(self, state, iterator):
        batches = list(itertools.islice(iterator, self.steps))
        if not batches:
            raise StopIteration
        alike = len({str(jax.tree.map(jnp.shape, batch)) for batch in batches}) == 1
        if len(batches) < self.steps or not alike:
            return self.one_by_one(state, iter(batches))
        if self.fused is None:
            self.fused = self._compiled(state) if self._gains(state, batches[0]) else False
        return self.fused(state, batches) if self.fused else self.one_by_one(state, iter(batches))

    def _gains(self, state, batch):
        """False on a CPU with a convolution, which XLA runs far slower in a loop there."""
        if jax.default_backend() != "cpu":
            return True
        return "conv_general_dilated" not in str(self.step.trace(state, batch).jaxpr)

    def _compiled(self, state):
        shardings = None
        if keras.distribution.distribution() is not None:  # The state stays where it is.
            shardings = (None, jax.tree.map(lambda value: value.sharding, state))
        return jax.jit(self._all_steps, donate_argnums=0, out_shardings=shardings)

    def _all_steps(self, state, batches):
        def step(state, batch):
            logs, new = self.step(state, batch)
            # A loop gives back the types that it was given.
            return jax.tree.map(lambda old, new: new.astype(old.dtype), state, new), logs

        batches = jax.tree.map(lambda *parts: jnp.stack(parts), *batches)
        state, logs = jax.lax.scan(step, state, batches)
        return jax.tree.map(lambda log: log[-1], logs), state
