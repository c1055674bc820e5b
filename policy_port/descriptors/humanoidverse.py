"""config.yaml of HumanoidVerse and what grew out of it: ASAP, PBHC (KungfuBot), FALCON; Hydra's configuration, whole.

Its environment sorts the names of an observation, scales each term, and concatenates. A history (`obs_auxiliary`) is a
block of its own among them: per term, again sorted, the newest step first, zeros before reset; the present step is
added after the observation was made, so that the block never holds it.
"""

from __future__ import annotations

from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint
from policy_port.descriptors.hydra import HydraConfig
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

MAIN = "config.yaml"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS: frozenset[str] = frozenset()

TERMS: dict[str, dict[str, Any]] = {
    "base_lin_vel": {"term": "base_lin_vel"},
    "base_ang_vel": {"term": "base_ang_vel"},
    "projected_gravity": {"term": "projected_gravity"},
    "dof_pos": {"term": "joint_pos_rel"},
    "dof_vel": {"term": "joint_vel"},
    "actions": {"term": "last_action"},
    "command_lin_vel": {"term": "command", "elements": ["lin_vel_x", "lin_vel_y"]},
    "command_ang_vel": {"term": "command", "elements": ["ang_vel_z"]},
    # Its name says stand; the number is 1 where the robot is to walk.
    "command_stand": {"term": "command", "elements": ["walk"]},
    "command_base_height": {"term": "command", "elements": ["base_height"]},
    "command_waist_dofs": {"term": "command", "elements": ["torso_yaw", "torso_roll", "torso_pitch"]},
}
"""Term by the name of the environment's observation."""

RANGES = {"lin_vel_x": "lin_vel_x", "lin_vel_y": "lin_vel_y", "ang_vel_z": "ang_vel_yaw"}
PHASE = "ref_motion_phase"
LENGTH = f"observation.terms.{PHASE}.length"
_CONTROL = (
    *("control_type", "stiffness", "damping", "action_scale", "action_clip_value"),
    *("isaac_pd_scale", "clip_torques", "clamp_actions"),
)
LISTS = {
    "effort_limit": "dof_effort_limit_list",
    "lower": "dof_pos_lower_limit_list",
    "upper": "dof_pos_upper_limit_list",
}


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    obs, robot = (record.data.get(key) for key in ("obs", "robot"))
    known = isinstance(obs, dict) and "obs_dict" in obs and isinstance(robot, dict) and "dof_names" in robot
    return MAIN if known else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    config = HydraConfig(record)
    draft = Draft(str(record.path))
    _simulator(config, record, draft)
    _joints(config, draft)
    if "action.terms" not in options.settings:
        _action(config, draft)
    if "observation.terms" not in options.settings:
        _observation(config, record, options, draft)
        _command(config, draft)
    return draft


def _simulator(config: HydraConfig, record: Record, draft: Draft) -> None:
    if config.has("robot.asset.robot_type"):
        draft.put("robot", str(config.get("robot.asset.robot_type")), record.source("robot.asset.robot_type"))
    simulator = config.section("simulator.config")
    name = simulator.text("name")
    draft.put("trained_in", f"{name}, by HumanoidVerse", simulator.source("name"))
    sim = config.section("simulator.config.sim")
    if sim.number("fps") <= 0.0:
        raise sim.error("fps", f"is {sim.number('fps'):g}, expected physics steps per second above 0")
    draft.put("timestep", 1.0 / sim.number("fps"), sim.source("fps", "one physics step"))
    draft.put("decimation", sim.integer("control_decimation"), sim.source("control_decimation"))
    if config.has("robot.asset.fix_base_link"):
        asset = config.section("robot.asset")
        draft.put("base.floating", not asset.flag("fix_base_link"), asset.source("fix_base_link"))
    start = config.section("robot.init_state")
    if start.has("pos"):
        draft.put("base.height", start.numbers("pos", 3, per="axis")[2], start.source("pos"))


def _joints(config: HydraConfig, draft: Draft) -> None:
    robot = config.section("robot")
    names = robot.names("dof_names")
    draft.joints(names, robot.source("dof_names"))
    angles = config.section("robot.init_state.default_joint_angles")
    draft.per_joint("default", {name: angles.number(name) for name in names}, angles.source("*").removesuffix(".*"))
    unclipped = config.has("robot.control.clip_torques") and not config.section("robot.control").flag("clip_torques")
    for key, name in LISTS.items():
        if robot.has(name) and not (key == "effort_limit" and unclipped):
            draft.per_joint(key, robot.numbers(name, len(names), per="entry of dof_names"), robot.source(name))
    control = config.section("robot.control")
    for key in ("stiffness", "damping"):
        gains = config.section(f"robot.control.{key}")
        found = {name: _by_part(gains, name, draft) for name in names}
        draft.per_joint(key, found, control.source(key, "the last key that a joint's name holds"))
    _armature(config, robot, names, draft)


def _by_part(gains: Record, joint: str, draft: Draft) -> float:
    """The number of the last key that is a part of the joint's name, which is the one that counts in training."""
    parts = [key for key in gains.entries() if key in joint]
    if not parts:
        raise gains.error(
            "*", f"has no key that is a part of '{joint}'; it has {', '.join(gains.entries())}. Add one for the joint"
        )
    values = [gains.number(key) for key in parts]
    if len(set(values)) > 1:
        draft.note(f"{gains.where}: {', '.join(parts)} are all parts of '{joint}'; the last one counts, {values[-1]:g}")
    return values[-1]


def _armature(config: HydraConfig, robot: Record, names: list[str], draft: Draft) -> None:
    if not robot.has("dof_armature_list"):
        return
    values = robot.numbers("dof_armature_list", len(names), per="entry of dof_names")
    if config.get("simulator.config.name") == "isaacsim":
        draft.per_joint("armature", values, robot.source("dof_armature_list"))
        return
    draft.note(
        f"robot.dof_armature_list ({min(values):g} to {max(values):g}) is what Isaac Sim was given; Isaac Gym and "
        "Genesis took robot.asset.armature or the robot file's own, depending on the project, so armature is left to "
        "the robot file. State it with --set 'joints.*.armature=NUMBER'"
    )


def _action(config: HydraConfig, draft: Draft) -> None:
    control = config.section("robot.control")
    kind = control.text("control_type")
    if kind != "P":
        raise control.error(
            "control_type",
            f"is '{kind}'; only P, joint positions, is read. Give the action with --set action.terms=...",
        )
    if control.has("isaac_pd_scale") and control.flag("isaac_pd_scale"):
        raise control.error("isaac_pd_scale", "is true, which changes the gains in a way that is not read here")
    strange = [key for key in control.entries() if key not in _CONTROL]
    if strange:
        draft.note(f"{control.where}: {', '.join(strange)} is not known here and was passed over; see whether it acts")
    names = draft.joint_names
    if config.has("robot.actions_dim") and (count := config.section("robot").integer("actions_dim")) != len(names):
        raise config.section("robot").error(
            "actions_dim",
            f"is {count}, but there are {len(names)} dof_names, and nothing says which of them the policy drives; "
            "give the action with --set action.terms=...",
        )
    value = control.get("action_scale")
    if isinstance(value, dict):
        scales = config.section("robot.control.action_scale")
        scale = by_joint(names, [_by_part(scales, name, draft) for name in names])
    else:
        scale = by_joint(names, control.spread("action_scale", len(names), per="entry of dof_names"))
    term = {"term": "joint_position", "scale": scale, "offset": "default"}
    draft.action(term, control.source("action_scale", "target = default + action_scale * action"))
    if control.has("action_clip_value"):
        bound = control.number("action_clip_value")
        draft.put("action.raw_clip", [-bound, bound], control.source("action_clip_value"))
    draft.put("actuation.kind", "explicit", control.source("control_type", "torques are computed at each physics step"))


def _observation(config: HydraConfig, record: Record, options: ImportOptions, draft: Draft) -> None:
    key = _actor_key(config)
    obs_dict = config.section("obs.obs_dict")
    blocks = config.section("obs.obs_auxiliary") if config.has("obs.obs_auxiliary") else None
    scales = config.section("obs.obs_scales")
    for name in sorted(obs_dict.names(key)):
        source = f"{obs_dict.source(key, name)}; {scales.source(name)}; sorted by name"
        if blocks is not None and blocks.has(name):
            _block(name, config, scales, options, draft)
        elif name.startswith(("history", "short_history", "long_history")):
            known = ", ".join(blocks.entries() if blocks is not None else ()) or "none"
            raise obs_dict.error(key, f"names '{name}', whose lengths are not in obs.obs_auxiliary, which has {known}")
        else:
            draft.term(_term(name, scales.number(name), config, options, draft), source, name=name)
    limit = "env.config.normalization.clip_observations"
    if config.has(limit):
        bound = config.section("env.config.normalization").number("clip_observations")
        draft.put("observation.clip", [-bound, bound], record.source(limit))


def _command(config: HydraConfig, draft: Draft) -> None:
    """Every element that a term names, with its range where the training had one."""
    terms = draft.data["observation"]["terms"]
    names = dict.fromkeys(name for term in terms if term["term"] == "command" for name in term["elements"])
    where = "env.config.locomotion_command_ranges"
    ranges = config.section(where) if config.has(where) else None
    for name in names:
        if ranges is not None and name in RANGES and ranges.has(RANGES[name]):
            draft.put(f"command.{name}", ranges.bounds(RANGES[name]), ranges.source(RANGES[name]))
        else:
            draft.put(f"command.{name}", {}, f"{draft.origin}: observed, and no range of it is stated")


def _actor_key(config: HydraConfig) -> str:
    """The entry of obs.obs_dict that the actor reads."""
    names = list(config.section("obs.obs_dict").entries())
    where = "algo.config.module_dict.actor"
    inputs = config.section(where).names("input_dim") if config.has(f"{where}.input_dim") else ["actor_obs"]
    if len(inputs) != 1 or inputs[0] not in names:
        raise ContractError(
            f"{config.section('obs').path}: the actor reads {', '.join(inputs)}, and obs.obs_dict has "
            f"{', '.join(names)}; one of them is expected{closest(inputs[0], names)}"
        )
    return inputs[0]


def _block(name: str, config: HydraConfig, scales: Record, options: ImportOptions, draft: Draft) -> None:
    """The terms of one history, each with a group of its length."""
    lengths = config.section(f"obs.obs_auxiliary.{name}")
    outer = scales.number(name)
    groups: dict[str, Any] = draft.data["observation"].setdefault("groups", {}) if "observation" in draft.data else {}
    draft.data.setdefault("observation", {})["groups"] = groups
    different = len({lengths.integer(key) for key in lengths.entries()}) > 1
    for key in sorted(lengths.entries()):
        length = lengths.integer(key)
        if length < 1:
            raise lengths.error(key, f"is {length}, expected the number of past steps, at least 1")
        group = f"{name}_{length}" if different else name
        steps = {"length": length, "newest": 1, "order": "newest_first"}
        groups[group] = {"steps": steps, "layout": "term_major", "fill": "zero"}
        term = _term(key, outer * scales.number(key), config, options, draft)
        term |= {"name": f"{name}_{key}", "group": group}
        draft.term(term, f"{lengths.source(key)}; {scales.source(key)}; sorted by name", name=f"{name}_{key}")
    source = f"{lengths.source('*').removesuffix('.*')}; the present is added after the observation was made"
    draft.sources["observation.groups"] = source


def _term(name: str, scale: float, config: HydraConfig, options: ImportOptions, draft: Draft) -> dict[str, Any]:
    """One observation of the environment as a contract's term."""
    if name == PHASE:
        term = _phase(config, options, draft)
    elif name in TERMS:
        term = dict(TERMS[name])
    else:
        size = _size(name, config)
        draft.note(
            f"'{name}' ({size} numbers) is known to its task only; it is an external term, as the network sees it"
        )
        return {"term": "external", "name": name, "size": size}
    return term if scale == 1.0 else {**term, "scale": scale}


def _phase(config: HydraConfig, options: ImportOptions, draft: Draft) -> dict[str, Any]:
    """Share of the motion that has passed; the clip that tells its length is no part of the configuration."""
    period = config.section("simulator.config.sim")
    step = period.integer("control_decimation") / period.number("fps")
    term: dict[str, Any] = {"term": "elapsed", "length": None, "start": step, "end": "hold"}
    stated = config.section("obs")
    if stated.has("motion_len") and stated.number("motion_len") > 0.0:
        term["length"] = stated.number("motion_len")
    elif LENGTH in options.settings:
        term["length"] = options.settings[LENGTH]
    else:
        where = f"{config.get('robot.motion.motion_file')}" if config.has("robot.motion.motion_file") else "the clip"
        draft.lacks(
            "observation.terms.*.length",
            f"{PHASE} counts against the length of the motion, which stands in {where} alone",
            f"--set {LENGTH}=SECONDS",
        )
    return term


def _size(name: str, config: HydraConfig) -> int:
    dims = config.get("obs.obs_dims") if config.has("obs.obs_dims") else []
    listed = [entry for entry in dims if isinstance(entry, dict)] if isinstance(dims, list) else [dims]
    known = [str(key) for entry in listed for key in entry]
    for place, entry in enumerate(listed):
        if name in entry:
            where = f"obs.obs_dims[{place}].{name}" if isinstance(dims, list) else f"obs.obs_dims.{name}"
            size = config.resolved(entry[name], where)
            if isinstance(size, int | float) and size == int(size) and size > 0:
                return int(size)
            raise ContractError(f"{config.section('obs').path}: {where} is {size!r}, expected a number of elements")
    raise ContractError(
        f"{config.section('obs').path}: the observation '{name}' is unknown{closest(name, [*TERMS, *known]) or '.'} "
        f"Known: {', '.join([*TERMS, PHASE])}; of any other, obs.obs_dims has to state the size, and it has "
        f"{', '.join(known) or 'none'}"
    )
