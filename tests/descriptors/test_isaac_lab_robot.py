"""Claims about what env.yaml says of the robot and the simulator, in the words of 2.x and of 3.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.descriptors.registry import Imported
from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, imported, write
from tests.descriptors.test_isaac_lab import DEFAULT, JOINTS, descriptor, term
from tests.descriptors.test_isaac_lab_params import actuator, written


def run(robot: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An env.yaml as 3.0 writes it, with changes of the robot's part and of the whole."""
    scene = {
        "class_type": "isaaclab.scene.interactive_scene:InteractiveScene",
        "robot": {
            "class_type": "isaaclab.assets.articulation.articulation:Articulation",
            "cloning_contexts": None,
            "spawn": {
                "rigid_props": [{"func": "m:f", "disable_gravity": False}],
                "articulation_props": [{"func": "m:f", "articulation_enabled": None}, {"func": "m:f"}],
                "fix_root_link": None,
            },
            "init_state": {"pos": [0.0, 0.0, 0.4], "rot": [0.0, 0.0, 0.0, 1.0]},
            "joint_ordering": None,
            "body_ordering": None,
            "actuators": {"legs": actuator()},
        }
        | (robot or {}),
    }
    physics = {"class_type": "isaaclab_newton.physics.mjwarp_manager:NewtonMJWarpManager"}
    return {
        "sim": {"dt": 0.005, "physics": physics},
        "decimation": 4,
        "scene": scene,
        "observations": {"policy": {"it": written("base_ang_vel")}},
        "actions": {"joint_pos": {"class_type": "m:JointPositionAction", "scale": 0.5}},
    } | more


def read(path: Path, env: dict[str, Any], text: tuple[str, str] = ("", ""), **options: Any) -> Imported:
    """Import a descriptor of one base term beside `env`, in whose text the first of `text` became the second."""
    file = write(path / "io/IO_descriptors.yaml", descriptor([term("base_ang_vel")], **options.pop("changes", {})))
    write(path / "io/env.yaml", yaml.safe_dump(env, sort_keys=False).replace(*text))
    return imported(file, **(COMPLETE | {"timestep": None, "actuation": None, "quaternion_order": None} | options))


def spawned(**spawn: Any) -> dict[str, Any]:
    return run({"spawn": spawn})


def test_physical_properties_may_be_lists_of_fragments(tmp_path: Path) -> None:
    """3.0's lists, one fragment per engine, and its lists by pattern are read like the one mapping of 2.x."""
    parts = [{"func": "m:f", "disable_gravity": True}, {"func": "m:f"}]
    for props in (parts, {"": parts}, {"/.*": parts}, {"func": "m:f", "disable_gravity": True}):
        made = read(tmp_path, run({"spawn": {"rigid_props": props}}))
        assert made.contract.actuation.gravity_compensation
    assert not read(tmp_path, run()).contract.actuation.gravity_compensation


def test_links_that_feel_gravity_and_links_that_do_not_are_noted(tmp_path: Path) -> None:
    """A contract's links all feel gravity or none does; compensation by MuJoCo's gravcomp is neither."""
    mixed = [{"func": "m:f", "disable_gravity": True}, {"func": "m:f", "disable_gravity": False}]
    made = read(tmp_path, spawned(rigid_props=mixed))
    assert not made.contract.actuation.gravity_compensation
    assert any("lets some links feel gravity and others not" in note for note in made.notes)
    made = read(tmp_path, spawned(rigid_props=[{"gravcomp": 0.5}]))
    assert any("gravcomp is 0.5; a contract knows links with gravity or without" in note for note in made.notes)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_fixed_root_is_read_where_each_version_has_it(tmp_path: Path, fixed: bool) -> None:
    """3.0 has it at the spawner, 2.x within articulation_props, which wins in 3.0 too where it is the old kind."""
    file = write(tmp_path / "io/IO_descriptors.yaml", descriptor([term("joint_effort", 4)]))
    for spawn in (
        {"articulation_props": [{"func": "m:f"}], "fix_root_link": fixed},
        {"articulation_props": None, "fix_root_link": fixed},
        {"articulation_props": {"fix_root_link": fixed}},
        {"articulation_props": {"fix_root_link": fixed}, "fix_root_link": not fixed},
        {"articulation_props": {"": [{"func": "m:f"}]}, "fix_root_link": fixed},
        {"func": "isaaclab.sim.spawners.from_files.from_files:spawn_from_urdf", "fix_base": fixed},
        {"func": "m:spawn_from_urdf", "fix_base": not fixed, "fix_root_link": fixed},
    ):
        made = spawned(**spawn) | {"observations": {"policy": {"it": written("joint_effort")}}}
        write(tmp_path / "io/env.yaml", made)
        contract = imported(file, robot="toy").contract
        assert contract.base.floating is not fixed
        assert (contract.base.height is None) is fixed
    twice = [{"fix_root_link": True}, {"fix_root_link": False}]
    with pytest.raises(ContractError, match="has fix_root_link true and false in two of its parts"):
        read(tmp_path, spawned(articulation_props=twice))


def test_a_base_that_an_mjcf_file_may_free_is_not_taken_as_floating(tmp_path: Path) -> None:
    """fix_base false of a URDF frees the base; of an MJCF it leaves it to the file, so it is asked for."""
    file = write(tmp_path / "io/IO_descriptors.yaml", descriptor([term("joint_effort", 4)]))
    effort = {"observations": {"policy": {"it": written("joint_effort")}}}
    write(tmp_path / "io/env.yaml", spawned(func="m:spawn_from_mjcf", fix_base=False) | effort)
    with pytest.raises(ContractError, match=r"base\.floating: the descriptor does not say it"):
        imported(file, robot="toy")
    write(tmp_path / "io/env.yaml", spawned(func="m:spawn_from_mjcf", fix_base=True) | effort)
    assert not imported(file, robot="toy").contract.base.floating


def test_a_root_that_nobody_fixes_is_asked_for_unless_a_base_term_tells(tmp_path: Path) -> None:
    """3.0 writes null for "as the robot's file has it": that it truly does not say."""
    file = write(tmp_path / "io/IO_descriptors.yaml", descriptor([term("joint_effort", 4)]))
    write(tmp_path / "io/env.yaml", run() | {"observations": {"policy": {"it": written("joint_effort")}}})
    with pytest.raises(ContractError, match=r"base\.floating: the descriptor does not say it; give --set base"):
        imported(file, robot="toy")
    assert not imported(file, robot="toy", settings={"base.floating": False}).contract.base.floating
    assert read(tmp_path, run()).contract.base.floating


def state(*rot: float) -> dict[str, Any]:
    return {"init_state": {"pos": [0.0, 0.0, 0.4], "rot": list(rot)}}


def of_2(robot: dict[str, Any]) -> dict[str, Any]:
    """The same run without the keys that came with 3.0."""
    whole = run(robot)
    for key in ("joint_ordering", "body_ordering", "cloning_contexts"):
        del whole["scene"]["robot"][key]
    return whole


def test_the_order_of_quaternions_is_that_which_the_file_shows(tmp_path: Path) -> None:
    """No turn is 0, 0, 0, 1 in 3.0 and 1, 0, 0, 0 before; another turn is told by 3.0's keys, or by nothing."""
    for env, order in (
        (run(state(0.0, 0.0, 0.0, 1.0)), "xyzw"),
        (of_2(state(1.0, 0.0, 0.0, 0.0)), "wxyz"),
        (of_2(state(0.0, 0.0, 0.0, 1.0)), "xyzw"),
        (run(state(0.0, 0.0, 0.7071, 0.7071)), "xyzw"),
        (of_2(state(0.7071, 0.0, 0.0, 0.7071)), None),
        (of_2({"init_state": {}}), None),
    ):
        assert read(tmp_path, env).contract.quaternion_order == order


def test_a_flag_that_denies_the_order_is_refused(tmp_path: Path) -> None:
    """Who takes a 3.0 file's xyzw as wxyz is told where it stands; --set says that a task turns its own round."""
    with pytest.raises(ContractError) as caught:
        read(tmp_path, run(), quaternion_order="wxyz")
    assert "--quaternion-order wxyz: env.yaml: scene.robot.init_state.rot shows xyzw" in str(caught.value)
    assert "--set quaternion_order=wxyz says so" in str(caught.value)
    assert read(tmp_path, run(), settings={"quaternion_order": "wxyz"}).contract.quaternion_order == "wxyz"
    assert read(tmp_path, run(), quaternion_order="xyzw").contract.quaternion_order == "xyzw"


def test_a_turn_of_2_in_a_file_of_3_is_pointed_out(tmp_path: Path) -> None:
    """1, 0, 0, 0 carried over to 3.0 turns the robot over; nobody takes it for an order."""
    made = read(tmp_path, run(state(1.0, 0.0, 0.0, 0.0)))
    assert made.contract.quaternion_order is None
    assert any("there it turns the robot over. Check it" in note for note in made.notes)
    assert read(tmp_path, run(state(1.0, 0.0, 0.0, 0.0)), quaternion_order="wxyz").contract.quaternion_order == "wxyz"


def test_the_joint_order_is_the_one_that_the_policy_saw(tmp_path: Path) -> None:
    """joint_ordering has changed the descriptor's order already; its source and a note say so."""
    for ordering, words in (("physx", "is physx;"), ("newton", "is newton, which this program does not know;")):
        made = read(tmp_path, run({"joint_ordering": ordering}))
        assert list(made.contract.joint_names) == JOINTS
        assert "in the order of env.yaml: scene.robot.joint_ordering" in made.contract.sources["joints"]
        assert any(f"joint_ordering {words}" in note and ", ".join(JOINTS) in note for note in made.notes)
    member = {"_value_": "physx", "_name_": "PHYSX", "_sort_order_": 0}
    assert any("joint_ordering is physx;" in note for note in read(tmp_path, run({"joint_ordering": member})).notes)
    made = read(tmp_path, run({"joint_ordering": JOINTS}))
    assert "joint_ordering" in made.contract.sources["joints"]
    with pytest.raises(ContractError, match=r"joint_ordering' is R_knee, .* but the descriptor has L_hip, .*"):
        read(tmp_path, run({"joint_ordering": JOINTS[::-1]}))


def test_the_engine_is_named(tmp_path: Path) -> None:
    """3.0 runs on several; 2.x only on PhysX, which it does not write."""
    assert read(tmp_path, run()).contract.trained_in == "Isaac Lab, Newton"
    physx = {"dt": 0.005, "physics": {"class_type": "isaaclab_physx.physics.physx_manager:PhysxManager"}}
    assert read(tmp_path, run(sim=physx)).contract.trained_in == "Isaac Lab, PhysX"
    assert read(tmp_path, run(sim={"dt": 0.005})).contract.trained_in == "Isaac Lab"


@pytest.mark.parametrize(
    ("env", "where"),
    [
        (run({"default": 1, "newton_mjwarp": 2}), "scene.robot"),
        (run({"actuators": {"legs": actuator(armature={"default": 0.0, "newton_mjwarp": 0.01})}}), "legs.armature"),
        (run(sim={"dt": 0.005, "physics": {"default": {}, "newton_mjwarp": {}}}), "sim.physics"),
        (run(actions={"joint_pos": {"default": {}, "other": {}}}), "actions.joint_pos"),
    ],
)
def test_presets_side_by_side_are_refused(tmp_path: Path, env: dict[str, Any], where: str) -> None:
    """A configuration that was written before its presets were chosen does not say which one was trained."""
    with pytest.raises(ContractError, match=rf"{where}' holds the presets default, .* put the content of that one"):
        read(tmp_path, env)


def test_what_the_user_calls_default_is_no_preset(tmp_path: Path) -> None:
    """Groups, terms, actuators and commands are named as their project likes; so is a command without ranges."""
    group = {"default": written("base_ang_vel"), "it": None}
    models = {"default": actuator(joint_names_expr=[".*_hip"]), "knees": actuator(joint_names_expr=[".*_knee"])}
    env = run(
        {"actuators": models},
        observations={"default": {}, "policy": group},
        commands={"default": {"class_type": "m:MyVelocityCommand"}, "other": {"class_type": "m:C"}},
    )
    assert read(tmp_path, env).contract.observation_size == 3


def test_rates_and_defaults_of_two_runs_are_told_apart(tmp_path: Path) -> None:
    """Physics timestep, decimation and default positions stand in both files; single precision is no difference."""
    with pytest.raises(ContractError, match=r"'sim.dt' is 0.002, but IO_descriptors.yaml has scene.physics_dt 0.005"):
        read(tmp_path, run(sim={"dt": 0.002}))
    with pytest.raises(ContractError, match=r"'decimation' is 2, but IO_descriptors.yaml has scene.decimation 4"):
        read(tmp_path, run(decimation=2))
    right = {"L_hip": 0.1, "R_hip": -0.1, "L_knee": 0.4, "R_knee": -0.4}
    read(tmp_path, run({"init_state": {"joint_pos": right}}))
    with pytest.raises(ContractError, match=r"has 0.3 for 'L_hip', but the descriptor has 0.1: .* different runs"):
        read(tmp_path, run({"init_state": {"joint_pos": right | {"L_hip": 0.3}}}))
    told = {"joints.L_hip.default": 0.3}
    made = read(tmp_path, run({"init_state": {"joint_pos": right | {"L_hip": 0.3}}}), settings=told)
    assert made.contract.joints["L_hip"].default == 0.3
    with pytest.raises(ContractError, match=r"joint_pos.L_hp' is none of the joints L_hip, .* of another run"):
        read(tmp_path, run({"init_state": {"joint_pos": {"L_hp": 0.3}}}))
    with pytest.raises(ContractError, match=r"leads to 'L_hip', to which 'L_hip' leads too"):
        read(tmp_path, run({"init_state": {"joint_pos": {"L_hip": 0.1, "L_.*": 0.4}}}))


def test_numbers_drawn_at_start_are_not_the_descriptors(tmp_path: Path) -> None:
    """The exporter writes what was drawn in one environment; gains come from env.yaml, a default is pointed out."""
    event = {"func": "isaaclab.envs.mdp.events:randomize_actuator_gains", "mode": "startup", "params": {}}
    env = run({"actuators": {"legs": actuator(stiffness=30.0)}})
    with pytest.raises(ContractError, match=r"has 30 for 'L_hip', but the descriptor has 25: .* different runs"):
        read(tmp_path, env)
    made = read(tmp_path, env | {"events": {"gains": event}})
    assert made.contract.joints["L_hip"].stiffness == 30.0
    assert any("events.gains draws stiffness anew in training" in note for note in made.notes)
    told = read(tmp_path, env, settings={"joints.*.stiffness": 28.0})
    assert told.contract.joints["R_knee"].stiffness == 28.0
    pose = {"func": "tasks.mdp.events:randomize_joint_default_pos", "mode": "startup"}
    drawn = run({"init_state": {"joint_pos": dict(zip(JOINTS, DEFAULT, strict=True)) | {"L_hip": 0.12}}})
    made = read(tmp_path, drawn | {"events": {"pose": pose}})
    assert any("for 'L_hip' 0.1 instead of 0.12" in note for note in made.notes)
    told = read(tmp_path, drawn | {"events": {"pose": pose}}, settings={"joints.L_hip.default": 0.12})
    assert told.contract.joints["L_hip"].default == 0.12
    assert not any("events.pose" in note for note in told.notes)


def test_another_gravity_is_noted(tmp_path: Path) -> None:
    """A contract has no word for the Moon's; the Earth's needs none."""
    physics = run()["sim"]
    made = read(tmp_path, run(sim=physics | {"gravity": [0.0, 0.0, -1.62]}))
    assert any("sim.gravity is [0.0, 0.0, -1.62]" in note for note in made.notes)
    made = read(tmp_path, run(sim=physics | {"gravity": [0.0, 0.0, -9.8]}))
    assert not any("gravity" in note for note in made.notes)


def test_an_alias_that_leads_back_is_walked_once(tmp_path: Path) -> None:
    """Shared mappings of a file of many aliases are looked at once each."""
    text = "sim: {dt: 0.005, a: &a {x: 1}, b: &b {p: *a, q: *a}, c: {p: *b, q: *b}}"
    env = run()
    del env["sim"]
    file = write(tmp_path / "io/IO_descriptors.yaml", descriptor([term("base_ang_vel")]))
    write(tmp_path / "io/env.yaml", text + "\n" + yaml.safe_dump(env, sort_keys=False))
    assert imported(file, robot="toy").contract.timestep == 0.005


@pytest.mark.shared
@pytest.mark.parametrize(
    ("robot", "kind", "limits"),
    [
        ("g1", "implicit", {"left_knee_joint": 300.0, "left_ankle_roll_joint": 20.0, "left_two_joint": 300.0}),
        ("h1", "implicit", {"torso": 300.0, "left_ankle": 100.0}),
        ("go2", "explicit", {"FL_hip_joint": 23.7, "FL_calf_joint": 45.43}),
        ("anymal", "explicit", {"LF_HAA": 80.0}),
    ],
)
def test_the_runs_of_3_are_read_with_the_robots_name_alone(
    shared: Path, robot: str, kind: str, limits: dict[str, float]
) -> None:
    """Isaac Lab 3.0.0's own G1, H1, Go2 and ANYmal runs need no flag but --robot, and leave nothing of theirs unset."""
    folder = shared / f"failing_inputs/peers/isaaclab3_env_yaml/{robot}"
    made = imported(folder / "io_descriptors/IO_descriptors.yaml", robot=robot)
    contract = made.contract
    assert made.unset == ()
    assert contract.actuation.kind == kind
    assert contract.quaternion_order == "xyzw"
    assert contract.base.floating
    assert {name: contract.joints[name].effort_limit for name in limits} == limits
    first = contract.observation.terms[0].model_dump(exclude_defaults=True)
    assert first == {"term": "base_lin_vel", "point": "com"}
    saturated = [note for note in made.notes if "saturation_effort" in note]
    assert bool(saturated) is (kind == "explicit")
