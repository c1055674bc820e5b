"""The observer that turns a control loop into a trace."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_port import __version__
from policy_port.arrays import Array, Pixels
from policy_port.contract import Contract
from policy_port.contract.actions import TARGETS, Drive
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.joints import DRIVE_KEYS
from policy_port.contract.layout import observation_slots
from policy_port.contract.place import Place
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows
from policy_port.control.plant import Plant
from policy_port.errors import RobotError
from policy_port.port.pilot import Pilot
from policy_port.trace import Recorder

UNITS = {
    "time": "s since the episode's start",
    "episode": "number of the environment's episode, from 0",
    "joint_pos": "rad or m, joint_names",
    "joint_vel": "rad/s or m/s, joint_names",
    "base_pos": "m, world",
    "base_quat": "wxyz, base in world",
    "base_lin_vel": "m/s, of the base frame's origin, base frame",
    "base_ang_vel": "rad/s, base frame",
    "base_com": "centre of mass of the base link, m, base frame",
    "command": "what is told, command_names, units as the contract says; lin_vel m/s, ang_vel rad/s, base frame",
    "command_in_force": "the same as the network sees it, after dead zone and slew limit",
    "goal": "as the contract's goal terms say",
    "observation": "what the network saw, observation_names",
    "action": "what the network put out, before raw_clip, action_names",
    "target": "joint position target rad or m, joint_names; 0 of joints driven by velocity or effort",
    "joint_velocity_target": "rad/s or m/s, joint_names; 0 of joints that are driven otherwise",
    "joint_effort_target": "N m or N, joint_names; 0 of joints that are driven otherwise",
    "effort": "N m or N, joint_names, of the physics step before",
    "joint_effort": "the same, where an observation term reads it",
    "push": "force at the centre of mass of link push_links[push_link] N, world; -1 for nobody",
    "port": "index of the port at the controls in ports",
    "port_weight": "its share of targets and gains",
    "tip_pos": "m, base frame",
    "tip_distance": "m",
}
"""Unit and order of each array of a trace."""

SIGNALS = {
    "joint_pos": "joint_pos",
    "joint_vel": "joint_vel",
    "base_pos": "base_pos",
    "base_quat": "base_quat",
    "base_lin_vel": "base_lin_vel",
    "base_ang_vel": "base_ang_vel",
    "command": "velocity_command",
    "goal": "goal",
    "target": "joint_target",
}
"""The arrays of a trace that stand in the controller's row of signals, with the signals' names there."""


def policy_identity(pilot: Pilot) -> dict[str, str]:
    """Header entries that say which bytes ran, and which checkpoint they are a port of, where that is known."""
    found = {"policy_sha256": hashlib.sha256(pilot.content).hexdigest()}
    if pilot.checkpoint_sha256 is not None:
        found["checkpoint_sha256"] = pilot.checkpoint_sha256
    return found


def trace_header(
    contract: Contract, *, simulator: str, timestep: float, decimation: int, **more: Any
) -> dict[str, Any]:
    """Names, units, rates, versions and the contract's hash."""
    return {
        "policy_port": __version__,
        "contract": contract.name,
        "contract_sha256": contract.sha256,
        "simulator": simulator,
        "timestep": timestep,
        "decimation": decimation,
        "control_dt": timestep * decimation,
        **applied_drives(contract),
        **_driven_by(contract),
        "action_names": list(contract.action_joint_names),
        "command_names": list(contract.command.names),
        "observation_names": [str(slot) for slot in observation_slots(contract)],
        "units": UNITS | sensed_units(contract),
        **more,
    }


def sensed_units(contract: Contract) -> dict[str, str]:
    """Unit and frame of each array of what a contract's terms sense."""
    units = {
        "link_pos_": "m, world, of the origin",
        "link_quat_": "wxyz, link in world",
        "link_lin_vel_": "m/s, of the origin, the link's axes",
        "link_ang_vel_": "rad/s, the link's axes",
        "contact_force_": "N, world, sum on the link, of the physics step before",
        "height_scan": "m, world, x, y and z of where each ray ends, ray by ray; NaN where it hits nothing",
    }
    names = contract.senses.columns(0)
    return {name: words for name in names for begin, words in units.items() if name.startswith(begin)}


def plant_header(pilot: Pilot, plant: Plant, decimation: int) -> dict[str, Any]:
    """The header of a policy that drives a plant."""
    return trace_header(
        pilot.contract,
        simulator=plant.name,
        timestep=plant.timestep,
        decimation=decimation,
        actuation=pilot.contract.actuation.kind,
        joint_names=list(plant.joint_names),
        **policy_identity(pilot),
        # Not part of the protocol: of a plant under identified dynamics, which they are.
        **getattr(plant, "header", {}),
    )


def setting_of(header: dict[str, Any]) -> dict[str, str]:
    """Simulator, actuation and rates of a header, as a result's table begins."""
    rates = f"{header['timestep']:g} s x {header['decimation']} = {header['control_dt']:g} s per control step"
    return {"simulator": header["simulator"], "actuation": header["actuation"], "timestep": rates}


def applied_drives(contract: Contract) -> dict[str, dict[str, float]]:
    """The gains that a plant was set up with, by joint name: what the contract states and the robot file does not."""
    found = {}
    for key in DRIVE_KEYS:
        stated = {name: getattr(joint, key) for name, joint in contract.joints.items()}
        known = {name: value for name, value in stated.items() if value is not None}
        # With kind "model" the file's own actuators and damping stand, whatever the contract says.
        if known and not (contract.actuation.kind == "model" and key in ("stiffness", "damping")):
            found[key] = known
    return found


def _driven_by(contract: Contract) -> dict[str, dict[str, str]]:
    """The drive of each joint whose targets are no positions."""
    found: dict[str, str] = {name: drive for name, drive in contract.drives.items() if drive != "position"}
    return {"driven_by": found} if found else {}


class TraceObserver:
    """Records every step of a loop: raw state, what the network saw and did, and the targets.

    Each row is one moment: the measurement, and what was decided on it. Arrays have the environment as second axis.
    """

    def __init__(
        self,
        recorder: Recorder,
        control_dt: float,
        num_envs: int,
        *,
        tip_links: tuple[str, ...] = (),
        more: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Record into `recorder`.

        Args:
            recorder: Where the steps go.
            control_dt: Control period [s].
            num_envs: Number of environments.
            tip_links: Links whose mean position is recorded as tip_pos; none, if empty.
            more: Arrays that others fill in place, recorded under these names.
        """
        self._recorder = recorder
        self._tip_links = tip_links
        self._more = more or {}
        self._dt, self._step = control_dt, 0
        self._period = np.full(num_envs, control_dt)
        self._one = np.ones(num_envs)
        self._steps = np.zeros(num_envs)
        self._time = np.zeros(num_envs)
        # Of one environment, plain numbers take a fifth of the time.
        self._clock = cast("memoryview[float]", memoryview(self._time)) if num_envs == 1 else None
        self._episode = np.full(num_envs, -1)
        self._tip = np.zeros((num_envs, 3))
        self._driven: list[tuple[Array, Array]] = []
        self._record: Callable[[], None] | None = None

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Record one step; see `Observer`."""
        # Counted as numbers rather than summed as times, which would drift.
        if self._clock is not None:
            self._step += 1
            if started[0]:
                self._step = 0
                self._episode[0] += 1
            self._clock[0] = self._step * self._dt
        else:
            np.add(self._steps, self._one, self._steps)
            if np.count_nonzero(started):
                self._steps[started] = 0.0
                self._episode[started] += 1
            np.multiply(self._steps, self._period, self._time)
        effort = plant.effort()
        if self._record is None:
            # Policies and plants may hand out another array each time; what is bound stays the same one.
            self._effort, self._action = np.zeros_like(effort), np.zeros_like(controller.action)
            self._record = self._bind(plant, controller, target)
        self._effort[...] = effort
        self._action[...] = controller.action
        for mine, told in self._driven:
            np.multiply(target, mine, told)
        if self._tip_links:
            self._tip[...] = tip_position(plant, self._tip_links)
        self._record()

    def _bind(self, plant: Plant, controller: Controller, target: Array) -> Callable[[], None]:
        signals = controller.signals
        assert target is signals.joint_target, "the loop hands on the controller's targets"
        arrays: dict[str, Pixels] = {
            "time": self._time,
            "episode": self._episode,
            "signals": signals.row,
            "observation": controller.observation,
            "action": self._action,
            "effort": self._effort,
            **place_arrays(plant, controller.contract),
            **self._more,
        }
        if self._tip_links:
            arrays["tip_pos"] = self._tip
        found = SIGNALS | ({"command_in_force": "command_in_force"} if controller.contract.command.shaped else {})
        sensed = {name: name for name in signals.state.sensed.arrays} if signals.state.sensed is not None else {}
        split = {name: signals.columns(signal) for name, signal in {**found, **sensed}.items()}
        drives = controller.contract.drives
        kinds: list[Drive] = [drives.get(name, "position") for name in signals.joint_names]
        if set(kinds) != {"position"}:
            # One row of targets holds what their drives take; a trace keeps each quantity apart.
            del split["target"]
            kinds.append("position")
            for kind in dict.fromkeys(kinds):
                arrays[TARGETS[kind]] = np.zeros_like(target)
                self._driven.append((np.array([float(each == kind) for each in kinds[:-1]]), arrays[TARGETS[kind]]))
            for mine, told in self._driven:
                np.multiply(target, mine, told)
        return self._recorder.bind(arrays, split={"signals": split})


def place_arrays(plant: Plant, contract: Contract) -> dict[str, Array]:
    """Where the places are that base terms may be of, all in the base frame, one row per environment.

    Returns:
        `base_com`, the centre of mass of the base link [m], where the base floats and the plant knows it; of each site
        and sensor that the contract names, its position as `site_pos_NAME` or `sensor_pos_NAME` [m], and its axes as
        `site_quat_NAME` or `sensor_quat_NAME` (wxyz, the place in the base).
    """
    found: dict[str, Array] = {}
    if contract.base.floating:
        # Where "the" centre of mass has no one answer, only who asks for it in a contract has to give one.
        with contextlib.suppress(RobotError):
            found["base_com"] = plant.mounting("com").position
    for term in contract.observation.terms:
        for place in term.places if isinstance(term, MeasuredTerm) else ():
            if isinstance(place, Place):
                mounting, (kind, name) = plant.mounting(place), str(place).split(" ", 1)
                found[f"{kind}_pos_{name}"] = mounting.position
                found[f"{kind}_quat_{name}"] = np.tile(quat_of(mounting.rotation), (plant.num_envs, 1))
    return found


def quat_of(rotation: Array) -> Array:
    """Quaternion wxyz of a matrix whose columns are a frame's axes."""
    traces = np.array([np.trace(rotation), *np.diag(rotation)])
    # What each element would be if it were the largest; the largest one is certain not to be near zero.
    largest = int(np.argmax(traces))
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    both = rotation + rotation.T
    rows = np.zeros((4, 4))
    rows[0] = [1.0 + traces[0], *skew]
    for axis in range(3):
        rows[1 + axis] = [skew[axis], *both[axis]]
        rows[1 + axis, 1 + axis] = 1.0 + 2.0 * rotation[axis, axis] - traces[0]
    return rows[largest] / np.linalg.norm(rows[largest])


def tip_position(plant: Plant, links: tuple[str, ...]) -> Array:
    """Mean position of the origins of `links` in the world [m], shape (num_envs, 3)."""
    return sum((plant.link_position(link) for link in links), start=np.zeros((plant.num_envs, 3))) / len(links)
