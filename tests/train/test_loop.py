"""The loop around RSL-RL: a curve that a kill does not change, and what stops it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

import tests.train.point_mass as point_mass
from policy_port.checkpoints import load_policy
from policy_port.errors import OutputError, StoppedTrainingError, TrainError
from policy_port.train.loop import make_runner
from policy_port.train.run import Run, open_run, read_state
from tests.train.point_mass import AGENT, PointMass, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nobody stopped."""
    return train(tmp_path_factory.mktemp("whole") / "run", PointMass())


def same(one: Run, other: Run) -> bool:
    """Whether two runs have the same curve, byte by byte, and the same weights and optimiser."""
    curves = [(run.path / "curve.csv").read_bytes() for run in (one, other)]
    states = [[torch.as_tensor(leaf) for leaf in tree_leaves(run.last()) if leaf is not None] for run in (one, other)]
    return curves[0] == curves[1] and all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_a_killed_run_goes_on_to_the_same_curve(whole: Run, out: Path) -> None:
    """After kill -9 in its fourth iteration a run is resumed to the curve, the weights and the optimiser of one that
    was not killed, with a memory, running statistics and an adaptive rate.
    """
    done = subprocess.run([sys.executable, point_mass.__file__, str(out), "20"], check=False)
    assert done.returncode == -9
    assert list(open_run(out).checkpoints()) == [0, 2]
    resumed = train(out, PointMass(), again=True)
    assert list(resumed.checkpoints()) == [0, 2, 4, 5]
    assert same(resumed, whole)
    assert len(resumed.rows()) == 5
    assert resumed.rows()[0]["Loss/value"] != resumed.rows()[4]["Loss/value"]


def test_a_kill_between_curve_and_checkpoint_costs_nothing(whole: Run, out: Path) -> None:
    """Rows that were written before their checkpoint was are made again, not twice."""
    run = train(out, PointMass())
    run.checkpoints()[5].unlink()
    run.checkpoints()[4].unlink()
    assert same(train(out, PointMass(), again=True), whole)


def test_another_seed_draws_another_curve(whole: Run, out: Path) -> None:
    """The seed decides the curve."""
    assert not same(train(out, PointMass(), seed=2), whole)


def test_a_reward_that_is_no_number_stops_the_run_at_its_last_checkpoint(out: Path) -> None:
    """NaN ends the training with an error that names it and what is kept; what is kept is whole."""
    with pytest.raises(TrainError, match=r"rewards .*NaN.*keeps model_2.pt") as caught:
        train(out, PointMass(spoil=20))
    assert caught.value.exit_code == 2
    assert list(open_run(out).checkpoints()) == [0, 2]
    assert len(open_run(out).rows()) == 2


def test_a_rate_that_is_too_high_is_told(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deviation that a rate has made NaN or negative ends the training, with what may help; the lower rate does."""
    algorithm = AGENT.algorithm.model_copy(update={"learning_rate": 1e30, "schedule": "fixed"})
    high = AGENT.model_copy(update={"algorithm": algorithm})
    with monkeypatch.context() as patched:
        patched.setattr(point_mass, "AGENT", high)
        with pytest.raises(TrainError, match=r"a lower learning_rate may help; .*keeps model_0.pt") as caught:
            train(out, PointMass())
    assert caught.value.exit_code == 2
    assert list(train(out.with_name("lower"), PointMass(), minutes=1e-9).checkpoints()) == [0, 2]


def test_more_steps_than_memory_holds_are_refused() -> None:
    """What is told instead, fewer steps or a smaller --num-envs, is enough."""
    settings = AGENT.runner_settings(actor=["actor"], critic=["critic"]) | {"num_steps_per_env": 10_000}
    many: Any = SimpleNamespace(num_envs=65_536)
    with pytest.raises(TrainError, match="16,777,216 at most; set it to 256, or say --num-envs 1677"):
        make_runner("OnPolicyRunner", many, settings, seed=0, device="cpu", where="agent.yaml")
    for steps, envs in ((256, 65_536), (10_000, 1677)):
        many.num_envs = envs
        with pytest.raises(TrainError, match="RSL-RL can't build"):
            make_runner(
                "OnPolicyRunner", many, settings | {"num_steps_per_env": steps}, seed=0, device="cpu", where="a"
            )


def test_ctrl_c_keeps_the_last_checkpoint(whole: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C says what is kept and how to go on, with the exit status of an interrupt; so it does."""

    def interrupt(self: PointMass, actions: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PointMass, "step", interrupt)
        with pytest.raises(StoppedTrainingError, match=r"keeps model_0.pt.*--resume") as caught:
            train(out, PointMass())
    assert caught.value.exit_code == 130
    assert same(train(out, PointMass(), again=True), whole)


def test_a_run_of_minutes_ends_at_a_checkpoint(out: Path) -> None:
    """A budget that is used up ends the run at its first checkpoint, and more iterations go on from there."""
    run = train(out, PointMass(), minutes=1e-9)
    assert list(run.checkpoints()) == [0, 2]


def test_each_checkpoint_is_measured_once(out: Path) -> None:
    """A resumed run measures only what was not measured yet."""
    seen: list[str] = []

    def score(file: Path) -> dict[str, float]:
        seen.append(file.name)
        return {"return": float(len(seen))}

    run = train(out, PointMass(), score=score, minutes=1e-9)
    assert seen == ["model_0.pt", "model_2.pt"]
    train(out, PointMass(), again=True, score=score)
    assert seen == ["model_0.pt", "model_2.pt", "model_4.pt", "model_5.pt"]
    assert run.scores()[4] == {"return": 3.0}


def test_a_run_is_resumed_only_as_what_it_was(whole: Run, out: Path) -> None:
    """Another seed, or settings changed by hand in the folder, are told, and nothing is changed."""
    run = train(out, PointMass(), minutes=1e-9)
    with pytest.raises(TrainError, match=r"out of date.*\n  seed was 1, now 2\n.*--force"):
        train(out, PointMass(), again=True, seed=2)
    with pytest.raises(OutputError, match="exists and is not empty"):
        train(out, PointMass())
    agent = run.path / "agent.yaml"
    agent.write_text(agent.read_text().replace("clip_param: 0.2", "clip_param: 0.3"))
    with pytest.raises(TrainError, match=r"agent.yaml was changed by hand"):
        train(out, PointMass(), again=True)
    assert list(run.checkpoints()) == [0, 2]


def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(whole: Run, out: Path) -> None:
    """A checkpoint that can't be read stops the resumption with what to delete; that done, the run goes on."""
    run = train(out, PointMass())
    run.checkpoints()[5].write_bytes(b"half")
    with pytest.raises(TrainError, match=r"model_5.pt: can't be read.*delete it"):
        train(out, PointMass(), again=True)
    run.checkpoints()[5].unlink()
    assert same(train(out, PointMass(), again=True), whole)


def test_checkpoints_are_rsl_rls_own(whole: Run) -> None:
    """The library tells the file, finds the settings beside it, and reads the network that acted."""
    loaded = load_policy(whole.result()[0])
    assert loaded.library == "rsl_rl"
    assert loaded.actor.obs_size == 1
    assert not loaded.unexplained
    assert read_state(whole.result()[0])["iter"] == 5


def test_going_on_with_a_finished_run_changes_nothing(whole: Run) -> None:
    """A run that has all its iterations trains no more."""
    before = whole.result()[0].read_bytes()
    train(whole.path, PointMass(), again=True)
    assert whole.result()[0].read_bytes() == before


def test_what_trainings_need_is_named() -> None:
    """Where the extra is not installed, as after scripts/demo: in one sentence, with what to do."""
    program = """
import contextlib, io, sys
sys.modules.update(tensordict=None, rsl_rl=None)
from policy_port.cli.app import main
from policy_port.resources import assets_dir
here = assets_dir() / "so100_reach"
policy, contract = str(here / "model.pt"), str(here / "contract.yaml")
for command, given in {
    "train": [contract],
    "finetune": [policy, "--contract", contract],
    "distil": [policy, "--teacher-contract", contract, "--student-contract", contract],
}.items():
    sys.argv = ["policy-port", command, *given, "--plant", "mujoco", "--robot", "so100"]
    sys.argv += ["--task", "so100-reach", "--out", "run"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as end:
        assert end.code == 2, (command, end.code, said.getvalue())
    else:
        raise AssertionError(command)
    assert "which is not installed: pip install 'policy-port[train]'" in said.getvalue(), (command, said.getvalue())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
