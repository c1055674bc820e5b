"""The velocity task: a walking robot follows a velocity command. What is rewarded, drawn and disturbed, as a file.

The formulas are those of Isaac Lab's velocity task (`velocity_rewards`); commands, pushes and randomisation are its
events, as far as a plant has them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.sensing import Sensing
from policy_port.contract.term import Bounds, in_order
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import TaskError, closest
from policy_port.resources import assets_dir
from policy_port.tasks.velocity_rewards import REWARDS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Span = Annotated[tuple[Positive, Positive], AfterValidator(in_order)]
"""A range above 0."""
Reach = Annotated[tuple[NonNegative, NonNegative], AfterValidator(in_order)]
"""A range from 0 up."""
FASTEST = 50.0
"""Largest command [m/s or rad/s]; degrees and millimetres lie beyond."""


def _of_a_robot(bounds: tuple[float, float]) -> tuple[float, float]:
    if max(map(abs, bounds)) > FASTEST:
        raise ValueError(f"no robot moves at more than {FASTEST:g} m/s or rad/s (given: {list(bounds)}); mind the unit")
    return bounds


def _in_seconds(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] > 1.0:
        raise ValueError(f"no drive hears its target more than a second late (given: {list(bounds)}); mind the unit")
    return bounds


Speeds = Annotated[Bounds, AfterValidator(_of_a_robot)]


class Foot(Strict):
    """A foot: a link, and the point of it that is to stand still on the ground."""

    link: str
    """The link, by the robot file's name; its contacts are the foot's."""
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the sole is in the link's frame [m]."""


class Told(Strict):
    """How commands are drawn: uniformly, and anew every so often."""

    lin_vel_x: Speeds
    """[m/s]"""
    lin_vel_y: Speeds = (0.0, 0.0)
    """[m/s]"""
    ang_vel_z: Speeds = (0.0, 0.0)
    """[rad/s]"""
    resample: Span = (10.0, 10.0)
    """Time between two draws [s], drawn itself."""
    standing: Share = 0.0
    """Share of the draws that tell the robot to stand still."""


class Reward(Strict):
    """A reward term's weight and what its formula takes."""

    weight: float
    """Factor [per second]; costs have negative ones."""
    params: dict[str, float | tuple[str, ...] | tuple[float, ...]] = {}
    """Parameters of the formula by name; those left out have the usual values."""


class Terminations(Strict):
    """When an episode ends because the robot failed, beside the end of its time."""

    min_height: float | None = None
    """Lowest height of the base [m]; the contract's, if not given."""
    max_tilt: Positive | None = None
    """Largest tilt of the base [rad]; the contract's, if not given."""
    contact_links: tuple[str, ...] = ()
    """Links that must not touch anything."""
    contact_force: Positive = 1.0
    """Smallest force that counts as touching [N]."""


class Push(Strict):
    """A horizontal force at the base, of random direction, from time to time."""

    every: Span
    """Time from one push to the next [s]."""
    force: Reach
    """Its size [N]."""
    duration: Positive = 0.1
    """How long it pulls [s], in whole control steps."""


class Start(Strict):
    """Where episodes start."""

    joint_pos: NonNegative = 0.0
    """Half width of what is added to the default joint positions [rad or m]."""


class Noise(Strict):
    """Half widths of the uniform noise on what the acting policy measures; nobody else sees it."""

    joint_pos: NonNegative = 0.0
    """[rad or m]"""
    joint_vel: NonNegative = 0.0
    """[rad/s or m/s]"""
    base_lin_vel: NonNegative = 0.0
    """[m/s]"""
    base_ang_vel: NonNegative = 0.0
    """[rad/s]"""
    orientation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Turn of the measured base about each of its axes [rad]: projected gravity errs by as much."""

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return any(self.model_dump().values())


class Randomisation(Strict):
    """What differs between environments: ranges of uniform draws, made at `begin`, so at each checkpoint."""

    ground_friction: Span | None = None
    """Sliding friction between robot and ground, whatever the robot file says."""
    contact_time: Span | None = None
    """Time in which contacts come to rest [s]: MuJoCo's alone, whose contacts are softer than those of PhysX, the more
    the longer; its own is 0.02, and two timesteps are the least."""
    base_mass: Bounds | None = None
    """Mass added to the base link [kg]."""
    stiffness: Span | None = None
    """Factor on the drives' position gains, a draw per joint."""
    damping: Span | None = None
    """Factor on the drives' velocity gains, a draw per joint."""
    effort_limit: Span | None = None
    """Factor on the effort limits that the contract states, a draw per joint."""
    joint_friction: Reach | None = None
    """Friction loss of the joints [N m or N], a draw per joint."""
    delay: Annotated[Reach, AfterValidator(_in_seconds)] | None = None
    """How late targets reach the drives [s], in whole physics steps, a draw per environment."""


class VelocityTask(Strict):
    """A velocity-tracking task for the robots that have its links."""

    policy_port_task: Literal[1]
    """Version of this format."""
    name: str
    """Name of the task."""
    robot: str
    """The robot that it was made for, in words."""
    base: str
    """The link that is pushed and loaded."""
    feet: dict[str, Foot] = Field(min_length=1)
    """The feet by name."""
    episode: Annotated[Positive, Field(le=3600.0)] = 20.0
    """Length of an episode [s]."""
    command: Told
    """What the robot is told."""
    start: Start = Start()
    """Where episodes start."""
    rewards: dict[str, Reward] = Field(min_length=1)
    """Reward terms by name; see `velocity_rewards`."""
    terminations: Terminations = Terminations()
    """When the robot has failed."""
    push: Push | None = None
    """Disturbance; none, if not given."""
    noise: Noise = Noise()
    """Sensor noise."""
    randomisation: Randomisation = Randomisation()
    """What differs between environments."""

    @model_validator(mode="before")
    @classmethod
    def _reward_terms_exist(cls, data: object) -> object:
        rewards = data.get("rewards") if isinstance(data, dict) else None
        for name in rewards if isinstance(rewards, dict) else ():
            if name not in REWARDS:
                raise PydanticCustomError(
                    "value_error",
                    "rewards.{key}: no such reward term{hint} There are: {known}",
                    {"key": str(name), "hint": closest(str(name), REWARDS) or ".", "known": ", ".join(REWARDS)},
                )
        return data

    @model_validator(mode="after")
    def _parts_agree(self) -> VelocityTask:
        for name, reward in self.rewards.items():
            good = REWARDS[name].good
            if reward.weight * (1.0 if good else -1.0) < 0.0:
                does, should = ("charge", "reward") if good else ("reward", "charge")
                raise ValueError(
                    f"rewards.{name}: weight {reward.weight:g} would {does} what the term is there to {should}; write "
                    f"{-reward.weight:g}"
                )
            for key, value in self.params(name).items():
                self._check(name, key, value)
            if "swing" in REWARDS[name].params:
                self._check_swing(name)
        if not any(reward.weight > 0.0 for reward in self.rewards.values()):
            raise ValueError("rewards: no term has a positive weight, so ending every episode at once would be best")
        return self

    def _check(self, name: str, key: str, value: object) -> None:
        """Refuse a parameter of a reward term that there is not, or that can't be."""
        known = REWARDS[name].params
        if key not in known:
            takes = f" Its parameters are {', '.join(known)}" if known else "it takes none"
            raise ValueError(
                f"rewards.{name}: unknown parameter '{key}'{closest(key, known) or (known and '.') or '; '}{takes}"
            )
        usual, where = known[key], f"rewards.{name}.params.{key}"
        if not isinstance(usual, tuple):
            if isinstance(value, tuple):
                raise ValueError(f"{where} is a number")
            if key in ("std", "period") and not (isinstance(value, float | int) and value > 0.0):
                raise ValueError(f"{where} is greater than 0, given: {value}")
            if key == "threshold" and "period" in known and not (isinstance(value, float | int) and 0.0 < value < 1.0):
                raise ValueError(f"{where} is the share of the period in which a foot stands, between 0 and 1")
        elif usual and isinstance(usual[0], float):
            many = len(value) if key == "swing" and isinstance(value, tuple) else len(self.feet)
            if not isinstance(value, tuple) or len(value) != many or any(isinstance(item, str) for item in value):
                raise ValueError(f"{where} is a list of numbers, one for each of {', '.join(self.feet)}")
        elif not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{where} is a list of joint names")
        elif twice := sorted({item for item in value if value.count(item) > 1}):
            raise ValueError(f"{where} names {', '.join(twice)} more than once; name each joint once")

    def _check_swing(self, name: str) -> None:
        """Refuse joints that are not as many for each foot, or not as many as there are numbers for them."""
        params = self.params(name)
        joints, swing = params["joints"], params["swing"]
        if not joints or len(joints) % len(self.feet) or len(swing) != len(joints):
            raise ValueError(
                f"rewards.{name}: params.joints names joints foot by foot, as many for each of {', '.join(self.feet)}, "
                f"and params.swing has a number for each of them (given: {len(joints)} joints, {len(swing)} numbers)"
            )

    def params(self, reward: str) -> dict[str, Any]:
        """All parameters of a reward term, the usual values where none is given."""
        return {**REWARDS[reward].params, **self.rewards[reward].params}

    @property
    def senses(self) -> Sensing:
        """What a plant measures for rewards and terminations beside joints and base."""
        needs = {need for name in self.rewards for need in REWARDS[name].needs}
        feet = tuple(dict.fromkeys(foot.link for foot in self.feet.values()))
        touching = feet if "contact" in needs else ()
        return Sensing(
            links=feet if "foot_speed" in needs else (),
            contacts=tuple(dict.fromkeys((*touching, *self.terminations.contact_links))),
            effort="effort" in needs,
        )

    def to_yaml(self) -> str:
        """The task as YAML, every value stated; `load_task` reads back an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)

    @property
    def sha256(self) -> str:
        """SHA-256 of the task's YAML."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def shipped_tasks() -> tuple[str, ...]:
    """Names of the tasks that ship with the project."""
    return tuple(sorted(path.stem for path in (assets_dir() / "tasks").glob("*.yaml")))


def load_task(given: str | Path) -> VelocityTask:
    """Read a task: a YAML file, or the name of one that ships with the project.

    Raises:
        TaskError: With file, line and key; or when there is no such task, naming those that ship.
    """
    names = shipped_tasks()
    path = Path(given)
    if str(given) in names:
        path = assets_dir() / "tasks" / f"{given}.yaml"
    elif path.suffix not in (".yaml", ".yml"):
        raise TaskError(
            f"no task is called '{given}'{closest(str(given), names) or '.'} Give a YAML file, or one of those that "
            f"ship: {', '.join(names)}"
        )
    return parse(VelocityTask, read_yaml(path, TaskError), TaskError)
