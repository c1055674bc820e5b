"""Joints of descriptors that list gains and default positions by motor and name none of them."""

from __future__ import annotations

from collections.abc import Sequence

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.name_file import JointNames, read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError


def given_names(record: Record, count: int, options: ImportOptions, draft: Draft) -> JointNames | None:
    """Names that the user gives for a descriptor's numbered joints; None, which `draft` is told, where nobody does.

    Raises:
        ContractError: When the name file holds no names, or does not say their order.
    """
    if options.names is None:
        draft.lacks(
            "joints",
            f"{record.path.name} numbers its {count} joints and has no names",
            "--names FILE, a YAML mapping with joint_names in the policy's order or motor_joint_names in motor order",
        )
        draft.waits_for_names = True
        return None
    return read_joint_names(options.names, bare_list=options.names_order)


def named(record: Record, motors: Sequence[int], acting: int, options: ImportOptions, draft: Draft) -> list[str] | None:
    """Names of the motors of a list, in its order; of the policy's alone, where the user names no others.

    Args:
        record: The descriptor, for messages.
        motors: Number of each entry's motor.
        acting: How many of the first entries the policy acts on.
        options: What the user adds: `--names`.
        draft: The contract in the making, which is told what is missing.

    Raises:
        ContractError: When the name file has another number of names.
    """
    given = given_names(record, len(motors), options, draft)
    if given is None:
        return None
    names = given.policy
    if names is None:
        assert given.motor is not None
        if len(given.motor) <= max(motors):
            raise ContractError(
                f"{options.names}: has {len(given.motor)} motor names, but {record.path} counts motors up to "
                f"{max(motors)} from 0; name every motor of the robot"
            )
        names = tuple(given.motor[motor] for motor in motors)
    if len(names) not in (len(motors), acting):
        either = f"{acting} (those that the policy drives) or {len(motors)}" if acting < len(motors) else str(acting)
        raise ContractError(f"{options.names}: has {len(names)} joint names, but {record.path} lists {either}")
    if len(names) < len(motors):
        draft.note(
            f"the {len(motors) - acting} joints that the policy does not drive have no names in {options.names} and "
            "were left out; a robot that has them holds them as its own file says"
        )
    if given.policy and len(names) > acting and list(motors) != list(range(len(motors))):
        raise ContractError(
            f"{options.names}: joint_names names {len(names)} joints, of which {record.path} drives {acting}, and "
            "not in motor order; name all of them in motor order under motor_joint_names, or the driven ones alone"
        )
    draft.joints(names, given.source)
    return list(names)
