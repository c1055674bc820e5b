"""What falls below a fine-tuning's start is undone and made again by half the step, whenever the run is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tests.train.point_mass as point_mass
from policy_port.errors import TrainError
from policy_port.train import run as run_module
from policy_port.train.guard import CRITIC_RATE, ended
from policy_port.train.run import Run, open_run, read_state
from tests.train.point_mass import AGENT, PointMass, train
from tests.train.test_loop import same

LEFT = ("curve.csv", "scores.csv", "undone.csv")


def moved(file: Path) -> float:
    """How far any weight of the actor is from where it began."""
    now, start = (read_state(one)["actor_state_dict"] for one in (file, file.with_name("model_0.pt")))
    return max(float((now[name] - start[name]).abs().max()) for name in now if "obs_normalizer" not in name)


def tracking(file: Path) -> dict[str, float]:
    """A task that only the start can: each way that leads away from it is wrong."""
    return {"tracking": 2.0 * (1.0 - 1.7 * moved(file)), "falls": 0.0}


def scripted(*values: float) -> Callable[[Path], dict[str, float]]:
    """What the start and then each segment measures, the last value from then on."""
    left = list(values)
    return lambda file: {"tracking": left.pop(0) if len(left) > 1 else left[0]}


def steps(run: Run) -> list[tuple[float, ...]]:
    return [(row["began"], row["iteration"], row["step"]) for row in run.undone()]


def tuned(out: Path, **more: object) -> Run:
    """A run of which every checkpoint must keep 95 % of what the start tracks."""
    return train(out, PointMass(), **{"keep": 0.95, "score": tracking, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nobody stopped, of which something was undone."""
    return tuned(tmp_path_factory.mktemp("whole") / "run")


def test_no_checkpoint_is_below_the_share_that_is_to_be_kept(whole: Run) -> None:
    """The checkpoints that are there have it, by their files as by their scores, each iteration once; of what had not
    there is a row and nothing else.
    """
    assert list(whole.checkpoints()) == [0, 2, 4, 5] == list(whole.scores())
    assert all(tracking(file)["tracking"] >= 0.95 * 2.0 for file in whole.checkpoints().values())
    assert {i: score["tracking"] for i, score in whole.scores().items()} == {
        i: tracking(file)["tracking"] for i, file in whole.checkpoints().items()
    }
    assert [row["iteration"] for row in whole.rows()] == ["0", "1", "2", "3", "4"]
    undone = whole.undone()
    assert {row["began"] for row in undone} >= {0, 2}
    assert all(row["tracking"] < 0.95 * 2.0 for row in undone)
    assert [row["step"] for row in undone] == [0.5**number for number in range(len(undone))]
    assert not (whole.path / "candidate.pt").exists()


@pytest.mark.parametrize("schedule", ["adaptive", "fixed"])
def test_half_the_step_is_half_of_both_settings(schedule: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first iteration was undone twice, the actor went as with a quarter of the desired KL and of the rate,
    by either schedule, and so the curve tells; its critic learned as fast as one that learns alone.
    """
    guarded, free = {"score": scripted(1.0, 0.9, 0.9, 1.0)}, {"keep": 0.0, "score": None}
    quarter = {"schedule": schedule, "learning_rate": 1e-4, "desired_kl": 5e-6}
    runs = []
    for given, more in (
        ({"schedule": schedule, "learning_rate": 4e-4, "desired_kl": 2e-5}, guarded),
        (quarter, free),
        ({"schedule": "fixed", "learning_rate": CRITIC_RATE}, free),
    ):
        algorithm = AGENT.algorithm.model_copy(update={"num_learning_epochs": 5, **given})
        monkeypatch.setattr(point_mass, "AGENT", AGENT.model_copy(update={"max_iterations": 1, "algorithm": algorithm}))
        runs.append(tuned(out.with_name(str(len(runs))), **more))
    assert steps(runs[0]) == [(0, 1, 1.0), (0, 1, 0.5)]
    for role, other, away in (("actor", 1, 1e-7), ("critic", 2, 1e-5)):
        mine, expected = (run.last()[f"{role}_state_dict"] for run in (runs[0], runs[other]))
        for name, value in mine.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=away)
    rates = [float(run.rows()[0]["learning_rate"]) for run in runs]
    assert rates[0] == pytest.approx(rates[1])
    assert rates[0] < 0.5 * rates[2]


def test_it_is_the_start_that_is_kept(out: Path) -> None:
    """Neither the checkpoint before nor the best one is what a checkpoint is held against; the smaller step stays."""
    run = tuned(out, score=scripted(1.0, 0.96, 0.93, 0.97, 0.94, 0.95))
    assert {i: score["tracking"] for i, score in run.scores().items()} == {0: 1.0, 2: 0.96, 4: 0.97, 5: 0.95}
    assert steps(run) == [(2, 4, 1.0), (4, 5, 0.5)]
    assert tuned(out.with_name("rises"), score=scripted(1.0, 2.0, 1.0, 0.96)).undone() == []


def test_a_run_killed_at_any_moment_draws_the_same_curve(
    whole: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the states that the folder is in, from the end of a segment that is undone up to the next checkpoint, a run
    goes on to the same files; and in none of them is what fell a checkpoint.
    """
    write, killed = run_module.write_atomic, out.with_name("killed")

    def writes(file: Path, *more: object) -> None:
        write(file, *more)  # type: ignore[arg-type]
        if file.name in ("candidate.pt", "undone.csv", "model_4.pt", "scores.csv") and 2 in open_run(out).checkpoints():
            shutil.copytree(out, killed / f"{len(list(killed.glob('*')))}_{file.name}")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_atomic", writes)
        assert same(tuned(out), whole)
    found = sorted(killed.iterdir())
    assert {"candidate.pt", "undone.csv", "model_4.pt"} <= {folder.name.partition("_")[2] for folder in found}
    for folder in found:
        kept, scores = open_run(folder).checkpoints(), open_run(folder).scores()
        assert all(tracking(file)["tracking"] >= 0.95 * 2.0 for file in kept.values())
        assert set(scores) <= set(kept)
        run = tuned(folder, again=True)
        assert same(run, whole)
        assert [(run.path / name).read_bytes() for name in LEFT] == [(whole.path / name).read_bytes() for name in LEFT]
        assert not (folder / "candidate.pt").exists()


def test_a_time_limit_ends_a_run_that_is_undoing(whole: Run, out: Path) -> None:
    """A segment that was undone counts as one: the time is looked at after it, and the run goes on from there."""
    run = tuned(out, minutes=1e-9)
    assert steps(run) == [(0, 2, 1.0)]
    assert list(run.checkpoints()) == [0]
    assert run.rows() == []
    assert same(tuned(out, again=True), whole)


def test_a_checkpoint_that_was_deleted_is_made_again(whole: Run, out: Path) -> None:
    """What was undone after it has no say before it; and scores that are lost are measured again."""
    run = tuned(out, score=scripted(1.0, 1.0, 1.0, 0.5, 1.0))
    assert steps(run) == [(4, 5, 1.0)]
    shutil.copytree(out, before := out.with_name("before"))
    for name in ("model_4.pt", "model_5.pt", "scores.csv"):
        (run.path / name).unlink()
    again = tuned(out, again=True, score=scripted(1.0))
    assert steps(again) == [(4, 5, 1.0)]
    assert same(again, open_run(before))


@pytest.mark.parametrize("fallen", [0.0, float("nan")])
def test_the_least_step_ends_the_run(fallen: float, out: Path) -> None:
    """A segment that falls by a sixteenth of the step too, or that can't be measured, ends the run with what it has;
    that is told, and nothing more is trained.
    """
    told: list[str] = []
    run = tuned(out, score=scripted(1.0, 1.0, fallen), tell=told.append)
    assert list(run.checkpoints()) == [0, 2] == list(run.scores())
    assert len(run.rows()) == 2
    assert [row["step"] for row in run.undone()] == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert told[0].startswith("iterations 2 to 4 are undone: tracking came to ")
    assert told[0].endswith("below 95 % of the start's 1.000; again, with 0.5 of the settings' step")
    assert told[-1].endswith("; the run ends")
    assert len(told) == 5
    assert "ended after 2 iterations, because the next checkpoint fell below the start with 0.0625" in ended(run)
    environment = PointMass()
    train(out, environment, again=True, keep=0.95, score=tracking)
    assert environment.steps == 0


def test_what_has_come_to_its_end_is_not_called_over(whole: Run) -> None:
    """A run that was undone on the way and held in the end has nothing to say of it."""
    assert ended(whole) == ""


def test_a_start_that_is_no_number_is_refused_and_one_of_nothing_holds(out: Path) -> None:
    """Nothing can be held against NaN; of a start that tracks nothing no share can be lost."""
    with pytest.raises(TrainError, match=r"scores.csv: model_0.pt.* has a tracking of no number") as caught:
        tuned(out, score=scripted(float("nan"), 1.0))
    assert caught.value.exit_code == 2
    assert list(open_run(out).checkpoints()) == [0]
    run = tuned(out.with_name("nothing"), score=scripted(0.0))
    assert list(run.checkpoints()) == [0, 2, 4, 5]
    assert run.undone() == []


def test_an_actor_that_does_not_learn_yet_is_not_undone(out: Path) -> None:
    """While the critic learns alone a smaller step would change nothing."""
    run = tuned(out, score=scripted(1.0, 0.5, 1.0), first=2)
    assert run.undone() == []
    assert steps(tuned(out.with_name("after"), score=scripted(1.0, 1.0, 0.5, 1.0), first=2)) == [(2, 4, 1.0)]


def test_tensorboard_shows_what_is_kept(whole: Run) -> None:
    """Its curves have each iteration once, with the curve's own numbers."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(whole.path / "tensorboard"))
    board.Reload()
    shown = [(event.step, pytest.approx(event.value)) for event in board.Scalars("Loss/learning_rate")]
    assert shown == [(int(row["iteration"]), float(row["learning_rate"])) for row in whole.rows()]
