"""Bundles of LEAPP: any of its runners does what the contract says, and the contract comes back whole."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from numpy.typing import NDArray

from policy_port.checkpoints.files.leapp_yaml import STORED
from policy_port.contract import Contract
from policy_port.contract.diff import disagreements
from policy_port.control.controller import Controller
from policy_port.control.plant import Mounting
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.outwards.given import Given
from policy_port.descriptors.outwards.write import write_descriptor
from policy_port.descriptors.registry import import_contract
from tests.control.networks import save_linear
from tests.descriptors.leapp_run import ActorPolicy
from tests.samples import LEGS, contract_data

CENTRE = np.array([0.1, -0.05, 0.02])
"""The centre of mass from the base link's origin [m]."""
Values = dict[str, NDArray[Any]]
STEPS = 14
USUAL: dict[str, Any] = {
    "base_lin_vel": {},
    "base_ang_vel": {},
    "projected_gravity": {},
    "velocity_command": {},
    "joint_pos": {},
    "joint_pos_rel": {},
    "joint_vel": {},
    "last_action": {},
}
WIDE: dict[str, Any] = {
    "joint_target": {},
    "joint_effort": {},
    "last_action": {"ago": 3},
    "base_quat": {"positive_w": True},
    "elapsed": {"length": 0.13, "end": "repeat"},
    "gait_phase": {"period": 0.7, "offsets": [0.0, 0.5]},
    "gait_clock": {
        "elements": [{"wave": "sin"}, {"wave": "cos", "offset": 0.25}, {"wave": "phase", "offset": 0.5}],
        "period": 0.31,
        "stance": 0.6,
        "standing": "freeze",
        "below": 1.2,
        "start": 0.1,
    },
    "constant": {"value": [0.3, -0.4]},
    "goal": {"size": 2, "frame": "base link, m", "scale": 0.5},
}


def drawn(seed: int, *, wide: bool) -> Contract:
    """A contract at random: of the usual families, or with everything that a bundle holds."""
    draw = random.Random(f"leapp {seed}")
    names = draw.sample(LEGS, len(LEGS))
    wheel = names[-1] if wide and draw.random() < 0.5 else None
    joints: dict[str, Any] = {}
    for name in names:
        gains = {"stiffness": 0.0 if name == wheel else draw.uniform(1, 99), "damping": draw.uniform(0.1, 9)}
        unit = {"unit": "deg"} if wide and draw.random() < 0.3 else {}
        joints[name] = {"default": draw.uniform(-1, 1), "effort_limit": draw.uniform(5, 90), **gains, **unit}
    known = USUAL | (WIDE if wide else {})
    legs = [name for name in names if name != wheel]
    if wheel:
        known["joint_target"] = {"joints": legs}
    observation = _observation(draw, known, names, wide=wide)
    terms: list[dict[str, Any]] = [
        {"term": "joint_position", "joints": legs, "scale": {n: draw.uniform(0.1, 1) for n in legs},
         "offset": draw.choice(["default", 0.3])}
    ]  # fmt: skip
    if draw.random() < 0.5:
        terms[0]["clip"] = [-0.9, 0.8]
    if wheel:
        terms.append({"term": "joint_velocity", "joints": [wheel], "scale": 4.0})
    action: dict[str, Any] = {"terms": terms}
    more: dict[str, Any] = {"command": {"lin_vel_x": [-0.5, 1.0]}}
    if draw.random() < 0.5:
        action["raw_clip"] = [-0.7, 0.6]
    if wide:
        action["delay"] = draw.choice([0, 2])
        action["filter"] = draw.choice(
            [
                None,
                {"kind": "first_order", "of": "raw", "alpha": 0.4},
                {"kind": "moving_average", "of": "target", "steps": 3},
            ]
        )
        if draw.random() < 0.5:
            more["command"] = {"lin_vel_x": {"range": [-1, 1], "slew": 4.0, "dead_zone": 0.2}}
        if not wheel and draw.random() < 0.5:
            reference = draw.choice(["joint_pos", "joint_target"])
            terms[0] |= {"term": "joint_position_delta", "reference": reference, "offset": 0.01}
    return Contract.model_validate(contract_data(joints=joints, observation=observation, action=action, **more))


def _observation(draw: random.Random, known: dict[str, Any], names: list[str], *, wide: bool) -> dict[str, Any]:
    steps = draw.choice([1, 3])
    terms = []
    for kind in draw.sample(list(known), draw.randint(3, 8)):
        term = {"term": kind, **known[kind]}
        if kind not in ("constant", "goal", "gait_phase") and draw.random() < 0.6:
            term["scale"] = draw.uniform(0.1, 3)
            if kind.startswith("joint_"):
                term["scale"] = {name: draw.uniform(0.1, 3) for name in term.get("joints", names)}
            elif kind == "velocity_command":
                term["scale"] = [draw.uniform(0.1, 3) for _ in range(3)]
        if kind not in ("constant", "goal", "last_action", "gait_phase") and draw.random() < 0.4:
            term["clip"] = [-draw.uniform(0.1, 0.9), draw.uniform(0.1, 0.9)]
        if kind == "base_lin_vel":
            term["point"] = "link"
        if wide and draw.random() < 0.3:
            term["delay"] = {"steps": draw.randint(1, 3), "fill": draw.choice(["first", "zero"])}
        if wide and draw.random() < 0.3:
            term["group"] = "far"
        elif steps > 1 and kind != "constant":
            term["history"] = steps
        terms.append(term)
    found: dict[str, Any] = {"terms": terms}
    if any("group" in term for term in terms):
        far = {"steps": [4, 1], "layout": "term_major", "fill": draw.choice(["first", "zero"])}
        found["groups"] = {"far": far}
    if any(term.get("history", 1) > 1 for term in terms):
        order = draw.choice(["oldest_first", "newest_first"])
        layout = draw.choice(["term_major", "time_major"]) if wide else "term_major"
        if layout == "time_major":
            terms[:] = [term for term in terms if term["term"] != "constant"]
            terms.sort(key=lambda term: "group" in term)
        found["history"] = {"layout": layout, "order": order, "fill": draw.choice(["first", "zero"])}
    if wide and draw.random() < 0.3:
        found["clip"] = [-0.8, 0.9]
    return found


def network(folder: Path, contract: Contract) -> Path:
    """A network that mixes all that it reads."""
    mixing = np.random.default_rng(0).normal(size=(contract.observation_size, contract.action_size))
    return save_linear(folder / "network.onnx", mixing / 8)


def written(folder: Path, contract: Contract, policy: Path | None = None) -> Path:
    """The YAML of the bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    write_descriptor(contract, "leapp", folder / "bundle", Given(policy=policy or network(folder, contract)))
    return folder / "bundle/leapp.yaml"


class Runner:
    """A runner of LEAPP: models in the file's order, what is fed flows on, everything zero at reset."""

    def __init__(self, path: Path) -> None:
        self.data = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.models = self.data["models"]
        self.sessions = {
            name: onnxruntime.InferenceSession(str(path.parent / model["parameters"]["model_path"]))
            for name, model in self.models.items()
        }
        self.values: Values = {
            f"{name}/{item['name']}": np.zeros(item["shape"], item["dtype"])
            for name, model in self.models.items()
            for item in model["inputs"]
        }

    def __call__(self, inputs: Values) -> Values:
        self.values |= inputs
        flows = self.data["pipeline"]["data_flow"] | self.data["pipeline"]["feedback_flow"]
        found: Values = {}
        for name, model in self.models.items():
            given = {item["name"]: self.values[f"{name}/{item['name']}"] for item in model["inputs"]}
            names = [item["name"] for item in model["outputs"]]
            for out, value in zip(names, self.sessions[name].run(names, given), strict=True):
                found[f"{name}/{out}"] = value
                self.values |= dict.fromkeys(flows.get(f"{name}/{out}", ()), value)
        return found


def same_targets(path: Path, contract: Contract, run: Any) -> None:
    """A runner is told state and command by what the YAML says of its inputs; the control loop by its own names."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    rng, joints = np.random.default_rng(1), contract.joint_names
    mounting = Mounting(position=CENTRE[None], rotation=np.eye(3))
    policy = ActorPolicy(path.parent / "policy.onnx")
    controller = Controller(contract, policy, joints, 1, mountings=lambda place: mounting)
    state = controller.state
    for step in range(STEPS):
        for array in vars(state).values():
            if isinstance(array, np.ndarray):
                array[...] = rng.normal(size=array.shape)
        if state.sensed is not None:
            state.sensed.effort[...] = rng.normal(size=len(joints))
        state.base_quat[:] /= np.linalg.norm(state.base_quat)
        controller.command[:, :3], controller.goal[:] = rng.normal(size=3), rng.normal(size=controller.goal.shape)
        if step == 0:
            controller.reset()
        target = dict(zip(joints, controller()[0], strict=True))
        inputs = {}
        for name, model in data["models"].items():
            free = data["pipeline"]["inputs"].get(name, ())
            for item in (item for item in model["inputs"] if item["name"] in free):
                inputs[f"{name}/{item['name']}"] = shown(item, controller).astype(np.float32)[None]
        found = run(inputs)
        seen = {}
        for item in data["models"]["targets"]["outputs"]:
            if item.get("kind", "").startswith("target/"):
                seen |= dict(
                    zip(item["element_names"][0], np.asarray(found[f"targets/{item['name']}"])[0], strict=True)
                )
        np.testing.assert_allclose([seen[n] for n in joints], [target[n] for n in joints], rtol=2e-5, atol=2e-5)


def shown(item: dict[str, Any], controller: Controller) -> NDArray[np.float64]:
    """What the runner reads where an input says what it is."""
    state, kind, connection = controller.state, item.get("kind", ""), item["isaaclab_connection"]
    if kind.startswith("state/joint"):
        array = {"position": state.joint_pos, "velocity": state.joint_vel}.get(kind.rpartition("/")[2])
        if array is None:
            assert state.sensed is not None
            array = state.sensed.effort
        return array[0, [controller.contract.joint_names.index(name) for name in item["element_names"][0]]]
    if kind == "state/body/rotation":
        return np.roll(state.base_quat[0], -1)
    if kind.startswith("state/body"):
        if connection.endswith(":root_lin_vel_b"):
            return state.base_lin_vel[0] + np.cross(state.base_ang_vel[0], CENTRE)
        return (state.base_lin_vel if "linear" in kind else state.base_ang_vel)[0]
    return controller.command[0, :3] if connection == "command:base_velocity" else controller.goal[0]


@pytest.mark.parametrize("wide", [False, True], ids=["usual", "everything"])
def test_a_runner_of_leapp_does_what_the_contract_says(tmp_path: Path, wide: bool) -> None:
    """Step by step from reset, and imported again it is the same contract to the last digit."""
    for seed in range(8):
        contract = drawn(seed, wide=wide)
        path = written(tmp_path / str(seed), contract)
        same_targets(path, contract, Runner(path))
        again = import_contract([path], None, ImportOptions(name="again")).contract
        assert again == contract


def test_leapps_own_runner_does_it_too(tmp_path: Path) -> None:
    """leapp's InferenceManager loads the bundle and gives the same targets."""
    leapp = pytest.importorskip("leapp", reason="leapp is not installed; pip install leapp")
    for seed in range(6):
        contract = drawn(seed, wide=seed % 2 == 1)
        path = written(tmp_path / str(seed), contract)
        manager = leapp.InferenceManager(str(path))
        run = manager.run_policy
        same_targets(path, contract, partial(lambda run, inputs: run(_tensors(inputs)), run))


def _tensors(inputs: Values) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(value) for name, value in inputs.items()}


def edited(path: Path, edit: Any) -> Path:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def test_without_its_contract_a_bundle_is_read_from_its_graphs(tmp_path: Path) -> None:
    """What other readers see in the models is the contract too, to the digits that a graph has.

    A graph shows the bounds of a raw action by what is fed back, and the default pose by what is observed.
    """
    told = 0
    for seed in range(12):
        contract = drawn(seed, wide=False)
        if not {"base_ang_vel", "joint_pos_rel", "last_action"} <= {term.term for term in contract.observation.terms}:
            continue
        path = written(tmp_path / str(seed), contract)
        edited(path, lambda data: data["pipeline"]["configs"].pop(STORED))
        more: dict[str, Any] = {"robot": "toy", "timestep": 0.005, "actuation": "implicit"}
        again = import_contract([path], None, ImportOptions(name="toy", **more)).contract
        apart = disagreements(contract, again, relative_tolerance=1e-5)
        limits = {f"joints.{name}.effort_limit" for name in LEGS}
        assert apart.keys() <= {"trained_in", "command.lin_vel_x", *limits}, apart
        told += 1
    assert told > 4
