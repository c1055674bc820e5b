"""Claims about sweeps: what is played again, what fails alone, and what is told before anything runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import load_contract
from policy_port.errors import StoppedSweepError, SuiteError
from policy_port.regress.player import PlantPlayer
from policy_port.resources import assets_dir
from policy_port.sweep import worker
from policy_port.sweep.document import load_sweep
from policy_port.sweep.run import Outcome, run_sweep
from tests.sweep.toy import inline, write_sweep, write_toy


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Outcome, ...]]:
    """The toy's sweep and its outcomes."""
    pytest.importorskip("mujoco")
    path = write_toy(tmp_path_factory.mktemp("toy"))
    return path, run_sweep(load_sweep(path), jobs=2, performer=inline)


@pytest.fixture
def sweep(played: tuple[Path, tuple[Outcome, ...]], tmp_path: Path) -> Path:
    """A copy of it, with what is known."""
    shutil.copytree(played[0].parent, tmp_path / "toy")
    return tmp_path / "toy" / played[0].name


def again(path: Path, **options: Any) -> tuple[Outcome, ...]:
    return run_sweep(load_sweep(path), jobs=1, performer=inline, **options)


def figures(outcomes: tuple[Outcome, ...]) -> list[tuple[Any, ...]]:
    return [(*one.cell.names.values(), one.seed, one.success, one.error) for one in outcomes]


def test_every_policy_is_played_in_every_plant_on_the_same_seeds(
    played: tuple[Path, tuple[Outcome, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole grid; a case in a simulator that stays open comes out as in one of its own."""
    path, outcomes = played
    found = load_sweep(path)
    assert [(one.label, one.iteration) for one in found.policies] == [
        ("a/model_9.onnx", 9),
        ("a/model_10.onnx", 10),
        ("b/model_200.onnx", 200),
    ]
    seeds: dict[tuple[str, ...], list[int]] = {}
    for one in outcomes:
        seeds.setdefault(tuple(one.cell.names.values()), []).append(one.seed)
    assert len(seeds) == 6
    assert all(listed == [0, 1, 2] for listed in seeds.values())
    assert len({one.error for one in outcomes}) == 18, "no two cases are the same"
    last = outcomes[-1]
    job = worker.WorkerJob(
        sweep=str(path), out="", timeout=None, work="", rows="", ports=str(path.parent / "ports"), number=0
    )
    bench = worker.Bench(job)
    cell = {"play": last.cell.play.model_dump(mode="json"), "key": worker.cell_key(found, last.cell.play)}
    assert bench.outcome(cell, last.seed)["error"] == last.error
    bench.close()


def test_workers_are_processes(sweep: Path) -> None:
    """What they write is what this process would have found."""
    write_sweep(sweep.parent, checkpoints=["runs/b/*"])
    found = run_sweep(load_sweep(sweep), jobs=1, fresh=True)
    assert figures(found) == figures(again(sweep))


def test_chunks_get_smaller_so_that_no_worker_waits(sweep: Path) -> None:
    """They hold every case once, at first an eighth of a worker's share, at last one."""
    write_sweep(sweep.parent, checkpoints=["runs/b/*"], seeds=20)
    sizes: list[int] = []

    def looked(todo: Any) -> Any:
        chunks = json.loads((Path(todo[0].work) / worker.TODO).read_text())["chunks"]
        sizes.extend(len(chunk["cases"]) for chunk in chunks)
        return inline(todo)

    found = run_sweep(load_sweep(sweep), jobs=1, fresh=True, performer=looked)
    assert len(found) == sum(sizes) == 40
    assert (sizes[0], sizes[-1]) == (5, 1)
    assert all(one.error is not None for one in found)


def test_a_worker_ends_when_a_case_takes_too_long_or_nobody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hang is told; a run that was stopped takes its folder away, on whatever node its workers are."""
    asked: list[Any] = []
    monkeypatch.setattr(worker, "end_unless", asked.append)
    job = worker.WorkerJob(sweep="", out="", timeout=None, work=str(tmp_path / "w"), rows="", ports="", number=0)
    late: list[Any] = []
    monkeypatch.setattr(worker.WorkerJob, "do", lambda self, since: late.insert(0, since) or {})
    job.perform()
    assert not asked[0](), "no folder"
    (tmp_path / "w").mkdir()
    assert asked[0]()
    late[0][:] = time.monotonic() - 3.0, 2.0
    assert not asked[0]()
    assert capsys.readouterr().err == "a case took longer than 2 s; raise the timeout if it needs longer\n"


def test_simulators_stay_open(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker opens each robot once, whatever the number of policies and commands."""
    opened: list[Any] = []
    real = worker.open_plant
    monkeypatch.setattr(worker, "open_plant", lambda *args: opened.append(1) or real(*args))
    held = {"seconds": 0.06, "command": [0.1, 0.0, 0.0]}
    write_sweep(sweep.parent, commands={"slow": held, "turn": {**held, "command": [0.0, 0.0, 0.3]}}, seeds=1)
    assert len(again(sweep)) == 12
    assert len(opened) == 2


def test_only_what_changed_is_played_again(sweep: Path) -> None:
    """New seeds and policies are; a robot's file that changed plays its plant again, and nothing of before stays."""
    assert all(one.cached for one in again(sweep))
    write_sweep(sweep.parent, seeds=4)
    assert [one.seed for one in again(sweep) if not one.cached] == [3] * 6
    before = again(sweep)
    os.rename(sweep.parent / "runs" / "b", sweep.parent / "runs" / "c")
    assert all(one.cached for one in again(sweep)), "a policy is known by its content"
    robot = sweep.parent / "heavy" / "toy.xml"
    robot.write_text(robot.read_text().replace("0 0 -0.2", "0 0 -0.3"))
    after = again(sweep)
    assert {one.cell.plant for one in after if not one.cached} == {"heavy"}
    changed = zip(before, after, strict=True)
    assert all((a.error != b.error) == (b.cell.plant == "heavy") for a, b in changed)
    assert not any(one.cached for one in again(sweep, fresh=True))


def test_outcomes_of_another_version_are_not_mixed_in(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the package, the simulator or ONNX Runtime: every case is played again."""
    real = worker.fingerprint.versions
    monkeypatch.setattr(worker.fingerprint, "versions", lambda play: {**real(play), "onnxruntime": "0.1"})
    write_sweep(sweep.parent, checkpoints=["runs/b/*"])
    assert not any(one.cached for one in again(sweep))


def test_a_failing_case_is_a_row_with_its_error(sweep: Path) -> None:
    """A checkpoint that is none, one that the contract does not fit, and a robot that is not there."""
    import numpy as np

    from tests.control.networks import save_linear

    (sweep.parent / "runs" / "a" / "model_11.onnx").write_bytes(b"nothing")
    save_linear(sweep.parent / "runs" / "a" / "model_12.onnx", np.zeros((7, 4)))
    plants = {
        "light": {"simulator": "mujoco", "robot": "light/toy.xml"},
        "gone": {"simulator": "mujoco", "robot": "nowhere.xml"},
    }
    write_sweep(sweep.parent, plants=plants, reference=None)
    outcomes = again(sweep)
    failed = {(one.cell.policy.iteration, one.cell.plant): one.failure for one in outcomes if one.failure}
    assert {plant for _, plant in failed} == {"light", "gone"}
    assert all(one.failure for one in outcomes if one.cell.plant == "gone")
    assert all("nowhere.xml" in text for (_, plant), text in failed.items() if plant == "gone")
    assert {iteration for iteration, plant in failed if plant == "light"} == {11, 12}
    assert "7" in failed[12, "light"]
    assert sum(one.cached for one in outcomes) == 9


def test_a_file_that_changes_meanwhile_is_not_taken_for_the_old_one(sweep: Path) -> None:
    """A training that writes over its checkpoint while the sweep runs: the case fails, and the next run plays it."""
    write_sweep(sweep.parent, checkpoints=["runs/b/*"], seeds=[9])
    policy = sweep.parent / "runs" / "b" / "model_200.onnx"

    def meanwhile(todo: Any) -> Any:
        policy.write_bytes((sweep.parent / "runs" / "a" / "model_9.onnx").read_bytes())
        yield from inline(todo)

    found = run_sweep(load_sweep(sweep), jobs=1, performer=meanwhile)
    assert all("changed while the sweep ran" in one.failure for one in found)
    assert not any(one.failure for one in again(sweep))


def test_a_crash_fails_one_case_and_the_others_go_on(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker was at when it died is named, what it had done is kept, and the rest is played by another."""
    real = PlantPlayer.play

    def play(self: PlantPlayer, seed: int, *, record: bool = True) -> Any:
        if seed == 11:
            raise SystemExit("it died")
        return real(self, seed, record=record)

    def mortal(todo: Any) -> Any:
        for job in todo:
            try:
                yield job, job.do([0.0, 0.0])
            except SystemExit:
                yield job, {"crashed": "its process crashed with SIGSEGV"}

    monkeypatch.setattr(PlantPlayer, "play", play)
    write_sweep(sweep.parent, checkpoints=["runs/b/*"], seeds=[10, 11, 12])
    outcomes = run_sweep(load_sweep(sweep), jobs=1, performer=mortal)
    assert [(one.seed, one.failure) for one in outcomes] == [
        (10, ""), (11, "its process crashed with SIGSEGV"), (12, ""),
    ] * 2  # fmt: skip
    monkeypatch.undo()
    assert [one.cached for one in again(sweep)] == [True, False, True] * 2, "a failure is not kept"


def test_what_is_done_when_a_person_stops_it_is_kept(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message counts it; the same command goes on, though the last line on disk was cut."""
    real = PlantPlayer.play

    def play(self: PlantPlayer, seed: int, *, record: bool = True) -> Any:
        if seed == 22:
            raise KeyboardInterrupt
        return real(self, seed, record=record)

    monkeypatch.setattr(PlantPlayer, "play", play)
    write_sweep(sweep.parent, checkpoints=["runs/b/*"], seeds=[20, 21, 22, 23])
    with pytest.raises(StoppedSweepError, match="stopped with 2 of 8 cases done; they are kept, and the same command"):
        again(sweep)
    monkeypatch.undo()
    for rows in (sweep.parent / ".sweep_cache" / "sweep" / "rows").iterdir():
        with open(rows, "a") as file:
            file.write('{"key": "cu')
    assert sum(one.cached for one in again(sweep)) == 2
    assert not list((sweep.parent / ".sweep_cache" / "sweep").glob("work-*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoints": ["runs/*/model_*.pt"]}, "sweep.yaml:1: 'runs/*/model_*.pt' finds no file"),
        ({"checkpoints": ["runs/a"]}, "'runs/a' is a folder; a pattern names files"),
        ({"exclude": ["runs/*/*"]}, "exclude leaves no checkpoint"),
        ({"exclude": ["runs/c/*"]}, "'runs/c/*' finds no file"),
        ({"reference": "havy"}, "reference 'havy' is none of the plants; did you mean 'heavy'?"),
        ({"contracts": {"toy": "tyo.yaml"}}, "contract 'toy': tyo.yaml is not there"),
        ({"seeds": [1, 2, 1]}, "`seeds` must differ, given twice: [1]"),
        ({"seeds": []}, "`seeds` names none"),
        ({"seeds": [2**32]}, "less than 4294967296"),
        ({"seeds": 10**10}, "less than or equal to 100000 "),
        ({"start_noise": 0.0}, "3 episodes would all be the same one"),
        ({"commands": None}, "give exactly one of task, commands and schedule, or seconds"),
        ({"commands": {"walk": {"command": [0.5, 0.0, 0.0]}}}, "`command` goes with `seconds`"),
        ({"commands": {"walk": {"seconds": 1}}}, "reads a command, and nobody gives it one"),
        ({"commands": {"walk": {"command": {"height": 1.0}, "seconds": 1}}}, "reads no command element height"),
        ({"commands": {"walk": {"schedule": "gone.yaml"}}}, "gone.yaml is not there"),
        ({"commands": {"walk": {"command": [1.5, 0.0, 0.0], "seconds": 1}}}, "lin_vel_x = 1.5 is outside [-1, 1]"),
        ({"score": {"measure": "error"}}, "`cap` goes with `measure: error`"),
        ({"plants": {"one": {"simulatr": "mujoco"}}, "reference": None}, "unknown key 'simulatr'"),
        ({"plants": {"env": {"id": "PickCube-v1"}, "toy": {"simulator": "mujoco"}}, "reference": "env"}, "brings its"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_runs(
    played: tuple[Path, tuple[Outcome, ...]], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Where, what was given, what exists."""
    shutil.copytree(played[0].parent, tmp_path, dirs_exist_ok=True)
    with pytest.raises(SuiteError) as told:
        load_sweep(write_sweep(tmp_path, **changes))
    assert message in str(told.value)
    assert "sweep.yaml" in str(told.value)


def test_an_environment_and_a_plant_do_the_same_task(tmp_path: Path) -> None:
    """An environment brings its task along; beside it, a plant does one `task`, and nothing else."""
    write_toy(tmp_path)
    reach = load_contract(assets_dir() / "so100_reach" / "contract.yaml")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(reach.model_dump(mode="json", exclude_none=True)))
    plants = {"env": {"id": "PolicyPortSO100Reach-v1"}, "mujoco": {"simulator": "mujoco"}}
    asked = {"reach": {"task": "so100-reach"}}
    cells = load_sweep(write_sweep(tmp_path, plants=plants, reference="env", commands=asked, score={})).cells
    assert [(cell.plant, cell.play.task) for cell in cells[::3]] == [("env", None), ("mujoco", "so100-reach")]
    with pytest.raises(SuiteError, match="brings its own task: beside it, plants do one `task` alone"):
        load_sweep(write_sweep(tmp_path, plants=plants, reference="env"))


@pytest.mark.parametrize("what", ["checkpoints", "plants", "contracts", "commands"])
def test_two_names_of_the_same_thing_are_refused(sweep: Path, what: str) -> None:
    """A copied checkpoint, robot or contract, or a command written twice, would count twice; the remedy works."""
    folder, walk = sweep.parent, {"command": [0.5, 0.0, 0.0], "seconds": 0.1}
    shutil.copy(folder / "light" / "toy.xml", folder / "light" / "twin.xml")
    shutil.copy(folder / "toy.yaml", folder / "twin.yaml")
    if what == "checkpoints":
        shutil.copy(folder / "runs/b/model_200.onnx", folder / "runs/b/model_best.onnx")
    changes: dict[str, Any] = {
        "checkpoints": {},
        "plants": {"plants": {name: {"simulator": "mujoco", "robot": f"light/{name}.xml"} for name in ("toy", "twin")}},
        "contracts": {"contracts": {"toy": "toy.yaml", "twin": "twin.yaml"}},
        "commands": {"commands": {"one": walk, "other": {"commands": [walk]}}},
    }[what]
    write_sweep(folder, reference=None, **changes)
    with pytest.raises(SuiteError, match=f"{what} .* are the same under two names, and would count as two") as told:
        again(sweep)
    if what == "checkpoints":
        assert str(told.value).endswith("name one under `exclude: [runs/b/model_best.onnx]`")
        write_sweep(folder, exclude=["runs/b/model_best.onnx"])
        assert len(again(sweep)) == 18


def test_what_goes_beyond_the_training_has_to_be_meant(sweep: Path) -> None:
    """The message names the key, and with it the command is played."""
    fast = {"fast": {"command": [1.5, 0.0, 0.0], "seconds": 0.06}}
    write_sweep(sweep.parent, commands=fast, checkpoints=["runs/b/*"])
    with pytest.raises(SuiteError, match="say that it is meant with `beyond_training: true`"):
        load_sweep(sweep)
    write_sweep(sweep.parent, commands=fast, checkpoints=["runs/b/*"], beyond_training=True)
    assert not any(one.failure for one in again(sweep))
