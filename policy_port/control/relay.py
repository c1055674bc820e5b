"""Several policies on one robot, one at the controls at a time: how it passes from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Float32
from policy_port.contract.command import Command, unit_of
from policy_port.contract.spec import Contract
from policy_port.control.controller import Controller
from policy_port.control.plant import SimulatedPlant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError, closest

LastAction = Literal["zero", "hold"]
Before = Literal["runs", "holds"]


BLENDED = ("joint_position", "joint_position_delta")
"""Action terms whose targets can be blended: all of them positions."""


@dataclass(frozen=True, kw_only=True)
class Handover:
    """How the controls pass to a policy, which starts as at a reset: histories, recurrent state and time are new."""

    to: str
    """Name of the policy."""
    blend: float = 0.5
    """Time over which targets and gains go over, linearly [s]; 0 for at once."""
    before: Before = "runs"
    """What is faded out: the policy before, which runs on, or its last targets, held."""
    last_action: LastAction = "zero"
    """What the policy sees as its action before the first: zeros, or the one that holds the targets in force."""
    largest_jump: float | None = None
    """Largest change of a joint's target per control step until the policy's own targets are reached [rad or m];
    None for any."""


@dataclass(frozen=True, kw_only=True)
class Jump:
    """What a handover did to the targets."""

    to: str
    """Name of the policy."""
    asked: float
    """Largest change of a joint's target in one control step from the handover until the blend was over, as blended
    and before it was bounded [rad or m]."""
    made: float
    """The same, as the plant was given it."""
    steps: int
    """Control steps from the handover until the policy's own targets were in force."""


class Relay(Controller):
    """Controllers that take turns on one plant with one environment; to loop and recorder it looks like one of them.

    `state`, `command` and `goal` are filled in place as those of a `Controller`; each policy reads its own part. Where
    a policy's control period is several times the shortest, it acts every so many steps and its targets are held.
    """

    def __init__(self, controllers: Mapping[str, Controller], plant: SimulatedPlant) -> None:
        """Connect controllers of one plant.

        Args:
            controllers: By name; the first one starts.
            plant: The plant, set up for the first one.

        Raises:
            TaskError: When the policies do not fit on one robot.
        """
        contracts = {name: controller.contract for name, controller in controllers.items()}
        check_one_robot(contracts)
        self._controllers = dict(controllers)
        self._plant = plant
        self.names = tuple(controllers)
        """Names of the policies."""
        first = contracts[self.names[0]]
        self.control_dt = min(contract.control_dt for contract in contracts.values())
        """Control period: the shortest of the policies' [s]."""
        self._every = {name: round(contract.control_dt / self.control_dt) for name, contract in contracts.items()}
        self.contract = first.model_copy(update={"command": joined_command(contracts)})
        """The contract of the policy that starts, told all that any of them is told."""
        self.signals = Signals(self.contract, plant.joint_names, 1)
        """Measurement, command and the targets in force."""
        names = self.contract.command.names
        self._told = {
            name: [names.index(one) for one in contract.command.names] for name, contract in contracts.items()
        }
        self._wants = _slices({name: controller.goal.shape[1] for name, controller in controllers.items()})
        self._goal = np.zeros((1, sum(controller.goal.shape[1] for controller in controllers.values())))
        self._gains = {name: gains_of(contract, plant.joint_names) for name, contract in contracts.items()}
        self._in_force = self._before = self._gains[self.names[0]]
        self._seen = _slices({name: controller.observation.shape[1] for name, controller in controllers.items()})
        self._observed = np.full((1, sum(c.observation_size for c in contracts.values())), np.nan, np.float32)
        self._did = _slices({name: contract.action_size for name, contract in contracts.items()})
        self.action: Float32 = np.full((1, sum(c.action_size for c in contracts.values())), np.nan, np.float32)
        """What each network put out, one after the other, NaN where it did not run."""
        self.active = np.zeros(1, dtype=np.int64)
        """Index of the policy at the controls, shape (1,)."""
        self.weight = np.ones(1)
        """Its share of targets and gains, shape (1,)."""
        self.jumps: list[Jump] = []
        self._ages = dict.fromkeys(self.names, 0)
        self._last: str | None = None
        self._handover: Handover | None = None
        self._held = self.signals.joint_target.copy()
        self._since, self._asked, self._made = 0, 0.0, 0.0

    @property
    def goal(self) -> Array:
        """The goals of all policies, one after the other, shape (1, sum of goal sizes)."""
        return self._goal

    @property
    def observation(self) -> Float32:
        """What each policy saw, one after the other, NaN where it did not run, shape (1, sum of observation sizes)."""
        return self._observed

    @property
    def playing(self) -> str:
        """Name of the policy at the controls."""
        return self.names[int(self.active[0])]

    def controller(self, name: str) -> Controller:
        """The controller of a policy."""
        return self._controllers[name]

    def default_joint_pos(self) -> Array:
        """The default pose of the policy that starts [rad or m], shape (1, joints), plant joint order."""
        return self._controllers[self.names[0]].default_joint_pos()

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Give the first policy the controls, as at the start."""
        self.signals.reset(rows)
        self.active[0], self.weight[0] = 0, 1.0
        self.signals.goal[...] = self.goal[:, self._wants[self.names[0]]]
        self._last, self._handover = None, None
        self._start(self.names[0])
        self._set_gains(1.0)

    def switches(self) -> list[Jump]:
        """What each handover did, the present one up to now."""
        self._finish_handover()
        return self.jumps

    def hand_over(self, handover: Handover) -> None:
        """Give another policy the controls, from the next step on, on what was just read into `state`."""
        self._finish_handover()
        self._last = self.playing
        self._held[...], self._before = self.signals.joint_target, self._in_force
        self.active[0] = self.names.index(handover.to)
        self._start(handover.to, handover.last_action)
        self._handover, self._since, self._asked, self._made = handover, 0, 0.0, 0.0

    def __call__(self) -> Array:
        """Do one control step; see `Controller.__call__`."""
        target, handover = self.signals.joint_target, self._handover
        self._observed[:], self.action[:] = np.nan, np.nan
        if handover is None:
            target[...] = self._run(self.playing)
            return target
        steps = round(handover.blend / self.control_dt)
        share = min(1.0, self._since / steps) if steps else 1.0
        assert self._last is not None
        fades = share < 1.0 and handover.before == "runs"
        old = self._run(self._last).copy() if fades else self._held
        wanted = (1.0 - share) * old + share * self._run(self.playing)
        before = target.copy()
        self._asked = max(self._asked, float(np.abs(wanted - before).max(initial=0.0)))
        if handover.largest_jump is not None:
            bound = handover.largest_jump
            target[...] = before + np.clip(wanted - before, -bound, bound)
        else:
            target[...] = wanted
        self._made = max(self._made, float(np.abs(target - before).max(initial=0.0)))
        self._set_gains(share)
        self.weight[0] = share
        self._since += 1
        if share == 1.0 and np.array_equal(target, wanted):
            self._finish_handover()
        return target

    def _run(self, name: str) -> Array:
        """Targets of one policy at the present state."""
        controller = self._controllers[name]
        if self._ages[name] % self._every[name] == 0:
            controller.state.fill(self.state)
            controller.command[0] = self.command[0, self._told[name]]
            controller.goal[...] = self.goal[:, self._wants[name]]
            controller()
        self._ages[name] += 1
        self._observed[0, self._seen[name]] = controller.observation[0]
        self.action[0, self._did[name]] = controller.action[0]
        return controller.signals.joint_target

    def _start(self, name: str, last_action: LastAction = "zero") -> None:
        """Make a policy forget its past; joints that its action does not drive keep the targets in force."""
        controller, contract = self._controllers[name], self._controllers[name].contract
        controller.state.fill(self.state)
        controller.reset()
        self._ages[name] = 0
        signals, driven = controller.signals, contract.action_joint_names
        idle = [index for index, joint in enumerate(self.signals.joint_names) if joint not in driven]
        signals.joint_target[:, idle] = self.signals.joint_target[:, idle]
        if last_action == "hold":
            signals.joint_target[...] = self.signals.joint_target
            for column, joint in enumerate(driven):
                position = float(self.signals.joint_target[0, signals.joint_index[joint]])
                signals.last_action[0, column] = contract.holding_action(joint, position * contract.per_si(joint))

    def _set_gains(self, share: float) -> None:
        new, old = self._gains[self.playing], self._before
        if new is None or old is None:
            return
        wanted = (1.0 - share) * old + share * new
        if self._in_force is None or not np.array_equal(wanted, self._in_force):
            self._plant.set_gains(*wanted)
        self._in_force = wanted

    def _finish_handover(self) -> None:
        if self._handover is not None:
            self.jumps.append(Jump(to=self.playing, asked=self._asked, made=self._made, steps=self._since))
        self._handover = None


def _slices(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Where each of several blocks stands that follow one another."""
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {name: slice(first, last) for name, (first, last) in zip(sizes, pairwise(ends), strict=True)}


def joined_command(contracts: Mapping[str, Contract]) -> Command:
    """The elements of all policies, those of several once, as the first that has it declares it.

    Raises:
        TaskError: When two mean something else by one name.
    """
    found: dict[str, dict[str, Any]] = {}
    for port, contract in contracts.items():
        for name in contract.command.names:
            unit, default = unit_of(contract.command, name), contract.command.element(name).default
            mine = found.setdefault(name, {"unit": unit, "default": default, "range": None})
            if mine["unit"] != unit:
                raise TaskError(
                    f"ports can't take turns on one robot: command element '{name}' is {mine['unit']} of one, {unit} "
                    f"of port '{port}'; rename it in one of the contracts"
                )
    return Command.model_validate(found)


def gains_of(contract: Contract, joint_names: tuple[str, ...]) -> Array | None:
    """Stiffness and damping, shape (2, joints), plant joint order; None where they are the robot file's."""
    if contract.actuation.kind == "model":
        return None
    joints = [contract.joints.get(name) for name in joint_names]
    return np.array(
        [[0.0 if joint is None else getattr(joint, key) or 0.0 for joint in joints] for key in ("stiffness", "damping")]
    )


def check_one_robot(contracts: Mapping[str, Contract]) -> None:
    """Refuse policies that can't take turns on one robot.

    Raises:
        TaskError: Naming the two, and what differs.
    """
    first_name, first = next(iter(contracts.items()))
    shortest = min(contract.control_dt for contract in contracts.values())
    for name, contract in contracts.items():
        two = f"ports '{first_name}' and '{name}' can't take turns on one robot"
        missing = [joint for joint in first.joints if joint not in contract.joints]
        foreign = [joint for joint in contract.joints if joint not in first.joints]
        if missing or foreign:
            hint = closest(foreign[0], first.joints) if foreign else ""
            raise TaskError(
                f"{two}: their joints differ: {', '.join(missing) or 'none'} only in '{first_name}', "
                f"{', '.join(foreign) or 'none'} only in '{name}'{hint or '.'} Remap one of them to the other's names"
            )
        for what, mine, theirs in (
            ("actuation.kind", first.actuation.kind, contract.actuation.kind),
            (
                "actuation.gravity_compensation",
                first.actuation.gravity_compensation,
                contract.actuation.gravity_compensation,
            ),
            ("base.floating", first.base.floating, contract.base.floating),
            ("base.frame", first.base.frame, contract.base.frame),
        ):
            if mine != theirs:
                raise TaskError(f"{two}: {what} of their contracts is {mine} and {theirs}; make it the same in both")
        for term in contract.action.terms:
            if term.term not in BLENDED:
                raise TaskError(
                    f"port '{name}' can't take turns: its action has a term {term.term}, and only joint positions go "
                    "over from one policy to the next; play it alone"
                )
        times = contract.control_dt / shortest
        if abs(times - round(times)) > 1e-6 * times:
            raise TaskError(
                f"ports can't take turns on one robot: the control period of '{name}' is {contract.control_dt:g} s, "
                f"no whole multiple of the shortest, {shortest:g} s"
            )


def differing_robots(contracts: Mapping[str, Contract]) -> list[str]:
    """A sentence for each number of the robot that a port was trained with and that the first one's stands for."""
    found = []
    first_name, first = next(iter(contracts.items()))
    for name, contract in contracts.items():
        for key in ("armature", "effort_limit"):
            stated = {
                joint: (getattr(first.joints[joint], key), getattr(contract.joints[joint], key))
                for joint in first.joints
            }
            other = [joint for joint, (mine, theirs) in stated.items() if None not in (mine, theirs) and mine != theirs]
            if other:
                shown = ", ".join(other[:3]) + (f" and {len(other) - 3} more joints" if len(other) > 3 else "")
                found.append(
                    f"{key} of {shown} differs between ports '{first_name}' and '{name}': '{first_name}' has its way"
                )
        if contract.timestep != first.timestep:
            found.append(
                f"port '{name}' was trained with a timestep of {contract.timestep:g} s, '{first_name}' with "
                f"{first.timestep:g} s, which is played unless --timestep says otherwise"
            )
    return found
