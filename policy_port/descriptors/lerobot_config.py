"""LeRobot's config.json: features with their shapes, and neither joint names, nor units, nor a rate.

The data set's meta/info.json beside it brings names and rate, the policy's pre-processor the range of its joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.lerobot_statistics import joint_ranges
from policy_port.descriptors.name_file import read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

MAIN = "LeRobot policy config"
INFO = "LeRobot data set's meta/info.json"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"names", "names_order", "control_frequency"})


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    if {"type", "input_features", "output_features"} <= set(record.data):
        return MAIN
    return INFO if {"codebase_version", "features", "fps"} <= set(record.data) else None


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
    info = records.get(INFO)
    _rate(info, options, draft)
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
    if not _names(record, info, state, options, draft):
        return draft
    gripper = next((name for name in draft.joint_names if "gripper" in name), "GRIPPER")
    draft.lacks(
        "joints.*.unit",
        "LeRobot keeps positions in the robot's own unit: degrees or percent, depending on use_degrees and the joint",
        f"--set 'joints.*.unit=deg' and, for a gripper, --set joints.{gripper}.unit=percent",
    )
    draft.lacks(
        "joints.*.default",
        "LeRobot has no default pose; the policy does not use one, a replay starts there",
        "--set 'joints.*.default=0' or, joint by joint, the pose that demonstrations began in",
    )
    _limits(record, draft)
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


def _rate(info: Record | None, options: ImportOptions, draft: Draft) -> None:
    given, source = options.control_frequency, "--control-frequency"
    if info is not None:
        fps = info.number("fps")
        if fps <= 0.0:
            raise info.error("fps", f"is {fps:g}, expected a rate above 0")
        if given is not None and abs(given - fps) > 1e-6 * fps:
            raise info.error("fps", f"is {fps:g}, --control-frequency says {given:g}: a policy runs at its data's rate")
        given, source = fps, info.source("fps")
    if given is None:
        why = "config.json has no rate; the data set's fps is the control frequency"
        draft.lacks("timestep", why, "--control-frequency HERTZ, or the data set's meta/info.json as a second SOURCE")
        draft.lacks("decimation", why, "it follows from --control-frequency")
        return
    period = 1.0 / given
    draft.control_dt = (period, source)
    if options.timestep is None:
        # Recorded on a real arm: there is no physics step below the control step.
        draft.put("timestep", period, f"{source}; recorded, not simulated")


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


def _limits(record: Record, draft: Draft) -> None:
    ranges = joint_ranges(record.path.parent, len(draft.joint_names))
    if ranges is None:
        draft.note(
            "the policy's folder tells no range of its joints: lower and upper stay unset, and an arm asks for them"
        )
        return
    source = f"{ranges.source}: least and greatest of observation.state and action in the data set"
    draft.per_joint("lower", ranges.lower, source)
    draft.per_joint("upper", ranges.upper, source)


def _names(record: Record, info: Record | None, count: int, options: ImportOptions, draft: Draft) -> bool:
    recorded = _recorded_names(info, count, options) if info is not None else None
    if options.names is None and recorded is None:
        draft.lacks(
            "joints",
            f"config.json counts {count} numbers of observation.state and has no names"
            + (f", nor has {info.path.name}" if info is not None else ""),
            "--names FILE, a YAML mapping with joint_names in the order of observation.state"
            + ("" if info is not None else ", or the data set's meta/info.json as a second SOURCE"),
        )
        draft.waits_for_names = True
        return False
    if options.names is None:
        assert info is not None
        assert recorded is not None
        draft.joints(recorded, info.source("features.observation.state.names"))
        return True
    names = read_joint_names(options.names, bare_list=options.names_order)
    if names.policy is None:
        raise ContractError(f"{options.names}: LeRobot has one order only; write the list under the key 'joint_names'")
    if len(names.policy) != count:
        raise ContractError(f"{options.names}: has {len(names.policy)} names, {record.path} has {count} joints")
    if info is not None and recorded is not None:
        _hold_against(info, recorded, names.policy, options.names, draft)
    draft.joints(names.policy, names.source)
    return True


def _hold_against(info: Record, recorded: list[str], given: Sequence[str], path: Path, draft: Draft) -> None:
    """Names of the user's may be others than the data set's, but not the same ones in another order."""
    if sorted(map(_plain, recorded)) == sorted(map(_plain, given)):
        for there, here in zip(recorded, given, strict=True):
            if _plain(there) != _plain(here):
                raise ContractError(
                    f"{path}: has '{here}' where {info.path} has '{there}': the same joints in another order. The data "
                    f"set's order is the policy's: {', '.join(recorded)}; write that one, or leave out --names"
                )
    elif recorded != list(given):
        draft.note(f"{info.path.name} calls the joints {', '.join(recorded)}; the names of {path.name} stand in")


def _plain(name: str) -> str:
    """A joint's name without what LeRobot's versions put around it."""
    return name.removeprefix("main_").removesuffix(".pos")


def _recorded_names(info: Record, count: int, options: ImportOptions) -> list[str] | None:
    """The joints of a data set; None where it names none, or names them in a way that --names has to stand in for."""
    features = info.section("features")
    found = [_name_list(features.section(key), options) for key in ("observation.state", "action")]
    if None in found:
        return None
    state, action = (names or [] for names in found)
    if list(map(_plain, state)) != list(map(_plain, action)):
        if options.names is not None and sorted(map(_plain, state)) != sorted(map(_plain, action)):
            return None
        raise info.error(
            "features",
            f"has the joints {', '.join(state)} in observation.state, in action {', '.join(action)}; a contract states "
            "one joint set for both",
        )
    if len(state) != count:
        raise info.error("features", f"has {len(state)} joints, the policy {count}: it is another data set's")
    return state


def _name_list(feature: Record, options: ImportOptions) -> list[str] | None:
    """The names of a feature: a list, or the one list inside of it (under `motors`, `axes`), as older data sets have.

    None where it has no names, or where it has them otherwise and the user's stand in.
    """
    if not feature.has("names") or feature.get("names") in ([], {}):
        return None
    value = feature.get("names")
    inner = list(value.values() if isinstance(value, dict) else value) if isinstance(value, dict | list) else []
    inner = [item for item in inner if item is not None]
    if len(inner) == 1 and isinstance(inner[0], list):
        value = inner[0]
    if isinstance(value, list) and len({item for item in value if isinstance(item, str)}) == len(value):
        return value
    if options.names is not None:
        return None
    raise feature.error("names", f"is {value}, expected one list of different names; give the order with --names FILE")
