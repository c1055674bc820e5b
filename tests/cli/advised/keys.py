"""What messages advise about keys of YAML files: of mappings, contracts, suites and lists of numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from policy_port.contract import load_contract
from tests.cli.advised.imports import mjlab
from tests.cli.advised.robots import REAL, THROUGH, UNCALIBRATED
from tests.plants.test_mjcf_features import arm as robot_with
from tests.robots.jobs.act_folder import contract_document


class Edit(NamedTuple):
    """A key that a message names."""

    says: str
    """Part of the message, as it stands in the source."""
    file: str
    """The file that is at fault."""
    changes: dict[str, Any]
    """Dotted key to what the message says to write there; None takes it out."""
    command: str
    """What prints the message, and works once the file is as it says."""
    first: str = ""
    """What makes of the file what the command reads."""
    ends: str | None = None
    """What the command says then where it gets no further than another mistake."""


PORT = "export arm/linear.onnx --contract {} --format onnx --force --out keyed"
REMAP = "remap arm/linear.onnx --contract {} --mapping {} --format onnx --force --out keyed"
FREE = "export free/model_0.pt --activation elu --contract {} --format onnx --force --out keyed"
PLAY = "play keyed --plant {} --robot {} --seconds 0.1 --goal point=draw --out new"
UPDATE = "regress suites/{}.regress.yaml --update"
NO_COUNTERPART = "source joint '{}' has no counterpart '{}' in target_joint_names"
NO_SOURCE = "target joint '{}' has no counterpart in source_joint_names"
GAINS = {f"joints.{name}.{key}": 1.0 for name in ("j1", "j2") for key in ("stiffness", "damping")}
IMPLICIT = {"actuation.kind": "implicit"} | GAINS
DRIVEN = "Write kind: implicit or explicit in the contract, and stiffness, damping and armature"

EDITS = [
    Edit("write `constant` to drop it", "zero.yaml", {"terms.joint_vel": {"constant": 0.0}}, "map show zero.yaml"),
    Edit("is matched by two source joints; mend `rename`", "twice.yaml", {"rename.j2": "x"}, "map show twice.yaml"),
    Edit("If the names are right, drop `match: position`", "swapped.yaml", {"match": None}, "map show swapped.yaml"),
    Edit(NO_COUNTERPART, "lost.yaml", {"rename": {"j2": "b2"}}, "map show lost.yaml"),
    Edit(
        NO_COUNTERPART,
        "lost.yaml",
        {"only_in_source": {"j2": {"position": 0.0}}},
        "map show lost.yaml",
        ends="target joint 'b2' has no counterpart",
    ),
    Edit(
        NO_COUNTERPART,
        "lost.yaml",
        {"target_joint_names": ["j1", "b2", "j2"]},
        "map show lost.yaml",
        ends="target joint 'b2' has no counterpart",
    ),
    Edit(NO_SOURCE, "more.yaml", {"only_in_target": {"b3": {"position": 0.0}}}, "map show more.yaml"),
    Edit(NO_SOURCE, "more.yaml", {"source_joint_names": ["j1", "j2", "b3"]}, "map show more.yaml"),
    Edit(
        "list the others under only_in_source or only_in_target",
        "uneven.yaml",
        {"only_in_target": {"b3": {"position": 0.0}}},
        "map show uneven.yaml",
    ),
    Edit(
        "is matched and listed under only_in_target; keep one",
        "both.map.yaml",
        {"only_in_target": None},
        "map show both.map.yaml",
    ),
    Edit(
        "under only_in_target of the mapping, with the position to hold, stiffness and damping",
        "held.yaml",
        {
            "target_joint_names": ["j1", "j2", "tail"],
            "only_in_target": {"tail": {"position": 0.0, "stiffness": 5.0, "damping": 1.0}},
        },
        PLAY.format("mujoco", "tailed.xml"),
        REMAP.format("arm/port/contract.yaml", "held.yaml"),
    ),
    Edit(
        "remap the policy by a mapping that has it under rename, or under only_in_source",
        "called.yaml",
        {"target_joint_names": ["a1", "a2"], "rename": {"j1": "a1", "j2": "a2"}},
        PLAY.format("mujoco", "renamed.xml"),
        REMAP.format("arm/port/contract.yaml", "called.yaml"),
    ),
    Edit(
        ", or under only_in_target of the mapping where it stands there",
        "led.yaml",
        {"joints.j2.stiffness": 0.0, "joints.j2.damping": 0.0},
        PLAY.format("mujoco", "coupled.xml"),
        PORT.format("led.yaml"),
    ),
    Edit(
        "states no limits for '{}': add lower and upper",
        "limitless.yaml",
        {"joints.shoulder_pan.pos.lower": -50.0, "joints.shoulder_pan.pos.upper": 50.0},
        f"{REAL.format('keyed')} --seconds 5 {THROUGH}",
        FREE.format("limitless.yaml"),
        UNCALIBRATED,
    ),
    Edit(
        "contract '{}' has the joint in {}; write source_unit: {}",
        "unit.yaml",
        {"joints.j1.source_unit": "deg"},
        "remap arm/linear.onnx --contract in_degrees.yaml --mapping unit.yaml --format onnx --out new",
    ),
    Edit("give one of them another `name`", "same.yaml", {"observation.terms.1.name": "b"}, "contract check same.yaml"),
    Edit(
        "an external term needs a `name`, such as obj_pose",
        "nameless.yaml",
        {"observation.terms.0.name": "obj_pose"},
        "contract check nameless.yaml",
    ),
    *(
        Edit("resize must say how: linear", "small.yaml", {"images.0.resize": how}, "contract check small.yaml")
        for how in ("linear", "area", "nearest")
    ),
    Edit(
        "is a list, which does not say its order; write JOINT: NUMBER lines",
        "listed.yaml",
        {"action_scale": {"hip": 0.0745206, "knee": 0.43857}},
        mjlab(precise="listed.yaml"),
    ),
    Edit(
        "add it, or write kind: model if the robot file holds the gains",
        "no_gains.yaml",
        {"actuation.kind": "model"},
        PLAY.format("mujoco", "actuated.xml"),
        PORT.format("no_gains.yaml"),
    ),
    Edit(
        "add it, or write kind: model if the robot file holds the gains",
        "no_gains.yaml",
        GAINS,
        PLAY.format("mujoco", "arm/arm.xml"),
        PORT.format("no_gains.yaml"),
    ),
    *(
        Edit(says, "driven.yaml", IMPLICIT, PLAY.format(plant, robot), PORT.format("driven.yaml"))
        for plant, robot, says in (
            ("mujoco", "arm/arm.xml", DRIVEN),
            ("maniskill", "feet.urdf", f"and the file has none for joint '{{}}'. {DRIVEN}"),
            ("newton", "feet.urdf", "Write kind: implicit or explicit, and stiffness and damping per joint"),
        )
    ),
    Edit(
        "the contract states no `low` and `high` of it",
        "rangeless.yaml",
        {"observation.terms.2.low": [0, 0, 0], "observation.terms.2.high": [0.1, 0.1, 0.1]},
        PLAY.format("mujoco", "arm/arm.xml"),
        PORT.format("rangeless.yaml"),
    ),
    Edit(
        "; give `seconds: {}` instead of commands",
        "suites/walk.regress.yaml",
        {"cases.0.commands": None, "cases.0.seconds": 0.5},
        UPDATE.format("walk"),
        ends="reads goal 'point'",
    ),
    *(
        Edit(
            "`cap` goes with `measure: error`, which needs it",
            "suites/capless.regress.yaml",
            change,
            UPDATE.format("capless"),
            ends="nothing can be counted as success",
        )
        for change in (
            {"cases.0.expect.statistical.measure": "success"},
            {"cases.0.expect.statistical.cap": 0.5},
        )
    ),
    Edit(
        "lists such paths under `needs`",
        "suites/absent.regress.yaml",
        {"cases.0.needs": ["not_here"]},
        UPDATE.format("absent"),
    ),
    Edit(
        "Set `default` to the pose that the training's episodes began in, and export again",
        "beyond.yaml",
        {"joints.shoulder_pan.pos.default": 6.0},
        f"{REAL.format('keyed')} --seconds 5 {THROUGH}",
        FREE.format("beyond.yaml"),
        UNCALIBRATED,
    ),
]

_REMEDY = "tests.cli.test_play_scheduled:test_a_remedy_that_is_named_works"
_CASE = "tests.regress.test_schedule_file:test_a_schedule_that_does_not_fit_is_refused"
_OPEN = "tests.replay.test_named_commands:test_what_a_contract_leaves_open_of_its_command_is_refused"
_WIRED = "tests.checkpoints.test_wiring:test_each_key_that_a_message_names_leads_on"

_ENGINE = "tests.engine.test_document:"
TRIED: dict[str, str] = {
    "name a new folder in `out`, or by --out": (
        "tests.pipeline.test_stages:test_a_folder_of_somebody_else_is_left_alone"
    ),
    "raise its `tracking_error` in the": "tests.robots.jobs.test_stops:test_three_stops_in_a_row_end_the_run",
    "To rehearse without an arm, write `emulated: {}` into the file": (
        f"{_ENGINE}test_a_real_arm_needs_somebody_at_the_terminal"
    ),
    "has `use: {}`; a turn fits one half": f"{_ENGINE}test_what_a_message_asks_for_is_taken",
    "write so100-reach, or a task file with `kind: reach`": f"{_ENGINE}test_what_a_message_asks_for_is_taken",
    "no episode of its plan is to be {}; write `use: {}` into a segment": (
        f"{_ENGINE}test_a_recording_is_parted_by_episode"
    ),
    "write fit: false to leave one alone": "tests.identify.test_checks:test_priors_state_every_parameter",
    "`after` names stages, such as": "tests.pipeline.test_stages:test_a_stage_waits_for_those_that_it_comes_after",
    "and name in its action's `joints` those that": (
        "tests.train.test_environment:test_a_remedy_for_joints_is_one_that_a_training_has"
    ),
    "and a pipeline makes a folder; name another one in `out`": "tests.pipeline.test_stages:test_the_file_is_strict",
    "has no ending, so its folder would have its name; write `out` in it": (
        "tests.pipeline.test_stages:test_the_file_is_strict"
    ),
    "`run` is one of": "tests.pipeline.test_stages:test_a_mistake_is_told_before_anything_runs",
    "`each` names options, each with its values": (
        "tests.pipeline.test_stages:test_a_mistake_is_told_before_anything_runs"
    ),
    "stands in `each` too; keep one": "tests.pipeline.test_stages:test_a_mistake_is_told_before_anything_runs",
    "not what they tell of the other. Set base.floating: {} in the contract": (
        "tests.contract.test_measurable:test_the_command_reads_the_robot_and_writes_the_student"
    ),
    "a share of a cycle lies between 0 and 1; state such a `range` and `default`": (
        "tests.contract.test_refusals:test_a_clock_by_the_command_stays_a_clock"
    ),
    "would run backwards; state another `range` and `default`": (
        "tests.contract.test_refusals:test_a_clock_by_the_command_stays_a_clock"
    ),
    "is no term's `group`; name it in a term, or leave it out": (
        "tests.contract.test_history:test_a_group_of_no_term_is_named_or_left_out"
    ),
    "does not say how long an episode is: write `seconds` in it, or give --seconds": _REMEDY,
    "so the gains are the robot file's, and nobody else can change them; write kind: implicit": (
        "tests.plants.test_pushed_plant:test_the_gains_of_the_file_are_not_changed"
    ),
    "a case plays one port; leave `ports` out": _CASE,
    "does not say how long an episode is: write `seconds` in it": _CASE,
    "reads a command, and nobody gives it one: write `command`": _CASE,
    "the key schedule_version is missing": _REMEDY,
    "never plays: leave it out, or say in the file of --schedule when, under `ports`": _REMEDY,
    "move it, or shorten `lasts`": _REMEDY,
    "is still being blended in, until {} s; shorten `blend`": _REMEDY,
    "give more --seconds, or `seconds` in the schedule": _REMEDY,
    "state its `unit` in words, beside its `range`": (
        "tests.replay.test_named_commands:test_an_element_of_its_own_name_states_its_unit"
    ),
    "state a `default` inside it: it is what the policy is told": _OPEN,
    "declare it with its range and default: command:": _OPEN,
    "give each of them its `foot`": "tests.control.test_commands:test_a_clock_that_leaves_something_open_is_refused",
    "a vector has no threshold; write measure: magnitude or vertical": (
        "tests.contract.test_sensed_terms:test_a_force_with_a_threshold_is_no_vector"
    ),
    "state what the network then sees with `miss`, or another `start`": (
        "tests.plants.test_sensed:test_a_ray_that_hits_nothing_is_said"
    ),
    "that would {}. Write stiffness: 0, or let a term joint_position drive it": (
        "tests.contract.test_actions:test_a_drive_does_what_the_action_asks"
    ),
    "is no YAML of networks, which begins with `networks_version": _WIRED,
    "has ages without `of`, the group": _WIRED,
    "Add it to the `inputs` of the part that needs it": _WIRED,
    "Name it among the `inputs` of the part that reads it": _WIRED,
    "list their names there as `ignore: [{}]`": _WIRED,
    " Here --NAME is `NAME` under the part, and --output STATE=NAME is `states": _WIRED,
    "has ages of all of the {}; name the group `of` which they are": _WIRED,
    "its two networks go into a YAML that stands where a policy file is expected: `parts": (
        "tests.descriptors.test_limx:test_a_point_foot_is_imported_with_the_wiring_of_its_networks"
    ),
    "Write cameras: [{}] under the image, as trained, and export again": (
        "tests.replay.test_env_images:test_cameras_that_do_not_fit_are_refused"
    ),
    "for this trace, write quaternion_order: {} into its header": (
        "tests.verdict.test_verify:test_the_stated_quaternion_order_is_believed"
    ),
    "give each base term its `frame`, base_lin_vel its `point` too": (
        "tests.contract.test_place:test_a_place_is_stated_once"
    ),
    "Name that, or write point: {site: {}}": "tests.plants.test_base_point:test_the_remedies_are_tried",
    "write base.frame: {}, and leave out point and frame of the terms": (
        "tests.plants.test_base_point:test_the_remedies_are_tried"
    ),
    "or write point: [{}]": "tests.verdict.test_places:test_a_named_point_without_evidence_is_not_equal",
    "write frame: {site: NAME} with the site or sensor of the robot file": (
        "tests.verdict.test_places:test_other_axes_are_told_by_their_turn"
    ),
    "the task tells no error; expect `measure: success`": (
        "tests.regress.test_sequential:test_a_task_without_an_error_is_judged_by_success"
    ),
}


_PLANS = "tests.robots.jobs.test_collect:"
_REFUSED, _REPLAYED = (
    f"{_PLANS}test_a_plan_that_cannot_be_is_refused_before_anything_moves",
    f"{_PLANS}test_a_recorded_episode_is_replayed_at_its_own_rate",
)
TRIED |= {
    "takes the place of the joint's drive; leave it out, or write output: residual_torque": (
        "tests.plants.test_learned_actuator:test_a_residual_comes_on_top_of_the_drive"
    ),
    "--robot that file, or write `robot: {file: {}}` into the dynamics to use them all the same": (
        "tests.dynamics.test_document:test_another_robots_dynamics_are_refused_by_joint_and_by_file"
    ),
    "Write kind: implicit or explicit in the contract, with stiffness and damping of the joint": (
        "tests.plants.test_dynamic:test_play_needs_a_drive_whose_gains_are_known"
    ),
    "and servos get warm: {} s at most; shorten `seconds`": _REFUSED,
    "write a smaller `amplitude` or `clearance`, or another `pose`": _REFUSED,
    "has no room for it; write a smaller `amplitude`": _REFUSED,
    "under this `amplitude` and `margin`": _REFUSED,
    "the plan at {}; write control_frequency: {}": _REPLAYED,
    "kind replay needs `like`, a trace, and takes neither `joints` nor `pose`": _REPLAYED,
    "takes no `like`; walk and replay do": _REPLAYED,
    "`margin` {} rad leaves joint {} no room; write a smaller one into the plan": _REPLAYED,
}

_ASKED = "tests.camera.test_env_file:test_what_is_not_known_is_asked_for"
TRIED |= {
    "is not known: write robot_pose: {position: [x, y, z], rotation: [w, x, y, z]}": _ASKED,
    "write image: {size: [128, 128], camera_size: [480, 640]}": _ASKED,
    "of other proportions; write size: [{}, {}] into it": (
        "tests.cli.test_camera_align:test_bad_input_is_refused_before_the_arm"
    ),
}

NO_ADVICE = ("lerobot-calibrate", "Let the policy warm up in `rehearse`", "and name the `port`")
"""Parts of texts that name a function of Python, or a key of a case that other tests write in each suite."""


def changed(data: Any, changes: dict[str, Any]) -> Any:
    """The data with what stands at dotted keys replaced; None takes a key out. Names of joints may hold dots."""
    data = copy.deepcopy(data)
    for key, value in changes.items():
        node, parts = data, key.split(".")
        while len(parts) > 1:
            count = next(
                (n for n in range(len(parts) - 1, 0, -1) if not isinstance(node, list) and ".".join(parts[:n]) in node),
                1,
            )
            step = ".".join(parts[:count])
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
            parts = parts[count:]
        if value is None:
            del node[parts[0]]
        else:
            node[parts[0]] = value
    return data


def build(folder: Path) -> None:
    """Files that each lack a key, or have one too many."""

    def put(name: str, data: Any) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(data, sort_keys=False))

    arm = load_contract(folder / "arm/port/contract.yaml").model_dump(mode="json", exclude_none=True)
    names = {"source_joint_names": ["j1", "j2"], "target_joint_names": ["j1", "j2"]}
    put("zero.yaml", names | {"terms": {"joint_vel": {"scale": 0.0}}})
    put("twice.yaml", names | {"target_joint_names": ["j1", "x"], "rename": {"j2": "j1"}})
    put("swapped.yaml", names | {"target_joint_names": ["j2", "j1"], "match": "position"})
    put("lost.yaml", names | {"target_joint_names": ["j1", "b2"]})
    put("more.yaml", names | {"target_joint_names": ["j1", "j2", "b3"]})
    put("uneven.yaml", names | {"target_joint_names": ["j1", "j2", "b3"], "match": "position"})
    put("both.map.yaml", names | {"only_in_target": {"j2": {"position": 0.0}}})
    put("held.yaml", names)
    put("called.yaml", names)
    put("led.yaml", arm)
    tail = '<body name="tail" pos="0.1 0.1 0"><joint name="tail" axis="0 0 1"/><geom size="0.02" mass="0.05"/></body>'
    (folder / "tailed.xml").write_text(robot_with(base=tail))
    line = '<equality><joint joint1="j2" joint2="j1" polycoef="0.1 -1.5 0 0 0"/></equality>'
    (folder / "coupled.xml").write_text(robot_with(end=line))
    put("unit.yaml", names | {"joints": {"j1": {"unit": "deg"}}})
    put("in_degrees.yaml", arm | {"joints": {name: joint | {"unit": "deg"} for name, joint in arm["joints"].items()}})
    terms = arm["observation"]["terms"]
    put("same.yaml", arm | {"observation": {"terms": [terms[0], dict(terms[0])]}})
    put("nameless.yaml", arm | {"observation": {"terms": [{"term": "external", "size": 3}]}})
    image = {"name": "rgb", "height": 8, "width": 8, "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 0.004}
    put("small.yaml", arm | {"images": [image | {"camera_size": [16, 16]}]})
    put("listed.yaml", {"action_scale": [0.0745206, 0.43857]})
    bare = {name: {"default": 0.0} for name in arm["joints"]}
    put("no_gains.yaml", arm | {"joints": bare})
    goal = {key: value for key, value in terms[2].items() if key not in ("low", "high")}
    put("rangeless.yaml", arm | {"observation": {"terms": [*terms[:2], goal]}})
    geared = (folder / "geared.xml").read_text()
    (folder / "actuated.xml").write_text(geared.replace('gear="2"', ""))
    case = {"name": "a", "port": "../arm/port", "plant": {"simulator": "mujoco", "robot": "../arm/arm.xml"}}
    case |= {"seconds": 0.5, "goals": {"point": [0, 0, 0.1]}, "timeout": 60, "expect": {"open_loop": {"steps": 5}}}
    walk = {key: value for key, value in case.items() if key not in ("seconds", "goals")}
    for name, wrong in {
        "walk": walk | {"commands": [{"command": [0.5, 0, 0], "seconds": 0.5}]},
        "capless": case | {"expect": {"statistical": {"measure": "error"}}},
        "absent": case | {"port": "not_here"},
    }.items():
        put(f"suites/{name}.regress.yaml", {"suite_version": 1, "cases": [wrong]})
    limitless = contract_document(images=[])
    for end in ("lower", "upper"):
        del limitless["joints"]["shoulder_pan.pos"][end]
    put("limitless.yaml", limitless)
    beyond = contract_document(images=[])
    beyond["joints"]["shoulder_pan.pos"] |= {"default": 0.0, "lower": 5.0, "upper": 10.0}
    put("beyond.yaml", beyond)


_STAGES, _EARLY = "tests.pipeline.test_stages:", "tests.train.test_refused_early:"
TRIED |= {
    "stage '{}': `each` makes {} twice": f"{_STAGES}test_two_stages_of_one_name_are_refused",
    "Loosen `terminations` in the task": f"{_EARLY}test_episodes_that_end_as_they_begin_are_refused",
    "write unit: deg, or unit: lerobot and --through": "tests.camera.test_shots:test_units_are_strict",
    "write unit: lerobot, or leave --through out": "tests.camera.test_shots:test_units_are_strict",
    "Write description: FILE into the robot file": (
        "tests.cli.test_camera_described:test_an_so101_is_looked_at_by_the_description_that_its_robot_file_names"
    ),
    "and the table no trace: write trace: FILE.npz": "tests.camera.test_shots:test_a_step_of_a_trace_tells_the_pose",
    "the intrinsics state a distortion": "tests.camera.test_solve:test_straight_pictures_with_a_distortion_are_told",
}

_SWEPT = "tests.sweep.test_sweep:"
TRIED |= {
    "name one under `exclude: [": f"{_SWEPT}test_two_names_of_the_same_thing_are_refused",
    "say that it is meant with `beyond_training: true`": f"{_SWEPT}test_what_goes_beyond_the_training_has_to_be_meant",
    "`command` goes with `seconds`": f"{_SWEPT}test_a_mistake_is_told_before_anything_runs",
    "`seeds` must differ": f"{_SWEPT}test_a_mistake_is_told_before_anything_runs",
    "`seeds` names none": f"{_SWEPT}test_a_mistake_is_told_before_anything_runs",
    "beside it, plants do one `task` alone": f"{_SWEPT}test_an_environment_and_a_plant_do_the_same_task",
    "nothing there, and the intervals say nothing. Raise `start_noise`": (
        "tests.sweep.test_scores:test_seeds_that_change_nothing_are_told"
    ),
}
