"""What Keras calls on JAX for each execution: one step, or several as one program."""

import itertools
import signal
import threading

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
        return _Execution(self, step_function, concatenate_outputs)


# What Keras calls the parts of a state, by their number.
_IN_STATE = {
    2: ("trainable_variables", "non_trainable_variables"),
    3: ("trainable_variables", "non_trainable_variables", "metrics_variables"),
    4: (
        *("trainable_variables", "non_trainable_variables"),
        *("optimizer_variables", "metrics_variables"),
    ),
}


class _Execution:
    """Takes the state through the next batches, and leaves it with the model if it cannot.

    Keras takes the values out of the variables and the program frees them: whoever interrupts it,
    by data that cannot be read or by Ctrl-C, would lose the model.
    """

    def __init__(self, model, step, in_predict):
        self.model, self.step, self.in_predict = model, step, in_predict
        self.is_compiled = model.jit_compile and not model.run_eagerly
        self.fused = self.gains = None  # Until there are data.

    def __call__(self, state, iterator):
        held = [state]
        try:
            batches = list(itertools.islice(iterator, self.model.steps_per_execution))
            if not batches:
                raise StopIteration
            if self.is_compiled:
                return _then_ctrl_c(self._run, held, batches)
            return self._run(held, batches)
        except BaseException:
            self._give_back(held[0])
            raise

    def _run(self, held, batches):
        if self._is_one_program(held[0], batches):
            self.fused = self.fused or self._compiled(held[0])
            outputs, held[0] = self.fused(held[0], batches)
            self._note(held[0])
            return outputs, held[0]
        outputs = []
        for batch in batches:
            output, held[0] = self.step(held[0], batch)
            self._note(held[0])
            outputs.append(output)
        if self.in_predict and len(outputs) > 1:
            return jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs), held[0]
        return outputs[-1], held[0]

    def _is_one_program(self, state, batches):
        if not self.is_compiled or self.in_predict or len(batches) == 1:
            return False
        full = len(batches) == self.model.steps_per_execution
        return full and _alike(batches) and self._gains(state, batches[0])

    def _note(self, state):
        """As Keras does when it has the state in hand again."""
        self.model._jax_state = dict(zip(_IN_STATE[len(state)], state, strict=True))

    def _give_back(self, state):
        if any(value.is_deleted() for value in jax.tree.leaves(state)):
            return  # The program has failed, and they are gone.
        self._note(state)
        self.model._jax_state_synced = False
        self.model.jax_state_sync()
        self.model._jax_state = None

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


def _then_ctrl_c(function, *args):
    """`function(*args)`; a Ctrl-C in the meantime is heard after it."""
    handler = None
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # Python does not hear it.
        return function(*args)
    heard = []
    signal.signal(signal.SIGINT, lambda *signal_and_frame: heard.append(signal_and_frame))
    try:
        return function(*args)
    finally:
        signal.signal(signal.SIGINT, handler)
        if heard:
            handler(*heard[-1])
