"""Two players, each with an optimizer of its own: what `compile` takes, and what it keeps."""

from keras_gen.optimizers import PlayerOptimizers

PLAYERS = ("generator", "discriminator")
NO_OPTIMIZERS = {f"{player}_optimizer": f"it is `optimizer.{player}`." for player in PLAYERS}


class TwoOptimizers:
    """Mixin that gives a model two players, each with an optimizer of its own.

    It stands before the model's class. A subclass writes `optimized`, which returns two pairs of
    an optimizer, `self.optimizer.generator` and `.discriminator`, and the variables that it moves.
    """

    players = PLAYERS
    weighting = "Draw examples as often as they shall count."

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Configure training: an optimizer for each player, and else as `keras.Model.compile`.

        Args:
            generator_optimizer: Keras optimizer or its name. With `use_ema=True` the averages
                are for `sample(ema=True)`; the raw weights stay in the model.
            discriminator_optimizer: Keras optimizer or its name; another object.

        Raises:
            ValueError: If an optimizer is missing, or a loss or metrics are given.
        """
        if "optimizer" in kwargs:
            raise ValueError(
                f"`compile` of a {type(self).__name__} needs two optimizers: pass "
                f"`generator_optimizer` and `discriminator_optimizer` in place of `optimizer`."
            )
        scales = kwargs.pop("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16"
        players = PlayerOptimizers.of(
            generator_optimizer, discriminator_optimizer, scales, type(self).__name__
        )
        super().compile(optimizer=players, auto_scale_loss=False, **kwargs)

    def get_compile_config(self):
        config = super().get_compile_config()
        if config:
            players = config.pop("optimizer")["config"]
            config["generator_optimizer"] = players["generator"]
            config["discriminator_optimizer"] = players["discriminator"]
        return config

    def build_optimizer(self):
        self.optimizer.build_players(*(variables for _, variables in self.optimized()))

    def check_next_to(self, x, y, sample_weight):
        if sample_weight is not None:
            raise ValueError(
                f"A {type(self).__name__} cannot weight examples: the generator imitates the data "
                f"as they come. {self.weighting}"
            )
        super().check_next_to(x, y, sample_weight)
