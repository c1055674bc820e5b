"""What a control step is worth and whether the robot failed: a velocity task's rewards and terminations on a plant."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, cross
from policy_port.contract import Contract
from policy_port.control.plant import MEASURED, PlantState
from policy_port.errors import TaskError, TrainError, closest
from policy_port.replay.velocity import FallRule
from policy_port.tasks.velocity import VelocityTask
from policy_port.tasks.velocity_rewards import REWARDS, Outcome

TOUCH = 1.0
"""A foot with a larger contact force than this touches something [N]; Isaac Lab's threshold."""

LOOK = 50
"""Control steps after `begin` within which every foot must have touched something once."""

Rows = NDArray[np.bool_]


class Scoring:
    """Rewards and failures of every environment; remembers what rewards compare with."""

    def __init__(self, task: VelocityTask, contract: Contract, joint_names: Sequence[str], default: Array) -> None:
        """Prepare.

        Args:
            task: The task.
            contract: The acting policy's contract: control period, size of the action, rule of falling.
            joint_names: The plant's joints.
            default: Default joint positions [rad or m], shape (num_envs, joints), plant joint order.

        Raises:
            TaskError: When a reward names a joint that is not there.
        """
        rows, joints, feet = *default.shape, len(task.feet)
        self.names = tuple(task.rewards)
        """Reward terms in the task's order."""
        self._task, self._contract, self._dt = task, contract, contract.control_dt
        self._weights = np.array([task.rewards[name].weight for name in self.names])[:, None]
        self._values = np.zeros((len(self.names), rows))
        self._formulas = [functools.partial(REWARDS[name].formula, **task.params(name)) for name in self.names]
        self._points = np.array([foot.point for foot in task.feet.values()])[:, None]
        self._rule: FallRule | None = None
        self._ever_touched = np.zeros(feet, dtype=np.bool_)
        self._steps = 0
        empty, none = np.zeros((rows, feet)), np.zeros((rows, feet), dtype=np.bool_)
        self._needs = {need for name in self.names for need in REWARDS[name].needs}
        self._out = Outcome(
            **dict.fromkeys(("command", "lin_vel", "ang_vel", "gravity"), np.zeros((rows, 3))),
            **dict.fromkeys(("joint_pos", "joint_vel", "joint_acc"), np.zeros((rows, joints))),
            **{key: empty.copy() for key in ("foot_speed", "foot_height", "air_time", "contact_time")},
            height=np.zeros(rows),
            time=np.zeros(rows),
            default=default,
            effort=np.zeros((rows, 0)),
            action=np.zeros((rows, contract.action_size)),
            last_action=np.zeros((rows, contract.action_size)),
            contact=none,
            touched_down=none,
            failed=np.zeros(rows, dtype=np.bool_),
            joints={name: _joints(name, task.params(name), joint_names) for name in self.names},
        )
        self._air: Array = np.zeros((rows, feet))
        self._last_vel = np.zeros((rows, joints))

    @property
    def rule(self) -> str:
        """When a robot counts as fallen, in words; known once it has begun."""
        return "" if self._rule is None else self._rule.text

    def begin(self, state: PlantState) -> None:
        """Say what counts as a fall from the start that every environment is at.

        Raises:
            TaskError: When the robot has fallen there already.
        """
        ends = self._task.terminations
        rule = FallRule.of(self._contract, float(state.base_pos[:, 2].min()))
        lowest = rule.min_height if ends.min_height is None else ends.min_height
        tilt = rule.max_tilt if ends.max_tilt is None else ends.max_tilt
        text = f"base below {lowest:.3f} m or tilted beyond {tilt:.2f} rad"
        self._rule = FallRule(min_height=lowest, max_tilt=tilt, text=text)
        self._steps, self._ever_touched[:] = 0, False
        fallen = self._rule.fallen_in(state)
        if fallen.any():
            raise TaskError(
                f"task '{self._task.name}': the robot starts at {state.base_pos[fallen][0, 2]:.3f} m and has failed "
                f"already: {text}. State terminations.min_height in the task, or base.height in the contract"
            )

    def reset(self, state: PlantState, rows: Rows) -> None:
        """Forget the past of environments whose start is in `state`."""
        self._out.last_action[rows] = self._out.action[rows] = 0.0
        self._air[rows] = self._out.contact_time[rows] = self._out.time[rows] = 0.0
        self._last_vel[rows] = state.joint_vel[rows]

    def judge(self, state: PlantState, command: Array, action: Array) -> tuple[Array, Rows]:
        """Look at the control step just done.

        Args:
            state: What the plant measures now.
            command: What was told, shape (num_envs, 3).
            action: The raw action that led here, after its clip, shape (num_envs, action size).

        Returns:
            The rewards, shape (num_envs,), and who failed; both are overwritten by the next call.

        Raises:
            TrainError: When a reward term is no number, naming it and the environment.
            TaskError: When a foot never touches anything.
        """
        out = self._out
        out.command, out.lin_vel, out.ang_vel = command, state.base_lin_vel, state.base_ang_vel
        up = world_up(state.base_quat)
        out.gravity, out.height = -up, state.base_pos[:, 2]
        out.joint_pos, out.joint_vel = state.joint_pos, state.joint_vel
        out.joint_acc = (state.joint_vel - self._last_vel) / self._dt
        self._last_vel[...] = state.joint_vel
        out.last_action, out.action = out.action, out.last_action
        out.action[...] = action
        out.time += self._dt
        self._feet(state)
        assert self._rule is not None
        out.failed = self._rule.fallen_in(state)
        if state.sensed is not None:
            if state.sensed.effort is not None:
                out.effort = state.sensed.effort
            for link in self._task.terminations.contact_links:
                force = np.linalg.norm(state.sensed.contacts[link], axis=1)
                out.failed |= force > self._task.terminations.contact_force
        for row, formula in zip(self._values, self._formulas, strict=True):
            row[...] = formula(out)
        if not np.isfinite(self._values.sum() + sum(getattr(state, name).sum() for name in MEASURED)):
            self._refuse_nan(state)
        np.multiply(self._values, self._weights, self._values)
        return self._values.sum(0) * self._dt, out.failed

    def means(self) -> dict[str, float]:
        """Mean of each weighted term over the environments [per second], by name."""
        return dict(zip(self.names, self._values.mean(1).tolist(), strict=True))

    def errors(self) -> dict[str, float]:
        """Mean distance from the command: horizontal velocity [m/s] and yaw rate [rad/s]."""
        away = self._out.command[:, :2] - self._out.lin_vel[:, :2]
        turn = np.abs(self._out.command[:, 2] - self._out.ang_vel[:, 2])
        return {"lin_vel": float(np.hypot(away[:, 0], away[:, 1]).mean()), "ang_vel": float(turn.mean())}

    def _feet(self, state: PlantState) -> None:
        """Bring what is known of the feet up to date."""
        out, feet, sensed = self._out, self._task.feet.values(), state.sensed
        if "foot_speed" in self._needs:
            assert sensed is not None
            pos, quat, linear, angular = (
                np.stack(part) for part in zip(*(sensed.links[foot.link] for foot in feet), strict=True)
            )
            up = world_up(quat.reshape(-1, 4)).reshape(pos.shape)
            velocity = linear + cross(angular, self._points)
            across = np.square(velocity).sum(2) - np.square((velocity * up).sum(2))
            np.sqrt(np.maximum(across, 0.0, across).T, out.foot_speed)
            np.add(pos[:, :, 2].T, (up * self._points).sum(2).T, out.foot_height)
        if "contact" in self._needs:
            assert sensed is not None
            forces = np.stack([sensed.contacts[foot.link] for foot in feet], 1)
            out.contact = np.square(forces).sum(2) > TOUCH**2
            out.touched_down = (self._air > 0.0) & out.contact
            aloft = self._air + self._dt
            out.air_time = np.where(out.contact & ~out.touched_down, 0.0, aloft)
            self._air = np.where(out.contact, 0.0, aloft)
            out.contact_time = np.where(out.contact, out.contact_time + self._dt, 0.0)
            self._look_for_contacts()

    def _look_for_contacts(self) -> None:
        if self._steps > LOOK:
            return
        self._steps += 1
        self._ever_touched |= self._out.contact.any(0)
        if self._steps == LOOK and not self._ever_touched.all():
            idle = [
                f"{n} ({f.link})"
                for (n, f), t in zip(self._task.feet.items(), self._ever_touched, strict=True)
                if not t
            ]
            raise TaskError(
                f"task '{self._task.name}': in {LOOK} control steps no environment's {', '.join(idle)} touched "
                "anything, so rewards on feet would reward nothing. Name under feet the links that carry the shapes "
                "which stand on the ground"
            )

    def _refuse_nan(self, state: PlantState) -> None:
        for name in MEASURED:
            bad = ~np.isfinite(getattr(state, name)).all(1)
            if bad.any():
                raise TrainError(
                    f"the simulation diverged: {name} of environment {int(np.argmax(bad))} is NaN or infinite, and "
                    f"with it {self._bad_terms()}. A smaller timestep, smaller gains or a smaller action scale "
                    "in the contract help"
                )
        term = self.names[int(np.argmax(~np.isfinite(self._values).all(1)))]
        row = int(np.argmax(~np.isfinite(self._values[self.names.index(term)])))
        why = ""
        if "effort" in REWARDS[term].needs:
            why = ". It reads the drives' torques, which this simulator may not tell"
        raise TrainError(
            f"reward term '{term}' of task '{self._task.name}' is NaN or infinite in environment {row}{why}"
        )

    def _bad_terms(self) -> str:
        bad = [name for name, values in zip(self.names, self._values, strict=True) if not np.isfinite(values).all()]
        return f"reward term {', '.join(bad)}" if bad else "what policies observe"


def world_up(quat: Array) -> Array:
    """The world's (0, 0, 1) in the frame of a wxyz unit quaternion, shape (rows, 3)."""
    w, x, y, z = quat.T
    return np.stack([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)], 1)


def _joints(term: str, params: dict[str, Any], joint_names: Sequence[str]) -> list[int]:
    """Indices of the joints that a reward names; all, where it names none."""
    named = params.get("joints") or joint_names
    for name in named:
        if name not in joint_names:
            raise TaskError(
                f"rewards.{term}.params.joints: the robot has no joint '{name}'{closest(name, joint_names) or '.'} It "
                f"has: {', '.join(joint_names)}"
            )
    return [list(joint_names).index(name) for name in named]
