"""The reach task as it is learnt: a task file of kind `reach`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from policy_port.contract.joints import NonNegative
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import PolicyPortError, TaskError
from policy_port.resources import assets_dir
from policy_port.tasks.reach import SO100_REACH, ReachTask

JUDGED: dict[str, ReachTask] = {"so100-reach": SO100_REACH}
"""Tasks by the name that `play --task` takes."""
KIND = "reach"
Range = tuple[float, float]


class ReachNoise(Strict):
    """What the acting network's measurements are off by."""

    joint_pos: NonNegative = 0.0
    """Standard deviation [rad]."""
    joint_vel: NonNegative = 0.0
    """Standard deviation [rad/s]."""


class ReachTraining(Strict):
    """Starts and goals of training about those of a task; what is left out is as in the task."""

    policy_port_task: Literal[1]
    """Version of this format."""
    kind: Literal["reach"]
    """What tells it from a velocity task."""
    name: str
    """Its name in reports."""
    task: Literal["so100-reach"]
    """The task that it is learnt for, and judged by."""
    joint_noise: tuple[NonNegative, ...] | None = None
    """Half width of the uniform noise on the start pose [rad], in the order of the task's joints."""
    goal_radius: Range | None = None
    """Nearest and farthest goal from the vertical axis [m]."""
    goal_azimuth: Range | None = None
    """Least and greatest azimuth of a goal [rad]."""
    goal_height: Range | None = None
    """Lowest and highest goal above the base [m]."""
    lag: Annotated[float, Field(gt=0.0)] | None = None
    """How far targets may be from where joints are before it is charged [rad]: an arm that stays farther behind counts
    as blocked, and is stopped. None: as far as they like."""
    noise: ReachNoise = ReachNoise()
    """Noise of the acting network's measurements."""

    @model_validator(mode="after")
    def _is_one(self) -> ReachTraining:
        count = len(self.judged.joint_names)
        if self.joint_noise is not None and len(self.joint_noise) != count:
            raise ValueError(f"joint_noise has {len(self.joint_noise)} numbers; {self.task} has {count} joints: "
                             f"{', '.join(self.judged.joint_names)}")  # fmt: skip
        for key in ("goal_radius", "goal_azimuth", "goal_height"):
            stated: Range | None = getattr(self, key)
            if stated is not None and stated[0] > stated[1]:
                raise ValueError(f"{key}: {stated[0]:g} is above {stated[1]:g}")
        return self

    @property
    def judged(self) -> ReachTask:
        """The task that it is judged by."""
        return JUDGED[self.task]

    @property
    def learnt(self) -> ReachTask:
        """The task with the starts and goals of training."""
        keys = ("joint_noise", "goal_radius", "goal_azimuth", "goal_height")
        stated: dict[str, Any] = {key: value for key in keys if (value := getattr(self, key)) is not None}
        return dataclasses.replace(self.judged, **stated)

    def to_yaml(self) -> str:
        """The task as YAML; `read_reach` reads back an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)


def read_reach(given: str | Path) -> ReachTraining | None:
    """A task of kind `reach`: a file, or the name of what is judged; None for a task of another kind.

    Raises:
        TaskError: With file, line and key.
    """
    path = Path(given)
    if str(given) in JUDGED:
        path = assets_dir() / "reach" / f"{str(given).replace('-', '_')}.yaml"
    elif path.suffix not in (".yaml", ".yml"):
        return None
    try:
        document = read_yaml(path, TaskError)
    except PolicyPortError:
        # Whoever reads the tasks of other kinds says what is wrong with it.
        return None
    return parse(ReachTraining, document, TaskError) if document.data.get("kind") == KIND else None
