"""`train`, `finetune`, and a run's folder where a policy is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from policy_port.cli.app import app
from policy_port.port.folder import load_port
from policy_port.resources import assets_dir

pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from policy_port.train import reach
from tests.train import rover
from tests.train.test_ppo import SHORT


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rover's files, and a run of two iterations."""
    folder = tmp_path_factory.mktemp("rover")
    rover.write(folder)
    (folder / "agent.yaml").write_text(rover.agent_yaml({**rover.AGENT, **SHORT}))
    done = invoke(folder, "train", "student.yaml", "--out", "run", *TRAINED)
    assert done.exit_code == 0, done.output
    assert "2 iterations, reward" in done.output
    assert "result: model_2.pt: the last one\nnext: policy-port export run --out PORT" in done.output
    return folder


TRAINED = (
    "--plant",
    "mujoco",
    "--robot",
    "robot.xml",
    "--task",
    "task.yaml",
    "--num-envs",
    "4",
    "--agent",
    "agent.yaml",
)


def invoke(folder: Path, *words: str) -> Result:
    """Call a command in a folder."""
    with pytest.MonkeyPatch.context() as where:
        where.chdir(folder)
        return CliRunner().invoke(app, words)


def test_a_run_is_exported_by_its_folder(work: Path) -> None:
    """The run's result goes into a port with the run's own contract, and which file that was is told."""
    done = invoke(work, "export", "run", "--out", "port", "--format", "torchscript")
    assert done.exit_code == 0, done.output
    assert "note: run: model_2.pt is taken: the last one" in done.output
    assert load_port(work / "port").contract.name == "rover_student"
    assert "rsl_rl, 5.x" in invoke(work, "inspect", "run").output


def test_a_checkpoint_alone_needs_its_contract(work: Path) -> None:
    """Outside of its run a file doesn't say what its numbers mean; with --contract it is exported."""
    words = ("export", "run/model_2.pt", "--out", "alone", "--format", "torchscript")
    done = invoke(work, *words)
    assert done.exit_code == 2
    assert "does not say what its numbers mean; give its contract with --contract FILE" in done.output
    assert invoke(work, *words, "--contract", "student.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("command", "more", "says"),
    [
        ("train student.yaml", TRAINED, "exists and is not empty; name another folder, or replace it with --force"),
        ("train student.yaml", (*TRAINED, "--resume", "--force"), "--force replaces it; give one of the two"),
        ("train student.yaml", (*TRAINED, "--resume", "--seed", "1"), "is out of date and can't be resumed"),
        ("finetune elsewhere", ("--out", "new"), "is no run's folder"),
        ("finetune task.yaml", ("--contract", "student.yaml", "--out", "new"), "task.yaml"),
    ],
)
def test_a_misuse_is_told(work: Path, command: str, more: tuple[str, ...], says: str) -> None:
    """Each ends with a message and status 2, and the run stays as it was."""
    (work / "elsewhere").mkdir(exist_ok=True)
    before = {file: file.stat().st_mtime_ns for file in (work / "run").iterdir()}
    done = invoke(work, *command.split(), "--out", "run", *more)
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.replace("│", " ").split())
    assert {file: file.stat().st_mtime_ns for file in (work / "run").iterdir()} == before
    assert not (work / "new").exists()


def test_a_run_is_gone_on_with(work: Path) -> None:
    """--resume takes a run for longer, or leaves one that is done as it is; --force begins it anew."""
    longer = invoke(work, "train", "student.yaml", "--out", "run", *TRAINED, "--resume", "--iterations", "3")
    assert "3 iterations, reward" in longer.output
    anew = invoke(work, "train", "student.yaml", "--out", "run", *TRAINED, "--force")
    assert "2 iterations, reward" in anew.output


def test_a_supervisor_goes_with_a_task_of_its_own_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another task and another arm are refused, and nothing is written; as the messages say, it is learnt under it."""
    pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")
    for name in ("EPISODES", "FINAL"):
        monkeypatch.setattr(reach, name, 2)
    (tmp_path / "agent.yaml").write_text("num_steps_per_env: 4\ncritic_warmup: 1\n")
    shipped = assets_dir() / "so100_reach"
    words = ["finetune", str(shipped / "model.pt"), "--contract", str(shipped / "contract.yaml"), "--out", "run"]
    words += ["--plant", "mujoco", "--robot", "so100", "--iterations", "1", "--num-envs", "2", "--agent", "agent.yaml"]
    for more, says in (
        (("--task", "go2_velocity", "--supervisor", "so100"), "go2_velocity is none: give --task so100-reach"),
        (("--task", "so100-reach", "--supervisor", "so101"), "is of an so101, and contract 'so100_reach' is of so100"),
    ):
        done = invoke(tmp_path, *words, *more)
        assert done.exit_code == 2
        assert says in " ".join(done.output.replace("│", " ").split())
        assert not (tmp_path / "run").exists()
    done = invoke(tmp_path, *words, "--task", "so100-reach", "--supervisor", "so100")
    assert done.exit_code == 0, done.output
    assert "arm: so100" in (tmp_path / "run" / "limits.yaml").read_text()
