"""How many wrong ports verify catches and names, and diagnose mends; and how many right ones it suspects.

Each mistake of `mutation_table.py` is made in the correct contract (or in the trace) of the policies at hand: the
one that ships with the project, and the real ones where ../shared is there; those of `mutation_motion.py` in the
policies that follow a clip. The evidence is recorded in MuJoCo with the correct contract. Writes a table with every
miss. A run that is cut off, or that --minutes ends, goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mutation_closed_loop import closed_loop_verdict
from mutation_control import other_weights, run_control, with_arrays
from mutation_evidence import Subject, drives, in_float32, one_command, record, subjects
from mutation_kinds import NotApplicableError
from mutation_mistake import Mutation
from mutation_motion import clip_followers, scored
from mutation_recordings import Arrays
from mutation_report import Alarm, Outcome, report, tick
from mutation_rows import Rows
from mutation_table import mutated, mutations

from policy_port.contract import Contract, load_mapping
from policy_port.contract.diff import differences
from policy_port.errors import EvidenceError, PolicyPortError
from policy_port.port.folder import Port
from policy_port.resources import mappings_dir
from policy_port.trace import Trace
from policy_port.verdict.compared import compare
from policy_port.verdict.diagnose import TraceDiagnosis, trace_diagnosis
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.sides import Side, side_network
from policy_port.verdict.verify import verification, verify_contract, verify_port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/mutation"), help="where ports, traces and rows are kept"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/mutation_score.md"), help="report to write")
    parser.add_argument("--only", nargs="*", help="policies by name; all at hand, if not given")
    parser.add_argument("--kinds", nargs="*", help="mistakes by a part of their names; all, if not given")
    parser.add_argument("--closed-loop", action="store_true", help="also play each wrong port and judge it by its walk")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after that long; a later run goes on")
    parser.add_argument("--keep-older", action="store_true", help="count rows that an earlier state of the code made")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.runs / "rows.jsonl", keep_older=options.keep_older, minutes=options.minutes)
    chosen = [subject for subject in subjects() if not options.only or subject.name in options.only]
    made = [each for each in mutations() if not options.kinds or any(part in each.key for part in options.kinds)]
    followers = [name for name in clip_followers() if not options.only or name in options.only]
    outcomes, poorer, motion = list[Outcome](), list[Outcome](), list[dict[str, Any]]()
    skipped = 0
    for subject in chosen:
        found, left_out = score(subject, options.runs, made, rows, closed_loop=options.closed_loop)
        outcomes, skipped = outcomes + found, skipped + left_out
    alarms = list(false_alarms(chosen, options.runs, rows))
    for name in followers:
        row = rows.made("motion", name, "all", functools.partial(of_motions, name))
        motion += row["rows"] if row else []
    for subject in chosen:
        if subject.walks and not rows.missing:
            print(f"-- {subject.name} again, on one command of 4 s")
            poorer += score(subject, options.runs, made, rows, poor=True)[0]
    command = "python benchmarks/mutation_score.py" + "".join(f" {word}" for word in sys.argv[1:])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    told = [f"{rows.older} of its rows were made by an earlier state of the code."] if rows.older else []
    told += [f"{rows.missing} rows or more are still to be made: the same command goes on."] if rows.missing else []
    text = report(outcomes, poorer, skipped, alarms, motion, command=command, told=told)
    options.out.write_text(text, encoding="utf-8")
    print(f"wrote {options.out}")


class Bench:
    """One policy with its evidence, on which mistakes are judged."""

    def __init__(self, subject: Subject, runs: Path, *, poor: bool = False) -> None:
        """Record, or read, what the policy does under its correct contract.

        Args:
            subject: The policy.
            runs: Where ports and traces are kept.
            poor: Whether the evidence is one command alone.
        """
        self.subject, self.runs, self.port = subject, runs, subject.port(runs / "ports")
        trace = in_float32(record(subject, self.port, runs / f"{subject.key}.npz"), runs / f"{subject.key}.float32.npz")
        if poor:
            trace = one_command(trace, runs / f"{subject.key}.poor.npz")
        held_out = record(subject, self.port, runs / f"{subject.key}.held_out.npz", held_out=True)
        self.held_out, self.evidence, file = read_evidence(held_out), read_evidence(trace), Trace(trace)
        self.arrays: Arrays = {name: file[name] for name in file}
        side = Side(name="port", contract=subject.contract, remap=None, reason="the port changes nothing")
        self.network = side_network(self.port, side)
        self.right = run_control(subject.contract, self.arrays, self.evidence.joint_names)

    def judge(self, mutation: Mutation, *, closed_loop: bool) -> Outcome:
        """Make a mistake and see what is said of it.

        Raises:
            NotApplicableError: When the contract has nothing to make it with.
        """
        subject = self.subject
        contract, changed, filled = mutated(mutation, subject.contract, self.arrays)
        seen = with_arrays(self.evidence, changed, self.runs / "changed.npz")
        asked = other_weights(self.network, self.evidence) if mutation.other_weights else self.network
        visible = self._shows(mutation, contract, changed)
        patterns = [name.format(**{key: re.escape(value) for key, value in filled.items()}) for name in mutation.names]
        began = time.perf_counter()
        about: dict[str, Any] = {"subject": subject.name, "mutation": mutation, "visible": visible}
        try:
            compared = compare(contract, seen, asked)
        except EvidenceError as error:
            refused: dict[str, Any] = {"looks": f"refused: {error}", "first": "nothing", "seconds": 0.0}
            named = any(re.search(pattern, str(error)) for pattern in patterns)
            return Outcome(**about, **refused, caught=True, named=named, mended=False, explains=False)
        verdict, diagnosis = verification(compared), trace_diagnosis(compared)
        seconds = time.perf_counter() - began
        looks = "; ".join(f"{label}: {words}" for label, words in verdict.looks.items())
        played = closed_loop and mutation.contract is not None
        return Outcome(
            **about,
            caught=not verdict.ok,
            named=any(re.search(pattern, looks) for pattern in patterns),
            mended=is_mended(mutation, diagnosis, subject.contract, patterns),
            explains=explains(diagnosis, self.held_out),
            looks=looks,
            first=first_words(diagnosis),
            seconds=seconds,
            closed_loop=closed_loop_verdict(subject, self.port, contract, self.runs) if played else None,
        )

    def _shows(self, mutation: Mutation, contract: Contract, changed: Arrays) -> bool:
        """Whether a mistake changes any number that a verdict could see."""
        right = self.subject.contract
        if mutation.other_weights or mutation.group == "t" or drives(contract) != drives(right):
            return True
        if any(getattr(contract, key) != getattr(right, key) for key in ("timestep", "decimation", "actuation")):
            return True
        # Another grid senses the ground at other places than the trace holds.
        if contract.senses.scans != right.senses.scans:
            return True
        if any(changed[name] is not self.arrays[name] for name in ("observation", "action", "target")):
            return True
        wrong = run_control(contract, changed, self.evidence.joint_names)
        return any(not np.array_equal(a, b) for a, b in zip(self.right, wrong, strict=True))


def score(
    subject: Subject, runs: Path, made: list[Mutation], rows: Rows, *, closed_loop: bool = False, poor: bool = False
) -> tuple[list[Outcome], int]:
    """Make every mistake in one policy's contract, one at a time; what came of them, and how many can't be made."""
    bench = functools.cache(lambda: Bench(subject, runs, poor=poor))

    def judged(mutation: Mutation) -> dict[str, Any]:
        try:
            outcome = bench().judge(mutation, closed_loop=closed_loop)
        except NotApplicableError:
            return {}
        print(f"{subject.name:<28}{mutation.key:<52}{tick(outcome)}", flush=True)
        return {key: value for key, value in vars(outcome).items() if key != "mutation"}

    part = "poor" if poor else "closed loop" if closed_loop else "full"
    found = [(each, rows.made(part, subject.key, each.key, functools.partial(judged, each))) for each in made]
    outcomes = [Outcome(mutation=mutation, **row) for mutation, row in found if row]
    return outcomes, sum(row == {} for _, row in found)


def of_motions(name: str) -> dict[str, Any]:
    """What became of the mistakes about a reference motion in one policy."""
    print(f"{name}: mistakes about its motion", flush=True)
    keys = ("policy", "mistake", "caught", "named", "said")
    return {"rows": [dict(zip(keys, row, strict=True)) for row in scored(name)]}


def is_mended(mutation: Mutation, diagnosis: TraceDiagnosis, right: Contract, patterns: list[str]) -> bool:
    """Whether the first hypothesis gives the correct contract back; or says what was wrong with the trace."""
    if not diagnosis.hypotheses or not diagnosis.hypotheses[0].whole:
        return False
    first = diagnosis.hypotheses[0]
    said = "; ".join(first.words)
    if mutation.of_the_trace:
        # What a contract has a word for may be said in it.
        said_late = all(re.search(r"\.(delay|ago|filter)\b", edit.key) for edit in first.edits)
        return said_late and any(re.search(pattern, said) for pattern in patterns)
    if mutation.group == "t":
        # One command shows a scale in part, so what is edited is said, and not written as if it were known.
        there = [term.term for term in first.contract.observation.terms]
        kept = there.count("velocity_command") == [term.term for term in right.observation.terms].count(
            "velocity_command"
        )
        return kept and any(re.search(pattern, said) for pattern in patterns)
    return not differences(first.contract, right, relative_tolerance=1e-4)


def explains(diagnosis: TraceDiagnosis, held_out: Evidence) -> bool:
    """Whether the first hypothesis explains a trace that diagnose has not seen."""
    return bool(diagnosis.hypotheses) and verify_contract(diagnosis.hypotheses[0].contract, held_out).ok


def first_words(diagnosis: TraceDiagnosis) -> str:
    if not diagnosis.hypotheses:
        return "nothing"
    first = diagnosis.hypotheses[0]
    return "; ".join((*first.words, *(str(edit)[:120] for edit in first.edits)))


def false_alarms(chosen: list[Subject], runs: Path, rows: Rows) -> Iterator[Alarm]:
    """Verdicts on correct ports."""
    for subject in chosen:
        for what, mapping, trace in correct(subject, runs):
            port = functools.partial(subject.port, runs / "ports", mapping)
            if row := rows.made("alarm", subject.key, what, functools.partial(suspected, what, port, trace)):
                yield Alarm(port=what, **row)


def suspected(what: str, port: Callable[[], Port], trace: Callable[[], Path]) -> dict[str, Any]:
    """What verify says of a correct port; nothing where no verdict can be made."""
    try:
        verdict = verify_port(port(), read_evidence(trace()))
    except PolicyPortError as error:
        return {"ok": None, "said": f"not made: {str(error)[:100]}"}
    said = "equal" if verdict.ok else f"ALARM: {', '.join(check.label for check in verdict.wrong)}"
    print(f"{what}: {said}", flush=True)
    return {"ok": verdict.ok, "said": said}


def correct(subject: Subject, runs: Path) -> Iterator[tuple[str, str | None, Callable[[], Path]]]:
    """What a correct port is called, the mapping it goes through, and its trace."""
    name, trace, narrow = subject.name, runs / f"{subject.key}.npz", runs / f"{subject.key}.float32.npz"

    def recorded(mapping: str | None, out: str, **how: Any) -> Callable[[], Path]:
        file = runs / f"{subject.key}{out}.npz"
        return lambda: record(subject, subject.port(runs / "ports", mapping), file, **how)

    yield f"{name}, MuJoCo", None, recorded(None, "")
    yield f"{name}, MuJoCo, recorded in float32", None, lambda: in_float32(trace, narrow)
    yield f"{name}, MuJoCo, other commands", None, recorded(None, ".held_out", held_out=True)
    if name == "so100_reach":
        through = "so100_maniskill_to_lerobot"
        yield f"{name}, ManiSkill", None, recorded(None, ".maniskill", kind="maniskill")
        yield f"{name} through {through}, trace of the source", through, recorded(None, "")
        return
    for file in sorted(mappings_dir().glob("*.yaml")):
        if load_mapping(file).source_joint_names == subject.contract.joint_names:
            through = file.stem
            yield f"{name} through {through}, trace of the source", through, recorded(None, "")
            yield f"{name} through {through}, trace of the port", through, recorded(through, f"--{through}", named=True)


if __name__ == "__main__":
    main()
