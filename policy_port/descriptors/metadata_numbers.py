"""Numbers per joint as mjlab's and BeyondMimic's ONNX metadata writes them: lists of three decimals."""

from __future__ import annotations

from policy_port.descriptors import metadata_terms
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import DECIMALS, PreciseValues, worst_rounding
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

GAINS = (("stiffness", "joint_stiffness"), ("damping", "joint_damping"))

UNDRIVEN = (
    "so that some joints are not driven, and the file does not say which: put params/env.yaml of the run, which mjlab "
    "writes, beside it, or name the driven joints in their order with --set action.terms.0.joints='[NAME, ...]'"
)


def in_joint_order(record: Record, options: ImportOptions) -> bool:
    """Whether the gains are in joint order; mjlab once wrote them in actuator order beside names in joint order."""
    if options.gains_order == "motor":
        raise ContractError(
            f"--gains-order motor: the metadata of {record.path} does not name its motors; give the gains by joint "
            "name with --precise FILE"
        )
    return options.gains_order is not None or any(record.has(key) for key in metadata_terms.LATER_KEYS)


def add_default(record: Record, precise: PreciseValues, draft: Draft) -> None:
    """Add the default pose, at full precision where it is given."""
    values = record.numbers("default_joint_pos", len(draft.joint_names), per="joint")
    values, source = precise.exact("default_joint_pos", values, record)
    draft.per_joint("default", values, source)


def add_gains(record: Record, driven: list[str], options: ImportOptions, precise: PreciseValues, draft: Draft) -> None:
    """Add stiffness and damping of the driven joints, as far as the file tells whose they are."""
    names = draft.joint_names
    ordered = in_joint_order(record, options)
    for key, entry in GAINS:
        if not record.has(entry):
            continue
        values = record.numbers(entry)
        if len(values) not in (len(names), len(driven)) and driven == names:
            raise record.error(entry, f"has {len(values)} numbers for {len(names)} joints, {UNDRIVEN}")
        if len(values) not in (len(names), len(driven)):
            # The action leaves out joints that are driven, and nothing says which.
            draft.note(
                f"{record.path.name}: {entry} is left out: its {len(values)} numbers are of joints without names"
            )
            continue
        # mjlab skips joints that nothing drives and keeps the order of the others.
        joints = names if len(values) == len(names) else driven
        if precise.has(entry):
            exact, source = precise.exact(entry, values, record, joints=joints, any_order=not ordered)
            draft.per_joint(key, dict(zip(joints, exact, strict=True)), source)
        elif entry == "joint_damping" and not any(values):
            draft.note(
                f"{record.path.name}: joint_damping is 0 for every joint, as mjlab once wrote by mistake; left out"
            )
        elif ordered or len(set(values)) == 1:
            pairs = dict(zip(joints, values, strict=True))
            draft.per_joint(key, pairs, record.source(entry, record.rounded.get(entry, "")))
        else:
            draft.note(
                f"{record.path.name}: {entry} is left out: mjlab wrote gains in actuator order before its pull request "
                "352, beside names in joint order, and the file does not say which this is. Give --gains-order joint "
                "if yours is newer, or --precise FILE with the gains by joint name"
            )


def stated_joints(options: ImportOptions, names: list[str]) -> list[str]:
    """The joints that an action which the user states drives, in the order of `names`; none where he says nothing."""
    terms = options.settings.get("action.terms")
    listed = (
        [term.get("joints") or names for term in terms if isinstance(term, dict)] if isinstance(terms, list) else []
    )
    joints = [name for each in listed if isinstance(each, list) for name in each]
    alone = options.settings.get("action.terms.0.joints")
    if alone is not None:
        ordered = [name for name in names if isinstance(alone, list) and name in alone]
        if alone != ordered:
            raise ContractError(
                f"--set action.terms.0.joints={alone}: mjlab acts in the order of its joints, of which these are "
                f"{', '.join(ordered) or 'none'}. All are: {', '.join(names)}"
            )
        joints = ordered
    return [name for name in names if name in joints]


def scale_of(record: Record, joints: list[str], precise: PreciseValues) -> tuple[object, str]:
    """Scale of the action as a contract has it, and its source."""
    scales = record.numbers("action_scale")
    if len(scales) not in (1, len(joints)):
        raise record.error("action_scale", f"has {len(scales)} numbers for {len(joints)} joints, {UNDRIVEN}")
    spread = scales * len(joints) if len(scales) == 1 else scales
    exact, source = precise.exact("action_scale", spread, record, joints=joints)
    return by_joint(joints, exact), source


def note_rounding(record: Record, precise: PreciseValues, draft: Draft) -> None:
    """Say what rounding may have moved."""
    rounded = [key for key in ("default_joint_pos", "action_scale") if key in record.rounded and not precise.has(key)]
    if rounded:
        key, value, error = worst_rounding(record, rounded)
        draft.note(
            f"{record.path.name}: the metadata is rounded to {DECIMALS} decimals; {key} {value:g} may be off by "
            f"{error:.2g} %. Put params/env.yaml of the run beside it, or ask whoever trained it for full-precision "
            "values and give them with --precise FILE"
        )
