"""params.yaml of LimX's tron1-rl-deploy-python: a walker of two networks, an encoder of its past and the policy.

What the runner computes and the file does not say stands in its source, `PointfootController.compute_observation`:
the order of the observation, the gait, and that the encoder reads ten steps, oldest first, the present one included.
"""

from __future__ import annotations

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record

MAIN = "params.yaml"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset[str]()

_TOP = "PointfootCfg"
_RUNNER = "PointfootController of tron1-rl-deploy-python"
_GAIT = (2.0, 0.5, 0.5, 0.1)
"""Frequency [Hz], offset and duration of the gait, and swing height [m], where the file has no `gait`."""
_PAST = "past"
_WIRING = (
    "its two networks go into a YAML that stands where a policy file is expected: `parts: {encoder: {file: "
    "encoder.onnx, inputs: [past]}, policy: {file: policy.onnx, inputs: [encoder, {of: past, ages: [0]}, "
    "velocity_command]}}` with `networks_version: 1` and `result: policy`"
)


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    inner = record.data.get(_TOP)
    return MAIN if isinstance(inner, dict) and {"joint_names", "normalization", "size"} <= inner.keys() else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN].section(_TOP)
    draft = Draft(str(record.path))
    _refuse_others(record)
    draft.put("trained_in", f"not stated; run by {_RUNNER}", f"{record.path.name}: {_TOP}")
    control = record.section("control")
    draft.put("timestep", round(1.0 / record.number("loop_frequency"), 9), record.source("loop_frequency", "1 / it"))
    draft.put("decimation", control.integer("decimation"), control.source("decimation"))
    names = record.names("joint_names", record.section("size").integer("actions_size"))
    draft.joints(names, record.source("joint_names"))
    default = record.section("init_state").section("default_joint_angle")
    draft.per_joint("default", {name: default.number(name) for name in names}, default.source("*"))
    for key, name in (("stiffness", "stiffness"), ("damping", "damping"), ("effort_limit", "user_torque_limit")):
        draft.per_joint(key, dict.fromkeys(names, control.number(name)), control.source(name))
    _observation(record, len(names), draft)
    scale = control.number("action_scale_pos")
    draft.action({"term": "joint_position", "scale": scale, "offset": "default"}, control.source("action_scale_pos"))
    clips = record.section("normalization").section("clip_scales")
    for key, name in (("action.raw_clip", "clip_actions"), ("observation.clip", "clip_observations")):
        draft.put(key, [-clips.number(name), clips.number(name)], clips.source(name))
    draft.lacks("actuation.kind", f"{_RUNNER} leaves the torque to the motors and does not say how training did it")
    draft.note(_WIRING)
    return draft


def _refuse_others(record: Record) -> None:
    """Raise on what this runner does for other robots, which the terms below do not say."""
    control = record.section("control")
    for key in control.entries():
        if key.startswith(("ankle", "wheel")):
            raise control.error(
                key, "drives ankles or wheels by velocity, as the runner does for robots with soles or wheels; only "
                "those with point feet are read"
            )  # fmt: skip
    offset = record.below("imu_orientation_offset")
    turned = [key for key in offset.entries() if offset.number(key)] if offset is not None else []
    if offset is not None and turned:
        raise offset.error(
            turned[0], "turns the measurements of one robot's IMU, which is no part of the policy; set it to 0"
        )


def _observation(record: Record, count: int, draft: Draft) -> None:
    scales, size = record.section("normalization").section("obs_scales"), record.section("size")
    gait = list(_GAIT)
    if (own := record.below("gait")) is not None:
        gait[0], gait[3] = own.number("frequencies"), own.number("swing_height")
    terms = [
        ({"term": "base_ang_vel", "scale": scales.number("ang_vel")}, 3, scales.source("ang_vel")),
        ({"term": "projected_gravity"}, 3, f"order: {_RUNNER}"),
        ({"term": "joint_pos_rel", "scale": scales.number("dof_pos")}, count, scales.source("dof_pos")),
        ({"term": "joint_vel", "scale": scales.number("dof_vel")}, count, scales.source("dof_vel")),
        ({"term": "last_action"}, count, f"order: {_RUNNER}"),
        (_clock(record, gait[0]), 2, f"{_RUNNER}: sine and cosine, advanced before the first step"),
        ({"term": "constant", "name": "gait", "value": gait}, 4, f"{_RUNNER}: frequency, offset, duration, height"),
    ]
    total = sum(width for _, width, _ in terms)
    if size.integer("observations_size") != total:
        raise size.error(
            "observations_size",
            f"is {size.integer('observations_size')}, but what {_RUNNER} computes adds up to {total}; this file is of "
            "another runner, whose observation it does not state",
        )
    steps = {"length": size.integer("obs_history_length"), "newest": 0, "stride": 1, "order": "oldest_first"}
    group = {"steps": steps, "layout": "time_major", "fill": "first"}
    draft.put(f"observation.groups.{_PAST}", group, size.source("obs_history_length", _RUNNER))
    for term, _, source in terms:
        draft.term(
            {key: value for key, value in term.items() if (key, value) != ("scale", 1.0)} | {"group": _PAST}, source
        )
    if size.integer("commands_size") != 3:
        raise size.error("commands_size", "is not 3: forward, left, yaw")
    command = [scales.number("lin_vel"), scales.number("lin_vel"), scales.number("ang_vel")]
    draft.term(
        {"term": "velocity_command", "scale": command}, scales.source("lin_vel", "as legged_gym's commands_scale")
    )
    if (user := record.below("user_cmd_scales")) is not None:
        keys = {"lin_vel_x": "lin_vel_x", "lin_vel_y": "lin_vel_y", "ang_vel_z": "ang_vel_yaw"}
        for (key, name), factor in zip(keys.items(), command, strict=True):
            bound = user.number(name) / factor
            draft.put(f"command.{key}", [-bound, bound], user.source(name, "what a full stick gives the network"))
    draft.note(
        f"{record.path.name} does not say what 1 m/s is to the network; obs_scales.lin_vel and ang_vel are taken, by "
        "which legged_gym scales its commands. A walk in a simulator shows whether that holds"
    )


def _clock(record: Record, frequency: float) -> dict[str, object]:
    period = 1.0 / frequency
    control_dt = record.section("control").integer("decimation") / record.number("loop_frequency")
    return {"term": "gait_phase", "period": period, "offsets": [round(control_dt * frequency, 9)]}
