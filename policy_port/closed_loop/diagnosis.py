"""What plays in a simulator tell of a port: how it does as given, and which usual mistake it does better without."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policy_port.closed_loop.outcome import Outcome
from policy_port.closed_loop.search import BAD, EVEN, GOOD, MARGIN, Found, Played
from policy_port.closed_loop.words import Told
from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import Edit, edits_between
from policy_port.mistakes.hypothesis import SHOWN

WEAKER = (
    "this is weaker than a trace of the source simulator: it sees how the robot does, not what the network saw, and "
    "many wrong ports do as well as the right one",
    "a mistake that changes little does not show: single gains and scales, small offsets, a clock, the reset of a "
    "history; neither does one that this simulator can't have: quaternion order, frames and moments of measurement",
    "what does best here may also make up for a difference between this simulator and the source; with a trace, "
    "`policy-port diagnose PORT --trace T` compares numbers instead",
)
"""Why, in words that every answer carries."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One hypothesis, and what the robot did under it."""

    words: tuple[str, ...]
    """What would be wrong with the contract as it was given, a sentence for each mistake."""
    edits: tuple[Edit, ...]
    """Edits of the contract, all of them to be made."""
    remedy: str
    """What to do where no edit of the contract says it; empty, if there is nothing."""
    contract: Contract
    """The contract after the edits."""
    outcome: Outcome
    """What the robot did under it, in the same trials."""


@dataclass(frozen=True, kw_only=True)
class ClosedLoopDiagnosis:
    """What the search came to, to be told."""

    contract: Contract
    """The contract as it was given."""
    setting: dict[str, str]
    """Simulator, robot and trials."""
    given: Outcome
    """What the robot did under it."""
    guesses: tuple[Guess, ...]
    """Hypotheses that do clearly better, the best first."""
    tied: int
    """How many of the first do equally well within noise."""
    tried: int
    """Contracts that were looked at beside the one as it was given."""
    unplayable: int
    """How many of them the simulator could not be set up for."""
    replays: int
    """Trials that were performed."""
    told: Told
    """How outcomes are put in words."""

    @property
    def bad(self) -> bool:
        """Whether the port as given does badly, whatever is found."""
        return self.given.mean > BAD

    @property
    def ok(self) -> bool:
        """True when nothing that this test can see is wrong."""
        return not self.guesses and not self.bad

    @property
    def found(self) -> Guess | None:
        """The one hypothesis that does best; None where several do equally well."""
        return self.guesses[0] if self.tied == 1 else None

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.ok:
            why = (
                f"none of {self.tried} usual mistakes, undone, does clearly better"
                if self.tried
                else f"a loss of {self.given.mean:.2f} leaves nothing that could do clearly better"
            )
            return f"nothing that this test can see is wrong: {why}"
        if not self.guesses:
            return f"it does badly, and none of {self.tried} contracts with usual mistakes undone does well"
        left = ", but not well: more may be wrong" if self.guesses[0].outcome.mean > GOOD else ""
        if self.found is not None:
            return f"without this mistake it does clearly better{left}: {'; '.join(self.found.words)}"
        return f"{self.tied} hypotheses do clearly better, and equally well within noise: none is found{left}"

    def text(self) -> str:
        """The diagnosis for a person."""
        width = max(map(len, self.setting))
        lines = [f"{name:<{width}}  {text}" for name, text in self.setting.items()]
        lines += ["", self.verdict, f"as given: {self.told(self.given)}"]
        for number, guess in enumerate(self.guesses[:SHOWN], start=1):
            rank = f"tied with {self.tied - 1} more" if number <= self.tied > 1 else ""
            lines.append(f"{number}. {'; '.join(guess.words)}{f' ({rank})' if rank else ''}")
            lines.append(f"   loss    {self.given.mean:.2f} -> {guess.outcome.mean:.2f}: {self.told(guess.outcome)}")
            lines += [f"   edit    {edit}" for edit in guess.edits]
            lines += [f"   remedy  {guess.remedy}"] * bool(guess.remedy)
        if len(self.guesses) > SHOWN:
            lines.append(f"and {len(self.guesses) - SHOWN} more that do clearly better than the port as given")
        unplayable = f"; {self.unplayable} of them can't be simulated" if self.unplayable else ""
        contracts = f"{self.tried + 1} contracts" if self.tried else "the contract as it was given"
        lines.append(f"{self.replays} replays of {contracts}{unplayable}")
        lines += [f"note: {note}" for note in WEAKER]
        return "\n".join(lines)

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "contract": self.contract.name,
            "verdict": self.verdict,
            "setting": self.setting,
            "given": numbers(self.given),
            "hypotheses": [
                {
                    "looks_like": list(guess.words),
                    "tied": number < self.tied and self.tied > 1,
                    "edits": [{"key": e.key, "from": e.before, "to": e.after} for e in guess.edits],
                    "remedies": [guess.remedy] * bool(guess.remedy),
                    "outcome": numbers(guess.outcome),
                }
                for number, guess in enumerate(self.guesses)
            ],
            "contracts": self.tried + 1,
            "replays": self.replays,
            "margin": MARGIN,
            "even": EVEN,
            "notes": list(WEAKER),
        }
        return json.dumps(document, indent=2) + "\n"


def told_of(given: Contract, found: Found, told: Told, setting: dict[str, str], replays: int) -> ClosedLoopDiagnosis:
    """Put what a search came to in words."""
    return ClosedLoopDiagnosis(
        contract=given,
        setting=setting,
        given=found.given.outcome,
        guesses=tuple(_guess(given, played) for played in found.best),
        tied=found.tied,
        tried=found.tried,
        unplayable=found.unplayable,
        replays=replays,
        told=told,
    )


def _guess(given: Contract, played: Played) -> Guess:
    late = "delay the actions by one control step in the loop that runs the port"
    return Guess(
        words=played.words,
        edits=edits_between(given, played.candidate.contract),
        remedy=late if played.candidate.late else "",
        contract=played.candidate.contract,
        outcome=played.outcome,
    )


def numbers(outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs; what can't be told is None."""
    return {
        "loss": outcome.loss.tolist(),
        "failed": outcome.failed.tolist(),
        "seconds": outcome.seconds.tolist(),
        "error": [value if value == value and abs(value) != float("inf") else None for value in outcome.error.tolist()],
        "joint_tracking_rmse": _known(outcome.tracking),
        "target_rate": _known(outcome.rate),
        "effort_saturation": _known(outcome.saturation),
    }


def _known(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
