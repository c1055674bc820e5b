"""The step in ONNX Runtime, by name and as the control loop runs it, against the NumPy controller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.deploy.layout import place_sizes
from policy_port.deploy.runtime import remembers
from policy_port.deploy.step import by_name
from policy_port.deploy.write import graph_of
from policy_port.errors import TaskError
from policy_port.port.runtime import OnnxPolicy
from tests.control.networks import save, save_lstm, save_mlp
from tests.deploy.random_contracts import PLANT, draw_contract, forgetful, measure, motion, mounting
from tests.deploy.test_module import per_joint
from tests.samples import contract_data


def network_of(contract: Contract, folder: Path) -> Path:
    return save_mlp(folder / "policy.onnx", (contract.observation_size, 8, contract.action_size))


def controller_of(contract: Contract, path: Path, *, whole: bool) -> Controller:
    policy = OnnxPolicy(path)
    policy.folded = path.read_bytes() if whole else None
    return Controller(contract, policy, PLANT, 1, mountings=mounting, motion=motion() if contract.motion else None)


def test_the_graph_by_name_is_the_controller(tmp_path: Path) -> None:
    """deploy.onnx's graph gives the NumPy path's observation, action and targets; zeroed states are a reset."""
    for seed in range(200, 208):
        contract, clip = draw_contract(seed), motion()
        path = network_of(contract, tmp_path)
        controller = controller_of(contract, path, whole=False)
        step = by_name(contract, mountings=mounting, motion=clip if contract.motion else None)
        model = graph_of(step, onnx.load(path))
        onnx.checker.check_model(model, full_check=True)
        assert all(np.isfinite(each).all() for each in step.program.constants.values()), "a port refuses others"
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_outputs()]
        kinds = step.program.inputs
        zeros = {name: np.zeros((1, kinds[name].width), kinds[name].kind) for name, _ in step.states.values()}
        rng, order, state = np.random.default_rng(seed), [PLANT.index(name) for name in contract.joint_names], zeros
        for number in range(12):
            measure(controller, rng)
            if number in (0, 7):
                controller.reset()
                state = zeros
            signals = {name: per_joint(controller.signals.view(name), name, order) for name in step.signals}
            target = controller()
            found = [np.asarray(values) for values in session.run(None, {**signals, **state})]
            out = dict(zip(names, found, strict=True))
            state = {given: out[left] for given, left in step.states.values()}
            told = f"seed {seed}, step {number}: {contract.to_yaml()}"
            np.testing.assert_allclose(out["observation"], controller.observation, 1e-6, 1e-6, err_msg=told)
            np.testing.assert_allclose(out["action"], controller.action, 1e-6, 1e-6, err_msg=told)
            np.testing.assert_allclose(out["joint_target"], target[:, order], 1e-6, 1e-6, err_msg=told)


def test_places_given_by_name_are_the_controllers(tmp_path: Path) -> None:
    """Told where its places are, deploy.onnx's graph gives what the controller does that asks the plant."""
    told = {"base_com": mounting("com").position, "site_quat_imu": quaternion(mounting("imu").rotation)[None]}
    placed = 0
    for seed in range(300, 330):
        contract, clip = draw_contract(seed), motion()
        if not place_sizes(contract):
            continue
        path = network_of(contract, tmp_path)
        controller = controller_of(contract, path, whole=False)
        step = by_name(contract, motion=clip if contract.motion else None)
        placed += any(name in told for name in step.signals)
        session = onnxruntime.InferenceSession(graph_of(step, onnx.load(path)).SerializeToString())
        kinds = step.program.inputs
        zeros = {name: np.zeros((1, kinds[name].width), kinds[name].kind) for name, _ in step.states.values()}
        order = [PLANT.index(name) for name in contract.joint_names]
        measure(controller, np.random.default_rng(seed))
        controller.reset()
        measured = controller.signals.column
        signals = {
            name: per_joint(controller.signals.view(name), name, order) if name in measured else told[name]
            for name in step.signals
        }
        controller()
        [observation] = session.run(["observation"], {**signals, **zeros})
        np.testing.assert_allclose(observation, controller.observation, 1e-6, 1e-6, err_msg=contract.to_yaml())
    assert placed > 3


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Of a rotation by less than a half turn."""
    w = np.sqrt(1.0 + np.trace(rotation)) / 2.0
    skew = rotation - rotation.T
    return np.array([w, *(np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (4.0 * w))])


def test_the_loops_one_call_is_the_numpy_path(tmp_path: Path) -> None:
    """Observation and targets bit for bit, whatever the plant's joint order, and what is recorded of them."""
    for seed in range(25):
        contract = forgetful(draw_contract(seed))
        if remembers(contract):
            continue
        path = network_of(contract, tmp_path)
        plain, whole = (controller_of(contract, path, whole=way) for way in (False, True))
        assert (whole.path, plain.path) == ("", "the port holds no deploy.onnx")
        for number in range(6):
            for each in (plain, whole):
                measure(each, np.random.default_rng(number))
                if number in (0, 4):
                    each.reset()
            np.testing.assert_array_equal(plain(), whole(), err_msg=f"seed {seed}: {contract.to_yaml()}")
            np.testing.assert_array_equal(plain.observation, whole.observation)
            np.testing.assert_array_equal(plain.action, whole.action)
            np.testing.assert_array_equal(plain.signals.row, whole.signals.row)


def test_a_broken_measurement_is_named_in_one_call_too(tmp_path: Path) -> None:
    """A NaN is refused by term and joint, as the NumPy path does."""
    drawn = (forgetful(draw_contract(seed)) for seed in range(60))
    contract = next(c for c in drawn if any(term.term == "joint_vel" for term in c.observation.terms))
    whole = controller_of(contract, network_of(contract, tmp_path), whole=True)
    measure(whole, np.random.default_rng(0))
    whole.reset()
    whole.state.joint_vel[:] = np.nan
    with pytest.raises(TaskError, match=r"\[.*\] of contract .* is nan"):
        whole()


def test_a_broken_policy_is_named_by_its_joint_in_one_call_too(tmp_path: Path) -> None:
    """One action that overflows is refused by that joint's name, though the call spreads a NaN over all of them."""
    contract = next(c for c in map(forgetful, map(draw_contract, range(60))) if not remembers(c) and c.action_size > 1)
    model = onnx.load(network_of(contract, tmp_path))
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [8, contract.action_size]:
            weights = onnx.numpy_helper.to_array(tensor).copy()
            weights[:, 1] = 3e38
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "policy.onnx")
    whole = controller_of(contract, tmp_path / "policy.onnx", whole=True)
    measure(whole, np.random.default_rng(0))
    whole.reset()
    with pytest.raises(TaskError, match=f"action of joint '{contract.action_joint_names[1]}' .* is -?(inf|nan)"):
        for number in range(40):
            measure(whole, np.random.default_rng(number))
            whole()


@pytest.fixture(params=["at a layer", "at an activation"])
def simply_driven(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Controller]:
    """Controllers of a contract whose actions only turn into targets; the plant has the joints in another order.

    The network ends at a layer or behind it, and its first layer's activation takes an infinite number for a large one.
    """
    names = ("hip", "knee", "ankle")
    action = {"terms": [{"term": "joint_position", "joints": list(names), "scale": 0.5, "offset": 0.1}]}
    terms = [{"term": "joint_pos_rel"}, {"term": "joint_vel"}]
    data = contract_data(joints={name: {"default": 0.1} for name in names}, action=action, observation={"terms": terms})
    rng, contract = np.random.default_rng(0), Contract.model_validate(data)
    shapes = {"w0": (6, 8), "b0": (8,), "w1": (8, 3), "b1": (3,)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    last = "actions" if request.param == "at a layer" else "inner"
    nodes = [
        onnx.helper.make_node("Gemm", ["obs", "w0", "b0"], ["first"]),
        onnx.helper.make_node("Tanh", ["first"], ["second"]),
        onnx.helper.make_node("Gemm", ["second", "w1", "b1"], [last]),
    ]
    nodes += [onnx.helper.make_node("LeakyRelu", ["inner"], ["actions"])] if last == "inner" else []

    def make(*, whole: bool, weight: float | None = None) -> Controller:
        if weight is not None:
            weights["w1"][:, 1] = weight
        path = save(tmp_path / "policy.onnx", nodes, weights, {"obs": ["batch", 6]}, {"actions": ["batch", 3]})
        policy = OnnxPolicy(path)
        policy.folded = path.read_bytes() if whole else None
        return Controller(contract, policy, names[::-1], 1)

    return make


def test_targets_that_are_one_product_are_the_numpy_path(simply_driven: Callable[..., Controller]) -> None:
    """Bit for bit, wherever the network ends."""
    plain, whole = (simply_driven(whole=way) for way in (False, True))
    assert whole.path == ""
    for number in range(6):
        for each in (plain, whole):
            measure(each, np.random.default_rng(number))
        np.testing.assert_array_equal(plain(), whole())
        np.testing.assert_array_equal(plain.action, whole.action)
        np.testing.assert_array_equal(plain.signals.row, whole.signals.row)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_any_number_that_is_none_is_seen_in_the_first_target(
    simply_driven: Callable[..., Controller], value: float
) -> None:
    """One measurement that is not finite, or not in float32, is named; so is an action that overflows."""
    for joint in range(3):
        whole = simply_driven(whole=True)
        whole()
        whole.state.joint_vel[0, joint] = value
        name = whole.signals.joint_names[joint]
        with pytest.raises(TaskError, match=rf"observation joint_vel\[{name}\] of contract 'toy' .* is -?(nan|inf)"):
            whole()


def test_one_action_that_overflows_is_seen_in_another_joints_target(simply_driven: Callable[..., Controller]) -> None:
    """Its own target is the second of three in the plant's order."""
    whole = simply_driven(whole=True, weight=3e38)
    measure(whole, np.random.default_rng(0))
    with pytest.raises(TaskError, match=r"action of joint 'knee' .* is -?(inf|nan)"):
        for number in range(40):
            measure(whole, np.random.default_rng(number))
            whole()


def test_a_memory_goes_on_in_one_call(tmp_path: Path) -> None:
    """A recurrent policy's one call is its NumPy path over steps and resets, and leaves its memory where it was."""
    names = ("hip", "knee", "ankle")
    terms = [{"term": "joint_pos", "joints": list(names)}, {"term": "constant", "value": [0.5]}]
    action = {"terms": [{"term": "joint_position", "joints": list(names), "scale": 0.5, "offset": 0.1}]}
    data = draw_contract(0).model_dump(mode="json", exclude_none=True, exclude_defaults=True, by_alias=True)
    data = {key: value for key, value in data.items() if key != "motion"}
    contract = Contract.model_validate(data | {"observation": {"terms": terms}, "action": action})
    path = save_lstm(tmp_path / "lstm.onnx")
    plain, whole = (controller_of(contract, path, whole=way) for way in (False, True))
    assert whole.path == ""
    for number in range(9):
        for each in (plain, whole):
            measure(each, np.random.default_rng(number))
            if number in (0, 5):
                each.reset()
        np.testing.assert_array_equal(plain(), whole())
    for each, other in zip(plain.policy.memory.values(), whole.policy.memory.values(), strict=True):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(each, other)
