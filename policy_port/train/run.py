"""The folder of a training: what it was asked for, its curve, and checkpoints in RSL-RL's own format.

| file | what it holds |
|---|---|
| run.yaml | what was asked for: stage, seed, simulator, hashes of all that went in, versions |
| agent.yaml | settings, whole; `inspect` and `export` find the activation here |
| task.yaml | the task, where it is one of ours |
| dynamics.yaml | what was identified of the robot, where that was given; beside it its networks |
| limits.yaml | what the supervisor of the arm lets through and stops, where the arm was named |
| drawn.csv | each environment's dynamics, where they were drawn |
| contracts/NAME.yaml | the contract of each group of observations |
| model_N.pt | after N iterations, with the optimiser's state; model_0.pt is the start |
| curve.csv | a row an iteration, up to the last checkpoint |
| scores.csv | what was measured at checkpoints, where something was |
| undone.csv | segments of a fine-tuning that fell below its start: what they measured, and with which step |
| candidate.pt | the end of a segment while it is measured; only a kill leaves it |
| result.yaml | which checkpoint is the run's result, and why; written at the end |
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from policy_port.contract import Contract, load_contract
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import TrainError
from policy_port.files import output_folder, sha256, write_atomic
from policy_port.report.about import versions
from policy_port.train.curve import Row, csv_text, read_rows

Files = Mapping[str, str | bytes]
"""Contents of files by name."""
State = dict[str, Any]
"""What a checkpoint of RSL-RL holds."""

DECIDES = ("policy-port", "numpy", "torch")
"""Libraries another version of which may draw another curve, beside RSL-RL and those of the simulator."""
SIMULATES = {"mujoco": ("mujoco",), "newton": ("newton", "mujoco-warp", "mujoco")}
"""Those of each simulator; a task environment, and plant maniskill, are SAPIEN's."""


class Record(Strict):
    """run.yaml: what a run was asked for. A run is resumed only as what it was begun."""

    policy_port_run: Literal[1] = 1
    """Version of this format."""
    stage: Literal["train", "distil", "finetune"]
    seed: int
    num_envs: int
    device: str
    plant: str
    """Simulator; for a task environment its name."""
    robot: str | None = None
    """Where the robot file lay; None for a task environment, which brings its own."""
    randomise: Literal["posterior"] | None = None
    """What each environment's dynamics were drawn from; drawn.csv has the values."""
    source: str | None = None
    """Where the policy lay that went in: the teacher, or the student that is fine-tuned."""
    acting: str
    """The group whose contract drives: "actor" or "student"."""
    hashes: dict[str, str]
    """SHA-256 of each file that went in, by its name in the folder or, for robot, source and others, by its role."""
    versions: dict[str, str]
    """Versions of the libraries that can change a number."""


class Result(Strict):
    """result.yaml: the checkpoint that the run comes to."""

    checkpoint: str
    """File in the run's folder."""
    reason: str
    """Why this one, in a sentence."""


class Run:
    """A run's folder, open to be gone on with or read."""

    def __init__(self, path: Path, record: Record) -> None:
        """`path` as `begin`, `resume` or `open_run` found it."""
        self.path, self.record = path, record

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoints by iterations done, in order."""
        found = {int(m[1]): file for file in self.path.iterdir() if (m := re.fullmatch(r"model_(\d+)\.pt", file.name))}
        return dict(sorted(found.items()))

    def last(self) -> State:
        """The newest checkpoint.

        Raises:
            TrainError: When there is none, or it can't be read.
        """
        found = self.checkpoints()
        if not found:
            raise TrainError(f"{self.path}: holds no checkpoint (model_N.pt); begin it anew with --force")
        return read_state(found[max(found)])

    def rows(self) -> list[Row]:
        """The curve up to the newest checkpoint; what a kill left beyond it is not read."""
        return read_rows(self.path / "curve.csv", before=max(self.checkpoints(), default=0))

    def save(self, state: State, rows: list[Row]) -> Path:
        """Write the curve and then the checkpoint, each whole or not at all.

        Returns:
            The checkpoint's file.
        """
        file = self.path / f"model_{state['iter']}.pt"
        write_atomic(self.path / "curve.csv", csv_text(rows))
        write_atomic(file, _bytes(state))
        return file

    def scores(self) -> dict[int, dict[str, float]]:
        """What was measured at checkpoints, by iterations done."""
        rows = read_rows(self.path / "scores.csv")
        return {int(row.pop("iteration")): {k: float(v) for k, v in row.items() if v} for row in rows}

    def write_score(self, iteration: int, score: Mapping[str, float]) -> None:
        """Add what was measured at a checkpoint; what was measured there before is replaced."""
        scores = {**self.scores(), iteration: dict(score)}
        rows = [{"iteration": str(i), **{k: repr(float(v)) for k, v in scores[i].items()}} for i in sorted(scores)]
        write_atomic(self.path / "scores.csv", csv_text(rows))

    @contextlib.contextmanager
    def candidate(self, state: State) -> Iterator[Path]:
        """A file of what is no checkpoint yet, beside the settings that say what its network is."""
        file = self.path / "candidate.pt"
        write_atomic(file, _bytes(state))
        try:
            yield file
        finally:
            file.unlink()

    def undone(self) -> list[dict[str, float]]:
        """Segments that were undone, in the order in which they were made; `guard` says what stands of each."""
        return [{k: float(v) for k, v in row.items() if v} for row in read_rows(self.path / "undone.csv")]

    def undo(self, segment: Mapping[str, float]) -> None:
        """Add a segment that is undone."""
        rows = [{k: repr(float(v)).removesuffix(".0") for k, v in row.items()} for row in (*self.undone(), segment)]
        write_atomic(self.path / "undone.csv", csv_text(rows))

    def finish(self, checkpoint: Path, reason: str) -> None:
        """State the run's result."""
        result = Result(checkpoint=checkpoint.name, reason=reason)
        write_atomic(self.path / "result.yaml", yaml.safe_dump(result.model_dump(), sort_keys=False, width=120))

    def result(self) -> tuple[Path, str]:
        """The checkpoint that the run comes to, and why; the newest one of a run that has not ended.

        Raises:
            TrainError: When there is none.
        """
        file = self.path / "result.yaml"
        if file.is_file():
            stated = parse(Result, read_yaml(file, TrainError), TrainError)
            if not (self.path / stated.checkpoint).is_file():
                raise TrainError(f"{file}: names {stated.checkpoint}, which is not there")
            return self.path / stated.checkpoint, stated.reason
        found = self.checkpoints()
        if not found:
            raise TrainError(f"{self.path}: holds no checkpoint (model_N.pt) yet")
        return found[max(found)], "the newest; the run has not ended"

    def contract(self, group: str | None = None) -> Contract:
        """The contract of a group of observations; of the one that drives, if not given."""
        return load_contract(self.path / "contracts" / f"{group or self.record.acting}.yaml")


def make_record(files: Files, outside: Mapping[str, Path | None], **asked: Any) -> Record:
    """What a run is asked for.

    Args:
        files: Text of each file of the folder, by its name there: "agent.yaml", "contracts/actor.yaml".
        outside: Files that stay where they are, by role: "robot", "source"; None for those that are not given.
        **asked: The other fields of `Record`.
    """
    hashes = {name: _digest(text) for name, text in files.items()}
    hashes |= {role: sha256(path) for role, path in outside.items() if path is not None}
    decides = (*DECIDES, *SIMULATES.get(asked["plant"], ("mani_skill", "sapien")))
    found = {name: number for name, number in versions().items() if name in decides}
    return Record(hashes=hashes, versions=found | {"rsl-rl-lib": metadata.version("rsl-rl-lib")}, **asked)


def begin(path: Path, record: Record, files: Files, start: State, *, force: bool = False) -> Run:
    """Make the folder of a new run, whole: everything that was asked for, and model_0.pt.

    Raises:
        OutputError: The folder is taken, or can't be written.
    """
    with output_folder(path, force) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        (folder / "run.yaml").write_text(_yaml(record), encoding="utf-8")
        (folder / "model_0.pt").write_bytes(_bytes({**start, "iter": 0}))
    return Run(path.resolve(), record)


def open_run(path: Path | str) -> Run:
    """Open a run to read from it.

    Raises:
        TrainError: When it is none, or is malformed.
    """
    folder = Path(path).expanduser().resolve()
    if not (folder / "run.yaml").is_file():
        raise TrainError(f"{path}: is no run's folder; it holds no run.yaml, which train, distil and finetune write")
    return Run(folder, parse(Record, read_yaml(folder / "run.yaml", TrainError), TrainError))


def resume(path: Path, record: Record, files: Files) -> Run:
    """Open a run to go on with it, as what it was begun and nothing else.

    Args:
        path: Its folder.
        record: What is asked for now.
        files: As for `begin`.

    Raises:
        TrainError: Naming everything that differs from what the run was begun with.
    """
    run = open_run(path)
    was, now = run.record, record
    asked = [key for key in Record.model_fields if key not in ("hashes", "versions", "robot", "source")]
    pairs = [(key, getattr(was, key), getattr(now, key)) for key in asked]
    differs = [f"{key} was {before}, now {after}" for key, before, after in pairs if before != after]
    differs += _differences(was.hashes, now.hashes, lambda before, after: "is another file now")
    differs += _differences(was.versions, now.versions, lambda before, after: f"was {before}, now {after}")
    edited = [name for name in files if name in was.hashes and _file_digest(run.path / name) != was.hashes[name]]
    differs += [f"{run.path / name} was changed by hand" for name in edited]
    if differs:
        raise TrainError(
            f"{path}: is out of date and can't be resumed:\n  " + "\n  ".join(differs) + "\nGive what it was begun "
            "with, or begin anew: with another --out, or in this one's place with --force"
        )
    (run.path / "candidate.pt").unlink(missing_ok=True)
    return run


def read_state(file: Path) -> State:
    """Read a checkpoint of RSL-RL; nothing in it is executed.

    Raises:
        TrainError: When it is damaged or none.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as cause:
        raise TrainError(
            f"{file}: can't be read as a checkpoint ({type(cause).__name__}); delete it to go on from the one before"
        ) from cause
    if not isinstance(state, dict) or not isinstance(state.get("iter"), int):
        raise TrainError(f"{file}: is no checkpoint of RSL-RL; it holds no iter")
    return state


def _differences(was: Mapping[str, str], now: Mapping[str, str], words: Callable[[str, str], str]) -> list[str]:
    """What stands otherwise in two tables of hashes or versions, a line each."""
    lines = []
    for name in dict.fromkeys((*was, *now)):
        if name not in now:
            lines.append(f"{name} is not given now")
        elif name not in was:
            lines.append(f"{name} was not there")
        elif was[name] != now[name]:
            lines.append(f"{name} {words(was[name], now[name])}")
    return lines


def _bytes(state: State) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def _yaml(record: Record) -> str:
    return yaml.safe_dump(record.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True, width=160)


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _file_digest(path: Path) -> str:
    return sha256(path) if path.is_file() else "not there"
