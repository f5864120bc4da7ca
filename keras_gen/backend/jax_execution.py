"""What Keras calls on JAX for each execution: one step, or several as one program."""

import functools
import itertools
import signal
import threading

import jax
import jax.numpy as jnp
import keras


class Executions:
    """Mixin of models: `steps_per_execution` as a loop on the device, and weights not to be lost.

    Keras starts the compiled step once for each batch. Here the batches of an execution are
    stacked and scanned, where they are alike. Others go one by one, and so do those of an
    execution that the end of the data cuts short.

    `fit` gives the model its weights back when a callback raises, or on Ctrl-C. The rest of
    Keras's methods does so here.
    """

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        return self._synced(super().evaluate, args, kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        return self._synced(super().predict, args, kwargs)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        return uninterrupted(super().train_on_batch, *args, **kwargs)

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args, **kwargs):
        return uninterrupted(super().test_on_batch, *args, **kwargs)

    @functools.wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args, **kwargs):
        return uninterrupted(super().predict_on_batch, *args, **kwargs)

    def _synced(self, method, args, kwargs):
        try:
            return method(*args, **kwargs)
        except BaseException:
            self.jax_state_sync()
            self._jax_state = None
            raise

    def _make_function(self, step_function, concatenate_outputs=False):
        return _Execution(self, step_function, concatenate_outputs)


def uninterrupted(method, *args, **kwargs):
    """What a Keras model's `method` gives; a Ctrl-C is heard when it has its weights again."""
    call = functools.partial(method, *args, **kwargs)
    return _then_ctrl_c(call) if _frees_its_weights(method.__self__) else call()


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
        self.is_compiled = _frees_its_weights(model)
        self.fused = self.gains = None  # Until there are data.

    def __call__(self, state, iterator):
        held = [state]
        try:
            batches = list(itertools.islice(iterator, self.model.steps_per_execution))
            if batches and self.is_compiled:
                return _then_ctrl_c(self._run, held, batches)
            if batches:
                return self._run(held, batches)
        except BaseException:
            self._give_back(held[0])
            raise
        raise StopIteration  # Keras has the state.

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
        values = [value for value in jax.tree.leaves(state) if isinstance(value, jax.Array)]
        if any(value.is_deleted() for value in values):
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


def _frees_its_weights(model):
    return model.jit_compile and not model.run_eagerly


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
