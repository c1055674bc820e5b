"""Replay of a walking robot: follow a velocity command on flat ground until it falls or time is up."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.terms import VELOCITY_COMMAND
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, Rows, SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.replay import metrics
from policy_port.replay.recording import TraceObserver, plant_header, setting_of
from policy_port.replay.result import Metric, Result, number
from policy_port.trace import Recorder, Trace

SETTLING = 2.0
"""Seconds at the start that count for survival, not for the mean velocity [s]."""

FALLEN_HEIGHT = 0.5
"""Where the contract has no min_height: an episode ends below this share of the base's height at the start."""

FALLEN_TILT = 1.0
"""Where the contract has no max_tilt: an episode ends beyond this tilt [rad]."""


@dataclass(frozen=True, kw_only=True)
class FallRule:
    """When a robot counts as fallen."""

    min_height: float
    """Lowest height of the base [m]."""
    max_tilt: float
    """Largest angle between the base's z axis and the vertical [rad]."""
    text: str
    """The rule in words, with where it comes from."""

    @staticmethod
    def of(contract: Contract, start_height: float) -> FallRule:
        """The contract's rule; a plain one where it states none."""
        if not contract.base.floating:
            return FallRule(min_height=-math.inf, max_tilt=math.inf, text="never: the base is fixed")
        height, tilt = contract.base.min_height, contract.base.max_tilt
        height_source = f"{100 * FALLEN_HEIGHT:.0f} % of the start" if height is None else "contract"
        tilt_source = "usual" if tilt is None else "contract"
        lowest = FALLEN_HEIGHT * start_height if height is None else height
        most = FALLEN_TILT if tilt is None else tilt
        text = f"base below {lowest:.3f} m ({height_source}) or tilted beyond {most:.2f} rad ({tilt_source})"
        return FallRule(min_height=lowest, max_tilt=most, text=text)

    def fallen(self, signals: Signals) -> Rows:
        """The environments that lie on the ground, or whose simulation has diverged."""
        return ~self._standing(signals)

    def stand(self, signals: Signals) -> bool:
        """True when nobody has fallen: the common case, quickly answered."""
        numbers = signals.numbers
        if numbers is None:
            return np.count_nonzero(self._standing(signals)) == signals.num_envs
        # Plain numbers: of one environment the array operations take ten times as long.
        first = signals.column["base_quat"]
        x, y = numbers[first + 1], numbers[first + 2]
        height = numbers[signals.column["base_pos"] + 2]
        return height >= self.min_height and x * x + y * y <= self._most_lean

    def _standing(self, signals: Signals) -> Rows:
        x, y = signals.state.base_quat[:, 1], signals.state.base_quat[:, 2]
        # Written so that NaN does not count as standing.
        return (signals.state.base_pos[:, 2] >= self.min_height) & (x * x + y * y <= self._most_lean)

    @functools.cached_property
    def _most_lean(self) -> float:
        """Largest x^2 + y^2 of the base's quaternion: 0 is upright, 1 upside down."""
        return math.inf if self.max_tilt >= math.pi else 0.5 - 0.5 * math.cos(self.max_tilt)


class FollowCommand:
    """One episode per environment, all under the same command."""

    def __init__(self, command: tuple[float, float, float], steps: int, num_envs: int, rule: FallRule) -> None:
        self._command = command
        self._rule = rule
        self._left = steps
        self.survived = np.full(num_envs, steps)
        """Control steps that each environment's first episode lasted, shape (num_envs,)."""
        self.fallen = np.zeros(num_envs, dtype=np.bool_)
        """The environments that fell, shape (num_envs,)."""
        self._step = 0
        self._standing = num_envs
        self._nobody = np.zeros(num_envs, dtype=np.bool_)

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start at the default pose, which `start` already holds."""
        command[rows] = self._command

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Note who has fallen; they stand up again, which no longer counts."""
        self._step += 1
        self._left -= 1
        if self._rule.stand(controller.signals):
            return self._nobody
        down = self._rule.fallen(controller.signals)
        new = down & ~self.fallen
        self.survived[new] = self._step
        self.fallen |= new
        self._standing -= int(new.sum())
        return down

    @property
    def done(self) -> bool:
        """True when time is up or everyone has fallen."""
        return self._left <= 0 or self._standing == 0


def outside_trained_range(contract: Contract, command: tuple[float, float, float]) -> list[str]:
    """A sentence for each element of the command that the policy was never asked in training."""
    found = []
    for key, value in zip(VELOCITY_COMMAND, command, strict=True):
        bounds = getattr(contract.command, key)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            found.append(
                f"command {key} = {value:g} is outside [{bounds[0]:g}, {bounds[1]:g}], the range that contract "
                f"'{contract.name}' was trained in"
            )
    return found


def replay_command(
    pilot: Pilot,
    plant: Plant,
    command: tuple[float, float, float],
    seconds: float,
    *,
    decimation: int,
    trace: Path,
    observers: tuple[Observer, ...] = (),
) -> Result:
    """Follow a velocity command and measure how well.

    Args:
        pilot: The policy.
        plant: The robot on flat ground.
        command: lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s].
        seconds: Length of the replay [s].
        decimation: Physics steps per control step.
        trace: The .npz to record; the metrics are computed from it.
        observers: More onlookers.

    Raises:
        TaskError: When the policy follows no velocity command.
        RobotError: When the plant lacks a joint.
    """
    contract = pilot.contract
    if not any(term.term == "velocity_command" for term in contract.observation.terms):
        raise TaskError(
            f"contract '{contract.name}' has no velocity_command term, so the policy can't follow one; name the task "
            "it was trained for with --task"
        )
    controller = Controller(contract, pilot.open(plant.num_envs), plant.joint_names, plant.num_envs)
    plant.reset(controller.default_joint_pos())
    plant.read(controller.state)
    rule = FallRule.of(contract, float(controller.state.base_pos[:, 2].mean()))
    steps = max(1, round(seconds / contract.control_dt))
    task = FollowCommand(command, steps, plant.num_envs, rule)
    header = plant_header(pilot, plant, decimation)
    # A replay can be repeated, so nobody waits for the disk.
    with Recorder(trace, header, durable=False) as recorder:
        record = TraceObserver(recorder, contract.control_dt, plant.num_envs)
        run(plant, controller, task, decimation=decimation, clock=SimulatedTime(), observers=(record, *observers))
    setting = {
        **setting_of(header),
        "command": f"{command[0]:g} m/s forward, {command[1]:g} m/s left, {command[2]:g} rad/s",
        "fall": rule.text,
    }
    return Result(setting=setting, metrics=_metrics(Trace(trace), contract, plant.joint_names, task, seconds))


def _metrics(
    trace: Trace, contract: Contract, joint_names: tuple[str, ...], task: FollowCommand, seconds: float
) -> tuple[Metric, ...]:
    """Means over the environments; survival is that of the first to fall."""
    dt = contract.control_dt
    driven = [joint_names.index(name) for name in contract.action_joint_names]
    limits = {name: joint.effort_limit or math.inf for name, joint in contract.joints.items()}
    limit = np.array([limits[joint_names[index]] for index in driven])
    lin, ang = trace["base_lin_vel"], trace["base_ang_vel"]
    target, position = trace["target"], trace["joint_pos"]
    action, effort = trace["action"], trace["effort"]
    velocities, errors, rates, saturated = [], [], [], []
    for env, count in enumerate(task.survived):
        velocities.append(metrics.mean_velocity(lin[:count, env], ang[:count, env], dt, after=SETTLING))
        errors.append(metrics.tracking_error(target[:count, env, driven], position[:count, env, driven]))
        rates.append(metrics.action_rate(action[:count, env]))
        saturated.append(metrics.saturation(effort[:count, env, driven], limit))
    survival = float(task.survived.min()) * dt
    fallen = int(task.fallen.sum())
    velocity = [_mean([v[axis] for v in velocities if v is not None]) for axis in range(3)]
    whole = "" if fallen else " (did not fall)"
    return (
        Metric(key="survival", value=survival, text=f"{survival:.2f} s of {seconds:g} s{whole}"),
        Metric(key="fallen", value=fallen, text=f"{fallen} of {len(task.fallen)}"),
        number("mean_lin_vel_x", velocity[0], f"m/s in the base frame, after {SETTLING:g} s"),
        number("mean_lin_vel_y", velocity[1], "m/s"),
        number("mean_ang_vel_z", velocity[2], "rad/s"),
        number("joint_tracking_rmse", _mean(errors), "rad, target to position one step later", 4),
        number("action_rate", _mean(rates), "mean change of a raw action per control step", 4),
        number("effort_saturation", _mean(saturated), "of steps and joints at the effort limit", 4),
    )


def _mean(values: list[float] | list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
