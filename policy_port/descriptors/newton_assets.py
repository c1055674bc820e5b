"""newton-assets YAML: two joint orders beside each other, and every array in the order of MuJoCo Warp."""

from __future__ import annotations

from pathlib import Path

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.layouts import find_layout
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

MAIN = "newton-assets YAML"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"order", "layout"})
LAYOUT_NAMES = ("isaaclab_velocity",)
TRAINED_IN = {"physx": "Isaac Lab (PhysX)", "mjw": "Isaac Lab on Newton (MuJoCo Warp)"}


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    return MAIN if "mjw_joint_names" in record.data and "physx_joint_names" in record.data else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    draft = Draft(str(record.path))
    count = record.integer("num_dofs") if record.has("num_dofs") else None
    motor = record.names("mjw_joint_names", count)
    physx = record.names("physx_joint_names", count)
    if set(motor) != set(physx):
        odd = sorted(set(motor) ^ set(physx))
        raise record.error("physx_joint_names", f"and mjw_joint_names differ in {', '.join(odd)}; they must be one set")
    _refuse_other_order(options, record)
    draft.put("trained_in", "Isaac Lab", f"{record.path.name} is newton-assets'")
    if options.order is None:
        draft.lacks(
            "joints",
            "the file lists a PhysX and a MuJoCo Warp order and does not say in which the policy was trained",
            "--order physx or --order mjw",
        )
        draft.waits_for_names = True
    else:
        order = physx if options.order == "physx" else motor
        draft.joints(order, record.source(f"{options.order}_joint_names", "--order"))
        draft.put("trained_in", TRAINED_IN[options.order], f"--order {options.order}")
        # By name, since the arrays are in the other order whenever the policy is PhysX's.
        for key, name in (("default", "pos"), ("stiffness",) * 2, ("damping",) * 2, ("armature",) * 2):
            where = f"mjw_joint_{name}"
            if record.has(where):
                values = record.numbers(where, len(motor), per="entry of mjw_joint_names")
                draft.per_joint(key, dict(zip(motor, values, strict=True)), record.source(where, "by mjw_joint_names"))
    if options.layout is None:
        draft.lacks(
            "observation.terms",
            "the file says nothing of the observation. The policies of newton-assets read Isaac Lab's velocity layout",
            "--layout isaaclab_velocity if yours was trained on that task",
        )
    else:
        layout = find_layout(options.layout, LAYOUT_NAMES)
        for term in layout.terms.values():
            # Isaac Lab's, on PhysX and on Newton.
            point = {"point": "com"} if term["term"] == "base_lin_vel" else {}
            draft.term({**point, **term}, f"--layout {options.layout}: {layout.source}")
    action = {"term": "joint_position", "scale": record.number("action_scale"), "offset": "default"}
    draft.action(action, record.source("action_scale", "offset: newton-assets policies act around the default pose"))
    return draft


def _refuse_other_order(options: ImportOptions, record: Record) -> None:
    """Refuse an order that contradicts the policy file's own name (`physx_go2.pt`, `mjw_go2.pt`)."""
    for path in (options.policy, Path(options.name)):
        named = next((order for order in TRAINED_IN if path and order in path.stem.lower().split("_")), None)
        if named and options.order and named != options.order:
            raise ContractError(
                f"--order {options.order}: '{path}' names itself a {named} policy. In the wrong order a policy of "
                f"{record.path.name} reads and drives the wrong joints; give --order {named}, or another file or --name"
            )
