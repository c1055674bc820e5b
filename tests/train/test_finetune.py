"""Fine-tuning: the student's weights are where it starts, and where it ends unless it came out better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.cli.train import summary
from policy_port.errors import TrainError
from policy_port.tasks.velocity import Randomisation, load_task
from policy_port.train import finetune as module
from policy_port.train.figures import Scores
from policy_port.train.finetune import Start, choose, finetune, open_start, place_of
from policy_port.train.judge import Judge
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, train
from policy_port.train.run import Run, read_state
from policy_port.train.settings import FinetuneAgent, PpoAgent, ReachAgent, read_agent
from policy_port.train.trial import Trial
from tests.train import rover

SHORT = {"num_steps_per_env": 8, "max_iterations": 4, "save_interval": 2, "algorithm": {"num_mini_batches": 2}}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student: who trained it makes no difference to this stage."""
    folder = tmp_path_factory.mktemp("student")
    files = rover.write(folder)
    agent = folder / "agent.yaml"
    actor = {**rover.AGENT["actor"], "obs_normalization": True}
    agent.write_text(rover.agent_yaml({**rover.AGENT, **SHORT, "actor": actor, "max_iterations": 2}))
    place = Place(plant="mujoco", robot=files["robot"], task=files["task"], num_envs=4)
    return train(files["student"], place, Plan(out=folder / "run", agent=agent))


def settings(out: Path, **more: Any) -> Path:
    agent = out.with_name("tuning.yaml")
    agent.write_text(rover.agent_yaml({**SHORT, "critic_warmup": 2, **more}))
    return agent


def opened(student: Run) -> tuple[Start, Place]:
    start = open_start(student.path, None)
    nothing = dict.fromkeys(("plant", "robot", "task", "num_envs", "device"))
    return start, place_of(start, seed=0, **nothing)  # type: ignore[arg-type]


def test_the_actor_waits_for_its_critic(student: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts with the student's weights and a small deviation; while the critic learns nothing of it moves; then it
    learns at the settings' rate, and its normaliser never moves.
    """
    monkeypatch.setattr(module, "EPISODES", 2)
    monkeypatch.setattr(module, "FINAL", 2)
    monkeypatch.setattr(module, "write_run_report", lambda run: None)
    fixed = {"num_mini_batches": 2, "schedule": "fixed"}
    run = finetune(*opened(student), Plan(out=out, agent=settings(out, algorithm=fixed)))
    states = {i: read_state(file) for i, file in run.checkpoints().items()}
    assert list(states) == [0, 2, 4]
    before = read_state(student.result()[0])["actor_state_dict"]
    for name, value in states[0]["actor_state_dict"].items():
        if "distribution" in name:
            assert torch.equal(value, torch.full((2,), 0.2))
        else:
            assert torch.equal(value, before[name])
        assert torch.equal(states[2]["actor_state_dict"][name], value)
        assert torch.equal(states[4]["actor_state_dict"][name], value) == ("obs_normalizer" in name)
    critics = [states[i]["critic_state_dict"]["mlp.0.weight"] for i in states]
    assert not torch.equal(critics[0], critics[1])
    rates = [state["optimizer_state_dict"]["param_groups"][0]["lr"] for state in states.values()]
    assert rates == [1e-4, 1e-3, 1e-4]
    assert list(run.scores()) == [0, 2, 4]
    assert run.scores()[0] == run.scores()[2]


def test_what_falls_is_undone_and_told(student: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it ships, a fine-tuning keeps 98 % of the student's tracking: what falls below is no checkpoint, and notes,
    page and summary say so. With `keep: 0` it is one.
    """
    monkeypatch.setattr(Judge, "score", lambda self, file, episodes: {"tracking": 0.8 - 0.05 * tried(), "falls": 0.0})
    tries: list[int] = []

    def tried() -> int:
        tries.append(0)
        return max(0, len(tries) - 2)

    told: list[str] = []
    run = finetune(*opened(student), Plan(out=out, agent=settings(out), tell=told.append))
    assert list(run.checkpoints()) == [0, 2] == list(run.scores())
    assert [row["step"] for row in run.undone()] == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert sum("are undone: tracking came to" in note for note in told) == 5
    assert "the run ended after 2 iterations" in run.result()[1]
    page = (out / "report.html").read_text()
    assert "Undone: what fell below the start" in page
    assert "0.0625" in page
    assert "2 iterations, " in summary(run)
    assert "fell below the start and were undone: 5 (undone.csv)" in summary(run)
    tries.clear()
    free = finetune(*opened(student), Plan(out=out.with_name("free"), agent=settings(out, keep=0.0)))
    assert list(free.checkpoints()) == [0, 2, 4]
    assert "Undone" not in (free.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("kind", "stage", "keep", "says"),
    [
        (FinetuneAgent, "finetune", 1.5, "less than or equal to 1"),
        (FinetuneAgent, "finetune", -0.1, "greater than or equal to 0"),
        (FinetuneAgent, "finetune", "most", "keep"),
        (PpoAgent, "train", 0.95, "keep"),
        (ReachAgent, "finetune_reach", 0.95, "keep"),
    ],
)
def test_what_is_to_be_kept_is_a_share_and_of_a_velocity_task(
    kind: type[PpoAgent], stage: str, keep: object, says: str, tmp_path: Path
) -> None:
    """Anything else is refused, and so is the key where nothing would be held against it."""
    (tmp_path / "agent.yaml").write_text(rover.agent_yaml({"keep": keep}))
    with pytest.raises(TrainError, match=says):
        read_agent(kind, stage, tmp_path / "agent.yaml", {"actor": rover.AGENT["actor"]})
    read_agent(kind, stage, None, {"actor": rover.AGENT["actor"]})


def test_another_network_is_refused(student: Run, out: Path) -> None:
    """A network into which the student's weights don't fit would learn from nothing: both are named."""
    agent = settings(out, actor={"hidden_dims": [64, 32]})
    words = r"actor is 64-32 elu.*the student in .* is 32-32 elu: mlp.0.weight is 64x10 there and 32x10 here"
    with pytest.raises(TrainError, match=words):
        finetune(*opened(student), Plan(out=out, agent=agent))
    assert not out.exists()


def scores(tracking: float, falls: float = 0.0, count: int = 40) -> Scores:
    noise = 0.02 * np.random.default_rng(0).normal(size=count)
    zero = np.zeros(count)
    fell = np.arange(count) < falls * count
    return Scores(
        seeds=np.arange(count),
        tracking=tracking + noise,
        error=zero,
        turn_error=zero,
        survival=np.where(fell, 10.0, 20.0),
        fell=fell,
        action_rate=zero,
        power=zero,
    )


@pytest.mark.parametrize(
    ("tuned", "calm", "reason"),
    [
        ((0.85, 0.25), 0.8, "fine-tuned"),
        ((0.85, 0.28), 0.8, "did not surely improve"),
        ((0.8001, 0.25), 0.8, "did not surely improve"),
        ((0.7, 0.25), 0.8, "did not surely improve"),
        ((0.77, 0.0), 0.8, "fine-tuned"),
        ((0.75, 0.0), 0.8, "did not surely improve"),
        ((0.85, 0.0), 0.75, "lost more than 5 % of its undisturbed tracking"),
    ],
)
def test_only_what_is_surely_better_is_kept(
    tuned: tuple[float, float], calm: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best checkpoint is the result where it tracks better and falls no more, or stands longer and still tracks, in
    episodes that it was not chosen by, and has kept its tracking where nothing disturbs it.
    """
    noise = 0.05 * np.random.default_rng(1).normal(size=40)
    files = {0: Path("model_0.pt"), 20: Path("model_20.pt")}
    measured = {0: {"tracking": 0.8, "falls": 0.3}, 20: {"tracking": 0.81, "falls": 0.0}}
    run: Any = SimpleNamespace(path=Path(), scores=lambda: measured, checkpoints=lambda: files)
    task = load_task("go2_velocity").model_copy(update={"randomisation": Randomisation(delay=(0.0, 0.02))})
    trial = Trial(task=task)

    def measure(self: Judge, file: Path, trial: Trial) -> Scores:
        disturbed = trial.task.randomisation.delay is not None
        if file == files[0]:
            return scores(0.8, 0.25 if disturbed else 0.0)
        found = scores(*tuned) if disturbed else scores(calm)
        return replace(found, tracking=found.tracking + noise - noise.mean())

    judge = Judge(rover.contract("student"), Place(plant="mujoco", robot=Path("robot.xml")))
    monkeypatch.setattr(Judge, "trial", lambda *args, last: trial)
    monkeypatch.setattr(Judge, "measure", measure)
    file, said = choose(judge, run)
    assert reason in said
    assert file.name == ("model_20.pt" if reason == "fine-tuned" else "model_0.pt")


def test_a_checkpoint_alone_needs_what_a_run_would_say(student: Run) -> None:
    """A file's contract, simulator, robot and task are asked for by option."""
    file = student.result()[0]
    with pytest.raises(TrainError, match="give --contract"):
        open_start(file, None)
    start = open_start(file, student.path / "contracts" / "actor.yaml")
    given: dict[str, Any] = {"plant": "mujoco", "robot": "robot.xml", "task": "velocity"}
    for name in given:
        asked = {**given, name: None}
        with pytest.raises(TrainError, match=f"the {name}; give --{name}"):
            place_of(start, num_envs=None, seed=0, device=None, **asked)
    assert place_of(start, num_envs=None, seed=0, device=None, **given).num_envs == 64


def test_a_robot_that_was_changed_is_told(student: Run, tmp_path: Path) -> None:
    """The robot of the student's run is taken as it was, and asked for where it is not there any more."""
    record = student.record.model_copy(update={"robot": str(tmp_path / "gone.xml")})
    start = replace(open_start(student.path, None), run=Run(student.path, record))
    with pytest.raises(TrainError, match=r"gone.xml: .* is not there any more.*--robot"):
        place_of(start, plant=None, robot=None, task=None, num_envs=None, seed=0, device=None)
    (tmp_path / "gone.xml").write_text(rover.MJCF + "\n")
    with pytest.raises(TrainError, match=r"gone.xml: .* was changed since"):
        place_of(start, plant=None, robot=None, task=None, num_envs=None, seed=0, device=None)
    robot = str(tmp_path / "gone.xml")
    assert place_of(start, plant=None, robot=robot, task=None, num_envs=None, seed=0, device=None).robot == Path(robot)
