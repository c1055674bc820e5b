"""The controller and the loop on a plant without a simulator."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.errors import ContractError, RobotError, TaskError
from policy_port.port.runtime import OnnxPolicy
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear, save_mlp
from tests.samples import LEGS, contract_data

PLANT_JOINTS = ("right_knee", "left_hip", "right_hip", "left_knee")


def controller_of(tmp_path: Path, plant: FakePlant, matrix: np.ndarray | None = None, **changes: Any) -> Controller:
    contract = Contract.model_validate(contract_data(**changes))
    matrix = np.zeros((contract.observation_size, 4)) if matrix is None else matrix
    policy = OnnxPolicy(save_linear(tmp_path / "policy.onnx", matrix), plant.num_envs)
    return Controller(contract, policy, plant.joint_names, plant.num_envs)


class Steps:
    """Episodes of a fixed length per row, `total` control steps in all."""

    def __init__(self, lengths: list[int], total: int) -> None:
        self.lengths, self.left = np.array(lengths), total
        self.age = np.zeros(len(lengths), dtype=int)
        self.begun: list[list[bool]] = []

    def begin(self, rows: np.ndarray, start: Array, command: Array, goal: Array) -> None:
        self.begun.append(rows.tolist())
        self.age[rows] = 0
        command[rows] = (0.5, 0.0, 0.1)

    def judge(self, plant: Plant, controller: Controller) -> np.ndarray:
        self.left -= 1
        self.age += 1
        return self.age >= self.lengths

    @property
    def done(self) -> bool:
        return self.left == 0


class Notes:
    """What the observers saw."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: np.ndarray) -> None:
        self.steps.append(
            {
                "joint_pos": controller.state.joint_pos.copy(),
                "observation": controller.observation.copy(),
                "target": target.copy(),
                "started": started.tolist(),
            }
        )


def test_order_of_one_turn(tmp_path: Path) -> None:
    """Reset, read; then per step: decide, wait, write, step, read. The clock stands between decision and write."""
    plant = FakePlant(PLANT_JOINTS)

    class Clock:
        def wait(self) -> None:
            plant.log.append("wait")

    run(plant, controller_of(tmp_path, plant), Steps([9], 2), decimation=4, clock=Clock(), observers=())
    assert plant.log == ["reset", "read", *["wait", "write", "step", "read"] * 2]


def test_zero_actions_hold_the_default_pose_by_name(tmp_path: Path) -> None:
    """The plant's joints stand in another order than the contract's; defaults reach them by name."""
    plant = FakePlant(PLANT_JOINTS)
    notes = Notes()
    run(plant, controller_of(tmp_path, plant), Steps([9], 5), decimation=4, clock=SimulatedTime(), observers=(notes,))
    defaults = dict(zip(LEGS, [0.1, 0.2, 0.3, 0.4], strict=True))
    np.testing.assert_allclose(notes.steps[-1]["target"], [[defaults[name] for name in PLANT_JOINTS]])
    np.testing.assert_allclose(plant.truth.joint_pos, notes.steps[-1]["target"])


def test_rows_start_again_on_their_own(tmp_path: Path) -> None:
    """A row whose episode ended is reset and forgets; the others go on."""
    plant = FakePlant(PLANT_JOINTS, num_envs=2)
    terms = [{"term": "last_action"}]
    matrix = np.eye(4)
    controller = controller_of(tmp_path, plant, matrix, observation={"terms": terms})
    task, notes = Steps([3, 5], 7), Notes()
    run(plant, controller, task, decimation=1, clock=SimulatedTime(), observers=(notes,))
    assert [step["started"] for step in notes.steps] == [
        [True, True],
        [False, False],
        [False, False],
        [True, False],
        [False, False],
        [False, True],
        [True, False],
    ]
    assert plant.resets.tolist() == [3, 2]


def test_gait_clock_counts_from_the_rows_reset(tmp_path: Path) -> None:
    """Sine and cosine of 2 pi t / 0.8, t = 0 at each row's start, 0.02 s a step."""
    plant = FakePlant(PLANT_JOINTS, num_envs=2)
    terms = [{"term": "gait_phase", "period": 0.8}]
    controller = controller_of(tmp_path, plant, np.zeros((2, 4)), observation={"terms": terms})
    notes = Notes()
    run(plant, controller, Steps([3, 9], 6), decimation=4, clock=SimulatedTime(), observers=(notes,))
    ages = [(0, 0), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)]
    for step, age in zip(notes.steps, ages, strict=True):
        angles = 2 * np.pi * 0.02 * np.array(age) / 0.8
        np.testing.assert_allclose(step["observation"], np.stack([np.sin(angles), np.cos(angles)], 1), atol=1e-6)


@pytest.mark.parametrize("num_envs", [1, 32])
def test_a_control_step_allocates_nothing(tmp_path: Path, num_envs: int) -> None:
    """With every kind of term, history, clips and a delta action; after warm-up nothing is held or left behind."""
    terms = [{"term": "projected_gravity"}, {"term": "joint_target"}, {"term": "goal", "size": 3, "frame": "m"}]
    observation = {
        "terms": [{**term, "history": 3} for term in contract_data()["observation"]["terms"] + terms],
        "history": {"layout": "term_major", "order": "oldest_first", "fill": "first"},
        "clip": [-5.0, 5.0],
    }
    term = {"term": "joint_position_delta", "reference": "joint_target", "scale": 0.1, "clip": [-1.0, 1.0]}
    changes = {"observation": observation, "action": {"terms": [term], "raw_clip": [-1.0, 1.0]}}
    contract = Contract.model_validate(contract_data(**changes))
    path = save_mlp(tmp_path / "policy.onnx", (contract.observation_size, 16, 4))
    controller = Controller(contract, OnnxPolicy(path, num_envs), PLANT_JOINTS, num_envs)
    controller.reset()
    tracemalloc.start()
    # ONNX Runtime's binding keeps about a hundred small objects for its own reuse before it is warm.
    for _ in range(300):
        controller()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(1000):
        controller()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1000, "less than a byte per step"
    batch = controller.observation.nbytes
    assert peak - before < max(2048, batch / 2), "no step makes an array of an observation batch's size"


def test_a_diverged_measurement_is_named(tmp_path: Path) -> None:
    """The error says which term and joint, of which environment."""
    plant = FakePlant(PLANT_JOINTS, num_envs=2)
    controller = controller_of(tmp_path, plant)
    controller.reset()
    controller.state.joint_vel[1, PLANT_JOINTS.index("left_knee")] = np.nan
    with pytest.raises(TaskError, match=r"joint_vel\[left_knee\] of contract 'toy' in environment 1 is nan"):
        controller()


def test_wrong_ports_are_refused(tmp_path: Path) -> None:
    """A network of another width, and a robot without a named joint."""
    plant = FakePlant(PLANT_JOINTS)
    with pytest.raises(ContractError, match="reads 7 numbers"):
        controller_of(tmp_path, plant, np.zeros((7, 4)))
    with pytest.raises(ContractError, match="writes 3 numbers"):
        controller_of(tmp_path, plant, np.zeros((24, 3)))
    with pytest.raises(RobotError, match="'right_knee'"):
        controller_of(tmp_path, FakePlant(PLANT_JOINTS[1:]))
