"""What plays in a simulator tell of a port: how it does as given, and which usual mistake it does better without."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from policy_port.closed_loop.outcome import Outcome
from policy_port.closed_loop.search import BAD, EVEN, GOOD, MARGIN, Found, Played
from policy_port.closed_loop.words import Told
from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import edits_between
from policy_port.mistakes.hypothesis import SHOWN, Diagnosis, Hypothesis
from policy_port.mistakes.numbers import counted

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
class ClosedLoopDiagnosis(Diagnosis):
    """What plays in a simulator tell of a contract; its hypotheses do clearly better than what was given."""

    simulator: str
    """Name of the simulator."""
    setting: dict[str, str]
    """Simulator, robot and trials."""
    given: Outcome
    """What the robot did under it."""
    tried: int
    """Contracts that were looked at beside the one as it was given."""
    unplayable: int
    """How many of them the simulator could not be set up for."""
    replays: int
    """Trials that were performed."""
    told: Told
    """How outcomes are put in words."""

    @property
    def ok(self) -> bool:
        """True when nothing that this test can see is wrong: it does well enough, and nothing does clearly better."""
        return not self.hypotheses and self.given.mean <= BAD

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.ok:
            why = (
                f"none of {counted(self.tried, 'usual mistake')}, undone, does clearly better"
                if self.tried
                else f"a loss of {self.given.mean:.2f} leaves nothing that could do clearly better"
            )
            return f"nothing that this test can see is wrong: {why}"
        if not self.hypotheses:
            tried = counted(self.tried, "contract")
            return f"it does badly, and none of {tried} with usual mistakes undone does well"
        left = ", but not well: more may be wrong" if not self.hypotheses[0].whole else ""
        if self.found is not None:
            return f"without this mistake it does clearly better{left}: {self.found.said}"
        return f"{self.tied} hypotheses do clearly better, and equally well within noise: none is found{left}"

    def text(self) -> str:
        """The diagnosis for a person."""
        width = max(map(len, self.setting))
        lines = [f"{name:<{width}}  {text}" for name, text in self.setting.items()]
        lines += ["", self.verdict, f"as given: {self.told(self.given)}", *self.lines()]
        if len(self.hypotheses) > SHOWN:
            more = len(self.hypotheses) - SHOWN
            lines.append(f"and {more} more that {'does' if more == 1 else 'do'} clearly better than the port as given")
        unplayable = f"; {self.unplayable} of them can't be simulated" if self.unplayable else ""
        contracts = f"{self.tried + 1} contracts" if self.tried else "the contract as it was given"
        lines.append(f"{counted(self.replays, 'replay')} of {contracts}{unplayable}")
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
                hypothesis.document(tied=number < self.tied > 1) for number, hypothesis in enumerate(self.hypotheses)
            ],
            "contracts": self.tried + 1,
            "replays": self.replays,
            "margin": MARGIN,
            "even": EVEN,
            "notes": list(WEAKER),
        }
        return json.dumps(document, indent=2) + "\n"


LATE = "delay the actions by one control step in the loop that runs the port"


def told_of(
    contract: Contract, found: Found, told: Told, simulator: str, setting: dict[str, str], replays: int
) -> ClosedLoopDiagnosis:
    """Put what a search came to in words."""
    given = found.given.outcome

    def hypothesis(played: Played) -> Hypothesis:
        loss, done = played.outcome.mean, told(played.outcome)
        return Hypothesis(
            words=played.words,
            edits=edits_between(contract, played.candidate.contract),
            remedies=(LATE,) if played.candidate.late else (),
            contract=played.candidate.contract,
            whole=loss <= GOOD,
            figures={"outcome": numbers(played.outcome)},
            effect=f"loss    {given.mean:.2f} -> {loss:.2f}: {done}",
            cells=(f"{loss:.2f}", done),
        )

    return ClosedLoopDiagnosis(
        contract=contract,
        simulator=simulator,
        setting=setting,
        given=given,
        hypotheses=tuple(map(hypothesis, found.best)),
        tied=found.tied,
        tried=found.tried,
        unplayable=found.unplayable,
        replays=replays,
        told=told,
    )


def numbers(outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs; what can't be told is None."""
    return {
        "loss": outcome.loss.tolist(),
        "failed": outcome.failed.tolist(),
        "seconds": outcome.seconds.tolist(),
        "error": [_known(value) for value in outcome.error.tolist()],
        "joint_tracking_rmse": _known(outcome.tracking),
        "target_rate": _known(outcome.rate),
        "effort_saturation": _known(outcome.saturation),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
