"""A run's folder where a policy file is asked for: which checkpoint is taken, and what it reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from policy_port.contract import Contract


def policy_file(given: Path) -> Path:
    """The policy file itself, or the result of a run; which one that is, is told."""
    if not _is_run(given):
        return given
    from policy_port.train.run import open_run

    file, reason = open_run(given).result()
    typer.echo(f"note: {given}: {file.name} is taken: {reason}", err=True)
    return file


def policy_contract(given: Path, contract: Path | None) -> Contract:
    """The contract that is named; of a run's result the run's own, where none is.

    Raises:
        BadParameter: When none is named and the policy is no run's.
    """
    from policy_port.contract import load_contract

    if contract is not None:
        return load_contract(contract)
    if not _is_run(given):
        raise without_contract(given)
    from policy_port.train.run import open_run

    return open_run(given).contract()


def without_contract(given: Path) -> typer.BadParameter:
    """The error of a policy that is no run's folder, and of which no contract is named."""
    return typer.BadParameter(f"{given} does not say what its numbers mean; give its contract with --contract FILE")


def names_run(given: Path) -> bool:
    """Whether it is a run's folder, or that of an earlier stage of a pipeline: @NAME, where @NAME:PART is a file."""
    return _is_run(given) or (str(given).startswith("@") and ":" not in str(given))


def _is_run(given: Path) -> bool:
    return (given / "run.yaml").is_file()
