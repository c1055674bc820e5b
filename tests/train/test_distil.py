"""Distillation: any policy as the teacher, its labels as they are meant, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from policy_port.contract import Contract, load_contract
from policy_port.contract.measurable import measurable
from policy_port.errors import CheckpointError, ContractError, PolicyPortError, TrainError
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from policy_port.train import distil as module
from policy_port.train.distil import distil, open_lesson
from policy_port.train.distillation import BEYOND, Distillation
from policy_port.train.place import Place
from policy_port.train.ppo import Plan
from policy_port.train.run import read_state
from policy_port.train.teacher import Teacher, open_teacher, teacher_config
from tests.train import rover

CONTRACTS = Path(__file__).resolve().parents[1] / "real_policies"

SHORT: dict[str, Any] = {
    "num_steps_per_env": 8,
    "max_iterations": 2,
    "save_interval": 2,
    "student": {"rnn_hidden_dim": 8, "hidden_dims": [8]},
    "algorithm": {"num_learning_epochs": 2, "gradient_length": 4},
}


def controller(turns: float = 0.5) -> torch.nn.Module:
    """Torques in proportion to the error of the velocity, of going and of turning: a teacher that nobody trained."""
    linear = torch.nn.Linear(9, 2)
    with torch.no_grad():
        linear.bias.zero_()
        linear.weight.zero_()
        for row, side in enumerate((-1.0, 1.0)):
            linear.weight[row, 6], linear.weight[row, 0] = 2.0, -2.0
            linear.weight[row, 8], linear.weight[row, 5] = side * turns, -side * turns
    return linear


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rover's files, the controller as TorchScript, and settings for two iterations."""
    folder = tmp_path_factory.mktemp("rover")
    found = {**rover.write(folder), "policy": folder / "policy.pt", "agent": folder / "agent.yaml"}
    torch.jit.script(torch.nn.Sequential(controller())).save(found["policy"])
    found["agent"].write_text(rover.agent_yaml(SHORT))
    return found


def place(files: dict[str, Path]) -> Place:
    return Place(plant="mujoco", robot=files["robot"], task=files["task"], num_envs=4, seed=3)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes enough to see that something is measured."""
    monkeypatch.setattr(module, "EPISODES", 4)
    monkeypatch.setattr(module, "FINAL", 4)


def test_a_run_says_how_much_of_its_teacher_the_student_is(files: dict[str, Path], out: Path) -> None:
    """A student's run holds both contracts and RSL-RL's checkpoints, is resumed, and ends with the comparison."""
    lesson = open_lesson(files["policy"], files["teacher"], files["student"])
    plan = Plan(out=out, agent=files["agent"])
    run = distil(lesson, place(files), plan)
    assert run.contract() == rover.contract("student")
    assert run.contract("teacher") == rover.contract("teacher")
    assert run.record.hashes["source"] == lesson.teacher.policy.sha256
    state = read_state(out / "model_2.pt")
    assert state["student_state_dict"].keys() > {"rnn.rnn.weight_ih_l0", "mlp.0.weight", "obs_normalizer._mean"}
    assert state["teacher_state_dict"] == {}
    assert "of its tracking" in run.result()[1]
    rows = distil(lesson, place(files), replace(plan, resume=True, iterations=3)).rows()
    assert [row["iteration"] for row in rows] == ["0", "1", "2"]
    assert all(float(row[f"Loss/{BEYOND}"]) == 0.0 for row in rows)
    rates = [read_state(out / f"model_{i}.pt")["optimizer_state_dict"]["param_groups"][0]["lr"] for i in (2, 3)]
    assert rates == pytest.approx([5e-4, 2e-5])


def recurrent(folder: Path) -> Path:
    """A GRU in RSL-RL's layout that answers nine numbers of the rover's teacher."""
    torch.manual_seed(0)
    memory, layer = torch.nn.GRU(9, 5), torch.nn.Linear(5, 2)
    state = {f"rnn.rnn.{name}": value for name, value in memory.state_dict().items()}
    state |= {f"mlp.0.{name}": value for name, value in layer.state_dict().items()}
    state["distribution.std_param"] = torch.ones(2)
    torch.save({"actor_state_dict": state, "critic_state_dict": {}, "iter": 7, "infos": None}, folder / "gru.pt")
    return folder / "gru.pt"


def made(file: Path, contract: Contract, **options: Any) -> Teacher:
    taught = open_teacher(file, contract, **options)
    config = teacher_config(taught, options)
    del config["class_name"]
    shown = TensorDict({"teacher": torch.zeros(3, taught.policy.actor.obs_size)}, batch_size=[3])
    return Teacher(shown, {"teacher": ["teacher"]}, "teacher", contract.action_size, **config)


def test_a_teacher_remembers_until_an_episode_ends(tmp_path: Path) -> None:
    """A recurrent teacher's state goes on from step to step, begins anew where an episode ended and nowhere else, and
    an update of the student leaves it where it is: RSL-RL's own would have none after it.
    """
    teacher = made(recurrent(tmp_path), rover.contract("teacher"), activation="elu")
    seen = TensorDict({"teacher": torch.randn(3, 9)}, batch_size=[3])
    first, second = teacher(seen), teacher(seen)
    assert not torch.allclose(first, second)
    teacher.reset(torch.tensor([0, 1, 0]))
    third = teacher(seen)
    assert torch.equal(third[1], first[1])
    assert not torch.allclose(third[0], first[0], atol=1e-4)
    assert not torch.allclose(third[0], second[0], atol=1e-4)
    before = teacher.memory
    assert before is not None
    algorithm = Distillation.__new__(Distillation)
    algorithm._raw_teacher, algorithm._beyond, algorithm._labels = teacher, 0.0, 0
    algorithm.before_update = lambda: None

    def update(self: Any) -> dict[str, float]:
        self._raw_teacher.reset(hidden_state=None)
        self._raw_teacher.reset(torch.ones(3))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distillation.__base__, "update", update)
        algorithm.update()
    assert teacher.memory is before


def test_a_teacher_is_the_same_from_every_kind_of_file(files: dict[str, Path], tmp_path: Path) -> None:
    """TorchScript, the port made of it, and the port's ONNX file label alike; the port brings its contract."""
    contract = rover.contract("teacher")
    taught = open_teacher(files["policy"], contract)
    write_port(tmp_path / "port", taught.policy, identity_remap(contract), formats=("onnx",))
    port = open_teacher(tmp_path / "port", None)
    assert port.contract == contract
    seen = torch.randn(5, 9)
    wanted = seen @ controller().weight.T  # type: ignore[attr-defined]
    for other in (taught, port, open_teacher(tmp_path / "port" / "policy.onnx", contract)):
        torch.testing.assert_close(other.policy.actor(seen)[0], wanted, atol=1e-5, rtol=1e-5)
    with pytest.raises(ContractError, match=r"holds its own contract.*Leave --teacher-contract out.*policy.onnx"):
        open_teacher(tmp_path / "port", rover.contract("teacher").model_copy(update={"name": "other"}))


REAL = {
    "unitree_rl_gym_g1_12dof": "policies/unitree_rl_gym_g1_12dof.pt",
    "mujoco_playground_go1": "policies/mujoco_playground_go1.onnx",
    "newton_assets_mjw_go2": "policies/newton_assets_mjw_go2.pt",
    "openwbt_loco": "recurrent/openwbt_loco.onnx",
}


@pytest.mark.parametrize("name", REAL)
def test_real_policies_teach_in_batches(name: str, shared: Path) -> None:
    """TorchScript with an LSTM, ONNX with and without a memory and RSL-RL's files label several environments at once,
    each apart from the others.
    """
    contract = load_contract(CONTRACTS / f"{name}.yaml")
    teacher = made(shared / "real_policies" / REAL[name], contract)
    seen = TensorDict({"teacher": torch.randn(3, contract.observation_size)}, batch_size=[3])
    with torch.inference_mode():
        first = teacher(seen)
        teacher(seen)
        teacher.reset(torch.tensor([1, 0, 0]))
        third = teacher(seen)
    assert first.shape == (3, contract.action_size)
    torch.testing.assert_close(third[0], first[0], atol=1e-5, rtol=1e-5)
    assert torch.allclose(third[1], first[1], atol=1e-5) == (not teacher.memory)


def test_labels_are_what_takes_effect_in_the_students_units(files: dict[str, Path]) -> None:
    """What the teacher's raw_clip cuts off is no label; the student's is not asked, but what it cuts off is counted."""
    stated = rover.contract("teacher").model_dump(mode="json", exclude_none=True)
    stated["action"]["raw_clip"] = [-1.0, 1.0]
    teacher = made(files["policy"], Contract.model_validate(stated))
    seen = torch.zeros(3, 9)
    seen[0, 6] = 10.0
    labels = teacher(TensorDict({"teacher": seen}, batch_size=[3]))
    assert labels[0].tolist() == [1.0, 1.0]
    teacher.as_student = lambda values: 3.0 * values
    assert teacher(TensorDict({"teacher": seen}, batch_size=[3]))[0].tolist() == [3.0, 3.0]
    algorithm = Distillation.__new__(Distillation)
    algorithm._beyond, algorithm._labels = 0.0, 0
    algorithm.bounds = (torch.full((2,), -2.0), torch.full((2,), 2.0))
    algorithm.student = lambda obs, stochastic_output: torch.zeros(3, 2)  # type: ignore[assignment]
    algorithm.teacher, algorithm.transition = teacher, SimpleNamespace()  # type: ignore[assignment]
    algorithm.act(TensorDict({"teacher": seen}, batch_size=[3]))
    assert algorithm._beyond == pytest.approx(1.0 / 3.0)


def test_a_teacher_that_was_exchanged_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """A teacher is read again when a run goes on; where its file is another one by then, both sums are told."""
    file = tmp_path / "policy.pt"
    file.write_bytes(files["policy"].read_bytes())
    taught = open_teacher(file, rover.contract("teacher"))
    config = teacher_config(taught, {})
    torch.jit.script(torch.nn.Sequential(controller(0.1))).save(file)
    shown = TensorDict({"teacher": torch.zeros(3, 9)}, batch_size=[3])
    del config["class_name"]
    with pytest.raises(CheckpointError, match=rf"another one than when the run began.*{taught.policy.sha256[:12]}"):
        Teacher(shown, {"teacher": ["teacher"]}, "teacher", 2, **config)


def test_what_cannot_teach_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """A contract of another width is told with both, and a file needs a contract."""
    with pytest.raises(ContractError, match=r"teacher .*policy.pt: the network reads 9 numbers, .* describes 10"):
        open_teacher(files["policy"], rover.contract("student"))
    with pytest.raises(ContractError, match="give --teacher-contract"):
        open_teacher(files["policy"], None)


@pytest.mark.parametrize(
    ("share", "words"), [(-1.0, "falls|tracks"), (0.0, "standing still"), (0.02, "standing still")]
)
def test_a_teacher_that_cannot_do_the_task_is_refused(
    files: dict[str, Path], tmp_path: Path, share: float, words: str
) -> None:
    """One that drives backwards, one that only stands still, and one that hardly moves, before anything is written."""
    with torch.no_grad():
        network = controller()
        network.weight *= share  # type: ignore[operator]
    torch.jit.script(torch.nn.Sequential(network)).save(tmp_path / "idle.pt")
    lesson = open_lesson(tmp_path / "idle.pt", files["teacher"], files["student"])
    with pytest.raises(TrainError, match=rf"idle.pt: .*({words}).*nothing to learn from it"):
        distil(lesson, place(files), Plan(out=tmp_path / "run", agent=files["agent"]))
    assert not (tmp_path / "run").exists()


def edited(files: dict[str, Path], **changes: Any) -> Path:
    data = rover.contract("student").model_dump(mode="json", exclude_none=True)
    path = files["student"].with_name("edited.yaml")
    path.write_text(Contract.model_validate({**data, **changes}).to_yaml())
    return path


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "more joints": (
        {"joints": {**rover.CONTRACT["joints"], "arm": rover.CONTRACT["joints"]["left"]}},
        {},
        "no joint 'arm'",
    ),
    "fewer driven joints": (
        {
            "joints": {
                **rover.CONTRACT["joints"],
                "right": {"unit": "rad", "default": 0.0, "stiffness": 1, "damping": 1},
            },
            "action": {"terms": [{"term": "joint_effort", "scale": 0.5, "joints": ["left"]}]},
        },
        {},
        "right",
    ),
    "a term that the plant lacks": (
        {"observation": {"terms": [{"term": "base_ang_vel", "frame": {"site": "imu"}}, {"term": "velocity_command"}]}},
        {},
        "imu",
    ),
    "a student that sees": (
        {},
        {"student": {"class_name": "CNNModel", "cnn_cfg": {}}},
        "CNNModel, and a robot on a plant has no camera",
    ),
    "steps that are never learnt from": ({}, {"algorithm": {"gradient_length": 5}}, "gradient_length 5 doesn't divide"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(files: dict[str, Path], out: Path, case: str) -> None:
    """Each mistake is told by name, and nothing is written."""
    changes, settings, words = WRONG[case]
    agent = files["agent"].with_name("wrong.yaml")
    distribution = {"distribution_cfg": {"init_std": 0.1}}
    table = settings.get("student")
    agent.write_text(
        rover.agent_yaml({**SHORT, **settings, **({"student": {**table, **distribution}} if table else {})})
    )
    with pytest.raises(PolicyPortError, match=words) as caught:
        lesson = open_lesson(files["policy"], files["teacher"], edited(files, **changes))
        distil(lesson, place(files), Plan(out=out, agent=agent))
    assert caught.value.exit_code == 2
    assert not out.exists()


def test_a_network_is_named_once(files: dict[str, Path], out: Path) -> None:
    """--student and the settings may not say two networks; by name a student is what it says, with its usual sizes."""
    agent = files["agent"].with_name("lstm.yaml")
    agent.write_text(rover.agent_yaml({**SHORT, "student": {**SHORT["student"], "rnn_type": "lstm"}}))
    with pytest.raises(TrainError, match=r"student is lstm 1x8, then 8 elu, and --student says gru"):
        module.settings_of("gru", None, Plan(out=out, agent=agent))
    kinds = {name: module.settings_of(name, None, Plan(out=out)) for name in module.STUDENTS}
    assert [kind.student.words() for kind in kinds.values()] == [
        "gru 1x128, then 128-64 elu",
        "lstm 1x128, then 128-64 elu",
        "256-128-128 elu",
    ]


def test_what_a_student_will_lack_is_told(files: dict[str, Path]) -> None:
    """A student that reads all that its teacher does is told so, one that reads what no sensor gives, and an MLP that
    has nothing of the past.
    """
    same = open_lesson(files["policy"], files["teacher"], files["teacher"])
    assert any("reads everything that the teacher reads" in note for note in same.notes())
    assert [note for note in same.notes() if "'base_lin_vel', which no sensor of the robot itself gives" in note]
    written = replace(same, student=measurable(same.student, ("imu", "encoders")).student())
    assert not any("no sensor" in note for note in written.notes())
    blind = open_lesson(files["policy"], files["teacher"], files["student"], network="mlp")
    assert any("an MLP sees the present alone" in note for note in blind.notes())
    assert not any("reads everything" in note or "no sensor" in note for note in blind.notes())


def test_a_checkpoint_that_falls_is_not_chosen_for_its_tracking() -> None:
    """Of two checkpoints the one that stands is chosen, although the other tracks a little better."""
    falling, slow = {"tracking": 0.91, "falls": 0.05}, {"tracking": 0.89, "falls": 0.0}
    assert module.best_of({50: {"tracking": 0.90, "falls": 0.0}, 100: falling, 150: slow}) == 50
