import functools
import itertools

import jax
import jax.numpy as jnp
import keras

from keras_gen.backend.step import Scope, Step, enclosing, is_finite, loss_of, running

STACKS = hasattr(keras.Model, "state_sync")  # Keras 3.16 stacks the batches of several steps.


def step(method):
    @functools.wraps(method)
    def step_on_state(self, *args):
        if len(args) == 1:  # Within a step.
            return method(self, *args)
        state, data = args
        state, optimizer = state if len(state) == 2 else (state, ())
        training = len(state) == 4
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        if training:
            groups.insert(2, self.optimizer.variables)
        values = _pairs(groups, state)
        values += zip(self.optimizer.variables if optimizer else (), optimizer, strict=True)
        with Step(self, training) as step, _Scope(values):
            # Eager `fit` hands over NumPy arrays.
            logs = step.run(method, jax.tree.map(jnp.asarray, data))
            return logs, tuple([variable.value for variable in group] for group in groups)

    step_on_state.reads_optimizer = True  # JAX's own form takes the state alone.
    return step_on_state


def _pairs(groups, state):
    """Return pairs of variables and values, of groups of both."""
    return [p for both in zip(groups, state, strict=True) for p in zip(*both, strict=True)]


def descend(optimizer, variables, loss_fn, *inputs):
    def scaled_loss(values, *inputs):
        output = loss_fn(*inputs)
        return optimizer.scale_loss(loss_of(output)), output

    values = [variable.value for variable in variables]
    output, gradients = _gradient_of(scaled_loss, variables, values, *inputs)
    finite = is_finite(optimizer, loss_of(output), gradients)
    running().note(optimizer, finite)
    old = values, [variable.value for variable in optimizer.variables]
    # Not `apply`, which branches on the gradients with side effects under loss scaling.
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):  # Has a branch of its own.
        new = optimizer.stateless_apply(old[1], gradients, values)
    elif jax.default_backend() == "cpu" and keras.distribution.distribution() is None:
        # A branch takes a sixth less of a small model's step than a choice number by number.
        new = jax.lax.cond(
            finite,
            lambda old, gradients: _applied(optimizer, variables, gradients, old),
            lambda old, gradients: old,
            *(old, gradients),
        )
    else:  # A GPU would wait until the condition is known.
        new = _applied(optimizer, variables, gradients, old)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)
    for variable, value in _pairs((variables, optimizer.variables), new):
        variable.assign(value)
    return output


def _applied(optimizer, variables, gradients, old):
    """Return what `stateless_apply` does: that takes no part of an optimizer's variables."""
    groups = variables, optimizer.variables
    with keras.StatelessScope(state_mapping=_pairs(groups, old)) as scope:
        optimizer.apply(gradients, variables)
    return tuple([scope.get_current_value(variable) for variable in group] for group in groups)


def without_gradient(fn, *inputs):
    return jax.lax.stop_gradient(fn(*inputs))


def input_gradient(fn, x):
    _, gradient = _gradient_of(lambda x: (jnp.sum(fn(x)), None), (), x)
    return gradient


def normal(shape, dtype, stream):
    return keras.random.normal(shape, dtype=dtype, seed=stream)


def uniform(shape, dtype, stream):
    return keras.random.uniform(shape, dtype=dtype, seed=stream)


def mean_over_replicas(x):
    return x


def gather_from_replicas(x):
    return x


def sum_over_processes(tensors):
    return tensors


class _Scope(Scope):
    """Variables as explicit values: reading gives the value of the scope, assigning replaces it.

    An assigned value is cut off from the gradient, as it is where variables hold state. The values
    of `outer`, another scope, hold where `values`, pairs of a variable and its value, have none.
    """

    def __init__(self, values, outer=None):
        super().__init__(values, collect_losses=True)
        if outer is not None:
            self.state_mapping = {**outer.state_mapping, **self.state_mapping}

    def add_update(self, update):
        variable, value = update
        super().add_update((variable, jax.lax.stop_gradient(value)))


def _gradient_of(fn, variables, first, *inputs):
    """Return aux and the gradient by `first` of `fn(first, *inputs) -> (scalar, aux)`.

    The `variables` have the values `first`. `fn` is traced in a scope of its own, which starts
    as the scope around it; what is assigned there leaves the trace as an output.
    """
    outer = enclosing().scopes[-1]

    def pure(first, *inputs):
        values = zip(variables, first, strict=True) if variables else ()
        with _Scope(values, outer) as inner:
            value, aux = fn(first, *inputs)
        return value, (aux, dict(inner.state_mapping))

    (_, (aux, state)), gradient = jax.value_and_grad(pure, has_aux=True)(first, *inputs)
    outer.state_mapping.update(state)
    return aux, gradient


def donates(model):
    """Return whether a step of `fit` writes its new state over the old one, which saves time.

    On a CPU only with `jit_compile=True`: else who interrupts a step finds the state before it.
    """
    return jax.default_backend() != "cpu" or model._jit_compile_argument is True


def _synced(name):
    """Return a method of Keras's trainer that syncs the state before and after it runs."""

    @functools.wraps(getattr(keras.Model, name))
    def synced(self, *args, **kwargs):
        self.state_sync()  # A callback of `fit` may call this one.
        try:
            return getattr(super(Trainer, self), name)(*args, **kwargs)
        finally:
            self.state_sync()

    return synced


class Trainer:
    """Mixin of models: an interrupt, or data that cannot be read, costs no weights.

    Keras takes the values out of the variables while it trains, evaluates or predicts. However
    that ends, the variables get the values of the last finished step, or, where `fit` writes over
    them and was interrupted within a step, those of the epoch's beginning, kept on the host.
    """

    _in_fit = _new_epoch = False
    _taken = _on_host = None  # The newest values, which the variables lack; the epoch's first.

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        self._keep(_in_fit=True)
        try:
            return _synced("fit")(self, *args, **kwargs)
        finally:
            self._keep(_in_fit=False, _on_host=None)

    evaluate, predict, train_on_batch, test_on_batch, predict_on_batch = map(
        _synced, ("evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")
    )

    def reset_metrics(self):
        self._keep(_new_epoch=True)
        super().reset_metrics()

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            self.train_function = _Execution(self, self.train_step)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            reads = hasattr(self.test_step, "reads_optimizer")
            self.test_function = _Execution(self, self.test_step, reads_optimizer=reads)

    def make_predict_function(self, force=False):
        if self.predict_function is None or force:
            self.predict_function = _predict_function(self)

    def jax_state_sync(self):  # Its name in Keras 3.15.
        self.state_sync()

    def state_sync(self):
        """Give the variables the values that Keras has taken out of them, or their successors."""
        state = self._taken
        if state is None:
            return
        leaves = [v for v in jax.tree.leaves(state) if isinstance(v, jax.Array)]
        if any(leaf.is_deleted() for leaf in leaves):
            state = self._on_host
        groups = [self.trainable_variables, self.non_trainable_variables]
        if len(state) == 4:
            groups.append(self.optimizer.variables)
        if len(state) > 2:
            groups.append(self.metrics_variables)
        for variable, value in _pairs(groups, state):
            variable.assign(value)
        self._keep(_taken=None, _jax_state_synced=True)

    # Keras 3.15.1: nothing public says when the values are taken. A public hook would replace it.
    def _get_jax_state(self, purge_model_variables=False, **groups):
        # Keras 3.15.1: as above, until replaced.
        state = super()._get_jax_state(purge_model_variables=False, **groups)
        if self._in_fit and self._new_epoch and len(state) == 4 and donates(self):
            self._keep(_on_host=jax.device_get(state), _new_epoch=False)
        self._keep(_taken=state)
        if purge_model_variables:
            self._purge_model_variables(**groups)  # Keras 3.15.1: as above, until replaced.
        return state

    def _keep(self, **attributes):
        # Keras's `__setattr__` would walk through a state in search of layers.
        vars(self).update(attributes)


def predict_on_batch(network, x):
    """Return `network.predict_on_batch(x)` of any Keras model; an interrupt costs no weights."""
    if not isinstance(network.predict_function, _Execution):
        network.predict_function = _predict_function(network)
    return network.predict_on_batch(x)


def _predict_function(model):
    def predict_step(state, data):
        outputs, non_trainable = model.predict_step(state, data)
        return outputs, (state[0], non_trainable)

    return _Execution(model, predict_step, joins=True)


class _Execution:
    """Run the next batches' steps, as Keras calls it: `(state, iterator) -> outputs, state`.

    `joins` joins the outputs of several steps; otherwise the last ones are returned. Keras hands
    no evaluation the optimizer's values, and a compiled one would keep those of its trace.
    """

    def __init__(self, model, step, joins=False, reads_optimizer=False):
        self.model, self.joins, self.reads_optimizer = model, joins, reads_optimizer
        # A function of its own: JAX remembers what it has traced, by a method's object and name.
        self.step = lambda state, batch: step(state, batch)
        self.compiled = model.jit_compile and not model.run_eagerly
        self.jitted = {}

    def __call__(self, state, iterator):
        outputs = []
        for batch in self._batches(iterator):
            output, state = self._run(state, batch)
            if isinstance(self.model, Trainer):
                self.model._keep(_taken=state)
            outputs.append(output)
        if not outputs:  # Keras has the state.
            raise StopIteration
        if self.joins and len(outputs) > 1:
            return jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs), state
        return outputs[-1], state

    def _batches(self, iterator):
        num_steps = self.model.steps_per_execution
        if num_steps == 1 or not STACKS:
            return itertools.islice(iterator, num_steps)
        batches = next(iterator, [])
        if isinstance(batches, list):  # Fewer, at the end of the data.
            return batches
        num_steps = len(jax.tree.leaves(batches)[0])
        return [jax.tree.map(lambda leaf: leaf[i], batches) for i in range(num_steps)]  # noqa: B023

    def _run(self, state, batch):
        given = state
        if self.reads_optimizer:
            given = state, [variable.value for variable in self.model.optimizer.variables]
        if not self.compiled:
            return self.step(given, batch)
        # Only `fit` keeps a copy of what is lost with a step that is interrupted.
        donated = (0,) if len(state) == 4 and self.model._in_fit and donates(self.model) else ()
        if donated not in self.jitted:
            shardings = None
            if keras.distribution.distribution() is not None:  # The state stays where it is.
                shardings = (None, jax.tree.map(lambda value: value.sharding, state))
            self.jitted[donated] = jax.jit(
                self.step, donate_argnums=donated, out_shardings=shardings
            )
        return self.jitted[donated](given, batch)
