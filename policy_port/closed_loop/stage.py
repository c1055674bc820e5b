"""The stage: one robot in one simulator, on which candidate contracts are played one after the other."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from policy_port.closed_loop.late import LateController
from policy_port.closed_loop.outcome import Outcome
from policy_port.contract.spec import Contract
from policy_port.control.controller import Controller
from policy_port.control.plant import Plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import Policy

KEPT = 8
"""Plants that are kept standing: the contract's own, and those of the last other gains."""

MakePlant = Callable[[PlantSetup, int], Plant]
"""Stands the robot up as a setup asks, with a number of environments."""


class Trials(Protocol):
    """A set of trials, the same ones for every candidate."""

    @property
    def count(self) -> int:
        """Number of trials, each of which has an environment."""
        ...

    def perform(self, plant: Plant, controller: Controller, decimation: int) -> Outcome:
        """Let a controller perform them."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A reading of the port: what its numbers might mean, and how late they might take effect."""

    contract: Contract
    """What the network's inputs and outputs mean; gains, rate and start pose are the robot's."""
    words: str
    """What would be wrong with the contract as it was given."""
    late: bool = False
    """Whether an action takes effect one control step later than the loop applies it."""


class Stage:
    """Plays candidates; plants and graphs are kept from one to the next."""

    def __init__(self, pilot: Pilot, make_plant: MakePlant) -> None:
        """Keep the policy at hand.

        Args:
            pilot: The policy; a candidate says what its inputs and outputs mean to the simulator.
            make_plant: Stands the robot up.
        """
        self.contract = pilot.contract
        """The contract as it was given."""
        self._pilot = pilot
        self._make_plant = make_plant
        self._policies: dict[int, Policy] = {}
        self._plants: OrderedDict[tuple[PlantSetup, int], Plant] = OrderedDict()
        self.replays = 0
        """Trials that were performed so far."""

    def plant(self, contract: Contract, count: int) -> tuple[Plant, int]:
        """The robot as a contract asks for it, and its decimation; it stays the stage's."""
        setup = PlantSetup.from_contract(contract)
        # A plant finds its joints by name, and every trial sets its own start pose.
        joints = sorted(setup.joints, key=lambda joint: joint.name)
        setup = dataclasses.replace(setup, joints=tuple(dataclasses.replace(joint, default=0.0) for joint in joints))
        key = (setup, count)
        if key not in self._plants:
            self._plants[key] = self._make_plant(setup, count)
        self._plants.move_to_end(key)
        while len(self._plants) > KEPT:
            self._plants.popitem(last=False)[1].close()
        return self._plants[key], setup.decimation

    def play(self, candidate: Candidate, trials: Trials) -> Outcome:
        """Perform the trials under a candidate.

        Raises:
            RobotError, ContractError, TaskError: When robot, contract and trials don't fit together.
        """
        plant, decimation = self.plant(candidate.contract, trials.count)
        kind = LateController if candidate.late else Controller
        controller = kind(
            candidate.contract,
            self._policy(trials.count),
            plant.joint_names,
            trials.count,
            mountings=plant.mounting,
        )
        # Under a wrong contract numbers may grow beyond all bounds: that is a fall, and no news for the console.
        with np.errstate(over="ignore", invalid="ignore"):
            outcome = trials.perform(plant, controller, decimation)
        self.replays += trials.count
        return outcome

    def close(self) -> None:
        """Free what the simulators hold."""
        for plant in self._plants.values():
            plant.close()
        self._plants.clear()

    def _policy(self, count: int) -> Policy:
        if count not in self._policies:
            self._policies[count] = self._pilot.open(count)
        return self._policies[count]
