"""What a sweep leaves: every case as Parquet, the scores as a table, and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_port.errors import MissingDependencyError, OutputError
from policy_port.files import hash_file, write_atomic
from policy_port.sweep.document import Sweep
from policy_port.sweep.run import Outcome
from policy_port.sweep.scores import Scores
from policy_port.text_table import columns

CASES, SUMMARY, ABOUT = "cases.parquet", "summary.md", "sweep.json"
MOST_FAILURES = 10
"""Failures that the summary tells; all of them stand beside their cases."""
PICTURES = ("curve.png", "ranking.png")


def check_results(sweep: Sweep, folder: Path) -> None:
    """See to it that what is played can be kept.

    Raises:
        MissingDependencyError: When Parquet can't be written here.
        OutputError: When the folder holds something else, or another sweep's results.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "a sweep's results are Parquet, and pyarrow is not installed: pip install 'policy-port[sweep]'"
        ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        try:
            whose = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["sweep"]
        except (OSError, ValueError, KeyError, TypeError):
            raise OutputError(f"{folder}: is there and no sweep's results; name another folder with --out") from None
        if whose != sweep.path.name:
            raise OutputError(f"{folder}: holds the results of {whose}; name another folder with --out")


def write_results(scores: Scores, folder: Path, pictures: Sequence[tuple[str, bytes]] = ()) -> None:
    """Write everything; a picture of an earlier run does not stay beside it.

    Raises:
        OutputError: When it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be made: {error.strerror}") from None
    sweep = scores.sweep
    write_atomic(folder / ABOUT, json.dumps({"sweep": sweep.path.name, "sha256": sweep.sha256}) + "\n")
    write_atomic(folder / CASES, parquet(scores))
    write_atomic(folder / SUMMARY, f"# {sweep.name}\n\n```\n{summary(scores)}\n```\n")
    for name in PICTURES:
        (folder / name).unlink(missing_ok=True)
    for name, png in pictures:
        write_atomic(folder / name, png)


def parquet(scores: Scores) -> bytes:
    """A row a case, with what it was and what came of it."""
    import pyarrow
    import pyarrow.parquet

    sweep = scores.sweep
    types = {"seed": pyarrow.int64(), "iteration": pyarrow.int64(), "success": pyarrow.bool_()}
    numbers = dict.fromkeys(("error", "score", "seconds"), pyarrow.float64())
    hashes = {policy.file: hash_file(sweep.resolve(policy.file)) for policy in sweep.policies}
    rows = [_row(scores, one, hashes[one.cell.policy.file]) for one in scores.outcomes]
    names = list(rows[0])
    kinds = {**dict.fromkeys(names, pyarrow.string()), **types, **numbers}
    about = {b"sweep": sweep.path.read_bytes(), b"sweep_sha256": sweep.sha256.encode()}
    schema = pyarrow.schema([(name, kinds[name]) for name in names], metadata=about)
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), stream)
    return stream.getvalue()


def _row(scores: Scores, one: Outcome, checkpoint_sha256: str) -> dict[str, Any]:
    cell, played = one.cell, not one.failure
    return {
        "checkpoint": cell.policy.file,
        "run": cell.policy.run,
        "iteration": cell.policy.iteration,
        "contract": cell.contract,
        "plant": cell.plant,
        "command": cell.command,
        "seed": one.seed,
        "success": one.success,
        "error": one.error,
        "score": scores.score(one) if played else None,
        "seconds": one.seconds if played else None,
        "simulator": one.simulator or None,
        "failure": one.failure or None,
        "checkpoint_sha256": checkpoint_sha256,
        "key": one.key or None,
    }


def summary(scores: Scores) -> str:
    """The scores as tables, the rankings, what failed, and which policy to deploy."""
    commands = scores.commands if len(scores.commands) > 1 else ()
    blocks = [_table(scores, None), *(f"{command}:\n{_table(scores, command)}" for command in commands)]
    blocks += [f"{ranking.sentence()}\n{ranking.text()}" for ranking in scores.rankings()]
    failures: dict[str, list[Outcome]] = {}
    for one in scores.outcomes:
        if one.failure:
            failures.setdefault(one.failure, []).append(one)
    for text, ones in list(failures.items())[:MOST_FAILURES]:
        names = dict.fromkeys(f"{scores.subject(one.cell).name} on {one.cell.plant}" for one in ones)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        blocks.append(f"{len(ones)} failed ({', '.join(list(names)[:3])}{more}): {text}")
    return "\n\n".join([*blocks, *scores.doubts(), scores.choice().text])


def _table(scores: Scores, command: str | None) -> str:
    lines = [("policy", "iteration", *scores.plants)]
    for subject in scores.subjects:
        figures = [scores.figure(subject, plant, command) for plant in scores.plants]
        texts = ["failed" if figure is None else figure.text() for figure in figures]
        lines.append((subject.name, "-" if subject.iteration is None else str(subject.iteration), *texts))
    return columns(lines)
