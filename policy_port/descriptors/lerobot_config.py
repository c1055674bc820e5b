"""LeRobot's config.json: features with their shapes, and neither joint names, nor units, nor a rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.name_file import read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

MAIN = "LeRobot policy config"
FLAGS = frozenset({"names", "names_order", "control_frequency"})


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    return MAIN if {"type", "input_features", "output_features"} <= set(record.data) else None


def beside(path: Path) -> list[Path]:
    """Files that belong to the descriptor at `path`."""
    return []


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    draft = Draft(str(record.path))
    kind = record.text("type")
    draft.put("trained_in", f"LeRobot, {kind}", record.source("type"))
    inputs, outputs = record.section("input_features"), record.section("output_features")
    state, action = _vector(inputs, "observation.state"), _vector(outputs, "action")
    if record.has("n_obs_steps") and record.integer("n_obs_steps") > 1:
        raise record.error("n_obs_steps", f"is {record.integer('n_obs_steps')}: stacked steps of {kind} are not known")
    _rate(record, options, draft)
    _images(inputs, draft)
    for key, why in (
        ("base.floating", "config.json knows no robot"),
        ("actuation.kind", "config.json knows no robot; a LeRobot arm's servos close the loop themselves: explicit"),
    ):
        draft.lacks(key, why)
    if state != action:
        raise outputs.error(
            "action", f"has {action} numbers and observation.state {state}; a contract states one joint set for both"
        )
    if not _names(record, state, options, draft):
        return draft
    draft.lacks(
        "joints.*.unit",
        "LeRobot keeps positions in the robot's own unit: degrees or percent, depending on use_degrees and the joint",
        "--set 'joints.*.unit=deg' and, for a gripper, --set joints.gripper.unit=percent",
    )
    draft.lacks(
        "joints.*.default",
        "LeRobot has no default pose; the policy does not use one, a replay starts there",
        "--set 'joints.*.default=0' or the rest pose, joint by joint",
    )
    modes = record.data.get("normalization_mapping")
    within = f"statistics of {modes} stay inside the policy" if modes else "normalisation stays inside the policy"
    draft.term({"term": "joint_pos"}, inputs.source("observation.state", within))
    absolute: dict[str, Any] = {"term": "joint_position", "scale": 1.0, "offset": 0.0}
    draft.action(absolute, outputs.source("action", "LeRobot actions are absolute goal positions"))
    if record.has("chunk_size"):
        draft.note(f"the policy returns chunks of {record.integer('chunk_size')} actions; the contract is of one step")
    return draft


def _vector(features: Record, key: str) -> int:
    size = features.section(key).numbers("shape")
    if len(size) != 1:
        raise features.error(key, f"has shape {size}, expected one dimension")
    extra = [name for name in features.entries() if name != key and not name.startswith("observation.image")]
    if extra:
        raise features.error(extra[0], f"is a feature that a contract can't state beside '{key}'")
    return int(size[0])


def _rate(record: Record, options: ImportOptions, draft: Draft) -> None:
    if options.control_frequency is None:
        why = "config.json has no rate; the data set's fps is the control frequency"
        draft.lacks("timestep", why, "--control-frequency HERTZ")
        draft.lacks("decimation", why, "it follows from --control-frequency")
        return
    period = 1.0 / options.control_frequency
    draft.control_dt = (period, "--control-frequency")
    if options.timestep is None:
        # Recorded on a real arm: there is no physics step below the control step.
        draft.put("timestep", period, "--control-frequency; recorded, not simulated")


def _images(inputs: Record, draft: Draft) -> None:
    images = []
    for name in inputs.entries():
        if not name.startswith("observation.image"):
            continue
        shape = inputs.section(name).numbers("shape", 3, per="dimension")
        channels, height, width = (int(value) for value in shape)
        if channels not in (1, 3, 4):
            raise inputs.error(name, f"has shape {shape}; LeRobot writes channels, height, width")
        label = name.removeprefix("observation.images.").removeprefix("observation.")
        image = {"name": label, "height": height, "width": width, "channels": channels, "layout": "nchw"}
        images.append(image | {"dtype": "float32", "scale": 1.0})
    if images:
        draft.data["images"] = images
        draft.sources["images"] = inputs.source("observation.images.*", "LeRobot feeds float32 in 0..1, channels first")


def _names(record: Record, count: int, options: ImportOptions, draft: Draft) -> bool:
    if options.names is None:
        draft.lacks(
            "joints",
            f"config.json counts {count} numbers of observation.state and has no names",
            "--names FILE, a YAML mapping with joint_names in the order of observation.state",
        )
        draft.waits_for_names = True
        return False
    names = read_joint_names(options.names, bare_list=options.names_order)
    if names.policy is None:
        raise ContractError(f"{options.names}: LeRobot has one order only; write the list under the key 'joint_names'")
    if len(names.policy) != count:
        raise ContractError(f"{options.names}: has {len(names.policy)} names, {record.path} has {count} joints")
    draft.joints(names.policy, names.source)
    return True
