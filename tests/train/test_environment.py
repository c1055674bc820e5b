"""The environment that trainings step: what is seen and said, when episodes end, and that a seed says all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.errors import PolicyPortError, RobotError, TaskError, TrainError
from policy_port.plants.mujoco_plant import MujocoPlant
from policy_port.plants.physics import Physics
from policy_port.plants.setup import PlantSetup
from policy_port.train.environment import PlantEnvironment, make_environment
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, train
from tests.train.hopper import hopper_contract, hopper_mjcf, hopper_task

ROWS = 6
Make = Callable[..., PlantEnvironment]


@pytest.fixture(scope="module")
def hopper_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hopper") / "hopper.xml"
    path.write_text(hopper_mjcf())
    return path


@pytest.fixture(scope="module")
def plant(hopper_file: Path) -> Iterator[MujocoPlant]:
    made = MujocoPlant(hopper_file, PlantSetup.from_contract(hopper_contract()), num_envs=ROWS)
    yield made
    made.close()


@pytest.fixture
def make(plant: MujocoPlant, hopper_file: Path) -> Iterator[Make]:
    """Makes an environment on the one plant of this file."""

    def environment(
        contracts: dict[str, Contract] | None = None, acting: str = "", seed: int = 3, **task: Any
    ) -> PlantEnvironment:
        given = contracts or {"actor": hopper_contract()}
        return make_environment(
            plant=plant,
            robot=hopper_file,
            contracts=given,
            acting=acting or next(iter(given)),
            task=hopper_task(**task),
            num_envs=ROWS,
            seed=seed,
        )

    yield environment
    plant.set_physics(Physics())


def actions(steps: int, seed: int = 0, size: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(steps, ROWS, 2, generator=generator)


def walk(environment: PlantEnvironment, steps: torch.Tensor) -> list[torch.Tensor]:
    """Every number that a training sees, step by step."""
    seen = [*environment.get_observations().values()]
    for action in steps:
        observations, rewards, dones, extras = environment.step(action)
        seen += [*observations.values(), rewards, dones, extras["time_outs"]]
        seen += [torch.tensor(list(extras["log"].values()))]
    return seen


EVERYTHING: dict[str, Any] = {
    "start": {"joint_pos": 0.005},
    "noise": {"joint_pos": 0.01, "joint_vel": 0.5, "base_ang_vel": 0.2, "orientation": 0.05},
    "push": {"every": [0.1, 0.3], "force": [5.0, 20.0], "duration": 0.05},
    "randomisation": {
        "ground_friction": [0.4, 1.0],
        "base_mass": [-0.2, 0.5],
        "contact_time": [0.01, 0.03],
        "stiffness": [0.8, 1.2],
        "joint_friction": [0.0, 0.1],
        "delay": [0.0, 0.03],
    },
}


def test_a_seed_says_all(make: Make) -> None:
    """After `begin(seed)` every number is the same, bit for bit, whatever was before and in whichever environment."""
    first, steps = make(seed=3, **EVERYTHING), actions(60)
    before = walk(first, steps)
    first.begin(3)
    again = walk(first, steps)
    other = make(seed=8, **EVERYTHING)
    walk(other, actions(33, seed=5, size=4.0))
    other.begin(3)
    for seen in (again, walk(other, steps)):
        assert len(seen) == len(before)
        assert all(torch.equal(a, b) for a, b in zip(before, seen, strict=True))
    other.begin(4)
    assert not all(torch.equal(a, b) for a, b in zip(before, walk(other, steps), strict=True))


class Scripted:
    """A policy whose actions were written down; it keeps what it is shown."""

    def __init__(self, contract: Contract, steps: torch.Tensor) -> None:
        self.observation = np.zeros((ROWS, contract.observation_size), np.float32)
        self.action_size, self._steps, self.seen = contract.action_size, iter(steps.numpy()), []

    def act(self) -> np.ndarray:
        self.seen.append(self.observation.copy())
        return next(self._steps)

    def reset(self, rows: np.ndarray | None = None) -> None: ...


def test_what_is_seen_is_what_a_replay_shows(make: Make, plant: MujocoPlant) -> None:
    """Given the same states, a contract with history, delay and clock sees the numbers that a replay's policy sees."""
    terms = [
        {"term": "base_lin_vel", "point": "com", "delay": 1},
        {"term": "velocity_command"},
        {"term": "joint_pos_rel", "history": 3},
        {"term": "joint_vel", "scale": 0.05},
        {"term": "last_action"},
        {"term": "gait_phase", "period": 0.3},
    ]
    past = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
    contract, steps = hopper_contract(observation={"terms": terms, "history": past}), actions(12)
    environment = make({"actor": contract}, command={"lin_vel_x": [0.3, 0.3], "resample": [9.0, 9.0]}, episode=9.0)
    seen = [environment.get_observations()["actor"]]
    seen += [environment.step(action)[0]["actor"] for action in steps[:-1]]

    policy = Scripted(contract, steps)
    controller = Controller(contract, policy, plant.joint_names, ROWS, mountings=plant.mounting)  # type: ignore[arg-type]
    controller.command[:, 0] = 0.3
    plant.reset(controller.default_joint_pos())
    plant.read(controller.state)
    controller.reset()
    for _ in steps:
        plant.write(controller())
        plant.step(contract.decimation)
        plant.read(controller.state)
    assert np.array_equal(np.stack(policy.seen), torch.stack(seen).numpy())


def test_observations_outlive_the_next_step(make: Make) -> None:
    """RSL-RL stores an observation after the step that followed it: what was returned does not change."""
    environment = make()
    kept = environment.get_observations()
    copied = kept.clone()
    environment.step(actions(1)[0])
    assert torch.equal(kept["actor"], copied["actor"])
    assert not torch.equal(environment.get_observations()["actor"], copied["actor"])


def test_an_episode_times_out_or_fails_and_is_then_new(make: Make) -> None:
    """Time alone is a time-out, a fall is none, and either starts over: length, last action, who failed."""
    environment = make(episode=0.1, command={"lin_vel_x": [0.4, 0.4]})
    assert environment.max_episode_length == 5
    for step in range(1, 6):
        observations, _, dones, extras = environment.step(actions(1)[0])
        assert dones.tolist() == [int(step == 5)] * ROWS == extras["time_outs"].int().tolist()
    assert environment.episode_length_buf.tolist() == [0] * ROWS
    assert observations["actor"][:, -2:].abs().max() == 0.0, "last action"
    environment.episode_length_buf = torch.arange(ROWS)  # As RSL-RL reassigns it.
    assert environment.step(actions(1)[0])[2].tolist() == [0, 0, 0, 0, 1, 1]

    low = make(episode=0.1, terminations={"min_height": 0.165})
    crouch = torch.full((ROWS, 2), -2.0)
    ended = [low.step(crouch) for _ in range(5)]
    failed = next(i for i, (_, _, dones, _) in enumerate(ended) if dones.any())
    assert ended[failed][2].tolist() == [1] * ROWS
    assert not ended[failed][3]["time_outs"].any()
    assert ended[failed][3]["log"]["episode/failures per step"] == 1.0


def test_a_link_that_touches_ends_the_episode(make: Make) -> None:
    """contact_links name who must not touch; the task then senses it although no reward does."""
    environment = make(terminations={"contact_links": ["left_foot"]}, rewards={"is_alive": {"weight": 1.0}})
    seen = [environment.step(torch.zeros(ROWS, 2))[2].tolist() for _ in range(3)]
    assert [1] * ROWS in seen


def test_noise_is_seen_by_who_acts_alone(make: Make) -> None:
    """The student's measurement is noisy within its half width, the teacher's exact; commands and actions are both."""
    both = {"teacher": hopper_contract(), "student": hopper_contract()}
    environment = make(both, "student", noise={"joint_pos": 0.01, "orientation": 0.05})
    for action in actions(20):
        environment.step(action)
    seen = environment.get_observations()
    away = (seen["student"] - seen["teacher"]).abs().amax(0)
    names = [label for label, size in (("lin", 3), ("ang", 3), ("g", 3), ("cmd", 3), ("q", 2), ("qd", 2), ("a", 2))
             for _ in range(size)]  # fmt: skip
    for name, value in zip(names, away.tolist(), strict=True):
        limit = {"q": 0.01, "g": 0.075}.get(name, 0.0)
        assert value <= limit + 1e-6
        assert (value > 0.0) == (limit > 0.0), name


def test_labels_are_said_by_joint_name(make: Make) -> None:
    """Another joint order, scale, offset and unit: the converted action gives every joint the same target."""
    swapped = {"left_knee": 0.04, "right_knee": 0.01}
    terms = [{"term": "joint_position", "joints": ["right_knee", "left_knee"], "scale": swapped, "offset": 0.0}]
    teacher = hopper_contract(action={"terms": terms}, name="t")
    environment = make({"student": hopper_contract(), "teacher": teacher})
    raw = actions(1, seed=2)[0]
    said = environment.actions_as(raw, of="teacher", to="student")
    targets = {"right_knee": 0.01 * raw[:, 0], "left_knee": 0.04 * raw[:, 1]}
    want = torch.stack([(targets["left_knee"] - 0.01) / 0.02, (targets["right_knee"] - 0.02) / 0.02], 1)
    assert torch.allclose(said, want, atol=1e-5)
    assert torch.allclose(environment.actions_as(said, of="student", to="teacher"), raw, atol=1e-5)
    # What the teacher is shown as its last action is what it would have put out for these targets.
    environment.step(said)
    assert torch.allclose(environment.get_observations()["teacher"][:, -2:], raw, atol=1e-5)
    assert torch.allclose(environment.get_observations()["student"][:, -2:], said)
    assert np.allclose(environment.groups["teacher"].signals.joint_target, environment.signals.joint_target)


def test_contracts_that_do_not_go_together_are_refused(make: Make) -> None:
    """Each mistake by name: who acts, control period, gains, joints, drives, delays, foreign terms."""
    plain = hopper_contract()
    stiff = hopper_contract(
        joints={n: {**j.model_dump(exclude_none=True), "stiffness": 50.0} for n, j in plain.joints.items()}
    )
    velocity = [{"term": "joint_velocity", "scale": 1.0}]
    rolling = hopper_contract(
        joints={n: {"default": 0.0, "stiffness": 0.0, "damping": 20.0} for n in plain.joints},
        action={"terms": velocity},
    )
    one = hopper_contract(
        action={"terms": [{"term": "joint_position", "joints": ["left_knee"], "scale": 1.0, "offset": 0.0}]}
    )
    late = hopper_contract(action={**plain.action.model_dump(exclude_none=True), "delay": 1})
    goal = hopper_contract(observation={"terms": [{"term": "goal", "size": 3, "frame": "base"}, {"term": "joint_vel"}]})
    wrong: list[tuple[Contract, type[PolicyPortError], str]] = [
        (hopper_contract(decimation=2), TrainError, "control period"),
        (stiff, TrainError, "joints.left_knee.stiffness 50.0"),
        (rolling, TrainError, "stiffness 0.0"),
        (one, TrainError, "only 'hopper' drives right_knee"),
        (late, TrainError, "action.delay differs"),
        (goal, TaskError, "'goal' is filled by a task"),
    ]
    for contract, error, words in wrong:
        with pytest.raises(error, match=words):
            make({"student": plain, "teacher": contract})
    with pytest.raises(TrainError, match="no contract is given for 'pupil'.*there are: student"):
        make({"student": plain}, "pupil")
    environment = make({"student": plain})
    with pytest.raises(TrainError, match="no observation group 'teacher'"):
        environment.actions_as(torch.zeros(1, 2), of="teacher", to="student")
    with pytest.raises(TrainError, match=r"shape \(6, 3\).*6 rows of 2"):
        environment.step(torch.zeros(ROWS, 3))


def test_a_task_for_another_robot_is_refused(make: Make) -> None:
    """A foot, a base or a link that the robot lacks is named, with those it has; so is a joint."""
    with pytest.raises(TaskError, match="made for hopper, and its feet.left.link.*'left_toe'.*left_foot"):
        make(feet={"left": {"link": "left_toe"}})
    with pytest.raises(TaskError, match="its base is not on this robot"):
        make(base="pelvis")
    with pytest.raises(TaskError, match="no joint 'hip'.*left_knee, right_knee"):
        make(
            rewards={"is_alive": {"weight": 1.0}, "joint_deviation_l1": {"weight": -1.0, "params": {"joints": ["hip"]}}}
        )
    with pytest.raises(TaskError, match="episode 0.001 s is over within two control periods of 0.02 s"):
        make(episode=0.001)
    with pytest.raises(TaskError, match="'hopper', which acts, has no observation term 'velocity_command'"):
        make(contracts={"actor": hopper_contract(observation={"terms": [{"term": "joint_vel"}]})})
    with pytest.raises(TaskError, match="has failed already: base below 0.500"):
        make(terminations={"min_height": 0.5})


def test_feet_that_never_touch_are_noticed(make: Make) -> None:
    """A task whose foot is a link without the shape that stands would reward nothing; it says so within a second."""
    environment = make(feet={"left": {"link": "trunk"}, "right": {"link": "right_foot"}}, episode=9.0)
    with pytest.raises(TaskError, match=r"no environment's left \(trunk\) touched anything"):
        for _ in range(60):
            environment.step(torch.zeros(ROWS, 2))


def test_a_number_that_is_none_stops_the_training(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN reward names its term, a diverged simulation says so, a NaN action is the network's."""
    environment = make()
    with pytest.raises(TrainError, match="the network's action is NaN or infinite in environment 2"):
        environment.step(torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, float("nan")], *[[0.0, 0.0]] * 3]))
    monkeypatch.setattr(type(environment.plant), "effort", lambda self: np.full((ROWS, 2), np.nan))
    with pytest.raises(TrainError, match="'joint_torques_l2' of task 'hop' is NaN.*environment 0.*torques"):
        environment.step(torch.zeros(ROWS, 2))
    monkeypatch.undo()
    read = MujocoPlant.read

    def diverged(self: MujocoPlant, state: Any) -> None:
        read(self, state)
        state.base_lin_vel[4] = np.inf

    environment.begin(1)
    monkeypatch.setattr(type(environment.plant), "read", diverged)
    with pytest.raises(TrainError, match="simulation diverged: base_lin_vel of environment 4"):
        environment.step(torch.zeros(ROWS, 2))


def test_late_targets_are_late_by_what_was_drawn(make: Make) -> None:
    """Delays in physics steps, longer than a control step too: what the drives are told is what was asked before."""
    environment = make(randomisation={"delay": [0.0, 0.03]}, episode=9.0)
    late: Any = environment._late
    late._steps[:] = [0, 1, 3, 4, 5, 6]
    told: list[np.ndarray] = []
    plant: Any = environment.plant
    held, write, step = {}, plant.write, plant.step
    plant.write = lambda target: (held.update(now=target.copy()), write(target))
    plant.step = lambda count: (told.extend([held["now"]] * count), step(count))
    try:
        asked = [environment.signals.joint_target.copy()]
        for action in actions(6):
            environment.step(action)
            asked.append(environment.signals.joint_target.copy())
    finally:
        del plant.write, plant.step
    for row, delay in enumerate(late._steps):
        for index, target in enumerate(told):
            before = index - delay
            want = asked[0] if before < 0 else asked[1 + before // 4]
            assert np.array_equal(target[row], want[row])


def test_a_push_moves_the_robot_and_ends(make: Make) -> None:
    """Without action a pushed robot moves, one that is not pushed stays; the push ends after its duration."""
    calm = make(episode=9.0)
    pushed = make(episode=9.0, push={"every": [0.2, 0.2], "force": [30.0, 30.0], "duration": 0.04})
    speeds = []
    for environment in (calm, pushed):
        environment.begin(1)
        for _ in range(12):
            environment.step(torch.zeros(ROWS, 2))
        speeds.append(np.linalg.norm(environment.signals.state.base_lin_vel[:, :2], axis=1))
    assert speeds[0].max() < 0.02 < speeds[1].min()
    assert not np.asarray(pushed._pushes._force).any()


def test_randomised_physics_is_set_and_what_can_not_be_is_refused(make: Make) -> None:
    """Environments differ by their draws alone; a factor on what the contract does not state is an error."""
    environment = make(randomisation={"stiffness": [0.5, 1.5]}, command={"lin_vel_x": [0.1, 0.1]})
    environment.step(torch.ones(ROWS, 2))
    assert len(np.unique(environment.signals.state.joint_pos[:, 0])) == ROWS
    plain = make(command={"lin_vel_x": [0.1, 0.1]}, randomisation={"ground_friction": [0.7, 0.7]})
    plain.step(torch.ones(ROWS, 2))
    assert len(np.unique(plain.signals.state.joint_pos[:, 0])) == 1
    with pytest.raises(TaskError, match="contract 'hopper' does not state effort_limit of left_knee, right_knee"):
        make(randomisation={"effort_limit": [0.5, 1.0]})
    inner = hopper_contract(action={**hopper_contract().action.model_dump(exclude_none=True), "between": "interpolate"})
    with pytest.raises(TaskError, match="randomisation.delay.*action.between"):
        make({"actor": inner}, randomisation={"delay": [0.0, 0.01]})
    with pytest.raises(RobotError, match="would leave nothing"):
        make(randomisation={"base_mass": [-9.0, -9.0]})


def test_a_remedy_for_joints_is_one_that_a_training_has(tmp_path: Path, out: Path) -> None:
    """Where no policy is carried over, what joints lack is mended in the contract: no message names a mapping."""
    robot, file = tmp_path / "hopper.xml", tmp_path / "c.yaml"
    mast = '<body name="mast"><joint name="mast" type="slide"/><geom size="0.01"/></body>'
    robot.write_text(hopper_mjcf().replace("<freejoint/>", "<freejoint/>" + mast, 1))
    data = hopper_contract().model_dump(mode="json", exclude_none=True)
    place = Place(plant="mujoco", robot=robot, task=tmp_path / "task.yaml", num_envs=2)
    (tmp_path / "task.yaml").write_text(hopper_task().to_yaml())

    def refused(**joints: Any) -> str:
        file.write_text(Contract.model_validate({**data, "joints": data["joints"] | joints}).to_yaml())
        with pytest.raises(RobotError) as caught:
            train(file, place, Plan(out=out))
        assert not out.exists()
        assert "mapping" not in str(caught.value)
        return str(caught.value)

    held = {"mast": {"default": 0.0, "stiffness": 50.0, "damping": 1.0}}
    assert "List it under joints of the contract, with default, stiffness and damping, and name in its" in refused()
    assert "as the robot has it, or leave it out there" in refused(**held, wing=held["mast"])
    driven = {"terms": [{**term, "joints": list(data["joints"])} for term in data["action"]["terms"]]}
    named = Contract.model_validate({**data, "joints": data["joints"] | held, "action": data["action"] | driven})
    place.stand_up({"actor": named}, "actor").close()
    robot.write_text(robot.read_text().replace("<freejoint/>", ""))
    assert "bolts its base down, and contract 'hopper' says base.floating: true. Give the base a <fr" in refused(**held)
