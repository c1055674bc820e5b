"""Claims about what outcomes say: intervals, rankings, the choice, and what is written."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.errors import OutputError
from policy_port.replay.metrics import success_interval
from policy_port.sweep.document import Sweep, load_sweep
from policy_port.sweep.plots import pictures
from policy_port.sweep.policies import iteration_in
from policy_port.sweep.results import check_results, parquet, summary, write_results
from policy_port.sweep.run import Outcome
from policy_port.sweep.scores import Scores
from tests.sweep import toy

SEEDS = 20


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("toy")
    toy.write_toy(folder)
    return load_sweep(toy.write_sweep(folder, seeds=SEEDS, score={}))


def outcomes(sweep: Sweep, won: dict[tuple[int, str], int], failing: tuple[int, str] = (0, "")) -> list[Outcome]:
    """So many wins of each iteration in each plant, on the first seeds; in one cell, seed 3 fails."""
    found = []
    for cell in sweep.cells:
        at = (cell.policy.iteration or 0, cell.plant)
        for seed in sweep.file.all_seeds:
            failure = "it broke" if at == failing and seed == 3 else ""
            success = None if failure else seed < won[at]
            found.append(Outcome(cell=cell, seed=seed, success=success, seconds=0.1, failure=failure))
    return found


WON = {(9, "light"): 2, (10, "light"): 19, (200, "light"): 18, (9, "heavy"): 1, (10, "heavy"): 12, (200, "heavy"): 13}


@pytest.mark.pictures
def test_the_reference_decides_and_the_others_are_judged_by_their_ranking(sweep: Sweep) -> None:
    """The best there is named with those that the seeds do not tell from it; a swap shows in MMRV."""
    scores = Scores(sweep, outcomes(sweep, WON))
    text = summary(scores)
    low, high = success_interval(13, SEEDS)
    assert f"0.650 ({low:.3f} to {high:.3f})" in text
    assert scores.choice().best == "b/model_200.onnx"
    assert "Best in heavy: b/model_200.onnx, 0.650, of 3. 20 seeds do not tell it from a/model_10.onnx." in text
    (ranking,) = scores.rankings()
    assert ranking.mmrv == pytest.approx(2 * 0.05 / 3)
    assert "not ranked so in light: b/model_200.onnx over a/model_10.onnx" in text
    assert [name for name, png in pictures(scores) if png.startswith(b"\x89PNG")] == ["curve.png", "ranking.png"]


def test_seeds_are_paired(sweep: Sweep) -> None:
    """Two policies whose intervals overlap are told apart where one wins whatever the other wins."""
    won = {**WON, (10, "heavy"): 7}
    scores = Scores(sweep, outcomes(sweep, won))
    assert success_interval(7, SEEDS)[1] > success_interval(13, SEEDS)[0]
    assert scores.choice().text == "Best in heavy: b/model_200.onnx, 0.650, of 3."


def test_a_policy_with_a_failed_case_is_not_ranked(sweep: Sweep) -> None:
    """It would be held against the others on other seeds; the text says which, and the error."""
    scores = Scores(sweep, outcomes(sweep, WON, failing=(200, "heavy")))
    assert scores.choice().best == "a/model_10.onnx"
    assert "Left out, because cases of theirs failed: b/model_200.onnx." in scores.choice().text
    assert "1 failed (b/model_200.onnx on heavy): it broke" in summary(scores)
    assert scores.rankings()[0].policies == ("a/model_9.onnx", "a/model_10.onnx")


def test_errors_are_bootstrapped_and_a_diverged_case_is_the_worst(tmp_path: Path) -> None:
    """An error of NaN scores zero, not nothing."""
    toy.write_toy(tmp_path)
    sweep = load_sweep(toy.write_sweep(tmp_path, seeds=2, reference=None))
    errors = {0: 0.25, 1: math.nan}
    found = [Outcome(cell=cell, seed=seed, success=True, error=errors[seed]) for cell in sweep.cells for seed in (0, 1)]
    scores = Scores(sweep, found)
    figure = scores.figure(scores.subjects[0], "light")
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == (0.375, 0.0, 0.75)
    assert "in the mean over heavy, light" in scores.choice().text


def test_seeds_that_change_nothing_are_told(tmp_path: Path) -> None:
    """Their intervals would be narrow for no reason; a single seed has none."""
    toy.write_toy(tmp_path)
    for seeds, error in ((2, 1e-4), (2, 0.1), (1, 0.1)):
        sweep = load_sweep(toy.write_sweep(tmp_path, seeds=seeds))
        found = [
            Outcome(
                cell=cell, seed=seed, success=True, error=0.3 + (error * seed if cell.plant == "heavy" else 0.1 * seed)
            )
            for cell in sweep.cells
            for seed in sweep.file.all_seeds
        ]
        text = summary(Scores(sweep, found))
        assert ("same outcome in walk on heavy: what they draw changes nothing" in text) == (error == 1e-4)
        assert ("Raise `start_noise`" in text) == (error == 1e-4)
        assert ("One seed says nothing of chance" in text) == (seeds == 1)


def test_parquet_holds_every_case(sweep: Sweep) -> None:
    """Typed columns, the hash of the policy, and the sweep itself in its metadata."""
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra: sweep)")
    scores = Scores(sweep, outcomes(sweep, WON, failing=(9, "light")))
    table = pq.read_table(io.BytesIO(parquet(scores)))
    assert table.num_rows == 6 * SEEDS
    row = next(row for row in table.to_pylist() if row["failure"])
    assert (row["iteration"], row["plant"], row["seed"], row["score"], row["success"]) == (9, "light", 3, None, None)
    assert len(row["checkpoint_sha256"]) == 64
    assert table.schema.metadata[b"sweep"] == sweep.path.read_bytes()


def test_results_of_something_else_are_not_written_over(sweep: Sweep, tmp_path: Path) -> None:
    """Neither a folder of a person's nor another sweep's; its own are replaced, pictures of before with them."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: sweep)")
    scores = Scores(sweep, outcomes(sweep, WON))
    write_results(scores, tmp_path / "out", [("curve.png", b"old")])
    check_results(sweep, tmp_path / "out")
    write_results(scores, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cases.parquet", "summary.md", "sweep.json"]
    (tmp_path / "out" / "sweep.json").write_text('{"sweep": "other.yaml"}')
    with pytest.raises(OutputError, match=r"holds the results of other.yaml; name another folder with --out"):
        check_results(sweep, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is there and no sweep's results; name another folder with --out"):
        check_results(sweep, tmp_path / "mine")
    check_results(sweep, tmp_path / "new")


@pytest.mark.parametrize(
    ("path", "iteration"),
    [
        ("runs/2024-11-29_12-00/model_1500.pt", 1500),
        ("rl_model_10000_steps.zip", 10000),
        ("nn/last_Ant_ep_500_rew_123.45.pth", 500),
        ("checkpoints/agent_10000.pt", 10000),
        ("maniskill_sac/ckpt_500000.pt", 500000),
        ("checkpoints/005000/pretrained_model/model.safetensors", 5000),
        ("checkpoint-400/policy.pt", 400),
        ("epoch=3-step=1000.ckpt", 1000),
        ("iter_20.onnx", 20),
        ("750.pt", 750),
        ("3/policy.pt", None),
        ("unitree_rl_lab_g1_29dof.onnx", None),
        ("mujoco_playground_go1.onnx", None),
        ("best_agent.pt", None),
        ("rsl_rl_2.3.3_mlp/policy.pt", None),
    ],
)
def test_names_tell_how_far_a_training_had_come(path: str, iteration: int | None) -> None:
    """As each library names its files; a robot's number, a reward or a version is none."""
    assert iteration_in(path) == iteration


def test_a_counter_in_the_file_tells_where_the_name_does_not(tmp_path: Path) -> None:
    """RSL-RL's `iter`, read without running anything."""
    import torch

    from policy_port.sweep.policies import find_policies

    for name, count in (("best", 120), ("last", 150)):
        torch.save({"model_state_dict": {"w": torch.zeros(1)}, "iter": count}, tmp_path / f"{name}.pt")
    found = find_policies(tmp_path, ["*.pt"], (), "sweep.yaml")
    assert [(one.label, one.iteration) for one in found] == [("best.pt", 120), ("last.pt", 150)]


def test_exit_statuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 all played, 1 a case failed, 2 a mistake and nothing written, 130 stopped with the way to go on."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: sweep)")
    from policy_port.errors import StoppedSweepError
    from policy_port.sweep import run

    toy.write_toy(tmp_path)
    path = toy.write_sweep(tmp_path, seeds=SEEDS, score={})

    def answer(*failing: tuple[int, str]) -> tuple[int, str]:
        monkeypatch.setattr(run, "run_sweep", lambda found, **asked: tuple(outcomes(found, WON, *failing)))
        result = CliRunner().invoke(app, ["sweep", str(path), "--plot"])
        return result.exit_code, result.output

    code, text = answer()
    assert (code, (tmp_path / "sweep.results" / "curve.png").is_file()) == (0, True)
    assert text.endswith(
        f"120 cases, 0 of them known, 0 failed; wrote {tmp_path / 'sweep.results' / 'cases.parquet'}\n"
    )
    assert answer((9, "light"))[0] == 1

    def stop(found: Sweep, **asked: object) -> None:
        raise StoppedSweepError("sweep.yaml: stopped with 3 of 120 cases done")

    monkeypatch.setattr(run, "run_sweep", stop)
    assert CliRunner().invoke(app, ["sweep", str(path)]).exit_code == 130
    toy.write_sweep(tmp_path, seeds=0)
    result = CliRunner().invoke(app, ["sweep", str(path), "--out", str(tmp_path / "none")])
    assert (result.exit_code, (tmp_path / "none").exists()) == (2, False)
