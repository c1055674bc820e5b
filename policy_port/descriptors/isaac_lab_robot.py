"""What env.yaml of an Isaac Lab run says of the robot and its simulator, in the words of 1.x, 2.x and 3.0.

3.0 renamed and moved much: physical properties are one configuration or lists of fragments, one per engine; a fixed
root stands at the spawner; quaternions are xyzw.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.isaac_lab_actuators import add_actuators, by_pattern, other_run, same_number, told
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

_SINCE_3 = ("joint_ordering", "body_ordering", "cloning_contexts")
"""Keys of an articulation that came with 3.0."""
_IDENTITY = {"wxyz": (1.0, 0.0, 0.0, 0.0), "xyzw": (0.0, 0.0, 0.0, 1.0)}
_ORDERINGS = ("physx", "mjwarp", "robot_schema")


def add_robot(env: Record, name: str, options: ImportOptions, draft: Draft) -> set[str]:
    """Add what env.yaml says of articulation `name` and of the simulator; the joints that actuators drive.

    Raises:
        ContractError: When it contradicts the descriptor beside it, itself, or `--quaternion-order`.
    """
    robot = env.section("scene").section(name)
    _refuse_presets(env, name)
    _simulator(env, draft)
    _quaternion_order(robot, options, draft)
    _joint_ordering(robot, draft)
    drawn = _drawn_at_start(env)
    state = robot.below("init_state")
    if state is not None:
        if state.has("pos"):
            draft.put("base.height", state.numbers("pos", 3)[2], state.source("pos"))
        _check_default(state, drawn.get("default"), options, draft)
    spawn = robot.below("spawn")
    if spawn is not None:
        _fixed_root(spawn, draft)
        _gravity(spawn, draft)
    if draft.data.get("base", {}).get("floating") is False:
        draft.data["base"].pop("height", None)
    if not robot.has("actuators"):
        return set(draft.joint_names)
    return add_actuators(robot.section("actuators"), drawn, options, draft)


def fragments(spawn: Record, key: str) -> Iterator[Record]:
    """The mappings that a family of physical properties is made of.

    A legacy configuration or a fragment is one mapping; 3.0 also writes a list of fragments, and such lists by a
    pattern of prims.
    """
    value = spawn.get(key) if spawn.has(key) else None
    if isinstance(value, list | tuple):
        yield from spawn.sections(key)
    elif value is not None:
        section = spawn.section(key)
        nested = [name for name in section.entries() if isinstance(section.data[name], list | tuple)]
        by_pattern = nested and all(name == "" or name.startswith("/") for name in section.entries())
        for name in section.entries() if by_pattern else ():
            yield from fragments(section, name)
        if not by_pattern:
            yield section


def _refuse_presets(env: Record, robot: str) -> None:
    """Refuse a configuration in which several presets stand side by side: nothing says which one was trained."""
    parts = (("scene", robot), ("sim",), ("observations",), ("actions",), ("commands",))
    pending = [part for part in (env.below(*keys) for keys in parts) if part is not None]
    seen = set[int]()
    while pending:
        record = pending.pop()
        if id(record.data) in seen:
            continue
        seen.add(id(record.data))
        others = [key for key in record.entries() if key != "default"]
        first = record.data.get("default")
        # Groups, terms and actuators have names of the user's, and a term has a function.
        named = record.where in ("observations", "actions", "commands", f"scene.{robot}.actuators")
        named = named or (isinstance(first, dict) and "func" in first)
        if "default" in record.data and others and not named:
            raise ContractError(
                f"{record.path}: '{record.where}' holds the presets default, {', '.join(others[:6])} side by side, and "
                "nothing says which one was trained; put the content of that one in its place"
            )
        pending += [
            record.section(key) for key in record.entries() if key != "params" and isinstance(record.data[key], dict)
        ]


def _simulator(env: Record, draft: Draft) -> None:
    """Put the engine, and point out a gravity that is not the Earth's, which every replay has."""
    sim = env.below("sim")
    gravity = sim.numbers("gravity", 3) if sim is not None and sim.has("gravity") else [0.0, 0.0, -9.81]
    if max(abs(gravity[0]), abs(gravity[1]), abs(gravity[2] + 9.81)) > 0.02:
        draft.note(
            f"{env.path.name}: sim.gravity is {gravity}; a contract has no word for it, so a replay has the Earth's"
        )
    physics = env.below("sim", "physics")
    named = physics.text("class_type").lower() if physics is not None and physics.has("class_type") else ""
    engine = next((word for key, word in (("newton", "Newton"), ("physx", "PhysX")) if key in named), None)
    if physics is not None and engine is not None:
        draft.put("trained_in", f"Isaac Lab, {engine}", physics.source("class_type"))


def _quaternion_order(robot: Record, options: ImportOptions, draft: Draft) -> None:
    """Put the order of quaternions that the file itself shows, and refuse a flag that denies it."""
    state = robot.below("init_state")
    since = next((key for key in _SINCE_3 if key in robot.data), None)
    rot = tuple(state.numbers("rot", 4)) if state is not None and state.has("rot") else None
    shown = next((order for order, identity in _IDENTITY.items() if rot == identity), None)
    if shown == "wxyz" and since is not None and options.quaternion_order is None:
        draft.note(
            f"{robot.path.name}: {robot.key('init_state.rot')} is 1, 0, 0, 0, no turn in the wxyz of Isaac Lab 2.x, "
            f"but {since} beside it is a key of 3.0, whose order is xyzw: there it turns the robot over. Check it; "
            "where a term holds a quaternion, state the order with --quaternion-order"
        )
        return
    order = shown or ("xyzw" if since is not None else None)
    if order is None or (shown == "wxyz" and since is not None):
        return
    source = robot.source("init_state.rot") if shown else robot.source(str(since), "a key of 3.0")
    if options.quaternion_order not in (None, order):
        raise ContractError(
            f"--quaternion-order {options.quaternion_order}: {source} shows {order}; leave the option out. Where "
            "a term of the task's own turns its quaternion round, "
            f"--set quaternion_order={options.quaternion_order} says so"
        )
    draft.put("quaternion_order", order, source)


def _joint_ordering(robot: Record, draft: Draft) -> None:
    """Say whose order the policy saw: the descriptor lists the public one, which `joint_ordering` may have changed."""
    if not robot.has("joint_ordering"):
        return
    value = robot.get("joint_ordering")
    if isinstance(value, dict) and "_value_" in value:
        # A member of its enumeration, as the first releases of 3.0 wrote it.
        value = value["_value_"]
    names = draft.joint_names
    if isinstance(value, str):
        of = value if value.lower() in _ORDERINGS else f"{value}, which this program does not know"
        draft.note(
            f"{robot.path.name}: {robot.key('joint_ordering')} is {of}; the contract has that order, "
            f"as the policy saw it, not the simulator's own: {', '.join(names)}"
        )
    elif robot.names("joint_ordering") != names:
        raise robot.error(
            "joint_ordering",
            f"is {', '.join(robot.names('joint_ordering'))}, but the descriptor has {', '.join(names)}; the two files "
            "are of different runs",
        )
    draft.sources["joints"] += f", in the order of {robot.source('joint_ordering')}"


def _check_default(state: Record, event: str | None, options: ImportOptions, draft: Draft) -> None:
    """Hold the descriptor's default joint positions against those of the configuration."""
    if not state.has("joint_pos"):
        return
    names = draft.joint_names
    stated = dict.fromkeys(names, 0.0) | by_pattern(state, "joint_pos", names)
    for name, value in stated.items():
        described = draft.data["joints"][name]["default"]
        if same_number(value, described) or told(options, name, "default"):
            continue
        if event is None:
            raise other_run(state, "joint_pos", name, "default", value, described)
        draft.note(
            f"{state.path.name}: {event} draws the default joint positions anew in training; the contract has what was "
            f"drawn in one environment, for '{name}' {described:g} instead of {value:g}. For the number without the "
            f"draw, --set joints.{name}.default={value:g}"
        )
        return


def _fixed_root(spawn: Record, draft: Draft) -> None:
    """A legacy configuration of the articulation owns the flag, and Isaac Lab then ignores the spawner's."""
    owners = [part for part in fragments(spawn, "articulation_props") if "fix_root_link" in part.data] or [spawn]
    stated = {part.flag("fix_root_link"): part for part in owners if part.has("fix_root_link")}
    if len(stated) > 1:
        raise spawn.error("articulation_props", "has fix_root_link true and false in two of its parts; correct one")
    for fixed, part in stated.items():
        draft.put("base.floating", not fixed, part.source("fix_root_link"))
    # A spawner of URDF always says it; one of MJCF leaves to the file what it does not fix.
    of_urdf = spawn.has("func") and spawn.text("func").endswith("spawn_from_urdf")
    if not stated and spawn.has("fix_base") and (spawn.flag("fix_base") or of_urdf):
        draft.put("base.floating", not spawn.flag("fix_base"), spawn.source("fix_base"))


def _gravity(spawn: Record, draft: Draft) -> None:
    stated = [part for part in fragments(spawn, "rigid_props") if part.has("disable_gravity")]
    weightless = {part.flag("disable_gravity") for part in stated}
    if weightless == {True}:
        draft.put("actuation.gravity_compensation", True, stated[0].source("disable_gravity"))
    elif len(weightless) > 1:
        draft.note(
            f"{spawn.path.name}: {spawn.key('rigid_props')} lets some links feel gravity and others not, for which a "
            "contract has no word; a replay has gravity on all"
        )
    lifted = [part for part in fragments(spawn, "rigid_props") if part.has("gravcomp") and part.number("gravcomp")]
    for part in lifted:
        draft.note(
            f"{part.path.name}: {part.key('gravcomp')} is {part.number('gravcomp'):g}; a contract knows links with "
            "gravity or without, so a replay has gravity on all"
        )


def _drawn_at_start(env: Record) -> dict[str, str]:
    """Key of a joint to the event that draws it anew in training; the descriptor then has what was drawn."""
    known = {
        "randomize_actuator_gains": ("stiffness", "damping"),
        "randomize_joint_parameters": ("armature",),
        "randomize_joint_default_pos": ("default",),
    }
    drawn: dict[str, str] = {}
    events = env.data.get("events")
    for name, event in events.items() if isinstance(events, dict) else ():
        function: Any = event.get("func") if isinstance(event, dict) else None
        found = known.get(function.replace(":", ".").rpartition(".")[2], ()) if isinstance(function, str) else ()
        drawn |= dict.fromkeys(found, f"events.{name}")
    return drawn
