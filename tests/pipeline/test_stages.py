"""A pipeline: strict stages, skipped where nothing changed, gone on with where cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml

from policy_port.errors import OutputError, TrainError
from policy_port.pipeline.document import Command, read_pipeline
from policy_port.pipeline.report import figures_text, pipeline_report
from policy_port.pipeline.stages import Running, State

STAGES: dict[str, Any] = {
    "teacher": {"run": "train", "contract": "c.yaml", "iterations": 1500},
    "student": {"run": "distil", "teacher": "@teacher:weights", "seed": 3},
    "port": {"run": "export", "policy": "@student:weights", "format": "onnx"},
    "play": {"run": "play", "each": {"port": ["@port"], "plant": ["mujoco", "newton"]}},
    "compare": {"run": "compare", "runs": "@play"},
}


class CutError(Exception):
    """The power goes."""


class Lab:
    """Commands that write down what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, list[tuple[str, dict[str, Any]]]()
        self.cut = ""
        (folder / "c.yaml").write_text("contract")
        self.write()

    def write(self, stages: dict[str, Any] | None = None, **more: Any) -> None:
        data = {"policy_port_pipeline": 1, "name": "toy", "stages": stages or STAGES, **more}
        (self.folder / "toy.yaml").write_text(yaml.safe_dump(data, sort_keys=False))

    def did(self, name: str, out: Path, **options: Any) -> None:
        self.calls.append((name, options))
        out.mkdir(exist_ok=bool(options.get("resume")))
        (out / "run.yaml").write_text("begun")
        if name == self.cut:
            raise CutError
        came = [self.content(value) for key, value in options.items() if key != "resume"]
        (out / "weights").write_text("; ".join(came))

    def content(self, value: Any) -> str:
        """What a command makes of an option: of earlier stages, what they made."""
        if isinstance(value, Path):
            value = value if value.is_file() else value / "weights"
            return value.read_text() if value.name == "weights" else value.name
        return " ".join(map(self.content, value)) if isinstance(value, list) else str(value)

    @property
    def commands(self) -> dict[str, Command]:
        def train(
            contract: Annotated[Path, typer.Argument()],
            out: Path,
            iterations: Annotated[int | None, typer.Option(min=1)] = None,
            resume: bool = False,
        ) -> None:
            self.did("train", out, contract=contract, iterations=iterations, resume=resume)

        def distil(teacher: Path, out: Path, seed: int = 0) -> None:
            self.did("distil", out, teacher=teacher, seed=seed)

        def export(policy: Path, out: Path, format_: Annotated[str, typer.Option("--format")] = "") -> None:
            self.did("export", out, policy=policy, format=format_)

        def play(port: Path, out: Path, plant: str, robot: str = "so100") -> None:
            self.did("play", out, port=port, plant=plant)

        def compare(runs: Annotated[list[Path] | None, typer.Argument()], out: Path) -> None:
            self.did("compare", out, runs=runs)

        table: dict[str, Callable[..., None]] = {
            "train": train,
            "distil": distil,
            "export": export,
            "play": play,
            "compare": compare,
        }
        figures = {"tracking": {"value": 0.5, "low": 0.4, "high": None}}
        return {
            name: Command(
                call=call, rooms=("train",), measures=lambda folder, options: figures if "seed" in options else {}
            )
            for name, call in table.items()
        }

    def running(self, say: Callable[[str], object] = lambda text: None) -> Running:
        found = read_pipeline(self.folder / "toy.yaml", self.commands)
        return Running(pipeline=found, parts={"weights": lambda folder: folder / "weights"}, say=say)

    def run(self) -> list[str]:
        """Names of the commands that ran."""
        self.calls.clear()
        self.running().run()
        return [name for name, _ in self.calls]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_stages_run_in_order_and_pass_their_folders_on(lab: Lab) -> None:
    """Each command gets its options, and the folders and parts of earlier stages; `each` makes all combinations."""
    states = lab.running().run()
    out = lab.folder / "toy"
    assert list(states) == ["teacher", "student", "port", "play.port.mujoco", "play.port.newton", "compare"]
    assert lab.calls[0] == ("train", {"contract": lab.folder / "c.yaml", "iterations": 1500, "resume": False})
    assert lab.calls[1] == ("distil", {"teacher": out / "teacher" / "weights", "seed": 3})
    assert lab.calls[2][1]["format"] == "onnx"
    assert lab.calls[-1][1]["runs"] == [out / "play.port.mujoco", out / "play.port.newton"]
    report = pipeline_report(lab.running().pipeline, states)
    assert report.tables[0].head == ("", "student")
    assert report.tables[0].rows == (("tracking", "0.5"),)
    assert "tracking  0.5" in figures_text(states)


def test_what_is_done_and_unchanged_is_skipped(lab: Lab) -> None:
    """Only what changed and what hangs on it runs again; what stood there is kept aside."""
    assert lab.run() == ["train", "distil", "export", "play", "play", "compare"]
    assert lab.run() == []
    changed = STAGES | {"student": STAGES["student"] | {"seed": 4}}
    lab.write(changed)
    assert set(lab.running().plan().values()) == {"done", "run"}
    assert lab.run() == ["distil", "export", "play", "play", "compare"]
    assert "; 3" in (lab.folder / "toy/.before/student/weights").read_text()
    (lab.folder / "c.yaml").write_text("contract", encoding="utf-8")
    assert lab.run() == [], "a file written again with the same content is the same"
    (lab.folder / "c.yaml").write_text("another")
    assert lab.run() == ["train"], "the same teacher came out, so nothing behind it runs"
    (lab.folder / "toy/port/weights").write_text("by hand")
    assert lab.run() == ["export"], "what was changed by hand is made again"
    lab.write({name: stage for name, stage in changed.items() if name != "compare"})
    assert lab.run() == []


def test_a_cut_stage_goes_on(lab: Lab) -> None:
    """A command that can resume does where nothing changed, and begins anew where something did."""
    lab.cut = "train"
    with pytest.raises(CutError):
        lab.run()
    assert lab.running().plan()["teacher"] == "resume"
    lab.cut = ""
    assert lab.run()[0] == "train"
    assert lab.calls[0][1]["resume"] is True
    lab.cut = "distil"
    lab.write(STAGES | {"student": STAGES["student"] | {"seed": 5}})
    with pytest.raises(CutError):
        lab.run()
    lab.cut = ""
    assert lab.run()[0] == "distil", "it can't resume: it is made anew"
    lab.cut = "train"
    (lab.folder / "c.yaml").write_text("another")
    with pytest.raises(CutError):
        lab.run()
    (lab.folder / "c.yaml").write_text("a third")
    lab.cut = ""
    lab.run()
    assert lab.calls[0][1]["resume"] is False, "a run of another contract is not gone on with"


def test_a_damaged_note_is_as_good_as_none(lab: Lab) -> None:
    """A stage whose note can't be read is made again."""
    lab.run()
    (lab.folder / "toy/.stages/port.json").write_text("{")
    assert lab.run() == ["export"]


def test_scale_is_one_setting(lab: Lab) -> None:
    """It multiplies whole numbers of every stage that states the option, and the report says so."""
    lab.write(scale={"iterations": 0.01})
    states = lab.running().run()
    assert lab.calls[0][1]["iterations"] == 15
    assert pipeline_report(lab.running().pipeline, states).settings == {"scaled for this machine": "iterations x 0.01"}


WRONG = [
    (
        {"teacher": {"run": "trane"}},
        r"toy.yaml:\d+: stage 'teacher' runs 'trane'.*mean 'train'.*`run` is one of",
    ),
    ({"teacher": {"contract": "c.yaml"}}, "says not what to run"),
    ({"teacher": {"run": "train"}}, "train needs contract"),
    ({"teacher": {"run": "train", "contract": "d.yaml"}}, "contract: no such file: .*d.yaml"),
    ({"teacher": {"run": "train", "contract": "c.yaml", "iteration": 3}}, "unknown key 'iteration'; did you mean"),
    ({"teacher": {"run": "train", "contract": "c.yaml", "resume": True}}, "'resume'; the pipeline itself decides it"),
    ({"teacher": {"run": "train", "contract": "c.yaml", "iterations": "9"}}, "iterations: .*given: '9'"),
    ({"teacher": {"run": "train", "contract": "c.yaml", "iterations": 0}}, "iterations: 0 is not between 1 and any"),
    ({"student": {"run": "distil", "teacher": "@teachr"}}, "names @teachr, which is no stage before it; did you mean"),
    ({"student": {"run": "distil", "teacher": "@student"}}, "@student, which is no stage before it"),
    ({"student": {"run": "distil", "teacher": "@teacher:wings"}}, "no part 'wings'.* There are weights"),
    ({"late": {"run": "export", "policy": "@play"}}, "policy names @play, which is 2 stages, and takes one"),
    ({"port": {"run": "export", "policy": "c.yaml", "after": ["teacher"]}}, '`after` names stages, such as "@port"'),
    ({"port": {"run": "export", "each": {"policy": []}}}, "`each` names options, each with its values"),
    ({"port": {"run": "export", "policy": "c.yaml", "each": {"policy": ["c.yaml"]}}}, "policy stands in `each` too"),
    ({"a/b": {"run": "train", "contract": "c.yaml"}}, "a name has letters"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=lambda value: str(value)[:50])
def test_a_mistake_is_told_before_anything_runs(lab: Lab, changes: dict[str, Any], message: str) -> None:
    """Every option of every stage is held against its command, with file, line and what is valid."""
    lab.write(STAGES | changes)
    with pytest.raises(TrainError) as caught:
        lab.run()
    assert re.search(message, str(caught.value)), caught.value
    if "part" not in message and "2 stages" not in message:
        assert lab.calls == []
        assert not (lab.folder / "toy").exists()


def test_a_stage_waits_for_those_that_it_comes_after(lab: Lab) -> None:
    """Stages are named by @; without it, the message says how."""
    late = {"run": "export", "policy": "c.yaml"}
    lab.write(STAGES | {"late": late | {"after": ["compare"]}})
    with pytest.raises(TrainError, match='`after` names stages, such as "@port"'):
        lab.run()
    lab.write(STAGES | {"late": late | {"after": ["@compare"]}})
    lab.run()
    assert lab.calls[-1][0] == "export"


def test_the_file_is_strict(lab: Lab) -> None:
    """Unknown keys, a scale that nothing states, and a pipeline at work in the same folder are refused."""
    for more, message in (
        ({"stage": {}}, "unknown key 'stage'; did you mean 'stages'"),
        ({"scale": {"num_envs": 0.5}}, r"toy.yaml:\d+: scale.num_envs: no stage states num_envs"),
        ({"scale": {"policy": 0.5}}, "scale.policy is for whole numbers"),
    ):
        lab.write(**more)
        with pytest.raises(TrainError, match=message):
            lab.run()
    lab.write()
    (lab.folder / "toy").write_text((lab.folder / "toy.yaml").read_text())
    with pytest.raises(TrainError, match="has no ending.*write `out` in it, or give --out"):
        read_pipeline(lab.folder / "toy", lab.commands)
    assert read_pipeline(lab.folder / "toy", lab.commands, lab.folder / "b").out == lab.folder / "b"
    (lab.folder / "taken").touch()
    for out in (lab.folder / "taken", lab.folder / "taken" / "b"):
        with pytest.raises(TrainError, match="taken: is a file, and a pipeline makes a folder"):
            read_pipeline(lab.folder / "toy", lab.commands, out)
    nowhere = read_pipeline(lab.folder / "toy.yaml", lab.commands, Path("/proc/nowhere"))
    with pytest.raises(OutputError, match="nowhere: can't be made"):
        Running(pipeline=nowhere, parts={"weights": Path}, say=print).run()
    lab.write(out="a")
    (lab.folder / "toy.yaml").replace(lab.folder / "toy")
    assert read_pipeline(lab.folder / "toy", lab.commands).out == lab.folder / "a"
    (lab.folder / "toy").unlink()
    lab.write()
    running = lab.running()

    def again(states: dict[str, State]) -> None:
        with pytest.raises(TrainError, match="a pipeline is at work here; wait for it, or give another --out"):
            running.run()

    Running(pipeline=running.pipeline, parts=running.parts, say=lambda text: None, on_stage=again).run()
    elsewhere = read_pipeline(lab.folder / "toy.yaml", lab.commands, lab.folder / "b")
    Running(pipeline=elsewhere, parts=running.parts, say=lambda text: None).run()


@pytest.mark.parametrize("values", [["mujoco", "mujoco"], ["a/b", "a.b"]])
def test_two_stages_of_one_name_are_refused(lab: Lab, values: list[str]) -> None:
    """The second would put the first's folder aside."""
    lab.write({"teacher": STAGES["teacher"], "play": {"run": "play", "port": "@teacher", "each": {"plant": values}}})
    with pytest.raises(TrainError, match="`each` makes play.(mujoco|a_b) twice, and a stage's folder is called by"):
        lab.running()


def test_a_part_that_no_stage_has_is_told_before_one_runs(lab: Lab) -> None:
    """Also of the last stage: the first may take hours."""
    lab.write({**STAGES, "port": {"run": "export", "policy": "@student:weigths"}})
    for act in (lab.run, lab.running().plan):
        with pytest.raises(TrainError, match="stage 'port' names @student:weigths: .* did you mean 'weights'"):
            act()
    assert not lab.calls


def test_a_folder_that_may_not_be_written_to_is_said_before_a_stage_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new folder and one of before alike: where, and nothing is called; root may write everywhere, so it is told."""
    lab.run()
    lab.write({"first": STAGES["teacher"], **STAGES})
    for out, asked in ((lab.folder / "toy", lab.folder / "toy" / ".stages"), (lab.folder / "deep" / "new", lab.folder)):
        lab.calls.clear()
        found = read_pipeline(lab.folder / "toy.yaml", lab.commands, out)
        with monkeypatch.context() as rights:
            rights.setattr("os.access", lambda path, mode, asked=asked: Path(path) != asked)
            with pytest.raises(OutputError, match=f"can't be made: nothing may be written in {asked}; name another"):
                Running(pipeline=found, parts={}, say=print).run()
        assert not lab.calls
    assert not (lab.folder / "deep").exists()


def test_a_folder_of_somebody_else_is_left_alone(lab: Lab) -> None:
    """A folder that holds what no pipeline made, or only other stages, is refused untouched; another one is taken."""
    foreign = lab.folder / "home"
    (foreign / "teacher").mkdir(parents=True)
    lab.write(out="home")
    for act in (lab.run, lambda: lab.running().plan()):
        with pytest.raises(OutputError, match="home: holds what no pipeline made: teacher; name a new folder in `out`"):
            act()
    assert list(foreign.iterdir()) == [foreign / "teacher"]
    assert read_pipeline(lab.folder / "toy.yaml", lab.commands, lab.folder / "new").out == lab.folder / "new"
    lab.write({"first": STAGES["teacher"]}, out="mine")
    assert lab.run() == ["train"]
    lab.write(out="mine")
    with pytest.raises(OutputError, match="mine: holds another pipeline's stages: first; name a new folder"):
        lab.run()
    lab.write({"first": STAGES["teacher"], "teacher": STAGES["teacher"]}, out="mine")
    assert lab.run() == ["train"]
