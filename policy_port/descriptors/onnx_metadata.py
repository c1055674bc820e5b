"""Metadata inside an ONNX file: mjlab's and BeyondMimic's three decimals, or this program's own whole contract.

mjlab's `train` leaves params/env.yaml beside the ONNX file of a run. It has the exact numbers and what the metadata
does not say; where it is there, it is read, and the metadata is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policy_port.descriptors import metadata_terms, mjlab_env, mjlab_run
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.following import put_motion, reads_motion
from policy_port.descriptors.metadata_numbers import add_default, add_gains, note_rounding, scale_of, stated_joints
from policy_port.descriptors.metadata_terms import METADATA_LAYOUTS, Written
from policy_port.descriptors.onnx_file import OnnxMetadata
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import PreciseValues
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

FLAGS = frozenset({"layout", "precise", "gains_order", "sizes", "names", "names_order"})

_KNOWN = metadata_terms.KEYS | {
    *("joint_names", "joint_stiffness", "joint_damping", "default_joint_pos", "action_scale")
}
_DECIDES = ("action_", "observation_")
"""What a key begins with that says how numbers are made; others name the run, the commands, the bodies of a motion."""


def with_run(files: Sequence[Path]) -> list[Path]:
    """The ONNX file first, then env.yaml and agent.yaml of its run: those that are given, or else lie beside it.

    Without an ONNX file, the one of the run that env.yaml lies in; env.yaml alone where there is none.

    Raises:
        ContractError: When there is more than one ONNX file.
    """
    networks = [file for file in files if file.suffix.lower() == ".onnx"]
    others = [file for file in files if file not in networks]
    if not networks and mjlab_env.is_run(files):
        networks = mjlab_env.networks(files)
        if len(networks) > 1:
            listed = ", ".join(map(str, networks))
            raise ContractError(f"{files[0]}: several networks lie in its run: {listed}. Name one in its place")
    elif not networks:
        networks, others = [files[0]], list(files[1:])
    if len(networks) > 1:
        raise ContractError(f"{networks[1]} and {networks[0]} are both networks; give one")
    if not networks:
        return [*files, *mjlab_env.missing_beside(files)]
    whole = OnnxMetadata(networks[0]).contract() is not None
    if whole and others:
        raise ContractError(
            f"{networks[0]}: holds a whole contract, to which {others[0]} has nothing to add; leave it out"
        )
    if whole:
        return networks
    return [*networks, *others, *mjlab_env.missing_beside(others, networks[0])]


def read(files: Sequence[Path], options: ImportOptions) -> Draft:
    """Draft a contract from mjlab's or BeyondMimic's metadata, and from the run's configuration where it is given.

    Args:
        files: What `with_run` found.
        options: What the user adds.
    """
    path = files[0]
    if path.suffix.lower() != ".onnx" and mjlab_env.is_run(files):
        return mjlab_run.read_alone(files, options)
    file = OnnxMetadata(path)
    record = file.record()
    draft = Draft(f"{path}: metadata")
    if not record.has("joint_names"):
        raise ContractError(
            f"{path}: its metadata has no joint_names, so it is neither mjlab's, nor BeyondMimic's, nor a port of this "
            f"program. Its keys are: {', '.join(file.entries) or 'none'}. Look for a descriptor beside it"
        )
    if options.names is not None:
        raise ContractError(f"--names {options.names}: the metadata of {path} has the joints; leave it out")
    names = record.names("joint_names")
    draft.joints(names, record.source("joint_names"))
    _refuse_unknown(record, options)
    if left := [key for key in record.entries() if key.startswith("joint_") and key not in _KNOWN]:
        draft.note(f"{path.name}: the metadata's {', '.join(left)} are unknown and were not read")
    run = mjlab_env.read_run(files[1:], names)
    precise = PreciseValues.read(options.precise, names) if options.precise else PreciseValues(names=tuple(names))
    if run is not None:
        mjlab_run.add_run(run, file, precise, options, draft)
    else:
        _add_metadata(file, precise, options, draft)
    return draft


def _add_metadata(file: OnnxMetadata, precise: PreciseValues, options: ImportOptions, draft: Draft) -> None:
    """Fill the draft from the metadata alone, with the meaning that a layout gives to the terms' names."""
    names, record = draft.joint_names, file.record()
    if strange := mjlab_env.strange_beside(record.path):
        draft.note(f"{strange} lies beside {record.path.name} and was not read, since it is not mjlab's")
    if options.layout is not None:
        draft.put("trained_in", f"not stated; a task with --layout {options.layout}", "--layout")
    else:
        draft.lacks("trained_in", "the metadata names no simulator")
    add_default(record, precise, draft)
    driven = stated_joints(options, names)
    add_gains(record, driven or names, options, precise, draft)
    if "action.terms" not in options.settings:
        scale, source = scale_of(record, driven or names, precise)
        term = {"term": "joint_position", "scale": scale, "offset": "default"}
        draft.action(
            term | ({"joints": driven} if driven else {}),
            f"{source}; offset: mjlab and BeyondMimic act around the default pose",
        )
    if "observation.terms" not in options.settings:
        written = Written.read(record, file.entries)
        if options.layout is not None:
            metadata_terms.add_observation(written, options.layout, options, draft)
            _add_motion(record, options, draft)
        else:
            draft.lacks(
                "observation.terms",
                f"the metadata names {', '.join(written.names)}, and a name does not say what is computed (joint_pos "
                "may or may not be relative to the default) nor how it is scaled; params/env.yaml of the run, which "
                "mjlab writes, would, but is not beside it",
                f"--layout {', '.join(METADATA_LAYOUTS[:-1])} or {METADATA_LAYOUTS[-1]}, the task whose terms these "
                "are",
            )
    why = "the metadata has no control period; it is in the task's configuration"
    draft.lacks("timestep", why)
    draft.lacks("decimation", why)
    draft.lacks("actuation.kind", "the metadata does not say how its actuators act; mjlab's built-in ones are implicit")
    note_rounding(record, precise, draft)


def _add_motion(record: Record, options: ImportOptions, draft: Draft) -> None:
    """State how the clip is followed, where a term reads one: BeyondMimic's metadata names the anchor and the links."""
    if not reads_motion(draft):
        return
    anchor = None
    if record.has("anchor_body_name"):
        anchor = (record.names("anchor_body_name")[0], record.source("anchor_body_name"))
    files = {"quaternion_order": "wxyz", "joints": draft.joint_names}
    if record.has("body_names"):
        files["links"] = record.names("body_names")
    put_motion(draft, options, source=record.source("observation_names"), anchor=anchor, files=files)


def _refuse_unknown(record: Record, options: ImportOptions) -> None:
    """Refuse keys that decide what a number is, where the user does not state the whole."""
    for key in record.entries():
        part = "action" if key.startswith("action_") else "observation"
        if key.startswith(_DECIDES) and key not in _KNOWN and f"{part}.terms" not in options.settings:
            raise record.error(
                key,
                f"is unknown{closest(key, _KNOWN) or '.'} If you know what it does, state the whole {part} yourself: "
                f"--set {part}.terms='[{{term: KIND, ...}}, ...]'",
            )
