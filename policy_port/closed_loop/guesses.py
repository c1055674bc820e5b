"""The space of usual mistakes: everything that the numbers of a contract might mean instead."""

from __future__ import annotations

from collections.abc import Iterator

from policy_port.closed_loop.drive_guesses import drive_guesses
from policy_port.closed_loop.order_guesses import order_guesses
from policy_port.closed_loop.stage import Candidate
from policy_port.closed_loop.term_guesses import term_guesses
from policy_port.contract.spec import Contract
from policy_port.mistakes.orders import Names


def guesses(contract: Contract, plant_names: Names) -> Iterator[Candidate]:
    """Every candidate that is one usual mistake away from a contract, each once.

    Args:
        contract: The contract.
        plant_names: The simulator's joint names, in its order.
    """
    tried = {key_of(contract)}
    for source in (order_guesses(contract, plant_names), term_guesses(contract), drive_guesses(contract)):
        for changed, words in source:
            if changed is None or changed.observation_size != contract.observation_size:
                continue
            key = key_of(changed)
            if key not in tried:
                tried.add(key)
                yield Candidate(contract=changed, words=words)
    yield Candidate(contract=contract, words="actions took effect one control step later in training", late=True)


def key_of(contract: Contract) -> str:
    """What tells two contracts apart: all but names and sources."""
    return contract.model_dump_json(exclude={"name", "robot", "trained_in", "sources"}, exclude_defaults=True)
