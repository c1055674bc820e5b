"""Contracts written for other people's runners: imported again they show and do the same, or an error says what not."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, load_contract
from policy_port.control.controller import Controller
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.outwards.given import Given
from policy_port.descriptors.outwards.write import write_descriptor
from policy_port.descriptors.registry import import_contract
from policy_port.descriptors.rl_sar import WAIST
from policy_port.errors import ContractError
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

SEEDS = range(8)
_MOVING = ("projected_gravity", "velocity_command", "joint_pos_rel", "joint_vel", "last_action")
HELD: dict[str, tuple[str, ...]] = {
    "unitree_rl_lab": (*_MOVING, "base_ang_vel"),
    "rl_sar": (*_MOVING, "base_ang_vel", "base_lin_vel"),
    "isaac_lab": (*_MOVING, "base_ang_vel"),
    "mjlab": _MOVING,
}
"""Terms that each format has a name for, whatever stands beside them."""
MOTION = ("motion_command", "motion_anchor_ori_b")
WHEELS = ("unitree_rl_lab", "rl_sar", "isaac_lab")
"""Formats that tell a wheel's action from a leg's."""
PER_JOINT = ("unitree_rl_lab", "isaac_lab")
"""Formats that scale element by element."""
HISTORY = {
    "unitree_rl_lab": ("term_major", "oldest_first", "first"),
    "rl_sar": ("time_major", "newest_first", "zero"),
    "isaac_lab": ("term_major", "oldest_first", "first"),
    "mjlab": ("term_major", "oldest_first", "first"),
}


def drawn(kind: str, seed: int) -> dict[str, Any]:
    """A contract that the format can hold, at random."""
    draw = random.Random(f"{kind} {seed}")
    names = draw.sample(LEGS, len(LEGS))
    joints = {
        name: {"default": draw.uniform(-1, 1), "stiffness": draw.uniform(1, 99), "damping": draw.uniform(0.1, 9),
               "effort_limit": draw.uniform(5, 90), "armature": draw.uniform(0.001, 0.1)}
        for name in names
    }  # fmt: skip
    steps = draw.choice([1, 1, 3])
    terms: list[dict[str, Any]] = []
    for term in draw.sample(HELD[kind], draw.randint(2, len(HELD[kind]))):
        data: dict[str, Any] = {"term": term} | ({"history": steps} if steps > 1 else {})
        scaled = draw.random() < 0.5 and not (kind == "rl_sar" and term in ("projected_gravity", "last_action"))
        if scaled:
            data["scale"] = draw.uniform(0.01, 3)
        if scaled and kind in PER_JOINT and term in ("joint_pos_rel", "joint_vel"):
            data["scale"] = {name: draw.uniform(0.01, 3) for name in names}
        elif scaled and term == "velocity_command":
            data["scale"] = [draw.uniform(0.1, 3) for _ in range(3)]
        if kind != "rl_sar" and draw.random() < 0.3:
            data["clip"] = [-draw.uniform(1, 9), draw.uniform(1, 9)]
        terms.append(data)
    observation: dict[str, Any] = {"terms": terms}
    if steps > 1:
        observation["history"] = dict(zip(("layout", "order", "fill"), HISTORY[kind], strict=True))
    action = {"term": "joint_position", "scale": {name: draw.uniform(0.1, 1) for name in names}, "offset": "default"}
    if kind in PER_JOINT and draw.random() < 0.5:
        action |= {"offset": draw.uniform(-1, 1), "clip": [-2.0, 2.5]}
    actions = [action]
    if kind in WHEELS and draw.random() < 0.5:
        wheels, legs = names[-1:], names[:-1]
        scale = action.pop("scale")
        actions = [{**action, "joints": legs, "scale": {name: scale[name] for name in legs}},
                   {"term": "joint_velocity", "joints": wheels, "scale": draw.uniform(1, 9)}]  # fmt: skip
        joints[wheels[0]]["stiffness"] = 0.0
        for term in terms if kind == "rl_sar" else ():
            if term["term"] == "joint_pos_rel":
                term["scale"] = {name: 0.0 if name in wheels else term.get("scale", 1.0) for name in names}
    if kind == "rl_sar" and steps == 1 and draw.random() < 0.5:
        observation["groups"] = {"past": {"steps": [5, 2, 0], "layout": "term_major", "fill": "zero"}}
        terms[:] = [{**term, "group": "past"} for term in terms]
    more = {"command": {"lin_vel_x": [-0.5, 1.0]}, "base": {"floating": True, "height": 0.4}}
    return contract_data(joints=joints, observation=observation, action={"terms": actions}, **more)


def given(folder: Path, kind: str, contract: Contract) -> Given:
    if kind == "mjlab":
        matrix = np.zeros((contract.observation_size, contract.action_size))
        return Given(policy=save_linear(folder / "net.onnx", matrix))
    if kind == "isaac_lab":
        return Given()
    (folder / "motors.yaml").write_text(yaml.safe_dump({"motor_joint_names": sorted(contract.joints)}))
    return Given(names=folder / "motors.yaml")


class Told:
    """A policy that says what it is told."""

    images: Any = {}

    def __init__(self, contract: Contract, actions: np.ndarray) -> None:
        self.observation = np.zeros((1, contract.observation_size), np.float32)
        self.action_size = contract.action_size
        self.actions = iter(actions.astype(np.float32))

    def act(self) -> np.ndarray:
        return next(self.actions)[None]

    def reset(self, rows: Any = None) -> None:
        pass


def seen_and_done(contract: Contract) -> np.ndarray:
    """Observations and targets of eight steps of a robot that moves at random."""
    rng = np.random.default_rng(0)
    policy = Told(contract, rng.normal(size=(8, contract.action_size)))
    controller = Controller(contract, policy, LEGS, 1)
    rows = []
    for step in range(8):
        for array in vars(controller.state).values():
            if array is not None:
                array[...] = rng.normal(size=array.shape)
        controller.state.base_quat[:] /= np.linalg.norm(controller.state.base_quat)
        controller.command[:, :3] = rng.normal(size=3)
        if step == 0:
            controller.reset()
        target = controller()
        rows.append(np.concatenate([policy.observation[0], target[0]]))
    return np.array(rows)


@pytest.mark.parametrize("kind", HELD)
def test_what_was_written_is_imported_as_the_same_contract(kind: str, tmp_path: Path) -> None:
    """By the printed command, whatever stands in names and folders.

    Both contracts show a network the same numbers and set the same targets.
    """
    for seed in SEEDS:
        folder = tmp_path / f"{seed} of it"
        folder.mkdir()
        contract = Contract.model_validate(drawn(kind, seed) | {"name": f"it's {seed}"})
        (folder / "contract.yaml").write_text(contract.to_yaml())
        beside = given(folder, kind, contract)
        line = ["contract", "write", str(folder / "contract.yaml"), "--to", kind, "--out", str(folder / "out")]
        for key in ("names", "policy"):
            line += [f"--{key}", str(getattr(beside, key))] if getattr(beside, key) else []
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
        _, found, command = done.output.replace("\n", " ").partition("the same contract: policy-port ")
        assert found
        words = shlex.split(command)
        assert words[-2:] == ["--out", "contract.yaml"]
        again = CliRunner().invoke(app, [*words[:-1], str(folder / "again.yaml")])
        assert again.exit_code == 0, again.output
        after = load_contract(folder / "again.yaml")
        assert after.name == contract.name
        assert after.joint_names == contract.joint_names
        assert after.joints == contract.joints
        for key in ("base", "actuation", "command", "robot", "trained_in", "timestep", "decimation"):
            assert getattr(after, key) == getattr(contract, key)
        np.testing.assert_allclose(seen_and_done(after), seen_and_done(contract), rtol=1e-6, atol=1e-6)


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("unitree_rl_lab", {"observation": {"clip": [-5.0, 5.0]}}, "observation.clip is"),
    ("unitree_rl_lab", {"action": {"raw_clip": [-1.0, 1.0]}}, "action.raw_clip is"),
    ("rl_sar", {"action": {"terms.0.offset": 0.5}}, "action.terms"),
    ("isaac_lab", {"action": {"raw_clip": [-1.0, 1.0]}}, "action.raw_clip is"),
    ("mjlab", {"action": {"terms.0.offset": 0.5}}, "action.terms"),
    ("isaac_lab", {"joints": {"left_hip.unit": "deg"}}, "joints.left_hip.unit is"),
    ("rl_sar", {"joints": {"left_hip.effort_limit": None}}, "effort_limit is not stated"),
    ("unitree_rl_lab", {"joints": {"left_hip.stiffness": None}}, "stiffness is not stated"),
    ("mjlab", {"observation": {"terms.0": {"term": "gait_phase", "period": 0.8}}}, "no task of mjlab has all"),
    (
        "isaac_lab",
        {"observation": {"terms.0": {"term": "gait_phase", "period": 0.8}}},
        "is not written into IO descriptors",
    ),
]


@pytest.mark.parametrize(("kind", "change", "message"), CHANGES, ids=[f"{kind}-{m}" for kind, _, m in CHANGES])
def test_what_a_format_can_not_hold_is_named(kind: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Nothing is written then."""
    data = drawn(kind, 1)
    for part, edits in change.items():
        for key, value in edits.items():
            *path, last = key.split(".")
            node = data[part]
            for name in path:
                node = node[int(name) if isinstance(node, list) else name]
            node[int(last) if isinstance(node, list) else last] = value
    contract = Contract.model_validate(data)
    with pytest.raises(ContractError) as refused:
        write_descriptor(contract, kind, tmp_path / "out", given(tmp_path, kind, contract))
    assert message in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_the_other_order_and_fill_of_a_history_are_refused(tmp_path: Path) -> None:
    """A history of the right width that their runner would stack otherwise."""
    data = next(data for seed in SEEDS if "history" in (data := drawn("unitree_rl_lab", seed))["observation"])
    for key, value in (("order", "newest_first"), ("fill", "zero")):
        other = data["observation"]["history"] | {key: value}
        contract = Contract.model_validate(data | {"observation": data["observation"] | {"history": other}})
        with pytest.raises(ContractError, match=rf"observation.history.{key} is {value}, and a deploy.yaml"):
            write_descriptor(contract, "unitree_rl_lab", tmp_path / "out", given(tmp_path, "unitree_rl_lab", contract))


def test_motors_are_never_numbered_by_guess(tmp_path: Path) -> None:
    """deploy.yaml and base.yaml are read by motor; without their order nothing is written."""
    contract = Contract.model_validate(drawn("rl_sar", 0))
    for kind in ("unitree_rl_lab", "rl_sar"):
        with pytest.raises(ContractError, match="Name a YAML with --names whose motor_joint_names"):
            write_descriptor(contract, kind, tmp_path / "out", Given())
        few = tmp_path / "few.yaml"
        few.write_text(yaml.safe_dump({"motor_joint_names": list(LEGS[:3])}))
        with pytest.raises(ContractError, match="right_knee is not in"):
            write_descriptor(contract, kind, tmp_path / "out", Given(names=few))
    with pytest.raises(ContractError, match="--policy FILE.onnx"):
        write_descriptor(contract, "mjlab", tmp_path / "out", Given())
    with pytest.raises(ContractError, match="--names means nothing to --to isaac_lab"):
        write_descriptor(contract, "isaac_lab", tmp_path / "out", Given(names=few))
    with pytest.raises(ContractError, match="--to rlsar: unknown; did you mean 'rl_sar'"):
        write_descriptor(contract, "rlsar", tmp_path / "out", Given())


def test_mjlabs_metadata_is_at_full_precision_and_says_so(tmp_path: Path) -> None:
    """Numbers that happen to be short are not taken for rounded ones when the file is imported again."""
    data = drawn("mjlab", 0)
    for joint in data["joints"].values():
        joint |= {"default": 0.1, "stiffness": 25.0, "damping": 0.5}
    data["action"]["terms"][0]["scale"] = 0.25
    data["observation"] = {"terms": [{"term": "joint_vel", "scale": 0.05}, {"term": "last_action"}]}
    contract = Contract.model_validate(data)
    written = write_descriptor(contract, "mjlab", tmp_path / "out", given(tmp_path, "mjlab", contract))
    words = shlex.split(written.command)[3:-1]
    again = CliRunner().invoke(app, ["contract", "import", *words, str(tmp_path / "again.yaml")])
    assert again.exit_code == 0, again.output
    assert "rounded" not in again.output
    assert "rounded" not in (tmp_path / "again.yaml").read_text()


def follower(**motion: Any) -> Contract:
    """A policy that follows a motion, on a robot whose torso hangs on a waist."""
    names = (*LEGS, *WAIST)
    numbers = {"stiffness": 9.0, "damping": 1.0, "effort_limit": 5.0}
    joints = {name: {"default": 0.1 * n, **numbers} for n, name in enumerate(names)}
    chain = [{"link": link, "joint": name} for link, name in zip(("yaw", "roll", "torso_link"), WAIST, strict=True)]
    files = {"quaternion_order": "xyzw", "joints": sorted(names), "rate": 60.0}
    follows = {"anchor": "torso_link", "chain": chain, "align": "yaw", "end": "stop", "files": files, **motion}
    terms = [{"term": term} for term in (*MOTION, "base_ang_vel", "last_action")]
    return Contract.model_validate(contract_data(joints=joints, observation={"terms": terms}, motion=follows))


@pytest.mark.parametrize("kind", ["unitree_rl_lab", "rl_sar"])
def test_a_motion_goes_where_runners_follow_one(kind: str, tmp_path: Path) -> None:
    """Terms, anchor and the clip's rate stand in the files, the rest in rest.yaml; a motion that a runner would follow
    otherwise is refused by name.
    """
    contract = follower()
    written = write_descriptor(contract, kind, tmp_path / "out", given(tmp_path, kind, contract))
    assert "motion.chain" in written.rest
    main = yaml.safe_load((tmp_path / "out" / written.files[0]).read_text())
    if kind == "rl_sar":
        (config,) = main.values()
        assert config["observations"][:2] == [f"whole_body_tracking/{term}" for term in MOTION]
        assert [sorted(contract.joints)[n] for n in config["waist_joint_indices"]] == list(WAIST)
        assert (config["motion_file"], config["num_observations"]) == ("toy_60hz.csv", 2 * 7 + 6 + 3 + 7)
    else:
        assert main["observations"]["motion_command"]["params"] == {"command_name": "motion"}
    with pytest.raises(ContractError, match=r"motion.align is none, and .* would say yaw"):
        write_descriptor(follower(align="none"), kind, tmp_path / "no", given(tmp_path, kind, contract))
    if kind == "rl_sar":
        other = follower(anchor="pelvis", chain=[])
        with pytest.raises(ContractError, match="motion.anchor is pelvis, and .* compares the torso"):
            write_descriptor(other, kind, tmp_path / "no", given(tmp_path, kind, contract))
    assert not (tmp_path / "no").exists()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["wheels/rl_sar_go2w", "tracking/rl_sar_g1_dance_102"])
def test_what_rl_sar_wrote_itself_is_written_again(shared: Path, name: str, tmp_path: Path) -> None:
    """Read, written and compared key by key: the file that its runner reads is the same in what it computes."""
    config = shared / f"real_policies/{name}.config.yaml"
    base = config.parent / f"rl_sar_{name.split('_')[2]}.base.yaml"
    settings = {"motion.chain": [], "motion.anchor": "torso_link"} if "dance" in name else {}
    options = ImportOptions(name="again", actuation="explicit", settings=settings)
    contract = import_contract([config, base], None, options).contract
    (old,), (theirs,) = (yaml.safe_load(file.read_text()).values() for file in (config, base))
    motors = {"motor_joint_names": old.get("joint_names", theirs["joint_names"])}
    (tmp_path / "motors.yaml").write_text(yaml.safe_dump(motors))
    write_descriptor(contract, "rl_sar", tmp_path / "out", Given(names=tmp_path / "motors.yaml"))
    (new,) = yaml.safe_load((tmp_path / "out/config.yaml").read_text()).values()
    others = {key for key in old if old[key] != new.get(key)}
    # Gains to stand up with, the clip's file, and what says nothing: a scale of no term, a history of none.
    history = {"observations_history", "observations_history_priority"}
    assert others <= {"fixed_kp", "fixed_kd", "motion_file", "lin_vel_scale"} | history
