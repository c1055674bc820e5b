"""What a descriptor needs beside the contract, and the lists that all of them write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.term import Term
from policy_port.descriptors.name_file import MOTOR_KEY, read_joint_names
from policy_port.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Given:
    """Options of `contract write`."""

    names: Path | None = None
    """Names in motor (SDK) order."""
    policy: Path | None = None
    """The policy's ONNX file."""
    of_port: bool = False
    """Whether the policy is that of the port whose contract is written, which nobody named for the format."""

    def refuse_unread(self, kind: str, reads: frozenset[str]) -> None:
        """Refuse an option that the format does not read."""
        for key in ("names", "policy"):
            if getattr(self, key) is not None and key not in reads and not (key == "policy" and self.of_port):
                raise ContractError(f"--{key} means nothing to --to {kind}; leave it out")

    def motors(self, contract: Contract, kind: str) -> tuple[str, ...]:
        """The joints in motor order: which motor a number drives is no guess."""
        if self.names is None:
            raise ContractError(
                f"--to {kind}: numbers its motors, and the contract has the policy's order alone. Name a YAML with "
                f"--names whose {MOTOR_KEY} lists the robot's joints in motor (SDK) order"
            )
        motors = read_joint_names(self.names, bare_list="motor").motor
        if motors is None:
            raise ContractError(f"{self.names}: has no {MOTOR_KEY}, the robot's joints in motor (SDK) order; add it")
        both = [set(motors) - set(contract.joints), set(contract.joints) - set(motors)]
        for names, where in zip(both, ("the contract", str(self.names)), strict=True):
            if names:
                raise ContractError(
                    f"{self.names}: {', '.join(sorted(names))} is not in {where}; both need every joint"
                )
        return motors


def numbers(term: Term, contract: Contract, key: Any) -> list[float]:
    """Scale or offset of each element of a term."""
    return [float(term.entry(key, element)) for element in term.elements(contract)]


def gains(contract: Contract, what: str) -> dict[str, list[float]]:
    """Stiffness and damping in the policy's order.

    Raises:
        ContractError: When a joint has none; a runner drives motors by them.
    """
    found: dict[str, list[float]] = {}
    for key in ("stiffness", "damping"):
        absent = [name for name, joint in contract.joints.items() if getattr(joint, key) is None]
        if absent:
            raise ContractError(
                f"contract '{contract.name}': joints.{absent[0]}.{key} is not stated, and motors are driven by it with "
                f"{what}; state it in the contract"
            )
        found[key] = [float(getattr(joint, key)) for joint in contract.joints.values()]
    return found


def only_position(contract: Contract, what: str) -> Any:
    """The one joint position term of the action.

    Raises:
        ContractError: When the action is something else.
    """
    kinds = [term.term for term in contract.action.terms]
    if kinds != ["joint_position"]:
        raise ContractError(
            f"contract '{contract.name}': its action is {', '.join(kinds)}, and this program writes one joint_position "
            f"into {what}"
        )
    return contract.action.terms[0]


def unknown_term(contract: Contract, term: Term, what: str, known: Iterable[str]) -> ContractError:
    """The error of an observation term that a format has no name for."""
    return not_written(contract, f"observation term '{term.label}' ({term.term})", what, known)


def not_written(contract: Contract, part: str, what: str, known: Iterable[str]) -> ContractError:
    """The error of a part of a contract that is not written into a format."""
    return ContractError(
        f"contract '{contract.name}': {part} is not written into {what}; what is, is {', '.join(known)}"
    )
