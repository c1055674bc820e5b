"""What can't come to an end is refused before anything is computed, and what was computed is kept."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from policy_port.cli.app import app
from policy_port.errors import OutputError, closest
from policy_port.train import place
from policy_port.train.loop import _kept
from policy_port.train.run import Run, open_run

pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from tests.train import rover
from tests.train.test_ppo import SHORT

ON = ("--plant", "mujoco", "--robot", "robot.xml", "--task", "task.yaml", "--num-envs", "4", "--agent", "agent.yaml")
COMMANDS = {
    "train": ("train", "student.yaml", *ON),
    "distil": ("distil", "run", "--student-contract", "student.yaml", *ON),
    "finetune": ("finetune", "run", *ON),
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rover's files, a run of two iterations, a file, and a folder that holds something."""
    folder = tmp_path_factory.mktemp("rover")
    rover.write(folder)
    (folder / "agent.yaml").write_text(rover.agent_yaml({**rover.AGENT, **SHORT}))
    (folder / "file").write_text("mine")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "thesis.txt").write_text("mine")
    done = invoke(folder, *COMMANDS["train"], "--out", "run")
    assert done.exit_code == 0, done.output
    return folder


def invoke(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as where:
        where.chdir(folder)
        return CliRunner().invoke(app, words)


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that is stood up is too late."""

    def too_late(*given: object, **more: object) -> None:
        raise AssertionError("a simulator was made")

    monkeypatch.setattr(place, "make_plant", too_late)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("file", "file: is a file; name a folder"),
        ("foreign", "foreign: exists and is not empty"),
        ("file/run", "can't be made"),
        ("run", "run: exists and is not empty"),
    ],
)
def test_an_out_that_cannot_be_the_runs_is_refused_first(
    work: Path, nothing_is_computed: None, command: str, out: str, says: str
) -> None:
    """A file, a foreign folder, a place below a file: exit 2 before a simulator stands, and nothing is touched."""
    done = invoke(work, *COMMANDS[command], "--out", out)
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.split()), done.output
    assert (work / "file").read_text() == (work / "foreign" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_force_replaces_no_folder_of_somebody_else(work: Path, nothing_is_computed: None, command: str) -> None:
    """Before anything is computed, and the folder is as it was."""
    done = invoke(work, *COMMANDS[command], "--out", "foreign", "--force")
    assert done.exit_code == 2, done.output
    assert "no command made it: it holds thesis.txt" in " ".join(done.output.split()), done.output
    assert (work / "foreign" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(("command", "resumed"), [*((command, False) for command in COMMANDS), ("train", True)])
def test_a_place_without_write_permission_is_refused_first(
    work: Path, nothing_is_computed: None, monkeypatch: pytest.MonkeyPatch, command: str, resumed: bool
) -> None:
    """A new run and one that is gone on with; root may write everywhere, so the system's answer is given here."""
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    done = invoke(work, *COMMANDS[command], "--out", "run" if resumed else "new", *["--resume"] * resumed)
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    assert f"can't be made: nothing may be written in {work}{'/run' * resumed}; name another folder" in said
    assert not (work / "new").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_force_does_not_replace_what_is_read(work: Path, nothing_is_computed: None, command: str) -> None:
    """A run is not replaced by what is learnt from it, nor one that holds the contract or the task."""
    words = ["run/task.yaml" if word == "task.yaml" else word for word in COMMANDS[command]]
    for given in (words, COMMANDS[command]) if command != "train" else (words,):
        done = invoke(work, *given, "--out", "run", "--force")
        assert done.exit_code == 2, done.output
        assert "which is read here; name another folder" in " ".join(done.output.split()), done.output
    assert open_run(work / "run").checkpoints()


def test_finetune_takes_no_other_contract_than_the_runs(work: Path, nothing_is_computed: None) -> None:
    """Weights under a contract that they were not trained with are a mistake; for the file alone it is one's own."""
    stated = yaml.safe_load((work / "student.yaml").read_text())
    stated["action"]["terms"][0]["scale"] = 5.0
    (work / "other.yaml").write_text(yaml.safe_dump(stated))
    done = invoke(work, "finetune", "run", *ON, "--contract", "other.yaml", "--out", "tuned")
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    assert "run: holds its own contract, and --contract gives another one. Leave --contract out, or name the" in said
    for more in (
        ("run",),
        ("run", "--contract", "student.yaml"),
        (f"{work}/run/model_2.pt", "--contract", "other.yaml"),
    ):
        with pytest.raises(AssertionError, match="a simulator was made"):
            raise invoke(work, "finetune", *more, *ON, "--out", "tuned").exception or SystemExit


def test_finetune_says_what_is_not_there_and_what_has_not_ended(
    work: Path, nothing_is_computed: None, tmp_path: Path
) -> None:
    """A misspelt run is no file without a contract, and the newest checkpoint of a run that was cut is told."""
    done = invoke(work, "finetune", "rum", *ON, "--out", "tuned")
    assert (done.exit_code, "rum: no such file or folder" in done.output) == (2, True), done.output
    shutil.copytree(work / "run", tmp_path / "cut")
    (tmp_path / "cut" / "result.yaml").unlink()
    done = invoke(work, "finetune", str(tmp_path / "cut"), *ON, "--out", "tuned")
    assert "has not come to its end: model_2.pt, its newest checkpoint, is taken" in " ".join(done.output.split())


@pytest.mark.parametrize("command", ["distil", "finetune"])
def test_a_run_of_another_command_names_that_command(work: Path, nothing_is_computed: None, command: str) -> None:
    """The run is train's, and train is what goes on with it."""
    done = invoke(work, *COMMANDS[command], "--out", "run", "--resume")
    assert done.exit_code == 2, done.output
    assert "is a run of `policy-port train`" in " ".join(done.output.split()), done.output
    gone_on = invoke(work, *COMMANDS["train"], "--out", "run", "--resume", "--iterations", "2")
    assert "is a run of" not in gone_on.output


def test_a_full_disk_says_what_is_kept(work: Path) -> None:
    """The checkpoint before the one that found no room is named, and how to go on."""
    run: Run = open_run(work / "run")
    with pytest.raises(OutputError, match=r"keeps model_2\.pt and the curve up to it\. Make room"), _kept(run):
        raise OutputError(f"{run.path}/model_4.pt: can't be written: {errno.ENOSPC}")


def test_contacts_shorter_than_two_timesteps_are_refused(work: Path) -> None:
    """MuJoCo would silently take two timesteps for less, so every environment would have the same contacts."""
    task = yaml.safe_load((work / "task.yaml").read_text())
    task["randomisation"] = {**task["randomisation"], "contact_time": [0.0001, 0.02]}
    (work / "hard.yaml").write_text(yaml.safe_dump(task))
    words = ["hard.yaml" if word == "task.yaml" else word for word in COMMANDS["train"]]
    done = invoke(work, *words, "--out", "hard")
    assert done.exit_code == 2, done.output
    assert "randomisation.contact_time" in done.output
    assert "two timesteps" in " ".join(done.output.split())
    assert not (work / "hard").exists()


@pytest.mark.parametrize(
    ("terminations", "says"),
    [
        ({"contact_links": ["hull"]}, "or one of hull touching something. Loosen"),
        ({"max_tilt": 1e-9}, "base below 0.051 m or tilted beyond 0.00 rad. Loosen `terminations` in the task"),
    ],
)
def test_episodes_that_end_as_they_begin_are_refused(work: Path, terminations: dict[str, object], says: str) -> None:
    """A robot that has failed where it stands learns nothing, however long it is trained."""
    task = yaml.safe_load((work / "task.yaml").read_text())
    (work / "hopeless.yaml").write_text(yaml.safe_dump({**task, "terminations": terminations}))
    words = ["hopeless.yaml" if word == "task.yaml" else word for word in COMMANDS["train"]]
    done = invoke(work, *words, "--out", "hopeless")
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    assert "every episode ends within 0.1 s, as actions of zero show" in said
    assert says in said
    assert not (work / "hopeless").exists()


def test_finetune_says_what_it_can_start_from(work: Path, nothing_is_computed: None) -> None:
    """A folder that is no run's."""
    done = invoke(work, "finetune", "foreign", *ON, "--out", "tuned")
    assert done.exit_code == 2, done.output
    assert "finetune starts from such a folder, or from an RSL-RL checkpoint" in " ".join(done.output.split())


@pytest.mark.parametrize(("given", "known"), [("TRACK_LIN_VEL", "track_lin_vel"), ("fl_hip", "FL_hip_joint")])
def test_a_name_is_suggested_whatever_its_case(given: str, known: str) -> None:
    """Case is the commonest slip, and no reason to find nothing."""
    assert closest(given, ["gravity", known]) == f"; did you mean '{known}'?"
