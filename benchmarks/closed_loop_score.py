"""How many wrong ports `diagnose --plant` sees and mends without a trace, beside what `diagnose --trace` gives.

The mistakes are those of `mutation_table.py` that stand in a contract, made in the correct contracts of the policies
at hand: the one that ships with the project, and eight real ones where ../shared is there. Every port is diagnosed in
MuJoCo as a user would; the traces are those of `mutation_score.py`. Writes a table with every miss and its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mujoco
import numpy as np
from mutation_evidence import Subject, in_float32, record, subjects
from mutation_kinds import NotApplicableError
from mutation_report import GROUPS, share
from mutation_score import is_mended
from mutation_table import Mutation, mutated, mutations

from policy_port import __version__
from policy_port.closed_loop.diagnose import Robot, diagnose_reach, diagnose_walk
from policy_port.closed_loop.diagnosis import ClosedLoopDiagnosis
from policy_port.closed_loop.guesses import guesses
from policy_port.closed_loop.search import MARGIN
from policy_port.contract import Contract
from policy_port.contract.diff import differences
from policy_port.errors import PolicyPortError
from policy_port.port.folder import Port
from policy_port.port.pilot import Pilot
from policy_port.tasks.reach import SO100_REACH
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence

COMMAND = (0.5, 0.0, 0.0)

SEEDS = 3
"""Seeds of the trials that each correct port is diagnosed in; wrong ones are in the first."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one port."""

    subject: str
    mistake: str
    group: str
    """Group of the mistake; "right" for a correct port."""
    seen: bool
    """Whether the closed loop says that something is wrong."""
    first_right: bool
    """Whether its first hypothesis is the correct contract, alone or tied with others."""
    alone: bool
    """Whether that hypothesis does best alone, and is given as found."""
    tied: bool
    """Whether the correct contract is among several that do equally well."""
    by_trace: bool
    """Whether the first hypothesis from a trace is the correct contract."""
    loss: float
    """Mean loss of the port as given; NaN where it can't be played."""
    right_loss: float
    """Mean loss of the correct port in the same trials."""
    best_loss: float
    """Mean loss of the first hypothesis; that of the port as given where there is none."""
    in_space: bool
    """Whether one guess is the correct contract."""
    first: str
    """First hypothesis, or why there is none."""
    seconds: float
    replays: int

    @property
    def reason(self) -> str:
        """Why the first hypothesis is not the correct contract."""
        losses = f"loss {self.loss:.2f}, the correct port's {self.right_loss:.2f}"
        if self.loss != self.loss:
            return f"can't be played: {self.first}"
        if self.tied:
            return f"the correct contract is one of several that do equally well ({losses}); first: {self.first}"
        if self.loss <= MARGIN or self.loss - self.right_loss <= MARGIN:
            hint = f"; instead: {self.first}" if self.seen else ""
            return f"does about as well as the correct port ({losses}){hint}"
        where = "searched, and lost to others" if self.in_space else "not one guess away"
        return f"the correct contract is {where} ({losses}, best {self.best_loss:.2f}): {self.first}"


ON_ALARMS = (
    "newton_assets_mjw_anymal does not turn left in MuJoCo, and heavier motors cure that: with seed 0 it was suspected "
    "until a single command was no longer taken for evidence. The other seeds were played after that rule was made."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/mutation"), help="where ports and traces are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/closed_loop.md"), help="report to write")
    parser.add_argument("--only", nargs="*", help="policies whose mistakes are made; all at hand, if not given")
    parser.add_argument("--groups", default="123+", help="groups of mistakes, as mutation_table.py has them")
    parser.add_argument("--also", nargs="*", default=[], help="mistakes of other groups, by name")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run of the same code judged")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    kept = options.runs / "closed_loop.json"
    judged = [Judged(**each) for each in json.loads(kept.read_text())] if options.resume and kept.exists() else []
    done = {(each.subject, each.mistake): each for each in judged}

    def add(each: Judged) -> None:
        judged.append(each)
        print(line(each), flush=True)
        kept.write_text(json.dumps([asdict(one) for one in judged]), encoding="utf-8")

    for subject in subjects():
        port = subject.port(options.runs / "ports")
        for seed in range(SEEDS):
            if (subject.name, right_of(seed)) not in done:
                add(judge(subject, port, None, subject.contract, None, float("nan"), seed))
        right = next(each for each in judged if (each.subject, each.mistake) == (subject.name, right_of(0)))
        if options.only and subject.name not in options.only:
            continue
        trace = in_float32(
            record(subject, port, options.runs / f"{subject.key}.npz"), options.runs / f"{subject.key}.float32.npz"
        )
        evidence = read_evidence(trace)
        for mutation in (each for each in mutations() if each.trace is None and not each.other_weights):
            wanted = mutation.group in options.groups or mutation.key in options.also
            if mutation.contract is None or not wanted:
                continue
            if (subject.name, mutation.key) in done:
                continue
            try:
                wrong = mutated(mutation, subject.contract, {})[0]
            except NotApplicableError:
                continue
            add(judge(subject, port, mutation, wrong, evidence, right.loss))
    command = f"python benchmarks/closed_loop_score.py --groups {options.groups}"
    command += f" --only {' '.join(options.only)}" if options.only else ""
    command += " --also" + "".join(f' "{key}"' for key in options.also) if options.also else ""
    options.out.write_text(report(judged, command), encoding="utf-8")
    print(f"wrote {options.out}")


def judge(
    subject: Subject,
    port: Port,
    mutation: Mutation | None,
    contract: Contract,
    evidence: Evidence | None,
    right_loss: float,
    seed: int = 0,
) -> Judged:
    """Diagnose one port without a trace, and with one."""
    by_trace = False
    if mutation is not None and evidence is not None:
        by_trace = is_mended(mutation, diagnose_contract(contract, evidence), subject.contract, [])
    about = {
        "subject": subject.name,
        "mistake": right_of(seed) if mutation is None else mutation.key,
        "group": "right" if mutation is None else mutation.group,
        "by_trace": by_trace,
        "right_loss": right_loss,
    }
    began = time.perf_counter()
    try:
        found = diagnose(subject, port, contract, seed)
    except PolicyPortError as error:
        nan = float("nan")
        numbers = {"loss": nan, "best_loss": nan, "seconds": 0.0, "replays": 0}
        words = {
            "seen": True,
            "first_right": False,
            "alone": False,
            "tied": False,
            "in_space": False,
            "first": str(error),
        }
        return Judged(**about, **numbers, **words)
    seconds = time.perf_counter() - began
    right = [not differences(g.contract, subject.contract, relative_tolerance=1e-4) for g in found.hypotheses]
    first = found.hypotheses[0].said if found.hypotheses else "nothing does clearly better"
    near = guesses(contract, contract.joint_names)
    return Judged(
        **about,
        seen=not found.ok,
        first_right=any(right[:1]),
        alone=found.found is not None and right[0],
        tied=found.tied > 1 and any(right[: found.tied]),
        loss=found.given.mean,
        best_loss=float(np.mean(found.hypotheses[0].figures["outcome"]["loss"]))
        if found.hypotheses
        else found.given.mean,
        in_space=any(not differences(g.contract, subject.contract, relative_tolerance=1e-4) for g in near),
        first=first,
        seconds=seconds,
        replays=found.replays,
    )


def right_of(seed: int) -> str:
    """What stands in a mistake's place for a correct port."""
    return f"none, seed {seed}" if seed else "none"


def diagnose(subject: Subject, port: Port, contract: Contract, seed: int) -> ClosedLoopDiagnosis:
    """What `policy-port diagnose --plant mujoco` does with a port of this contract."""
    assert port.onnx is not None
    pilot = Pilot(onnx=port.onnx, network_contract=contract)
    robot = Robot(kind="mujoco", file=subject.robot, meshes=False)
    if subject.walks:
        return diagnose_walk(pilot, robot, COMMAND, seed=seed)
    return diagnose_reach(pilot, robot, SO100_REACH, seed=100 * seed)


def line(each: Judged) -> str:
    first = "first" if each.first_right else "tied"
    words = "mended" if each.alone else first if each.tied else "seen" if each.seen else "nothing seen"
    numbers = f"{each.loss:.2f} -> {each.best_loss:.2f}, {each.seconds:.0f} s, {each.replays} replays"
    return f"{each.subject:<28}{each.mistake:<52}{words}; {numbers}; by trace: {each.by_trace}"


def report(judged: list[Judged], command: str) -> str:
    """The report as Markdown."""
    wrong = [each for each in judged if each.group != "right"]
    right = [each for each in judged if each.group == "right"]
    alarms = [each for each in right if each.seen]
    searched = sorted(each.seconds for each in wrong if each.replays > 100)
    median = f"{searched[len(searched) // 2]:.0f} s, at most {searched[-1]:.0f} s" if searched else "-"
    policies = ", ".join(sorted({each.subject for each in wrong}))
    lines = [
        "# Diagnosis without a trace",
        "",
        f"Written by `{command}` with policy-port {__version__}, Python "
        f"{platform.python_version()}, MuJoCo {mujoco.__version__}, {os.cpu_count()} CPU cores that others used too.",
        "",
        f"{len({each.mistake for each in wrong})} mistakes in {policies}: {len(wrong)} wrong ports, each diagnosed by "
        "`policy-port diagnose PORT --plant mujoco`. Seen: exit status 1, or 2 where it can't be played. First: its "
        "first hypothesis is the correct contract, every number within 1e-4. Alone: and no other does equally well, so "
        "that it is given as found. First or tied: the correct contract is first, or another of those that do equally "
        "well. By trace: the first hypothesis of `diagnose --trace` is the correct contract. "
        f"A diagnosis that searched took {median}.",
        "",
        *head("how such ports fail"),
    ]
    for group, words in GROUPS.items():
        mine = [each for each in wrong if each.group == group]
        if mine:
            lines.append(row(words, mine))
    lines.append(row("**all**", wrong))
    lines += ["", "## By policy", "", *head("policy")]
    lines += [row(name, [e for e in wrong if e.subject == name]) for name in dict.fromkeys(e.subject for e in wrong)]
    lines += ["", "## Correct ports", "", f"{len(alarms)} false alarms in {len(right)} diagnoses of correct ports.", ""]
    for each in right:
        said = f"ALARM: {each.first}" if each.seen else "nothing that this test can see is wrong"
        lines.append(f"- {each.subject}{each.mistake.removeprefix('none')}: {said}; loss {each.loss:.2f}")
    lines += ["", ON_ALARMS]
    unseen = [each for each in wrong if not each.seen]
    lines += ["", "## Wrong ports that walk unseen", ""]
    lines += [f"- {each.subject}, {each.mistake}: {each.reason}" for each in unseen] or ["None."]
    lines += ["", "## Seen, and the first hypothesis is another", ""]
    missed = [each for each in wrong if each.seen and not each.first_right]
    lines += [f"- {each.subject}, {each.mistake}: {each.reason}" for each in missed] or ["None."]
    return "\n".join(lines) + "\n"


def head(words: str) -> tuple[str, str]:
    """The first two lines of a table."""
    columns = (words, "wrong ports", "seen", "first", "alone", "first or tied", "walk unseen", "by trace")
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def row(words: str, some: list[Judged]) -> str:
    """One line of a table."""
    counts = [
        sum(each.seen for each in some),
        sum(each.first_right for each in some),
        sum(each.alone for each in some),
        sum(each.first_right or each.tied for each in some),
        sum(not each.seen for each in some),
        sum(each.by_trace for each in some),
    ]
    return f"| {words} | {len(some)} | {' | '.join(share(count, len(some)) for count in counts)} |"


if __name__ == "__main__":
    main()
