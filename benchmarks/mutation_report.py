"""What became of the mistakes of the mutation score, and the report of it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import onnxruntime
from mutation_evidence import SECONDS
from mutation_mistake import Mutation

from policy_port import __version__

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


def tick(outcome: Outcome) -> str:
    if not outcome.visible:
        return "changes no tensor"
    words = [f"{'' if getattr(outcome, key) else 'not '}{key}" for key in ("caught", "named", "mended")]
    return ", ".join([*words, f"{outcome.seconds:.1f} s", *([outcome.closed_loop] if outcome.closed_loop else [])])


def report(
    outcomes: list[Outcome],
    poorer: list[Outcome],
    skipped: int,
    alarms: list[Alarm],
    motion: list[dict[str, Any]],
    *,
    command: str,
    told: list[str],
) -> str:
    """The report as Markdown.

    Args:
        outcomes: What became of each mistake.
        poorer: The same with evidence of one command.
        skipped: How many combinations do not exist.
        alarms: Verdicts on correct ports.
        motion: What became of mistakes about reference motions.
        command: The command that made it.
        told: What is to be known of the rows: some may be older, or not made yet.
    """
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
        "away." + "".join(f" {line}" for line in told),
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
    lines += of_motions(motion)
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


def of_motions(motion: list[dict[str, Any]]) -> list[str]:
    """The section about reference motions; nothing where there are none."""
    made = [row for row in motion if row["mistake"] != "(none)"]
    if not made:
        return []
    caught, named = (share(sum(row[key] for row in made), len(made)) for key in ("caught", "named"))
    alarms = [row for row in motion if row["mistake"] == "(none)" and row["caught"]]
    lines = ["", "## Reference motions", ""]
    lines += [
        f"Mistakes in a clip or in how it is followed, 3 s of each policy: {caught} caught by verify, {named} named "
        f"first by diagnose; {len(alarms)} false alarms on the correct contracts.",
        "",
    ]
    lines += ["| policy | mistake | caught | named | what diagnose says first |", "|---|---|---|---|---|"]
    for row in made:
        said = [("yes" if row[key] else "**no**") for key in ("caught", "named")]
        lines.append(
            f"| {row['policy']} | {row['mistake']} | {' | '.join(said)} | {row['said'].replace('|', '/')[:160]} |"
        )
    return lines


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
