"""How a training is set: agent.yaml, in RSL-RL's own keys, read strictly over the values that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from policy_port import counts
from policy_port.contract.joints import Positive
from policy_port.contract.yaml_file import Strict, YamlDocument, parse, read_yaml
from policy_port.errors import TrainError
from policy_port.resources import assets_dir

Count = Annotated[int, Field(ge=1, le=counts.STEPS)]
Iterations = Annotated[int, Field(ge=1, le=counts.ITERATIONS)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Activation = Literal[
    "elu", "selu", "relu", "crelu", "lrelu", "tanh", "sigmoid", "softplus", "gelu", "swish", "mish", "identity"
]
"""RSL-RL's names of activations."""


class Distribution(Strict):
    """The deviation with which a network tries out actions: a Gaussian whose deviation is the same everywhere."""

    class_name: Literal["GaussianDistribution"] = "GaussianDistribution"
    init_std: Positive = 1.0
    """Standard deviation at the start, in the network's own units of the action."""
    std_type: Literal["scalar", "log"] = "scalar"
    std_range: tuple[Positive, Positive] = (1e-6, 1e6)
    learn_std: bool = True


class Network(Strict):
    """One of RSL-RL's models."""

    class_name: Literal["MLPModel", "RNNModel", "CNNModel"] = "MLPModel"
    hidden_dims: tuple[Width, ...] = Field(default=(128, 128, 128), min_length=1)
    """Widths of the hidden layers."""
    activation: Activation = "elu"
    obs_normalization: bool = False
    """Whether running statistics of the observations normalise them."""
    distribution_cfg: Distribution | None = None
    """None for a critic, which answers one number."""
    rnn_type: Literal["lstm", "gru"] | None = None
    rnn_hidden_dim: Width | None = None
    rnn_num_layers: Annotated[int, Field(ge=1, le=100)] | None = None
    cnn_cfg: dict[str, Any] | None = None
    """Convolutions, as RSL-RL's CNNModel takes them."""

    @model_validator(mode="after")
    def _as_its_class(self) -> Network:
        for key, owner in (("rnn_type", "RNNModel"), ("rnn_hidden_dim", "RNNModel"), ("rnn_num_layers", "RNNModel")):
            if (getattr(self, key) is not None) != (self.class_name == owner):
                verb = "needs" if self.class_name == owner else "takes no"
                raise ValueError(f"class_name {self.class_name} {verb} {key}")
        if (self.cnn_cfg is not None) != (self.class_name == "CNNModel"):
            raise ValueError(f"class_name {self.class_name} {'needs' if self.cnn_cfg is None else 'takes no'} cnn_cfg")
        return self

    def words(self) -> str:
        """Its shape: "lstm 2x256, then 512-256-128 elu"."""
        memory = f"{self.rnn_type} {self.rnn_num_layers}x{self.rnn_hidden_dim}, then " if self.rnn_type else ""
        return f"{memory}{'-'.join(map(str, self.hidden_dims))} {self.activation}"


class Ppo(Strict):
    """RSL-RL's PPO."""

    class_name: Literal["PPO"] = "PPO"
    num_learning_epochs: Count = 5
    num_mini_batches: Annotated[int, Field(ge=1, le=counts.ENVS)] = 4
    clip_param: Positive = 0.2
    gamma: Share = 0.99
    lam: Share = 0.95
    value_loss_coef: Positive = 1.0
    use_clipped_value_loss: bool = True
    entropy_coef: Annotated[float, Field(ge=0.0)] = 0.01
    learning_rate: Positive = 1e-3
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    desired_kl: Positive = 0.01
    max_grad_norm: Positive = 1.0
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    normalize_advantage_per_mini_batch: bool = False


class Distillation(Strict):
    """RSL-RL's distillation: behaviour cloning of the teacher's actions, with the student at the controls."""

    class_name: Literal["Distillation"] = "Distillation"
    num_learning_epochs: Count = 5
    gradient_length: Count = 15
    """Steps through which gradients flow back, and after which the student is changed."""
    learning_rate: Positive = 1e-3
    max_grad_norm: Positive | None = None
    loss_type: Literal["mse", "huber"] = "mse"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"


class Agent(Strict):
    """What every training has."""

    num_steps_per_env: Count = 24
    """Steps of each environment in an iteration."""
    max_iterations: Iterations
    """Iterations of the whole training."""
    save_interval: Iterations = 50
    """Iterations between two checkpoints. At each of them every environment starts anew, from a seed of its own."""

    def to_yaml(self) -> str:
        """As agent.yaml: whole, in RSL-RL's keys."""
        data = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)

    def runner_settings(self, **groups: list[str]) -> dict[str, Any]:
        """What RSL-RL's runner is given; it changes the dictionary, so each call makes its own.

        Args:
            **groups: Which of the environment's groups of observations each network reads.
        """
        data = self.model_dump(mode="python", exclude_none=True)
        return data | {"obs_groups": groups}


class PpoAgent(Agent):
    """Settings of `train` and `finetune`."""

    actor: Network
    critic: Network
    algorithm: Ppo
    critic_warmup: Annotated[int, Field(ge=0, le=counts.ITERATIONS)] = 0
    """Iterations at the start in which only the critic learns, and the actor stays as it is."""

    @model_validator(mode="after")
    def _can_try_out(self) -> PpoAgent:
        if self.actor.distribution_cfg is None:
            raise ValueError("actor needs a distribution_cfg (class_name, init_std): PPO tries actions out with it")
        if self.critic.distribution_cfg is not None:
            raise ValueError("critic takes no distribution_cfg: it answers one number")
        return self

    def check_batch(self, num_envs: int, where: str) -> None:
        """Hold the batch against the number of parts that it is cut into.

        Raises:
            TrainError: When a part would be empty, or whole environments would be left out of every update.
        """
        parts = self.algorithm.num_mini_batches
        remembers = "RNNModel" in (self.actor.class_name, self.critic.class_name)
        if num_envs % parts if remembers else num_envs * self.num_steps_per_env < parts:
            raise TrainError(
                f"{where}: algorithm.num_mini_batches is {parts}, which doesn't divide {num_envs} environments of a "
                f"recurrent network; set it to a divisor, or say --num-envs {max(1, round(num_envs / parts)) * parts}"
                if remembers
                else f"{where}: algorithm.num_mini_batches is {parts}, more than {num_envs} environments x "
                f"{self.num_steps_per_env} steps; set it lower, or say a larger --num-envs"
            )


class FinetuneAgent(PpoAgent):
    """Settings of `finetune` of a velocity task."""

    keep: Share = 0.98
    """Least share of the start's tracking that each checkpoint must have, in the episodes that all are measured in.

    What falls below it is undone, and made again by half the step; 0: nothing is. The aim is 0.95: a checkpoint of a g1
    that had 0.954 in 64 episodes had 0.919 in 200 others.
    """


class ReachAgent(PpoAgent):
    """Settings of `finetune` of the reach task, whose checkpoints are measured by the episodes that they win.

    None is undone: a start that wins 3 of 64 wins 2 as well by chance, and on the way to all there may be none.
    """

    extend_to: Iterations | None = None
    """Iterations up to which a run goes on beyond max_iterations, while its checkpoints still get better; None: none
    beyond."""


class DistilAgent(Agent):
    """Settings of `distil`."""

    student: Network
    algorithm: Distillation

    @model_validator(mode="after")
    def _can_learn(self) -> DistilAgent:
        steps, length = self.algorithm.num_learning_epochs * self.num_steps_per_env, self.algorithm.gradient_length
        if steps % length:
            raise ValueError(
                f"algorithm.gradient_length {length} doesn't divide num_learning_epochs x num_steps_per_env = {steps}: "
                f"RSL-RL would never learn from the last {steps % length} steps"
            )
        if self.student.distribution_cfg is None:
            raise ValueError("student needs a distribution_cfg (class_name, init_std): RSL-RL's student samples")
        return self


def read_agent[Settings: Agent](
    kind: type[Settings], stage: str, file: Path | str | None, base: dict[str, Any] | None = None
) -> Settings:
    """The settings of a stage: what ships for it, `base` over that, and the user's file over both.

    Args:
        kind: What they are.
        stage: Name of the shipped file in `assets/agents/`.
        file: The user's agent.yaml, whole or in part; None for what ships.
        base: Tables between the two, such as the network of a student.

    Raises:
        TrainError: With file, line and key.
    """
    document: YamlDocument = read_yaml(assets_dir() / "agents" / f"{stage}.yaml", TrainError)
    values = _merged(document.data, base or {})
    if file is not None:
        document = read_yaml(file, TrainError)
        values = _merged(values, document.data)
    return parse(kind, replace(document, data=values), TrainError)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` upon `under`, table by table. A table of another class replaces the one under it: their keys differ."""
    merged = dict(under)
    for key, value in over.items():
        below = under.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            kind = below.get("class_name")
            merged[key] = _merged(below, value) if kind in (None, value.get("class_name", kind)) else value
        else:
            merged[key] = value
    return merged
