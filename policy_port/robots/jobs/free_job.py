"""A policy that runs for a time on an arm: no goal is commanded, and nobody measures whether it succeeded."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array, Float32
from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import Plant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.plants.limiter import LIMITED
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import Policy
from policy_port.replay.result import Episode, Metric, number
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import check_contract
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.jobs.pictures import check_sight, show_views
from policy_port.robots.jobs.reach_job import FixedLengthEpisodes

RESET = "Prepare the scene for episode {} of {}. The arm then goes to its start pose."
"""Question between two episodes."""


class FreeJob:
    """A policy without a goal, such as one trained with LeRobot; see `policy_port.robots.jobs.reach_job.RealJob`.

    Each episode starts in the contract's default pose, with the policy's memory and chunks cleared, and ends by time.
    """

    def __init__(self, pilot: Pilot, seconds: float, *, ask: bool) -> None:
        """Let `pilot` run.

        Args:
            pilot: The policy.
            seconds: Length of an episode [s].
            ask: Whether somebody is asked to prepare the scene between two episodes.

        Raises:
            TaskError: When the time is too short for a step, or the policy waits for a goal.
        """
        contract = pilot.contract
        steps = round(seconds / contract.control_dt)
        if steps < 1:
            raise TaskError(f"--seconds {seconds:g} is less than one control step, which is {contract.control_dt:g} s")
        goals = [term.size for term in contract.observation.terms if term.term == "goal"]
        if goals:
            raise TaskError(
                f"contract '{contract.name}' reads a goal of {sum(goals)} numbers, and in a run that only --seconds "
                "bounds nobody gives it one: "
                + ("leave --seconds out (the reach task does), or " if goals == [3] else "")
                + "name a ManiSkill task with --env"
            )
        self._steps, self._ask = steps, ask
        self._asked = np.zeros((1, 0))
        self.tip_links: tuple[str, ...] = ()
        self.words = {
            "task": f"none: {steps * contract.control_dt:g} s an episode ({steps} steps), from the default pose",
            "success": "nobody measured it: look",
        }
        chunking = pilot.chunking()
        if chunking is not None:
            done = f"{chunking.steps} performed before the network is asked again"
            how = done if chunking.ensemble is None else f"ensembled with coefficient {chunking.ensemble:g}"
            self.words["chunks"] = f"of {chunking.length} actions, {how}"
        self.header: dict[str, Any] = {"episode_steps": steps}

    def check(self, pilot: Pilot, robot: RobotFile) -> None:
        """See `RealJob`."""
        check_contract(pilot.contract, robot, pilot.flown_through)
        check_sight(pilot.contract, robot)
        check_start(pilot.network_contract)

    def controller(self, pilot: Pilot, session: ArmSession) -> Controller:
        """See `RealJob`."""
        policy = pilot.open(1)
        joints = session.arm.joint_names
        self._asked = np.zeros((1, len(joints)))

        def parts(contract: Contract, signals: Signals, observation: Float32) -> tuple[Seeing, Asking]:
            seeing = Seeing(ObservationBuilder(contract, signals, observation), policy, session.cameras)
            return seeing, Asking(ActionDecoder(contract, signals), self._asked)

        return Controller(pilot.contract, policy, joints, 1, parts, motion=pilot.motion)

    def look(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """Write a picture of what each camera shows, under its name: numbers tell no camera from another."""
        return show_views(tuple(controller.policy.images), cameras, folder)

    def episodes(self, seeds: range, session: ArmSession) -> TimedEpisodes:
        """See `RealJob`; a seed changes nothing."""
        return TimedEpisodes(self._steps, len(seeds), self._asked, session.ask if self._ask else None)

    def found(self, episodes: TimedEpisodes) -> tuple[tuple[Episode, ...], list[Metric]]:
        """See `RealJob`: how it moved; that says nothing of what it achieved."""
        return (), episodes.metrics()


def check_start(contract: Contract) -> None:
    """Refuse a start pose that is outside the limits that the contract states: a policy was never shown it.

    Raises:
        TaskError: Naming the joints, in the contract's own units.
    """
    strange = [
        f"{name} at {joint.default:g} {joint.unit}, limits {joint.lower:g} to {joint.upper:g}"
        for name, joint in contract.joints.items()
        if joint.lower is not None and joint.upper is not None and not joint.lower <= joint.default <= joint.upper
    ]
    if strange:
        raise TaskError(
            f"episodes start in the default pose of contract '{contract.name}', which its own limits exclude: "
            f"{'; '.join(strange)}. Set `default` to the pose that the training's episodes began in, and export again"
        )


class Seeing:
    """What the contract observes, and the cameras' latest frames; see `ObservationPart`."""

    def __init__(self, builder: ObservationBuilder, policy: Policy, cameras: ArmCameras) -> None:
        self._builder, self._policy, self._cameras = builder, policy, cameras

    def build(self) -> None:
        """Fill the policy's observation and show it a frame of each camera."""
        self._builder.build()
        for name, camera in self._policy.images.items():
            camera.show(self._cameras.frame(name, fresh=True))

    def reset(self, rows: Rows | None = None) -> None:
        """Forget the past."""
        self._builder.reset(rows)


class Asking:
    """Targets as the contract says, and a copy of them before the limits; see `ActionPart`."""

    def __init__(self, decoder: ActionDecoder, asked: Array) -> None:
        self._decoder, self._asked = decoder, asked

    def decode(self, action: Float32) -> Array:
        """Set the last action and the targets [rad], shape (1, joints), in the arm's joint order."""
        target = self._decoder.decode(action)
        self._asked[...] = target
        return target


class TimedEpisodes(FixedLengthEpisodes):
    """Episodes that end when their time is up, and how smoothly the arm moved in them."""

    def __init__(self, steps: int, count: int, asked: Array, ask: Callable[[str], None] | None) -> None:
        """Plan the episodes.

        Args:
            steps: Control steps of an episode.
            count: Number of episodes.
            asked: Where the policy's targets stand before the limits [rad], shape (1, joints).
            ask: Asks somebody between two episodes, while the arm stays watched; nobody is asked, if None.
        """
        super().__init__(steps, count)
        self._asked, self._ask = asked, ask
        self._before: Array | None = None
        self._changes: list[float] = []
        self._lags: list[float] = []
        self._limited = 0

    def _prepare(self, start: Array, goal: Array) -> None:
        # The default pose, in which it starts, stands in `start` already.
        self._before = None
        if self._number and self._ask is not None:
            self._ask(RESET.format(self._number + 1, self._count))

    def _look(self, plant: Plant, controller: Controller, over: bool) -> None:
        # What the limits let through stands where the controller keeps its target.
        sent, measured = controller.signals.joint_target, controller.state.joint_pos
        self._limited += int(np.abs(sent - self._asked).max() > LIMITED)
        self._lags.append(float(np.mean((sent - measured) ** 2)))
        if self._before is not None:
            self._changes.append(float(np.abs(self._asked - self._before).max()))
        self._before = self._asked.copy()

    def metrics(self) -> list[Metric]:
        """Episodes, smoothness, lag, and what the limits cut off."""
        steps, changes = len(self._lags), self._changes
        return [
            self.counted(),
            number("asked_change_mean", sum(changes) / len(changes) if changes else None, "rad per step", 4),
            number("asked_change_max", max(changes, default=None), "rad per step", 4),
            number("lag_rms", math.sqrt(sum(self._lags) / steps) if steps else None, "rad", 4),
            Metric(key="limited_steps", value=self._limited, text=f"{self._limited} of {steps}"),
        ]
