"""Observation groups: what each policy, or critic, sees of one plant, each by its own contract."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.sensing import Sensing
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError, TrainError

Rows = NDArray[np.bool_]


class ObservationGroup:
    """One contract's view of the plant: the signals and the builder of a replay."""

    def __init__(self, name: str, contract: Contract, plant: SimulatedPlant) -> None:
        """Lay it out.

        Args:
            name: Name of the group.
            contract: What it sees.
            plant: Of what.

        Raises:
            TaskError: When the contract reads what no velocity task gives.
            RobotError: When the plant lacks a joint or a place of the contract.
        """
        _refuse_foreign(name, contract)
        self.name, self.contract = name, contract
        self.signals = Signals(contract, plant.joint_names, plant.num_envs, plant.mounting)
        self._builder = ObservationBuilder(contract, self.signals)
        self._told = [contract.command.names.index(element) for element in VELOCITY_COMMAND]
        self._scans = {scan.name: f"{name}.{scan.name}" for scan in contract.senses.scans}

    @property
    def senses(self) -> Sensing:
        """What is measured for it, its scans under names of their own."""
        senses = self.contract.senses
        return senses._replace(scans=tuple(scan._replace(name=self._scans[scan.name]) for scan in senses.scans))

    def measure(self, state: PlantState, command: Array) -> None:
        """Take over what the plant measured, and the command, shape (num_envs, 3)."""
        mine = self.signals.state
        mine.fill(state)
        if mine.sensed is not None:
            assert state.sensed is not None
            for name, array in mine.sensed.arrays.items():
                array[...] = state.sensed.arrays[self._scans.get(name, name)]
        self.signals.command[:, self._told] = command

    def reset(self, rows: Rows | None) -> None:
        """Forget the past of environments whose start was just measured."""
        self.signals.reset(rows)
        self._builder.reset(rows)

    def build(self) -> NDArray[np.float32]:
        """The observation, an array of its own: RSL-RL keeps it until after the next step."""
        return self._builder.build().copy()


def _refuse_foreign(name: str, contract: Contract) -> None:
    words = f"observation group '{name}': contract '{contract.name}'"
    if not contract.base.floating:
        raise TaskError(f"{words} has a fixed base (base.floating: false), and a velocity task moves one")
    if contract.images:
        raise TaskError(f"{words} reads images, which a velocity task has none of")
    if contract.motion is not None:
        raise TaskError(f"{words} follows a motion, and a velocity task gives none")
    for term in contract.observation.terms:
        if term.term in ("goal", "external"):
            raise TaskError(f"{words}: observation term '{term.label}' is filled by a task that a velocity task is not")


def make_groups(contracts: Mapping[str, Contract], acting: str, plant: SimulatedPlant) -> dict[str, ObservationGroup]:
    """The groups of contracts that describe one robot.

    Raises:
        TrainError: When nobody acts, or the contracts describe different robots, naming key and values.
    """
    if acting not in contracts:
        raise TrainError(f"no contract is given for '{acting}', which is to act; there are: {', '.join(contracts)}")
    for name, contract in contracts.items():
        refuse_other_plant(contracts[acting], contract, f"observation group '{name}'")
    return {name: ObservationGroup(name, contract, plant) for name, contract in contracts.items()}


def refuse_other_plant(acting: Contract, other: Contract, whose: str) -> None:
    """Refuse a contract whose observations or labels would be of another robot than the acting one's.

    Raises:
        TrainError: Naming key and both values.
    """
    pairs = [
        ("control period [s]", round(acting.control_dt, 9), round(other.control_dt, 9)),
        ("base.frame", acting.base.frame, other.base.frame),
        ("actuation.kind", acting.actuation.kind, other.actuation.kind),
    ]
    for joint, mine in acting.joints.items():
        if joint in other.joints:
            its = other.joints[joint]
            for key in ("stiffness", "damping", "armature", "effort_limit"):
                one, two = getattr(mine, key), getattr(its, key)
                if one is not None and two is not None:
                    pairs.append((f"joints.{joint}.{key}", one, two))
    for key, one, two in pairs:
        if one != two:
            raise TrainError(
                f"{whose}: contract '{other.name}' has {key} {two}, contract '{acting.name}', which acts, {one}. One "
                "robot has one: write the same in both"
            )
