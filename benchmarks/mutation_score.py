"""How many wrong ports verify catches and names, and diagnose mends; and how many right ones it suspects.

Each mistake of `mutation_table.py` is made in the correct contract (or in the trace) of the policies at hand: the
one that ships with the project, and eight real ones where ../shared is there. The evidence is recorded in MuJoCo with
the correct contract. Writes a table with every miss.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
import onnxruntime
from mutation_closed_loop import closed_loop_verdict
from mutation_evidence import SECONDS, Subject, drives, in_float32, one_command, record, subjects
from mutation_kinds import NotApplicableError
from mutation_mistake import Mutation
from mutation_recordings import Arrays, turned
from mutation_table import mutated, mutations
from numpy.typing import NDArray

from policy_port import __version__
from policy_port.contract import Contract, load_mapping
from policy_port.contract.diff import differences
from policy_port.contract.place import Place
from policy_port.control.action import ActionDecoder
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import Mounting
from policy_port.control.signals import Mountings, Signals
from policy_port.errors import PolicyPortError
from policy_port.port.folder import Port
from policy_port.resources import mappings_dir
from policy_port.trace import Recorder, Trace
from policy_port.verdict.answers import Network
from policy_port.verdict.diagnose import TraceDiagnosis, diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.recorded_arrays import is_place
from policy_port.verdict.sides import Side, side_network
from policy_port.verdict.verify import verify_contract, verify_port

GROUPS = {
    "1": "falls in under 3 s",
    "2": "stays up, does not follow",
    "3": "walks almost normally",
    "+": "further ones",
    "t": "the recording, not the port",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one mistake in one contract."""

    subject: str
    mutation: Mutation
    visible: bool
    caught: bool
    named: bool
    mended: bool
    explains: bool
    looks: str
    first: str
    seconds: float
    closed_loop: str | None = None

    @property
    def failed(self) -> str:
        """What was not done, in words; nothing for a full success."""
        return ", ".join(f"not {key}" for key in ("caught", "named", "mended") if not getattr(self, key))


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A verdict on a correct port."""

    port: str
    ok: bool | None
    """None where no verdict could be made."""
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/mutation"), help="where ports and traces are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/mutation_score.md"), help="report to write")
    parser.add_argument("--only", nargs="*", help="policies by name; all at hand, if not given")
    parser.add_argument("--kinds", nargs="*", help="mistakes by a part of their names; all, if not given")
    parser.add_argument("--closed-loop", action="store_true", help="also play each wrong port and judge it by its walk")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    chosen = [subject for subject in subjects() if not options.only or subject.name in options.only]
    outcomes, poorer, skipped = [], [], 0
    for subject in chosen:
        port = subject.port(options.runs / "ports")
        made = [each for each in mutations() if not options.kinds or any(part in each.key for part in options.kinds)]
        found, left_out = score(subject, port, options.runs, made, closed_loop=options.closed_loop)
        outcomes += found
        skipped += left_out
        if subject.walks:
            print(f"-- {subject.name} again, on one command of 4 s")
            poorer += score(subject, port, options.runs, made, closed_loop=False, poor=True)[0]
    alarms = false_alarms(chosen, options.runs)
    command = "python benchmarks/mutation_score.py" + "".join(f" {word}" for word in sys.argv[1:])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(report(outcomes, poorer, skipped, alarms, command), encoding="utf-8")
    print(f"wrote {options.out}")


def score(
    subject: Subject, port: Port, runs: Path, made: list[Mutation], *, closed_loop: bool, poor: bool = False
) -> tuple[list[Outcome], int]:
    """Make every mistake in one policy's contract, one at a time."""
    trace = in_float32(record(subject, port, runs / f"{subject.key}.npz"), runs / f"{subject.key}.float32.npz")
    if poor:
        trace = one_command(trace, runs / f"{subject.key}.poor.npz")
    held_out = read_evidence(record(subject, port, runs / f"{subject.key}.held_out.npz", held_out=True))
    evidence, file = read_evidence(trace), Trace(trace)
    arrays: Arrays = {name: file[name] for name in file}
    side = Side(name="port", contract=subject.contract, remap=None, reason="the port changes nothing")
    network = side_network(port, side)
    right = run_control(subject.contract, arrays, evidence.joint_names)
    outcomes, skipped = [], 0
    for mutation in made:
        try:
            contract, changed, filled = mutated(mutation, subject.contract, arrays)
        except NotApplicableError:
            skipped += 1
            continue
        wrong = run_control(contract, changed, evidence.joint_names)
        visible = drives(contract) != drives(subject.contract) or any(
            getattr(contract, key) != getattr(subject.contract, key) for key in ("timestep", "decimation", "actuation")
        )
        visible |= any(not np.array_equal(a, b) for a, b in zip(right, wrong, strict=True))
        visible |= any(changed[name] is not arrays[name] for name in ("observation", "action", "target"))
        # Another grid senses the ground at other places than the trace holds.
        visible |= contract.senses.scans != subject.contract.senses.scans
        visible |= mutation.other_weights or mutation.group == "t"
        seen = with_arrays(evidence, changed, runs / "changed.npz")
        asked = other_weights(network, evidence) if mutation.other_weights else network
        began = time.perf_counter()
        verdict = verify_contract(contract, seen, asked)
        diagnosis = diagnose_contract(contract, seen, asked)
        seconds = time.perf_counter() - began
        looks = "; ".join(f"{label}: {words}" for label, words in verdict.looks.items())
        patterns = [name.format(**{key: re.escape(value) for key, value in filled.items()}) for name in mutation.names]
        outcomes.append(
            Outcome(
                subject=subject.name,
                mutation=mutation,
                visible=visible,
                caught=not verdict.ok,
                named=any(re.search(pattern, looks) for pattern in patterns),
                mended=is_mended(mutation, diagnosis, subject.contract, patterns),
                explains=explains(diagnosis, held_out),
                looks=looks,
                first=first_words(diagnosis),
                seconds=seconds,
                closed_loop=closed_loop_verdict(subject, port, contract, runs)
                if closed_loop and mutation.contract is not None
                else None,
            )
        )
        last = outcomes[-1]
        miss = "  <- miss" if last.visible and last.failed else ""
        print(f"{subject.name:<28}{mutation.key:<52}{tick(last)}{miss}", flush=True)
    return outcomes, skipped


def run_control(contract: Contract, arrays: Arrays, joint_names: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Observations and targets that the control loop's own code makes of a recorded state: is a mistake visible?"""
    signals = Signals(contract, joint_names, 1, places_of(arrays))
    builder, decoder = ObservationBuilder(contract, signals), ActionDecoder(contract, signals)
    observations, targets, steps = [], [], 0
    for step in range(len(arrays["observation"])):
        for name in ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel"):
            getattr(signals.state, name)[...] = arrays[name][step]
        for name, array in ({} if signals.state.sensed is None else signals.state.sensed.arrays).items():
            array[...] = arrays.get(name, np.zeros((len(observations) + 1, *array.shape)))[step]
        signals.command[...] = arrays["command"][step]
        if signals.goal.size:
            signals.goal[...] = arrays["goal"][step]
        if step == 0 or arrays["episode"][step] != arrays["episode"][step - 1]:
            signals.reset()
            builder.reset()
            steps = 0
        signals.time[...] = steps * contract.control_dt
        steps += 1
        observations.append(builder.build().copy())
        targets.append(decoder.decode(arrays["action"][step]).copy())
    return np.stack(observations), np.stack(targets)


def places_of(arrays: Arrays) -> Mountings:
    """Where things are on the base by what a trace says."""

    def mounting(place: Place | Literal["com"]) -> Mounting:
        if not isinstance(place, Place):
            return Mounting(np.asarray(arrays["base_com"][0], dtype=np.float64).reshape(1, 3), np.eye(3))
        quat = np.asarray(arrays[f"site_quat_{place.site}"], dtype=np.float64).reshape(-1, 4)[0]
        return Mounting(np.zeros((1, 3)), np.stack([turned(quat, axis) for axis in np.eye(3)], axis=1))

    return mounting


def other_weights(network: Network, evidence: Evidence) -> Network:
    """Another network of the same widths: the first layer's columns turned at random."""
    size = evidence.arrays["observation"].shape[2]
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    return lambda observation, starts: network(observation @ turned, starts)


def with_arrays(evidence: Evidence, arrays: Arrays, file: Path) -> Evidence:
    """The evidence with a trace's changed arrays; read anew from a file where rows or clock are others."""
    if arrays["observation"].shape[0] != evidence.shape[0] or "time" not in arrays or arrays["time"].flat[0]:
        with Recorder(file, evidence.header) as recorder:
            for step in range(len(arrays["observation"])):
                recorder.record(**{name: array[step] for name, array in arrays.items()})
        return read_evidence(file)
    kept = {name: array for name, array in arrays.items() if name in evidence.arrays or is_place(name)}
    rows = (*evidence.shape, -1)
    return replace(evidence, arrays={name: array.astype(np.float64).reshape(rows) for name, array in kept.items()})


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


def false_alarms(chosen: list[Subject], runs: Path) -> list[Alarm]:
    """Verdicts on correct ports."""
    found: list[Alarm] = []

    def judge(what: str, port: Port, trace: Callable[[], Path]) -> None:
        try:
            verdict = verify_port(port, read_evidence(trace()))
            said = "equal" if verdict.ok else f"ALARM: {', '.join(check.label for check in verdict.wrong)}"
            found.append(Alarm(port=what, ok=verdict.ok, said=said))
        except PolicyPortError as error:
            found.append(Alarm(port=what, ok=None, said=f"not made: {str(error)[:100]}"))

    for subject in chosen:
        port = subject.port(runs / "ports")
        trace = runs / f"{subject.key}.npz"
        judge(f"{subject.name}, MuJoCo", port, lambda trace=trace: trace)
        narrow = runs / f"{subject.key}.float32.npz"
        judge(f"{subject.name}, MuJoCo, recorded in float32", port, lambda a=trace, b=narrow: in_float32(a, b))
        other = runs / f"{subject.key}.held_out.npz"
        judge(f"{subject.name}, MuJoCo, other commands", port, lambda other=other: other)
        for file in sorted(mappings_dir().glob("*.yaml")):
            if load_mapping(file).source_joint_names != subject.contract.joint_names or subject.name == "so100_reach":
                continue
            ported = subject.port(runs / "ports", file.stem)
            judge(f"{subject.name} through {file.stem}, trace of the source", ported, lambda trace=trace: trace)
            out = runs / f"{subject.key}--{file.stem}.npz"
            judge(
                f"{subject.name} through {file.stem}, trace of the port",
                ported,
                lambda subject=subject, ported=ported, out=out: record(subject, ported, out, named=True),
            )
        if subject.name == "so100_reach":
            out = runs / f"{subject.key}.maniskill.npz"
            judge(
                f"{subject.name}, ManiSkill",
                port,
                lambda subject=subject, port=port, out=out: record(subject, port, out, kind="maniskill"),
            )
            ported = subject.port(runs / "ports", "so100_maniskill_to_lerobot")
            judge(
                f"{subject.name} through so100_maniskill_to_lerobot, trace of the source",
                ported,
                lambda trace=trace: trace,
            )
    return found


def tick(outcome: Outcome) -> str:
    if not outcome.visible:
        return "changes no tensor"
    words = [f"{'' if getattr(outcome, key) else 'not '}{key}" for key in ("caught", "named", "mended")]
    return ", ".join([*words, f"{outcome.seconds:.1f} s", *([outcome.closed_loop] if outcome.closed_loop else [])])


def report(outcomes: list[Outcome], poorer: list[Outcome], skipped: int, alarms: list[Alarm], command: str) -> str:
    """The report as Markdown."""
    visible = [outcome for outcome in outcomes if outcome.visible]
    policies = sorted({outcome.subject for outcome in outcomes})
    kinds = len({outcome.mutation.key for outcome in outcomes})
    lines = [
        "# Mutation score",
        "",
        f"Written by `{command}` with policy-port {__version__}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, ONNX Runtime {onnxruntime.__version__}, MuJoCo {mujoco.__version__}.",
        "",
        f"{kinds} mistakes in {len(policies)} policies ({', '.join(policies)}): {len(outcomes)} wrong ports, "
        f"{len(visible)} of which change a number; {skipped} combinations do not exist (no history to lay out "
        "wrongly, no clock to stop). Evidence: MuJoCo traces recorded with the correct contract, four commands of "
        "4 s or eight episodes, in float32, without the names of observations and actions, which would give an order "
        "away.",
        "",
        "Caught: verify finds a difference. Named: one of its lines says the mistake in the words that "
        "`benchmarks/mutation_table.py` lists. Mended: diagnose's first hypothesis gives the correct contract back, "
        "every number within 1e-4; for a wrongly read trace, it says how it was wrongly read. Holds: the contract it "
        "gives explains a trace of other commands that it has not seen.",
        "",
        "| how such ports fail | wrong ports | caught | named | mended | holds |" + closed_head(outcomes),
        "|---|---|---|---|---|---|" + ("---|" if closed_head(outcomes) else ""),
    ]
    for group, words in GROUPS.items():
        mine = [outcome for outcome in visible if outcome.mutation.group == group]
        if mine:
            lines.append(row(words, mine))
    lines.append(row("**all**", visible))
    if poorer:
        cells = row(f"all, evidence of one command for {SECONDS:g} s", [o for o in poorer if o.visible])
        lines.append(cells + (" - |" if closed_head(outcomes) else ""))
    lines += ["", "Holds counts contracts only, not traces that were read wrongly.", "", "## Every miss", ""]
    lines += missed(visible, poorer)
    unseen = [outcome for outcome in outcomes if not outcome.visible]
    lines += ["## Mistakes that change no number of these traces", ""]
    lines += [f"- {outcome.subject}, {outcome.mutation.key}" for outcome in unseen] or ["None."]
    suspected = sum(outcome.caught for outcome in unseen)
    lines += ["", f"Of these, verify suspects {suspected}.", "", "## Correct ports", ""]
    wrong, made = (sum(alarm.ok is verdict for alarm in alarms) for verdict in (False, True))
    lines += [f"{wrong} false alarms in {wrong + made} verdicts on correct ports.", ""]
    lines += [f"- {alarm.port}: {alarm.said}" for alarm in alarms]
    lines += [
        "",
        "## Each mistake",
        "",
        "| mistake | wrong ports | caught | named | mended | holds |" + closed_head(outcomes),
        "|---|---|---|---|---|---|" + ("---|" if closed_head(outcomes) else ""),
    ]
    for key in dict.fromkeys(outcome.mutation.key for outcome in visible):
        lines.append(row(key, [outcome for outcome in visible if outcome.mutation.key == key]))
    return "\n".join(lines) + "\n"


def missed(visible: list[Outcome], poorer: list[Outcome]) -> list[str]:
    """A line or two for each miss, and for those that only poorer evidence has."""
    lines = []
    misses = [outcome for outcome in visible if outcome.failed]
    for outcome in misses:
        held = " (but it holds)" if outcome.explains and not outcome.mended else ""
        lines.append(f"- {outcome.subject}, {outcome.mutation.key}: {outcome.failed}{held}.")
        lines.append(f"  verify: {outcome.looks[:300] or 'nothing'}; diagnose: {outcome.first[:300]}")
    known = {(outcome.subject, outcome.mutation.key) for outcome in misses}
    further = [
        f"- {outcome.subject}, {outcome.mutation.key}: {outcome.failed}. diagnose: {outcome.first[:200]}"
        for outcome in poorer
        if outcome.visible and outcome.failed and (outcome.subject, outcome.mutation.key) not in known
    ]
    lines += ["", f"Further ones, with evidence of one command for {SECONDS:g} s:", "", *further]
    return [*lines, "" if further else "None."]


def row(words: str, outcomes: list[Outcome]) -> str:
    """One line of a table."""
    cells = [words, str(len(outcomes))]
    for key in ("caught", "named", "mended"):
        cells.append(share(sum(getattr(outcome, key) for outcome in outcomes), len(outcomes)))
    contracts = [outcome for outcome in outcomes if outcome.mutation.contract is not None]
    cells.append(share(sum(outcome.explains for outcome in contracts), len(contracts)))
    played = [outcome for outcome in outcomes if outcome.closed_loop is not None]
    if played:
        cells.append(share(sum(outcome.closed_loop != "passes" for outcome in played), len(played)))
    return f"| {' | '.join(cells)} |"


def closed_head(outcomes: list[Outcome]) -> str:
    return " survival and tracking alone |" if any(outcome.closed_loop for outcome in outcomes) else ""


def share(count: int, whole: int) -> str:
    share = min(99, round(100 * count / whole)) if whole and count < whole else 100
    return "-" if not whole else f"{count} of {whole}" + ("" if count == whole else f" ({share} %)")


if __name__ == "__main__":
    main()
