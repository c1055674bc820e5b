"""Running a pipeline: what is done and unchanged is skipped, what was cut is gone on with, the rest is made anew."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from policy_port.errors import OutputError, PolicyPortError, TrainError, closest
from policy_port.files import check_writable, hash_data, hash_file, hash_files, json_text, source_hash, write_atomic
from policy_port.pipeline.document import REFERENCE, Pipeline, Stage, texts
from policy_port.report.about import versions
from policy_port.robot_models.find import ROBOT_FILES, robot_files

STATES = ".stages"
"""Folder of what is known of each stage."""
BEFORE = ".before"
"""Folder of what stood in the place of stages that were made anew, the last of each."""
NOT_CONTENT = {"manifest.json", "report.html", "tensorboard"}
"""Files that hold when they were written, and decide nothing."""

Part = Callable[[Path], Path]
"""A part of a stage's folder: "checkpoint", "contract"."""
Plan = Literal["done", "resume", "run"]


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known of a stage; its file is written when it begins and when it is done."""

    key: str
    """Hash of all that it was made of."""
    done: bool = False
    """Whether it came to its end."""
    content: str = ""
    """Hash of what it left."""
    seconds: float = 0.0
    """How long it took, the last time [s]."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured of it."""
    said: str = ""
    """What came out, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A pipeline with what it needs to run."""

    pipeline: Pipeline
    """The pipeline."""
    parts: Mapping[str, Part]
    """What `@NAME:PART` may name."""
    say: Callable[[str], object] = print
    """Tells a person."""
    edited: Literal["again", "refuse"] = "again"
    """What is done where what a stage left is not as it left it."""
    on_stage: Callable[[dict[str, State]], object] = lambda states: None
    """Called with what is known of all stages, after each."""

    def plan(self) -> dict[str, Plan]:
        """What would be done with each stage; one behind a stage that is to run will run."""
        found: dict[str, Plan] = {}
        self._check_parts()
        refuse_foreign(self.pipeline.out, [stage.name for stage in self.pipeline.stages])
        for stage in self.pipeline.stages:
            behind = any(found[name] != "done" for name in self._named(stage))
            found[stage.name] = "run" if behind else self._due(stage, self._key(stage))
        return found

    def run(self) -> dict[str, State]:
        """Run every stage that is due, in order.

        Raises:
            PolicyPortError: What a command refuses, with the stage in front; what was done before stays.
        """
        states: dict[str, State] = {}
        refuse_foreign(self.pipeline.out, [stage.name for stage in self.pipeline.stages])
        check_writable(self.pipeline.out / STATES / "lock")
        self._check_parts()
        try:
            (self.pipeline.out / STATES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.pipeline.out}: can't be made: {error.strerror or error}") from error
        with _alone(self.pipeline.out):
            _sweep(self.pipeline.out)
            for number, stage in enumerate(self.pipeline.stages, 1):
                try:
                    states[stage.name] = self._stage(stage, f"{number}/{len(self.pipeline.stages)} {stage.name}")
                except PolicyPortError as error:
                    error.args = (f"stage '{stage.name}' ({stage.kind}): {error}",)
                    raise
                self.on_stage(states)
        return states

    def _check_parts(self) -> None:
        """Refuse a part that no stage has before the first one runs, which may take hours."""
        for stage in self.pipeline.stages:
            for match in map(REFERENCE.fullmatch, texts(stage.options)):
                if match is None or match["part"] is None or match["part"] in self.parts:
                    continue
                raise TrainError(
                    f"{self.pipeline.file}: stage '{stage.name}' names {match[0]}: a stage has no part "
                    f"'{match['part']}'{closest(match['part'], self.parts) or '.'} There are {', '.join(self.parts)}"
                )

    def _stage(self, stage: Stage, title: str) -> State:
        key = self._key(stage)
        due = self._due(stage, key)
        if due == "done":
            self.say(f"{title}: done before, and nothing that it depends on has changed")
            return self._read(stage) or State(key=key)
        options, folder = self._options(stage), self._folder(stage)
        own = stage.command.folder is None
        if due == "run" and own and folder.exists():
            self._put_aside(folder, stage.name)
        self._write(stage, State(key=key))
        self.say(f"{title}: {stage.kind}{', from where it was cut' if due == 'resume' else ''}")
        start = time.monotonic()
        given = {**options, **({"out": folder} if own else {}), **({"resume": True} if due == "resume" else {})}
        stage.command.call(**stage.command.parameters(given))
        state = State(
            key=key,
            done=True,
            content=_content(folder),
            seconds=time.monotonic() - start,
            figures=stage.command.measures(folder, given),
            said=stage.command.tells(folder),
        )
        self._write(stage, state)
        return state

    def _put_aside(self, folder: Path, name: str) -> None:
        old = self.pipeline.out / BEFORE / name
        shutil.rmtree(old, ignore_errors=True)
        old.parent.mkdir(exist_ok=True)
        folder.rename(old)
        self.say(f"  what stood there is in {old}")

    def _due(self, stage: Stage, key: str) -> Plan:
        state, folder = self._read(stage), self._folder(stage)
        if state is None or state.key != key:
            return "run"
        if state.done:
            whole = folder.exists() and _content(folder) == state.content
            if not whole and folder.exists() and self.edited == "refuse":
                raise OutputError(
                    f"{folder}: is not as stage '{stage.name}' left it: something in it was changed, added or deleted. "
                    "Put it back, or delete the folder, and the stage is made anew"
                )
            return "done" if whole else "run"
        return "resume" if stage.command.resumes and (folder / "run.yaml").is_file() else "run"

    def _key(self, stage: Stage) -> str:
        """Hash of all that a stage is made of: options, files, earlier stages, source and versions."""
        options = self._options(stage)
        files = {key: _hashes(value, key) for key, value in options.items()}
        # Where an earlier stage lies is not what it is.
        stated = {key: value for key, value in options.items() if files[key] is None}
        return hash_data(
            {
                "command": stage.kind,
                "options": json.loads(json.dumps(stated, default=str)),
                "files": files,
                "beside": stage.command.depends(options),
                "source": source_hash(stage.command.rooms),
                "versions": {} if stage.command.lasting else versions(),
            }
        )

    def _options(self, stage: Stage) -> dict[str, Any]:
        """A stage's options with folders and files in the place of the stages that they name."""
        return {key: self._found(value) for key, value in stage.options.items()}

    def _found(self, value: Any) -> Any:
        if isinstance(value, list):
            found: list[Any] = []
            for item in value:
                named = isinstance(item, str) and REFERENCE.fullmatch(item)
                found += self._places(item) if named else [item]
            return found
        if isinstance(value, str) and REFERENCE.fullmatch(value):
            (place,) = self._places(value)
            return place
        return value

    def _places(self, text: str) -> list[str]:
        match = REFERENCE.fullmatch(text)
        assert match is not None
        names = self.pipeline.families.get(match["stage"], (match["stage"],))
        stages = {stage.name: stage for stage in self.pipeline.stages}
        folders = [self._folder(stages[name]) for name in names]
        part = match["part"]
        if part is None:
            return [str(folder) for folder in folders]
        return [str(self.parts[part](folder)) for folder in folders]

    def _named(self, stage: Stage) -> tuple[str, ...]:
        return tuple(each for name in stage.needs for each in self.pipeline.families.get(name, (name,)))

    def _folder(self, stage: Stage) -> Path:
        if stage.command.folder is not None:
            return stage.command.folder(stage.options)
        return self.pipeline.out / stage.name

    def _read(self, stage: Stage) -> State | None:
        file = self.pipeline.out / STATES / f"{stage.name}.json"
        try:
            return State(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            # Damaged is as good as never done: the stage is made again.
            return None

    def _write(self, stage: Stage, state: State) -> None:
        write_atomic(self.pipeline.out / STATES / f"{stage.name}.json", json_text(vars(state)))


def _sweep(out: Path) -> None:
    """Delete what killed stages left beside their folders: files and folders that were never put in place."""
    for place in (out, *(item for item in out.iterdir() if item.is_dir() and item.name.startswith("."))):
        for item in place.glob(".*.part"):
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink(missing_ok=True)


def refuse_foreign(out: Path, stages: Sequence[str]) -> None:
    """Refuse a folder that holds what no pipeline made, or what another one did.

    Raises:
        OutputError: Naming what is there.
    """
    try:
        there = sorted(item.name for item in out.iterdir() if not item.name.startswith("."))
        made = sorted(file.stem for file in (out / STATES).glob("*.json"))
    except OSError:
        return
    remedy = "name a new folder in `out`, or by --out"
    if made and not set(made) & set(stages):
        raise OutputError(f"{out}: holds another pipeline's stages: {', '.join(made)}; {remedy}")
    if there and not (out / STATES).is_dir():
        more = f" and {len(there) - 5} more" if len(there) > 5 else ""
        raise OutputError(f"{out}: holds what no pipeline made: {', '.join(there[:5])}{more}; {remedy}")


def _hashes(value: Any, key: str) -> Any:
    """Content of the file or folder that an option names; None for what names none."""
    if isinstance(value, list):
        found = [_hashes(item, key) for item in value]
        return found if any(found) else None
    if not isinstance(value, str) or not value.startswith("/") or not (path := Path(value)).exists():
        return None
    if path.is_dir():
        return _content(path)
    if key == "robot" and path.suffix.lower() in ROBOT_FILES:
        return hash_files(path.resolve().parent, robot_files(path))
    # A checkpoint means what the settings beside it say.
    beside = [path.parent / "agent.yaml", path.parent / "params" / "agent.yaml"]
    return [hash_file(each) for each in (path, *beside) if each.is_file()]


def _content(folder: Path) -> str:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return hash_files(folder, [file for file in files if not NOT_CONTENT & set(file.relative_to(folder).parts)])


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse a second pipeline in the same folder."""
    with open(out / STATES / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TrainError(f"{out}: a pipeline is at work here; wait for it, or give another --out") from None
        yield
