"""Booster's deploy configuration (booster_gym, deploy/configs/T1.yaml): lists over every motor, the policy's last."""

from __future__ import annotations

from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import decimal, uniform
from policy_port.descriptors.listed_joints import named
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

MAIN = "deploy configuration"
TRAINING = "training configuration"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"layout", "names", "names_order"})
LAYOUT = "booster_gym"
SLEW = 1.0
"""How fast the runner's command follows the remote control: a control period each control step [per s]."""
STANDS = 1e-5
"""Norm of the command under which the runner shows no clock."""
_NORMALIZATION = {"gravity", "lin_vel", "ang_vel", "dof_pos", "dof_vel", "clip_actions"}
_POLICY = {"policy_path", "num_actions", "num_observations", "gait_frequency", "normalization", "control"}


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    policy = record.data.get("policy")
    if isinstance(policy, dict) and "common" in record.data and "normalization" in policy:
        return MAIN
    return TRAINING if {"commands", "normalization", "init_state", "rewards"} <= record.data.keys() else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    common, policy = record.section("common"), record.section("policy")
    policy.only(_POLICY, "take it out of the file if it does nothing")
    scales, control = policy.section("normalization"), policy.section("control")
    scales.only(_NORMALIZATION, "take it out of the file if it does nothing")
    control.only({"action_scale", "decimation"}, "take it out of the file if it does nothing")
    if options.layout not in (None, LAYOUT):
        raise ContractError(
            f"--layout {options.layout}: unknown here{closest(options.layout or '', [LAYOUT]) or '.'} Known: {LAYOUT}"
        )
    draft = Draft(str(record.path))
    draft.put("trained_in", "Isaac Gym (PhysX), booster_gym", f"{record.path.name} is its runner's")
    draft.put("actuation.kind", "explicit", "booster_gym computes torques from gains, once per physics step")
    draft.put("base.floating", True, "the runner reads an IMU")
    draft.put("timestep", common.number("dt"), common.source("dt"))
    draft.put("decimation", control.integer("decimation"), control.source("decimation"))
    count, size = policy.integer("num_actions"), len(common.numbers("stiffness"))
    if not 0 < count <= size:
        raise policy.error("num_actions", f"is {count}, but common.stiffness has {size} joints")
    # The policy drives the last motors; here they come first, as the lists are read.
    order = [*range(size - count, size), *range(size - count)]
    names = named(record, order, count, options, draft)
    if names is None:
        return draft
    for key, name in (
        ("default", "default_qpos"),
        ("stiffness",) * 2,
        ("damping",) * 2,
        ("effort_limit", "torque_limit"),
    ):
        if common.has(name):
            values = common.numbers(name, size, per="entry of stiffness")
            listed = [values[motor] for motor in order][: len(names)]
            draft.per_joint(key, listed, common.source(name, f"the policy drives the last {count}"))
    driven = {} if len(names) == count else {"joints": names[:count]}
    _observation(policy, scales, options, driven, draft)
    action = {"term": "joint_position", **driven, "scale": control.number("action_scale"), "offset": "default"}
    draft.action(action, control.source("action_scale", "target = default_qpos + action_scale * action"))
    bound = scales.number("clip_actions")
    draft.put("action.raw_clip", [-bound, bound], scales.source("clip_actions"))
    if (training := records.get(TRAINING)) is not None:
        ranges = training.section("commands")
        for name, key in (("lin_vel_x",) * 2, ("lin_vel_y",) * 2, ("ang_vel_z", "ang_vel_yaw")):
            draft.put(f"command.{name}.range", ranges.bounds(key), ranges.source(key))
    if record.has("mech"):
        draft.note("mech: the runner drives the ankles' parallel mechanism itself; here their joints are driven")
    return draft


def _observation(policy: Record, scales: Record, options: ImportOptions, driven: dict[str, Any], draft: Draft) -> None:
    if options.layout is None:
        draft.lacks(
            "observation.terms",
            "the file names no terms: their order is written into its runner",
            f"--layout {LAYOUT} if yours was trained on that task",
        )
        return
    linear, angular = scales.number("lin_vel"), scales.number("ang_vel")
    told = {"lin_vel_x": linear, "lin_vel_y": linear, "ang_vel_z": angular}
    for name in told:
        draft.put(f"command.{name}.slew", SLEW, "booster_gym: a control period each control step")
    frequency = policy.number("gait_frequency")
    if frequency <= 0.0:
        raise policy.error("gait_frequency", f"is {frequency:g}, expected a frequency above 0")
    same = uniform(list(told.values()))
    count = policy.integer("num_actions")
    terms: list[tuple[dict[str, Any], int, str]] = [
        ({"term": "projected_gravity", **_scaled(scales.number("gravity"))}, 3, "gravity"),
        ({"term": "base_ang_vel", **_scaled(angular)}, 3, "ang_vel"),
        ({"term": "velocity_command", **(_scaled(linear) if same else {"scale": list(told.values())})}, 3, "lin_vel"),
        (
            {
                "term": "gait_clock",
                "elements": [{"wave": "cos"}, {"wave": "sin"}],
                "period": decimal(1.0 / frequency),
                "standing": "zero",
                "below": STANDS,
            },
            2,
            "",
        ),
        ({"term": "joint_pos_rel", **driven, **_scaled(scales.number("dof_pos"))}, count, "dof_pos"),
        ({"term": "joint_vel", **driven, **_scaled(scales.number("dof_vel"))}, count, "dof_vel"),
        ({"term": "last_action"}, count, "clip_actions"),
    ]
    total = sum(size for _, size, _ in terms)
    if policy.integer("num_observations") != total:
        raise policy.error(
            "num_observations",
            f"is {policy.integer('num_observations')}, but the runner's terms add up to {total}: "
            + " + ".join(f"{term['term']} {size}" for term, size, _ in terms),
        )
    for term, _, key in terms:
        where = scales.source(key) if key else policy.source("gait_frequency")
        draft.term(term, f"{where}; in the order of booster_gym's runner")


def _scaled(scale: float) -> dict[str, float]:
    return {} if scale == 1.0 else {"scale": scale}
