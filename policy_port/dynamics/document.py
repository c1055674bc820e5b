"""dynamics.yaml: what was identified of a robot beyond its description, as frozen data.

A parameter that is absent is as the robot file and the contract say. Names of parameters, in `correlated` and
`posterior`, are `joint.key` for one of a joint ("elbow.damping") and the name alone for a common one
("payload_mass", "gravity_tilt_x").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.dynamics.actuator import Actuators, Hash, read_networks, write_networks
from policy_port.errors import DynamicsError, closest
from policy_port.files import sha256, write_atomic


class Estimate(Strict):
    """A value, and how well it is known; a plain number in the file is a value that nobody judged."""

    value: float
    """What to simulate with."""
    interval: tuple[float, float] | None = None
    """95 % interval, low and high."""
    identified: bool | None = None
    """Whether the data tell the value; False for one that kept its prior."""
    source: str | None = None
    """Where it came from: a datasheet, a prior, a recording."""

    @model_validator(mode="before")
    @classmethod
    def _of_number(cls, data: Any) -> Any:
        return {"value": data} if isinstance(data, int | float) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _holds_the_value(self) -> Estimate:
        if self.interval is not None and not self.interval[0] <= self.value <= self.interval[1]:
            raise ValueError(f"the value {self.value:g} is outside its interval {self.interval[0]:g} to "
                             f"{self.interval[1]:g}")  # fmt: skip
        return self


def _within(low: float, high: float, why: str) -> AfterValidator:
    """An estimate whose value and interval are from `low` to `high`; the message says why no other can be."""

    def check(estimate: Estimate) -> Estimate:
        for number in (estimate.value, *(estimate.interval or ())):
            if not low <= number <= high:
                raise ValueError(f"{number:g} is not from {low:g} to {high:g}: {why}")
        return estimate

    return AfterValidator(check)


BIGGEST = 1e6
NonNegative = Annotated[Estimate, _within(0.0, BIGGEST, "it can't be negative")]
Positive = Annotated[Estimate, _within(1e-9, BIGGEST, "it has to be above zero")]
Tilt = Annotated[Estimate, _within(-np.pi, np.pi, "it is an angle in radians")]


class JointDynamics(Strict):
    """One joint; units are those of a hinge, of a slide [m] and [N] stand for [rad] and [N m]."""

    armature: NonNegative | None = None
    """Reflected rotor inertia [kg m^2]."""
    damping: NonNegative | None = None
    """Viscous friction of the joint itself [N m s/rad]."""
    friction: NonNegative | None = None
    """Coulomb friction of the joint [N m]."""
    stiffness: NonNegative | None = None
    """Position gain of the drive [N m/rad]."""
    drive_damping: NonNegative | None = None
    """Velocity gain of the drive [N m s/rad]."""
    effort_limit: Positive | None = None
    """Largest torque of the drive [N m]."""
    backlash: Annotated[Estimate, _within(0.0, 0.35, "it is the full width of the play in radians")] | None = None
    """Play between motor and joint, full width [rad]."""
    delay: Annotated[Estimate, _within(0.0, 1.0, "it is from command to motion in seconds")] | None = None
    """From a command to the motion that it causes [s]."""
    offset: Annotated[Estimate, _within(-0.7854, 0.7854, "it is in radians, and 45 degrees at most")] | None = None
    """The reading less the truth where the truth is 0 [rad]."""
    gain: Annotated[Estimate, _within(0.5, 2.0, "it is the reading per truth; a sign belongs in a mapping")] | None = (
        None
    )
    """Reading per truth: reading = gain * truth + offset."""


class Payload(Strict):
    """A mass that a link carries; the link's inertia grows in proportion."""

    link: str
    """Name of the link in the robot file."""
    mass: NonNegative
    """[kg], added to the link's own."""


class CommonDynamics(Strict):
    """What is not of one joint."""

    payload: Payload | None = None
    """What the robot carries."""
    gravity_tilt: tuple[Tilt, Tilt] | None = None
    """How the mount leans: gravity in its frame is turned by these angles about its x, then its y axis [rad]."""
    encoder_noise: Annotated[Estimate, _within(0.0, 0.1, "it is in radians")] | None = None
    """Standard deviation of a reading of a joint's position [rad]."""
    encoder_step: Annotated[Estimate, _within(0.0, 0.1, "it is in radians")] | None = None
    """What readings of positions are whole multiples of [rad]."""
    ground_friction: Annotated[Estimate, _within(0.0, 10.0, "it is a coefficient")] | None = None
    """Friction coefficient of the ground."""
    base_mass: Annotated[Estimate, _within(-1e3, 1e3, "it is in kilograms")] | None = None
    """Mass added to the base link [kg]; negative where the description is too heavy."""


class RobotOf(Strict):
    """The robot description that the values are relative to."""

    file: str
    """Its name."""
    sha256: Hash | None = None
    """Its content; None lets the values be used with any description that has the joints."""
    calibration_sha256: Hash | None = None
    """The one arm of its model that it was identified on, by its calibration; None where the recordings don't say."""


class Recording(Strict):
    """A recording that the values come from."""

    file: str
    """Its name."""
    sha256: Hash
    """Its content."""
    use: Literal["fit", "held_out"]
    """What it was used for."""


class Prediction(Strict):
    """How far a prediction is from what was measured, root mean square."""

    rmse: Annotated[float, Field(ge=0.0)]
    """With these values [rad]."""
    stock_rmse: Annotated[float, Field(ge=0.0)] | None = None
    """With the robot file's and the contract's own [rad]."""


class HeldOut(Prediction):
    """The prediction of recordings that were not fitted, `horizon` after a measured start."""

    horizon: Annotated[float, Field(gt=0.0)]
    """[s]."""
    joints: dict[str, Prediction] = {}
    """The same of each joint."""


class Posterior(Strict):
    """What the data leave open, as a normal distribution: what randomisation samples."""

    names: tuple[str, ...]
    """Parameters; see the module's docstring."""
    mean: tuple[float, ...]
    """Shape (names,)."""
    covariance: tuple[tuple[float, ...], ...]
    """Shape (names, names)."""

    @model_validator(mode="after")
    def _is_one(self) -> Posterior:
        count = len(self.names)
        if len(set(self.names)) < count:
            raise ValueError("names: one stands twice")
        if len(self.mean) != count or [len(row) for row in self.covariance] != [count] * count:
            raise ValueError(f"{count} names need {count} means and {count} rows of {count} covariances")
        matrix = np.array(self.covariance).reshape(count, count)
        scale = np.abs(matrix).max(initial=0.0)
        if np.abs(matrix - matrix.T).max(initial=0.0) > 1e-9 * scale:
            raise ValueError("the covariance is not symmetric")
        if count and np.linalg.eigvalsh(matrix).min() < -1e-9 * scale:
            raise ValueError("the covariance has a negative eigenvalue, which no distribution has")
        return self


class Dynamics(Strict):
    """A dynamics.yaml."""

    policy_port_dynamics: Literal[1]
    """Version of this format."""
    robot: RobotOf
    """The robot description that it was identified with."""
    joints: dict[str, JointDynamics] = {}
    """By the robot file's joint names."""
    common: CommonDynamics = CommonDynamics()
    """What is not of one joint."""
    actuator: Actuators = ()
    """Learned actuators; a single one may stand without a list."""
    correlated: tuple[tuple[str, str, Annotated[float, Field(ge=-1.0, le=1.0)]], ...] = ()
    """Pairs of parameters that the data know only together, with their correlation."""
    data: tuple[Recording, ...] = ()
    """Where the values come from."""
    held_out: tuple[HeldOut, ...] = ()
    """How well it predicts what was not fitted, per horizon."""
    posterior: Posterior | None = None
    """What randomisation samples; None where nobody said."""
    accepted: tuple[str, ...] = ()
    """Doubts of the recordings that somebody has accepted, in words."""

    @model_validator(mode="after")
    def _names_are_parameters(self) -> Dynamics:
        known = dict(self.estimates())
        named = [name for one, other, _ in self.correlated for name in (one, other)]
        for name in (*named, *(self.posterior.names if self.posterior else ())):
            if name not in known:
                raise ValueError(f"no parameter is called '{name}'{closest(name, known) or '.'} "
                                 f"It has: {', '.join(known) or 'none'}")  # fmt: skip
        learned = [joint for item in self.actuator for joint in item.joints or ()]
        everywhere = [item.file for item in self.actuator if item.joints is None]
        if len(set(learned)) < len(learned) or (everywhere and len(self.actuator) > 1):
            raise ValueError("actuator: a joint has two; name the joints of each, every joint once")
        for joint, values in self.joints.items():
            if values.backlash is not None and values.backlash.value and self.learned(joint):
                raise ValueError(f"joints.{joint}.backlash: a learned actuator drives it, whose torque has the play in "
                                 "it; leave one of them out")  # fmt: skip
        return self

    @property
    def identity(self) -> dict[str, str]:
        """What a trace, and a port that was trained under it, say of it."""
        arm = self.robot.calibration_sha256
        return {"dynamics_sha256": self.sha256} | ({} if arm is None else {"dynamics_calibration_sha256": arm})

    def learned(self, joint: str) -> bool:
        """Whether a network drives a joint."""
        return any(item.joints is None or joint in item.joints for item in self.actuator)

    def estimates(self) -> Iterator[tuple[str, Estimate]]:
        """Every parameter that is stated, by name; see the module's docstring."""
        for joint, values in self.joints.items():
            for key in JointDynamics.model_fields:
                if (estimate := getattr(values, key)) is not None:
                    yield f"{joint}.{key}", estimate
        common = self.common
        if common.payload is not None:
            yield "payload_mass", common.payload.mass
        if common.gravity_tilt is not None:
            yield from zip(("gravity_tilt_x", "gravity_tilt_y"), common.gravity_tilt, strict=True)
        for key in ("encoder_noise", "encoder_step", "ground_friction", "base_mass"):
            if (estimate := getattr(common, key)) is not None:
                yield key, estimate

    def with_values(self, values: Mapping[str, float]) -> Dynamics:
        """The same with other values of parameters that it states; what was known of them falls away.

        Raises:
            DynamicsError: When a name is no parameter that it states, or a value can't be.
        """
        document = plain(self)
        for name, value in values.items():
            if name not in dict(self.estimates()):
                raise DynamicsError(f"no parameter '{name}'{closest(name, dict(self.estimates()))}")
            joint, _, key = name.rpartition(".")
            common = document.get("common", {})
            if joint:
                document["joints"][joint][key] = float(value)
            elif name == "payload_mass":
                common["payload"]["mass"] = float(value)
            elif name.startswith("gravity_tilt_"):
                common["gravity_tilt"]["xy".index(name[-1])] = float(value)
            else:
                common[name] = float(value)
        try:
            # The networks' files are no part of the text.
            return Dynamics.model_validate(document).model_copy(update={"actuator": self.actuator})
        except ValidationError as cause:
            first = cause.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DynamicsError(f"values of dynamics that can't be: {place}: {first['msg']}") from None

    @property
    def text(self) -> str:
        """The document as YAML, at full precision."""
        return yaml.safe_dump(plain(self), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)

    @property
    def sha256(self) -> str:
        """SHA-256 of `text`: of the file that `write_dynamics` writes, and the same whatever comments are added."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """A part of a document as YAML has it: what is not stated is left out, a bare value is a number."""
    if isinstance(value, Estimate) and value == Estimate(value=value.value):
        return value.value
    if isinstance(value, Strict):
        shown = {name: getattr(value, name) for name in type(value).model_fields}
        empty = (None, (), {}, CommonDynamics())
        return {name: plain(item) for name, item in shown.items() if item not in empty}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def load_dynamics(path: Path | str) -> Dynamics:
    """Read a dynamics.yaml, and the networks of learned actuators that lie beside it.

    Raises:
        DynamicsError: With file, line and key, when it is missing, malformed, or says what can't be.
    """
    found = parse(Dynamics, read_yaml(path, DynamicsError), DynamicsError)
    return found.model_copy(update={"actuator": read_networks(found.actuator, Path(path))})


def write_dynamics(path: Path | str, dynamics: Dynamics) -> None:
    """Write a dynamics.yaml, whole or not at all, and before it the networks of learned actuators beside it.

    Raises:
        OutputError: When it can't be written.
    """
    write_networks(dynamics.actuator, Path(path).parent)
    write_atomic(path, dynamics.text)


def check_robot(dynamics: Dynamics, robot: Path, joints: tuple[str, ...]) -> None:
    """Hold dynamics against the robot description that they are to be used with.

    Args:
        dynamics: The document.
        robot: The robot file.
        joints: Names of its joints.

    Raises:
        DynamicsError: When they are of another robot.
    """
    for name in (*dynamics.joints, *(joint for item in dynamics.actuator for joint in item.joints or ())):
        if name not in joints:
            raise DynamicsError(
                f"the dynamics of {dynamics.robot.file} have a joint '{name}', and {robot} has none"
                f"{closest(name, joints) or '.'} Its joints are: {', '.join(joints)}. They are another robot's"
            )
    known = dynamics.robot.sha256
    if known is not None and known != sha256(robot):
        said = f" (SHA-256 {known[:12]}...), and {robot} is another file ({sha256(robot)[:12]}...)"
    elif Path(dynamics.robot.file).stem != robot.stem:
        said = f", and {robot} is another robot's, whatever its joints are called"
    else:
        return
    raise DynamicsError(
        f"the dynamics were identified with {dynamics.robot.file}{said}, to whose masses they may not fit. Give "
        f"--robot that file, or write `robot: {{file: {robot.name}}}` into the dynamics to use them all the same"
    )


def check_delay(dynamics: Dynamics, seconds: float) -> None:
    """Refuse a delay that is no shorter than an episode, in which nothing would ever move.

    Raises:
        DynamicsError: Naming the joint.
    """
    for name, joint in dynamics.joints.items():
        if joint.delay is not None and joint.delay.value >= seconds:
            raise DynamicsError(
                f"dynamics: joints.{name}.delay: {joint.delay.value:g} s is no shorter than an episode of {seconds:g} s"
            )
