"""What the project's own loop records is evidence that its own ports are right: two ways to the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.port.runtime import OnnxPolicy
from policy_port.replay.recording import TraceObserver, trace_header
from policy_port.trace import Recorder
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_mlp
from tests.samples import LEGS
from tests.verdict.synthetic import TRACE_JOINTS, stacked, toy

DELTA = {
    "terms": [{"term": "joint_position_delta", "reference": "joint_target", "scale": 0.1}],
    "raw_clip": [-0.5, 0.5],
}

ABSOLUTE = {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]}
SHAPED = ABSOLUTE | {
    "raw_clip": {name: [-0.05 * k, 0.1] for k, name in enumerate(LEGS)},
    "delay": 2,
    "filter": {"kind": "first_order", "alpha": 0.4, "of": "raw"},
    "between": "interpolate",
}
LATE = [
    {"term": "joint_pos_rel", "delay": 2, "clip": [-0.5, 0.5]},
    {"term": "base_ang_vel", "delay": {"steps": 3, "fill": "zero"}, "offset": [1.0, 2.0, 3.0]},
    {"term": "last_action", "ago": 2},
    {"term": "last_action", "name": "in_force", "of": "filtered"},
]


class Turning(FakePlant):
    """A plant whose base rolls and turns, so that no base term stands still."""

    def step(self, count: int) -> None:
        super().step(count)
        self.angle = getattr(self, "angle", 0.3) + 0.05
        rolled = np.array([np.cos(self.angle), np.sin(self.angle), 0.3, 0.2])
        self.truth.base_quat[:] = rolled / np.linalg.norm(rolled)
        self.truth.base_ang_vel[:] = (np.sin(self.angle), 0.4, np.cos(3 * self.angle))
        self.truth.base_lin_vel[:] = (0.2, np.sin(2 * self.angle), 0.1)


class Rounds:
    """Episodes of another length in each environment, with another command and goal each."""

    def __init__(self, num_envs: int) -> None:
        self.rng = np.random.default_rng(0)
        self.age, self.length, self.left = np.zeros(num_envs, dtype=int), np.arange(num_envs) * 7 + 11, 60

    def begin(self, rows: np.ndarray, start: Array, command: Array, goal: Array) -> None:
        self.age[rows] = 0
        command[rows] = self.rng.uniform(-1, 1, (rows.sum(), 3))
        goal[rows] = self.rng.uniform(-1, 1, (rows.sum(), goal.shape[1]))

    def judge(self, plant: Plant, controller: Controller) -> np.ndarray:
        self.left -= 1
        self.age += 1
        return self.age >= self.length

    @property
    def done(self) -> bool:
        return self.left == 0


CONTRACTS = {
    "every term": toy(),
    "delta action": toy(action=DELTA),
    "term-major": stacked(),
    "time-major, newest first": stacked("time_major", "newest_first", "zero"),
    "clip per joint, delay, filter of raw": toy(observation={"terms": LATE}, action=SHAPED),
    "filter of target": toy(action=DELTA | {"filter": {"kind": "first_order", "alpha": 0.3, "of": "target"}}),
    "mean of target": toy(action=ABSOLUTE | {"filter": {"kind": "moving_average", "steps": 3, "of": "target"}}),
}


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("name", CONTRACTS)
def test_a_trace_of_the_control_loop_is_equal(tmp_path: Path, name: str, num_envs: int) -> None:
    """Observations, targets, gains and actions of a recorded loop agree, for one environment and several."""
    contract: Contract = CONTRACTS[name]
    plant = Turning(TRACE_JOINTS, num_envs, rate=0.2)
    policy = OnnxPolicy(save_mlp(tmp_path / "p.onnx", (contract.observation_size, 8, 4)), num_envs)
    controller = Controller(contract, policy, plant.joint_names, num_envs)
    header = trace_header(
        contract,
        simulator=plant.name,
        timestep=plant.timestep,
        decimation=contract.decimation,
        actuation=contract.actuation.kind,
        joint_names=list(plant.joint_names),
    )
    with Recorder(tmp_path / "t.npz", header) as recorder:
        record = TraceObserver(recorder, contract.control_dt, num_envs)
        run(
            plant,
            controller,
            Rounds(num_envs),
            decimation=contract.decimation,
            clock=SimulatedTime(),
            observers=(record,),
        )
    evidence = read_evidence(tmp_path / "t.npz")
    verdict = verify_contract(contract, evidence, lambda seen, starts: evidence.arrays["action"])
    assert verdict.ok, verdict.text()
    assert {"stiffness", "damping", "actuation"} <= {check.label for check in verdict.checks}
    assert int(evidence.started.sum()) > num_envs
