"""How evenly targets go out: the control loop on the emulated arm, at another rate than the policy was trained for."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from policy_port.port.pilot import Pilot
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import CameraBounds, load_robot_file
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace


def jitter(pilot: Pilot, frequency: float, seconds: float, *, camera: bool = False) -> str:
    """Run for `seconds` at `frequency` [Hz]; what the lateness of the targets was, in words."""
    contract = pilot.network_contract.model_copy(update={"timestep": 1.0 / frequency, "decimation": 1})
    steps = round(seconds * frequency)
    task = dataclasses.replace(SO100_REACH, control_frequency=round(frequency), episode_steps=steps)
    robot = load_robot_file("so100")
    if camera:
        robot = robot.model_copy(update={"cameras": {"front": CameraBounds(source=0, width=640, height=480, fps=30)}})
    with tempfile.TemporaryDirectory() as folder, emulate(robot) as rehearsal:
        done = play_real(
            dataclasses.replace(pilot, network_contract=contract),
            rehearsal.robot,
            ReachJob(task),
            seeds=range(1),
            keep=Keep(folder=Path(folder)),
            console=Console(continuous=True),
            on_torque=rehearsal.let_go,
        )
        trace = Trace(Path(folder) / "trace.npz")
        late, ages = trace["lateness"], trace["frame_age"]
    late = 1e3 * late[np.isfinite(late)]
    median, high, most = (float(np.percentile(late, share)) for share in (50, 99, 100))
    frames = f", frames at most {1e3 * float(ages.max()):.0f} ms old" if camera else ""
    return (
        f"{len(late)} targets, late by {median:.2f} ms (median), {high:.2f} ms (99 %), {most:.2f} ms (most){frames}; "
        f"{done.result.setting['ended']}"
    )
