"""A contract from the configuration of an mjlab run, with the metadata of its ONNX file held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from policy_port.descriptors import mjlab_drives, mjlab_env, mjlab_terms
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.isaac_lab_env import add_agent_clips
from policy_port.descriptors.metadata_numbers import (
    GAINS,
    UNDRIVEN,
    add_default,
    in_joint_order,
    note_rounding,
    scale_of,
    stated_joints,
)
from policy_port.descriptors.metadata_terms import Written
from policy_port.descriptors.mjlab_env import OF_ANOTHER_RUN, Run
from policy_port.descriptors.name_file import read_joint_names
from policy_port.descriptors.onnx_file import OnnxMetadata
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import PreciseValues
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError


def read_alone(files: Sequence[Path], options: ImportOptions) -> Draft:
    """Draft a contract from env.yaml without a network; the order of the joints is the user's to give."""
    path = files[0]
    advice = (
        f"{path}: mjlab's env.yaml does not list the robot's joints. Give the ONNX file of the run, which mjlab writes "
        "as DIR/NAME.onnx beside DIR/params and whose metadata has them, or the joints in the order of the robot's "
        "MJCF with --names FILE"
    )
    if options.names is None:
        raise ContractError(advice)
    stated = read_joint_names(options.names, bare_list=options.names_order)
    if stated.policy is None:
        raise ContractError(f"{options.names}: has motor order only. {advice}")
    draft = Draft(str(path))
    draft.joints(stated.policy, stated.source)
    run = mjlab_env.read_run(files, stated.policy)
    assert run is not None
    precise = (
        PreciseValues.read(options.precise, stated.policy)
        if options.precise
        else PreciseValues(names=tuple(stated.policy))
    )
    add_run(run, None, precise, options, draft)
    return draft


def add_run(run: Run, file: OnnxMetadata | None, precise: PreciseValues, options: ImportOptions, draft: Draft) -> None:
    """Fill the draft from the run's configuration, and hold the metadata against it, where there is a network."""
    record = file.record() if file is not None else None
    if options.layout is not None:
        draft.note(f"--layout {options.layout} was not needed: {run.env.path.name} says what each term is")
    if record is not None:
        _hold_commands(run, record)
    mjlab_env.add_task(run, draft)
    actuated = [name for name in run.names if any(name in drive.joints for drive in mjlab_drives.drives(run))]
    driven = stated_joints(options, draft.joint_names) or actuated
    exact = _exact(run, precise)
    if record is not None:
        add_default(record, exact, draft)
    elif exact.has("default_joint_pos"):
        draft.per_joint("default", exact.values["default_joint_pos"], _source(exact, "default_joint_pos"))
    else:
        draft.lacks("joints.*.default", "env.yaml leaves the pose to a keyframe of the robot's file")
    _run_gains(run, record, exact, driven if len(driven) < len(actuated) else actuated, options, draft)
    if "action.terms" not in options.settings:
        scales = mjlab_drives.add_actions(run, driven, options.settings, draft)
        # The exporter writes the scale of the action of this name, and there is none without it.
        exact = replace(exact, values=exact.values | {"action_scale": scales.get("joint_pos", {})})
        if record is not None and "joint_pos" in scales:
            scale_of(record, list(scales["joint_pos"]), exact)
    if "observation.terms" not in options.settings:
        widths = file.widths() if file is not None else None
        written = Written.read(record, file.entries) if record is not None and file is not None else None
        mjlab_terms.add_observation(run, written, options, draft, widths[0] if widths else None)
    mjlab_env.add_base(run, draft)
    if run.agent is not None:
        add_agent_clips(run.agent, draft)
    else:
        draft.note("agent.yaml is not there, so a clip of the actions (clip_actions) could not be seen")
    if record is not None:
        note_rounding(record, exact, draft)


def _hold_commands(run: Run, record: Record) -> None:
    """Hold the names of the commands against the metadata's: a cheap sign that both are of one run."""
    commands = run.env.below("commands")
    names = [name for name in commands.entries() if commands.has(name)] if commands is not None else []
    stated = [str(name) for name in record.get("command_names")] if record.has("command_names") else names
    if [name for name in stated if name] != names:
        raise ContractError(
            f"{run.env.path}: its commands are {', '.join(names) or 'none'}, but the metadata of {record.path} has "
            f"{', '.join(stated)}; {OF_ANOTHER_RUN}"
        )


def _exact(run: Run, precise: PreciseValues) -> PreciseValues:
    """What env.yaml has at full precision, and what the user gives of what it has not."""
    values: dict[str, dict[str, float]] = {}
    default = mjlab_env.default_positions(run)
    if default is not None:
        values["default_joint_pos"] = default
    for key, gains in mjlab_drives.exact_gains(run).items():
        if gains:
            values[f"joint_{key}"] = gains
    if known := [key for key in precise.values if key in (*values, "action_scale")]:
        raise ContractError(
            f"{precise.path}: gives {known[0]}, which {run.env.path} has at full precision; leave it out of --precise"
        )
    robot = run.robot.where
    places = {
        "default_joint_pos": f"{robot}.init_state.joint_pos",
        "joint_stiffness": f"{robot}.articulation.actuators.stiffness",
        "joint_damping": f"{robot}.articulation.actuators.damping",
        "action_scale": "actions.joint_pos.scale",
    }
    given = {key: precise.place(key) for key in precise.values}
    return PreciseValues(
        names=run.names,
        path=run.env.path,
        values=values | precise.values,
        places={key: (run.env.path, place) for key, place in places.items()} | given,
        otherwise=OF_ANOTHER_RUN,
    )


def _run_gains(
    run: Run, record: Record | None, exact: PreciseValues, actuated: list[str], options: ImportOptions, draft: Draft
) -> None:
    """Gains at full precision; those of the metadata for joints whose drives the robot's own file has."""
    stated: dict[str, dict[str, float]] = {}
    for key, entry in GAINS:
        if entry in exact.values:
            draft.per_joint(key, exact.values[entry], _source(exact, entry))
        if record is None or not record.has(entry):
            continue
        values = record.numbers(entry)
        if len(values) not in (len(run.names), len(actuated)):
            raise record.error(entry, f"has {len(values)} numbers for {len(actuated)} driven joints, {UNDRIVEN}")
        if in_joint_order(record, options):
            stated[key] = dict(zip(run.names if len(values) == len(run.names) else actuated, values, strict=True))
        elif not _motors(record):
            exact.exact(entry, values, record, joints=list(exact.values.get(entry, ())), any_order=True)
    pairs = {
        name: (value, stated["damping"][name])
        for name, value in stated.get("stiffness", {}).items()
        if name in stated.get("damping", {})
    }
    mjlab_drives.add_drives(run, pairs, draft)
    for key, entry in GAINS:
        rest = {name: value for name, value in stated.get(key, {}).items() if name not in exact.values.get(entry, {})}
        if rest and record is not None:
            draft.per_joint(key, rest, record.source(entry, record.rounded.get(entry, "")))


def _source(exact: PreciseValues, key: str) -> str:
    path, place = exact.place(key)
    return f"{path.name}: {place}"


def _motors(record: Record) -> bool:
    """Whether the exporter met motors, whose gains are no drive's: 1 and 0."""
    gains = [record.numbers(entry) for _, entry in GAINS if record.has(entry)]
    return len(gains) == 2 and set(gains[0]) == {1.0} and not any(gains[1])
