"""The steps of one execution as one program."""

import itertools

import jax
import jax.numpy as jnp
import keras


class FusedSteps:
    """Mixin of models: `steps_per_execution` of `fit` and `evaluate` as a loop on the device.

    Keras starts the compiled step once for each batch. Here the batches of an execution are
    stacked and scanned, where they are alike. Others go one by one, and so do those of an
    execution that the end of the data cuts short.
    """

    def _make_function(self, step_function, concatenate_outputs=False):
        one_by_one = super()._make_function(step_function, concatenate_outputs)
        compiled = self.jit_compile and not self.run_eagerly
        if self.steps_per_execution == 1 or concatenate_outputs or not compiled:
            return one_by_one
        return _Execution(self, step_function, one_by_one)


class _Execution:
    def __init__(self, model, step, one_by_one):
        self.model, self.step, self.one_by_one = model, step, one_by_one
        self.fused = self.gains = None  # Until there are data.

    def __call__(self, state, iterator):
        steps = self.model.steps_per_execution
        batches = list(itertools.islice(iterator, steps))
        if not batches:
            raise StopIteration
        if len(batches) == steps and _alike(batches) and self._gains(state, batches[0]):
            self.fused = self.fused or self._compiled(state)
            return self.fused(state, batches)
        return self.one_by_one(state, iter(batches))

    def _gains(self, state, batch):
        """False on a CPU with a convolution, which XLA runs far slower in a loop there."""
        if self.gains is None:
            on_cpu = jax.default_backend() == "cpu"
            program = str(self.step.trace(state, batch).jaxpr) if on_cpu else ""
            self.gains = "conv_general_dilated" not in program
        return self.gains

    def _compiled(self, state):
        shardings = None
        if keras.distribution.distribution() is not None:  # The state stays where it is.
            shardings = (None, jax.tree.map(lambda value: value.sharding, state))
        return jax.jit(self._all_steps, donate_argnums=0, out_shardings=shardings)

    def _all_steps(self, state, batches):
        def step(state, batch):
            logs, changed = self.step(state, batch)
            # A loop gives back the containers and the types that it was given.
            leaves, structure = jax.tree.flatten(state)
            pairs = zip(leaves, jax.tree.leaves(changed), strict=True)
            leaves = [new.astype(old.dtype) for old, new in pairs]
            return jax.tree.unflatten(structure, leaves), logs

        batches = jax.tree.map(lambda *parts: jnp.stack(parts), *batches)
        state, logs = jax.lax.scan(step, state, batches)
        return jax.tree.map(lambda log: log[-1], logs), state


def _alike(batches):
    first, *others = (jax.tree.map(jax.typeof, batch) for batch in batches)
    return all(other == first for other in others)
