"""A hypothesis: what is wrong with a port, what mends it, and what the evidence says of that; and several by rank."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import Edit, plain
from policy_port.report import Table

SHOWN = 5
"""Hypotheses that are told."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One explanation, whole or part, as the edits that mend the contract."""

    words: tuple[str, ...]
    """What it looks like, a sentence for each independent mistake."""
    edits: tuple[Edit, ...]
    """Edits of the contract, all of them to be made."""
    remedies: tuple[str, ...]
    """What to do beside edits, where the contract is not at fault."""
    contract: Contract
    """The contract after the edits."""
    whole: bool
    """True when the evidence leaves nothing more to explain."""
    figures: dict[str, Any]
    """What the evidence says of it, by name, for programs."""
    effect: str
    """The same for a person: before and after."""
    cells: tuple[str, str]
    """The same for the last two columns of a table."""
    doubt: str = ""
    """Why the mended contract is not verified; nothing where it is, or where nothing is edited."""

    @property
    def said(self) -> str:
        """What it looks like, on one line."""
        return "; ".join(self.words)

    def document(self, **more: Any) -> dict[str, Any]:
        """The hypothesis for programs, with `more` behind its words."""
        edits = [{"key": edit.key, "from": edit.before, "to": edit.after} for edit in self.edits]
        remedies = list(self.remedies)
        told = {"looks_like": list(self.words), **more, "edits": edits, "remedies": remedies, **self.figures}
        return {**told, "verified": not self.doubt, "doubt": self.doubt}

    def mended_yaml(self, source: str) -> str:
        """The mended contract as YAML, with what was mended, and from which source, among its sources."""
        data = plain(self.contract)
        told = {edit.key: f"policy-port diagnose, {source}" for edit in self.edits}
        data["sources"] = {**data.get("sources", {}), **told}
        return Contract.model_validate(data).to_yaml()


@dataclass(frozen=True, kw_only=True)
class Diagnosis(abc.ABC):
    """What diagnose found."""

    contract: Contract
    """The contract as it was given."""
    hypotheses: tuple[Hypothesis, ...]
    """Explanations by rank, the best first."""
    tied: int = 1
    """How many of the first the evidence can't tell apart."""

    @property
    @abc.abstractmethod
    def ok(self) -> bool:
        """True when the evidence shows nothing wrong."""

    @property
    def wrong(self) -> bool:
        """True when something is shown to be wrong; neither this nor `ok` where the evidence does not tell."""
        return not self.ok

    @abc.abstractmethod
    def text(self) -> str:
        """The diagnosis for a person."""

    @abc.abstractmethod
    def json(self) -> str:
        """The same for programs, at full precision."""

    @property
    def found(self) -> Hypothesis | None:
        """The one hypothesis that is best; None where there is none, or several are as good."""
        return self.hypotheses[0] if self.hypotheses and self.tied == 1 else None

    def lines(self) -> Iterator[str]:
        """The hypotheses by rank, each with its effect, its edits and its remedies."""
        for number, hypothesis in enumerate(self.hypotheses[:SHOWN], start=1):
            rank = f" (tied with {self.tied - 1} more)" if number <= self.tied > 1 else ""
            yield f"{number}. {hypothesis.said}{rank}"
            yield f"   {hypothesis.effect}"
            yield from (f"   edit    {edit}" for edit in hypothesis.edits)
            yield from (f"   remedy  {remedy}" for remedy in hypothesis.remedies)
            if hypothesis.doubt:
                yield f"   not verified: {hypothesis.doubt}"

    def table(self, measured: tuple[str, str], *first: tuple[str, ...]) -> Table:
        """The hypotheses as a table.

        Args:
            measured: Heads of the columns that their cells fill.
            first: Rows before the first hypothesis.
        """
        rows = list(first)
        for number, hypothesis in enumerate(self.hypotheses[:SHOWN], start=1):
            rank = f"{number}, tied" if number <= self.tied > 1 else str(number)
            mending = "; ".join((*map(str, hypothesis.edits), *hypothesis.remedies))
            rows.append((rank, hypothesis.said, mending, *hypothesis.cells))
        return Table(title="Hypotheses", head=("rank", "what it looks like", "edit", *measured), rows=tuple(rows))
