"""Claims about hypotheses by rank, told in lines and in a table."""

from __future__ import annotations

from policy_port.contract import Contract
from policy_port.mistakes.edits import Edit
from policy_port.mistakes.hypothesis import Diagnosis, Hypothesis
from tests.samples import contract_data


class Plain(Diagnosis):
    """A diagnosis of hypotheses alone."""

    @property
    def ok(self) -> bool:
        return not self.hypotheses

    def text(self) -> str:
        return "\n".join(self.lines())

    def json(self) -> str:
        return ""


def diagnosis(tied: int) -> Plain:
    contract = Contract.model_validate(contract_data())
    hypothesis = Hypothesis(
        words=("turned", "late"),
        edits=(Edit(key="decimation", before=4, after=8),),
        remedies=("add the delay",),
        contract=contract,
        whole=True,
        figures={"loss": 0.1},
        effect="loss 0.9 -> 0.1",
        cells=("0.1", "walked"),
    )
    return Plain(contract=contract, hypotheses=(hypothesis, hypothesis), tied=tied)


def test_edits_and_remedies_are_both_told() -> None:
    """What mends the contract and what is to be done beside it stand in the lines and in the table's row."""
    told = diagnosis(1)
    assert told.text().splitlines()[:4] == [
        "1. turned; late",
        "   loss 0.9 -> 0.1",
        "   edit    decimation: 4 -> 8",
        "   remedy  add the delay",
    ]
    table = told.table(("loss", "what the robot did"))
    assert table.rows[0] == ("1", "turned; late", "decimation: 4 -> 8; add the delay", "0.1", "walked")


def test_what_is_tied_is_not_found() -> None:
    """One hypothesis that is best alone is found; of two that are as good none is, and both say so."""
    alone = diagnosis(1)
    assert alone.found is alone.hypotheses[0]
    tied = diagnosis(2)
    assert tied.found is None
    assert tied.text().count("(tied with 1 more)") == 2
    assert [row[0] for row in tied.table(("loss", "what")).rows] == ["1, tied", "2, tied"]
