"""What `play` asks of the device: a replay under what is held, as a performance on a plant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from policy_port.control.loop import Observer
from policy_port.control.plant import SimulatedPlant
from policy_port.device.held import replay_on_device, why_on_the_host
from policy_port.errors import TaskError
from policy_port.plants.newton_plant import NewtonPlant
from policy_port.port.pilot import Pilot
from policy_port.replay.held import Held
from policy_port.replay.play import check_job
from policy_port.replay.result import Result

MANY = 256
"""Environments beyond which Newton's replays keep statistics alone, where nobody asks for more: a trace of more of them
is as large as what a machine has of memory."""


@dataclass(frozen=True, kw_only=True)
class OnDevice:
    """A replay whose whole loop is on the plant's device; it leaves no trace."""

    pilot: Pilot
    """The policy."""
    held: Held
    """What is asked of it."""

    def check(self) -> list[str]:
        """Hold it against the contract; see `check_job`."""
        return check_job(self.pilot.contract, self.held)

    def steps(self, num_envs: int) -> int:
        """About how many control steps it takes."""
        rounds = -(-(self.held.episodes or 1) // num_envs)
        return rounds * round(self.held.seconds / self.pilot.contract.control_dt)

    def perform(self, pilot: Pilot, plant: SimulatedPlant, *, trace: Path, observers: tuple[Observer, ...]) -> Result:
        """Do it; nothing is written to `trace`."""
        assert isinstance(plant, NewtonPlant), "the command has seen to it"
        nothing: Any = None

        def on_step() -> None:
            # Whoever looks on counts: what a step is made of is not on the host.
            for observe in observers:
                observe(plant, nothing, nothing, nothing)

        decimation = round(pilot.contract.control_dt / plant.timestep)
        return replay_on_device(pilot, plant, self.held, decimation=decimation, on_step=on_step)


def device_job(
    pilot: Pilot, job: object, *, trace: bool | None, num_envs: int, others: Mapping[str, bool]
) -> OnDevice | str:
    """The replay on the device where it is asked for, or where so many environments are; else why not, or "".

    Args:
        pilot: The policy.
        job: What is to be done.
        trace: Whether a trace is asked for; None where nothing is said.
        num_envs: Number of environments.
        others: Whether each option is given that needs the host, by name.

    Raises:
        TaskError: When it is asked for and can't be.
    """
    if trace or (trace is None and num_envs <= MANY):
        return ""
    needs = [name for name, given in others.items() if given]
    why = f"{', '.join(needs)} needs the host" if needs else ""
    if not why:
        why = why_on_the_host(pilot, job) if isinstance(job, Held) else "a task judges its episodes there"
    if why and trace is not None:
        raise TaskError(f"--no-trace has the whole loop on Newton's device, and {why}: leave --no-trace out")
    return why or OnDevice(pilot=pilot, held=cast("Held", job))
