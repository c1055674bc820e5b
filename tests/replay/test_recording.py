"""The observer that records a loop: what it writes is what happened, and a step of it all allocates nothing."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.contract import Contract, load_contract
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows, SimulatedTime, run
from policy_port.control.plant import Mounting, Plant
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.runtime import OnnxPolicy
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, HeldEpisodes
from policy_port.replay.recording import TraceObserver, quat_of
from policy_port.replay.velocity import FallRule
from policy_port.resources import assets_dir
from policy_port.trace import Recorder, Trace
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_mlp
from tests.plants.test_plants import rotation
from tests.samples import contract_data

PLANT_JOINTS = ("right_knee", "left_hip", "right_hip", "left_knee")
STATE = ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel")


class Copies:
    """Copies everything by its own name, one array at a time."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray]] = []

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        step = {name: getattr(controller.state, name) for name in STATE} | {
            "command": controller.command,
            "goal": controller.goal,
            "observation": controller.observation,
            "action": controller.action,
            "target": target,
            "effort": plant.effort(),
            "tip_pos": plant.link_position("tip"),
        }
        self.steps.append({name: np.array(value) for name, value in step.items()})


class Rounds:
    """Environment k starts again every 5 + k steps, under another command each time; 40 steps in all."""

    def __init__(self, num_envs: int) -> None:
        self.left, self.age, self.begun = 40, np.zeros(num_envs, dtype=int), np.zeros(num_envs)

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        self.age[rows] = 0
        self.begun += rows
        command[:, 0] = self.begun
        goal[rows] = (0.1, 0.2, 0.3)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        self.left -= 1
        self.age += 1
        return self.age >= 5 + np.arange(len(self.age))

    @property
    def done(self) -> bool:
        return self.left == 0


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_trace_holds_what_happened(tmp_path: Path, num_envs: int) -> None:
    """Every array is under its name, in its type, at every step; a raw action beyond raw_clip is kept as it was."""
    terms = [*contract_data()["observation"]["terms"], {"term": "goal", "size": 3, "frame": "base"}]
    action = {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}], "raw_clip": [-1e-3, 1e-3]}
    contract = Contract.model_validate(contract_data(observation={"terms": terms}, action=action))
    path = save_mlp(tmp_path / "policy.onnx", (contract.observation_size, 8, 4))
    plant, copies = FakePlant(PLANT_JOINTS, num_envs), Copies()
    controller = Controller(contract, OnnxPolicy(path, num_envs), plant.joint_names, num_envs)
    with Recorder(tmp_path / "trace.npz", {}, chunk_steps=16) as recorder:
        record = TraceObserver(recorder, 0.02, num_envs, tip_links=("tip",))
        observers = (record, copies)
        run(plant, controller, Rounds(num_envs), decimation=4, clock=SimulatedTime(), observers=observers)
    trace = Trace(tmp_path / "trace.npz")
    assert set(trace) == {*copies.steps[0], "time", "episode", "base_com"}
    for name in copies.steps[0]:
        happened = np.stack([step[name] for step in copies.steps])
        assert trace[name].dtype == happened.dtype
        np.testing.assert_array_equal(trace[name], happened, err_msg=name)
    assert np.abs(trace["action"]).max() > 1e-3
    assert np.array_equal(trace["base_com"], np.tile(plant.centre_of_mass, (40, 1, 1)))
    for env in range(num_envs):
        assert trace["time"][:, env].tolist() == [0.02 * (step % (5 + env)) for step in range(40)]
        assert trace["episode"][:, env].tolist() == [step // (5 + env) for step in range(40)]


class Measuring(HeldEpisodes):
    """Holds a goal, and looks at the memory in use after `warm` steps and at the end.

    It is the least of 20 steps each: at one moment a few objects of Python's own are just on their way.
    """

    def __init__(self, contract: Contract, warm: int, steps: int, num_envs: int) -> None:
        never = FallRule(min_height=-np.inf, max_tilt=np.pi, text="never")
        held = Held(goals={"goal": (0.1, -0.2, 0.1)}, seconds=1.0)
        super().__init__(held, HeldGoals(contract, held.goals), warm + steps, num_envs, never)
        self._warm, self._last, self._now = warm, warm + steps, 0
        self.before = self.after = 1 << 40
        self.peak = 0

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        started = super().judge(plant, controller)
        self._now += 1
        now, peak = tracemalloc.get_traced_memory()
        if self._now == self._warm // 2:
            # It gives back what Python keeps for its next small objects; the steps up to `warm` take that again.
            gc.collect()
        elif self._warm - 20 < self._now <= self._warm:
            self.before = min(self.before, now)
            tracemalloc.reset_peak()
        elif self._last - 20 <= self._now < self._last:
            # In the last step of all the episodes end, which is told and kept.
            self.after, self.peak = min(self.after, now), peak
        return started


@pytest.mark.parametrize(("kind", "num_envs"), [("mujoco", 1), ("mujoco", 16), ("maniskill", 4)])
def test_a_recorded_step_allocates_nothing(tmp_path: Path, kind: str, num_envs: int) -> None:
    """Loop, controller, plant, task and recorder: a thousand steps leave nothing behind, and hold no batch in between.

    What is left are the small objects of Python and of a simulator's interface, gone before the next step.
    """
    contract = load_contract(assets_dir() / "so100_reach" / "contract.yaml")
    path = save_mlp(tmp_path / "policy.onnx", (contract.observation_size, 16, contract.action_size))
    with contextlib.closing(make_plant(kind, "so100", PlantSetup.from_contract(contract), num_envs=num_envs)) as plant:
        controller = Controller(contract, OnnxPolicy(path, num_envs), plant.joint_names, num_envs)
        task = Measuring(contract, 300, 1000, num_envs)
        recorder = Recorder(tmp_path / "trace.npz", {}, chunk_steps=2000, durable=False)
        record = TraceObserver(recorder, contract.control_dt, num_envs)
        tracemalloc.start()
        # One physics step per control step: what is looked at is what stands around them.
        run(plant, controller, task, decimation=1, clock=SimulatedTime(), observers=(record,))
        tracemalloc.stop()
        recorder.close()
    assert Trace(tmp_path / "trace.npz").header["steps"] == 1300
    assert task.after - task.before < 1000, "less than a byte per step"
    assert task.peak - task.before < 2048 + 128 * num_envs, "a batch of signals has 376 bytes per environment"


def test_whether_all_stand_is_told_alike(tmp_path: Path) -> None:
    """The quick answer is that of the rule for each environment, at the threshold and with NaN, for one and several."""
    rng = np.random.default_rng(0)
    contract = Contract.model_validate(contract_data())
    rule = FallRule(min_height=0.3, max_tilt=0.9, text="")
    found = set()
    for num_envs in (1, 4):
        path = save_mlp(tmp_path / "policy.onnx", (contract.observation_size, 4, 4))
        controller = Controller(contract, OnnxPolicy(path, num_envs), PLANT_JOINTS, num_envs)
        state = controller.state
        for _ in range(200):
            half = rng.choice([0.0, 0.4, 0.449, 0.451, 1.0, np.nan], num_envs, p=[0.4, 0.2, 0.2, 0.08, 0.08, 0.04])
            about = rng.uniform(0, 2 * np.pi, num_envs)
            state.base_quat[:] = np.stack(
                [np.cos(half), np.sin(half) * np.cos(about), np.sin(half) * np.sin(about), 0 * half], axis=1
            )
            state.base_pos[:, 2] = rng.choice([0.3, 0.5, 0.299, np.nan], num_envs, p=[0.4, 0.5, 0.06, 0.04])
            expected = [not (z >= 0.3 and 2 * h <= 0.9) for z, h in zip(state.base_pos[:, 2], half, strict=True)]
            assert rule.fallen(controller.signals).tolist() == expected
            assert rule.stand(controller.signals) == (not any(expected))
            found.add((num_envs, any(expected)))
    assert len(found) == 4


def test_a_trace_says_where_the_places_are(tmp_path: Path) -> None:
    """Sites and sensors that the contract names stand in it, with their axes, and the velocity is the link's."""
    turn = np.array([[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
    terms = [
        {"term": "base_lin_vel", "point": {"sensor": "velocimeter"}},
        {"term": "base_ang_vel", "frame": {"site": "imu"}},
        {"term": "goal", "size": 3, "frame": "base"},
    ]
    contract = Contract.model_validate(contract_data(observation={"terms": terms}))
    plant = FakePlant(PLANT_JOINTS, 2)
    plant.at["sensor velocimeter"] = Mounting(np.tile([0.1, 0.2, 0.3], (2, 1)), turn, "velocimeter", "imu")
    plant.at["site imu"] = Mounting(np.tile([0.4, 0.5, 0.6], (2, 1)), turn)
    plant.speed[:] = 0.7
    path = save_mlp(tmp_path / "policy.onnx", (contract.observation_size, 8, 4))
    controller = Controller(contract, OnnxPolicy(path, 2), plant.joint_names, 2, mountings=plant.mounting)
    with Recorder(tmp_path / "trace.npz", {}) as recorder:
        record = TraceObserver(recorder, 0.02, 2)
        run(plant, controller, Rounds(2), decimation=4, clock=SimulatedTime(), observers=(record,))
    trace = Trace(tmp_path / "trace.npz")
    assert trace["sensor_pos_velocimeter"][3].tolist() == [[0.1, 0.2, 0.3]] * 2
    assert trace["site_pos_imu"][3].tolist() == [[0.4, 0.5, 0.6]] * 2
    for name in ("sensor_quat_velocimeter", "site_quat_imu"):
        np.testing.assert_allclose(rotation(trace[name][0, 1]), turn, atol=1e-12)
    np.testing.assert_array_equal(trace["base_lin_vel"][-1], [[0.7, 0.0, 0.0]] * 2)
    np.testing.assert_allclose(trace["observation"][-1, :, :3], [turn.T @ [0.7, 0.0, 0.0]] * 2, atol=1e-6)


def test_axes_are_recorded_as_the_quaternion_that_turns_to_them() -> None:
    """From any matrix, half turns about each axis too, to a quaternion and back."""
    rng = np.random.default_rng(0)
    for quat in (*np.eye(4), *np.eye(4)[1:] + 1e-9, *rng.normal(size=(200, 4))):
        axes = rotation(quat / np.linalg.norm(quat))
        np.testing.assert_allclose(rotation(quat_of(axes)), axes, atol=1e-9)
