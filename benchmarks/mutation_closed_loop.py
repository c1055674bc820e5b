"""What one would have known of a wrong port from its walk alone: does it stay up, does it follow the command."""

from __future__ import annotations

from pathlib import Path

from mutation_evidence import Subject, stand_up

from policy_port.contract import Contract
from policy_port.errors import PolicyPortError
from policy_port.port.folder import Port
from policy_port.port.pilot import Pilot
from policy_port.replay.held import Held, replay_held
from policy_port.replay.reach import replay_reach
from policy_port.tasks.reach import SO100_REACH

COMMAND, SECONDS = (0.5, 0.0, 0.0), 5.0
"""What a tester would ask for first [m/s, m/s, rad/s], and for how long [s]."""

TOLERANCE = 0.15
"""Speed beside that of the correct port that still counts as following, as a share of the command."""

EPISODES = 8


def closed_loop_verdict(subject: Subject, port: Port, contract: Contract, runs: Path) -> str:
    """Play the network under a wrong contract: "falls", "does not follow", "fails the task" or "passes"."""
    try:
        survived, speed = _walk(subject, port, contract, runs)
    except PolicyPortError:
        return "does not run"
    whole, right = _right(subject, port, runs)
    if not subject.walks:
        return "fails the task" if speed < right - TOLERANCE else "passes"
    if survived < whole:
        return "falls"
    return "does not follow" if abs(speed - right) > TOLERANCE * abs(COMMAND[0]) else "passes"


def _right(subject: Subject, port: Port, runs: Path) -> tuple[float, float]:
    if subject.name not in _KEPT:
        _KEPT[subject.name] = _walk(subject, port, subject.contract, runs)
    return _KEPT[subject.name]


_KEPT: dict[str, tuple[float, float]] = {}
"""How the correct ports walk, by policy."""


def _walk(subject: Subject, port: Port, contract: Contract, runs: Path) -> tuple[float, float]:
    """Seconds survived and mean speed [m/s]; for the arm its success rate."""
    assert port.onnx is not None
    pilot = Pilot(onnx=port.onnx, network_contract=contract)
    trace = runs / "closed_loop.npz"
    with stand_up("mujoco", subject.robot, contract) as (plant, decimation):
        if not subject.walks:
            result = replay_reach(
                pilot, plant, SO100_REACH, seed=900, episodes=EPISODES, decimation=decimation, trace=trace
            )
            return 0.0, result["success_rate"] or 0.0
        result = replay_held(pilot, plant, Held(command=COMMAND, seconds=SECONDS), decimation=decimation, trace=trace)
    return result["survival"] or 0.0, result["mean_lin_vel_x"] or 0.0
