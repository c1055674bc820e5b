"""Claims about what env.yaml and agent.yaml of a run add to Isaac Lab's IO descriptors."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.errors import ContractError
from tests.descriptors.importing import linear_policy, write
from tests.descriptors.test_isaac_lab import ENV, descriptor, make, term, terms


def test_a_skipped_term_shows_as_missing_numbers(tmp_path: Path) -> None:
    """Without env.yaml only the network's width tells that the exporter skipped a term, and by how much."""
    policy = linear_policy(tmp_path / "policy.onnx", 18 + 187, 4)
    with pytest.raises(
        ContractError, match=r"reads 205 numbers, the contract describes 18, so 187 numbers are missing"
    ):
        make(tmp_path, policy=policy)


def test_with_env_yaml_a_skipped_term_is_named_and_counted(tmp_path: Path) -> None:
    """env.yaml names the term, the network its size; the import stops until the user says it."""
    write(tmp_path / "params/env.yaml", ENV)
    policy = linear_policy(tmp_path / "policy.onnx", 18 + 187, 4)
    with pytest.raises(ContractError) as caught:
        make(tmp_path, settings={}, actuation=None, policy=policy)
    assert "the exporter skipped height_scan" in str(caught.value)
    assert "The network reads 205 numbers and 18 are described: 187 are missing" in str(caught.value)
    assert "give --size height_scan=N" in str(caught.value)


def test_a_sized_term_takes_the_place_that_env_yaml_gives_it(tmp_path: Path) -> None:
    """The skipped term stands second, as in env.yaml, and the width fits the network."""
    write(tmp_path / "params/env.yaml", ENV)
    policy = linear_policy(tmp_path / "policy.onnx", 18 + 187, 4)
    made = make(tmp_path, settings={}, actuation=None, policy=policy, sizes={"height_scan": 187})
    assert [term.label for term in made.observation.terms][:3] == ["base_ang_vel", "height_scan", "velocity_command"]
    wrong = linear_policy(tmp_path / "other.onnx", 18 + 180, 4)
    with pytest.raises(ContractError, match="7 numbers are too many"):
        make(tmp_path, settings={}, actuation=None, policy=wrong, sizes={"height_scan": 187})
    with pytest.raises(ContractError, match="--size height_scn: env.yaml has height_scan; did you mean"):
        make(tmp_path, settings={}, actuation=None, sizes={"height_scn": 187})


def test_the_width_of_a_height_scan_is_its_sensors(tmp_path: Path) -> None:
    """The rays of the grid that env.yaml gives the sensor; another --size is refused, another pattern is asked for."""
    aimed = "height_scan', params: {sensor_cfg: {name: height_scanner}}"
    env = ENV.replace("height_scan', params: {}", aimed)
    grid = "isaaclab.sensors.ray_caster.patterns.patterns:grid_pattern"
    for size, rays in (("[1.6, 1.0]", 187), ("[0.3, 0.7]", 4 * 8)):
        sensor = f"  height_scanner: {{pattern_cfg: {{func: '{grid}', resolution: 0.1, size: {size}}}}}\n"
        write(tmp_path / "params/env.yaml", env.replace("scene:\n", f"scene:\n{sensor}"))
        made = make(tmp_path, settings={}, actuation=None)
        scan = made.observation.terms[1]
        assert scan.model_dump()["size"] == rays
        assert "scene.height_scanner.pattern_cfg.size" in made.sources["observation.terms.height_scan"]
    with pytest.raises(ContractError, match=r"--size height_scan=30: env.yaml: .* makes 32; leave the option out"):
        make(tmp_path, settings={}, actuation=None, sizes={"height_scan": 30})
    write(
        tmp_path / "params/env.yaml",
        env.replace("scene:\n", "scene:\n  height_scanner: {pattern_cfg: {func: 'm:mine'}}\n"),
    )
    with pytest.raises(ContractError, match="give --size height_scan=N"):
        make(tmp_path, settings={}, actuation=None)


def test_env_yaml_adds_actuators_base_height_and_commands(tmp_path: Path) -> None:
    """DCMotor is explicit; effort limits, the base's height and the trained commands are in env.yaml only."""
    write(tmp_path / "params/env.yaml", ENV)
    made = make(tmp_path, settings={}, actuation=None, sizes={"height_scan": 2})
    assert made.actuation.kind == "explicit"
    assert made.base.height == 0.4
    assert [joint.effort_limit for joint in made.joints.values()] == [23.5, 23.5, 35.5, 35.5]
    assert made.command.element("lin_vel_x").range == (-1.0, 1.5)
    assert made.command.ang_vel_z is None
    assert made.sources["actuation.kind"] == "env.yaml: scene.robot.actuators.*.class_type (DCMotor)"


def test_zero_gains_are_an_actuator_models_and_stay_unset(tmp_path: Path) -> None:
    """PhysX has gains 0 where a motor model computes the torque; env.yaml has that model's, or nobody has."""
    data = descriptor()
    data["articulations"]["robot"] |= {"default_joint_stiffness": [0.0] * 4, "default_joint_damping": [0.0] * 4}
    assert make(tmp_path, data).joints["L_hip"].stiffness is None
    with pytest.raises(ContractError, match="the gains are 0, so an actuator model is outside PhysX"):
        make(tmp_path, data, actuation=None)
    write(tmp_path / "params/env.yaml", ENV)
    made = make(tmp_path, data, settings={}, actuation=None, sizes={"height_scan": 2})
    assert made.joints["L_hip"].stiffness == 25.0
    assert made.sources["joints.*.stiffness"] == "env.yaml: scene.robot.actuators.legs.stiffness"


def test_agent_yaml_adds_the_wrappers_clip_and_the_actors_groups(tmp_path: Path) -> None:
    """clip_actions bounds the raw action; obs_groups names the groups that the actor reads, in order."""
    agent = {"algorithm": {}, "clip_actions": 50.0, "obs_groups": {"policy": ["policy", "extra"], "critic": ["x"]}}
    write(tmp_path / "params/agent.yaml", agent)
    data = descriptor()
    data["observations"] = {"extra": [term("projected_gravity")], "policy": terms(), "critic": []}
    made = make(tmp_path, data)
    assert made.action.raw_clip == (-50.0, 50.0)
    assert [term.label for term in made.observation.terms][-2:] == ["last_action", "projected_gravity"]


def test_a_pattern_that_could_run_for_ever_is_refused(tmp_path: Path) -> None:
    """Joint patterns of env.yaml are matched only when they are harmless."""
    write(tmp_path / "params/env.yaml", ENV.replace("[.*_hip, .*_knee]", "['(.*)*_hip$']"))
    with pytest.raises(ContractError, match="no pattern of joint names that is safe"):
        make(tmp_path, settings={}, actuation=None, sizes={"height_scan": 2})


def test_files_of_two_runs_are_told_apart(tmp_path: Path) -> None:
    """An env.yaml without a term that the descriptor has is of another run."""
    write(tmp_path / "params/env.yaml", ENV.replace("joint_vel:", "other: null\n    joint_vel_:").replace(
        "observations:joint_vel_rel", "observations:joint_effort"
    ))  # fmt: skip
    with pytest.raises(ContractError, match="is not where env.yaml has it; the two files are of different runs"):
        make(tmp_path, settings={}, actuation=None)


def test_a_command_that_is_a_point_is_an_external_term(tmp_path: Path) -> None:
    """Three numbers of another command class are not a velocity."""
    write(tmp_path / "params/env.yaml", ENV.replace("UniformVelocityCommand", "PointCommand"))
    made = make(tmp_path, settings={}, actuation=None, sizes={"height_scan": 2})
    assert made.observation.terms[2].model_dump()["term"] == "external"
    assert made.command.lin_vel_x is None
