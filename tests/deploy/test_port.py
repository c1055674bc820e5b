"""deploy.onnx of a port: written, proved, loaded, refused where it was changed, and run by programs of others."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.errors import PortError, ProofError
from policy_port.export.write import write_port
from policy_port.port.folder import Port, load_port
from policy_port.port.manifest import write_manifest
from policy_port.proof import deploy as proof
from policy_port.proof.deploy import prove_deploy
from policy_port.remap import identity_remap
from tests.conftest import ROOT
from tests.control.networks import save_mlp
from tests.samples import contract_data

TERMS = [
    {"term": "projected_gravity"},
    {"term": "velocity_command"},
    {"term": "joint_pos_rel", "history": 3},
    {"term": "last_action"},
    {"term": "gait_phase", "period": 0.8},
]
HISTORY = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
TOY = Contract.model_validate(contract_data(observation={"terms": TERMS, "history": HISTORY}))


def network(contract: Contract, folder: Path) -> LoadedPolicy:
    sizes = (contract.observation_size, 8, contract.action_size)
    return load_policy(save_mlp(folder / "mlp.onnx", sizes))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Port:
    folder = tmp_path_factory.mktemp("deploy")
    return write_port(folder / "port", network(TOY, folder), identity_remap(TOY), formats=("onnx",))


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("deploy_python", ROOT / "examples" / "deploy_python.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_fault_of_a_program_is_noticed(port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order, sign, stale states, quaternion and clock each are thousands of times what the proof allows."""
    path = port.path / "deploy.onnx"
    found = prove_deploy(path, network(TOY, tmp_path), identity_remap(TOY))
    assert max(found.observation, found.action, found.target) <= 1.0
    assert len(found.faults) == 5
    assert min(ratio or 0.0 for ratio in found.faults.values()) > 1000.0
    ratios = iter([0.1] * 3 + [0.9] * 99)
    monkeypatch.setattr(proof, "_ratio", lambda *given: next(ratios))
    with pytest.raises(ProofError, match="does not notice 'joints in another order'"):
        prove_deploy(path, network(TOY, tmp_path), identity_remap(TOY))


def test_a_graph_of_another_contract_is_no_port(port: Port, tmp_path: Path) -> None:
    """The proof refuses a graph whose scale is another one."""
    terms = [{**term, "scale": 1.001} if term["term"] == "joint_pos_rel" else term for term in TERMS]
    other = Contract.model_validate(contract_data(observation={"terms": terms, "history": HISTORY}))
    with pytest.raises(ProofError, match=r"its observation is .* further from the checkpoint's"):
        prove_deploy(port.path / "deploy.onnx", network(TOY, tmp_path), identity_remap(other))


def test_a_users_program_replays_the_sample(port: Port, example: Any) -> None:
    """The example needs nothing of this package, and its targets are the port's to 1e-6."""
    assert "policy_port" not in {name for name in vars(example) if not name.startswith("__")}
    assert example.self_test(port.path) < 1e-6


def test_the_example_notices_what_is_cheap_to_notice(port: Port, example: Any) -> None:
    """No reset, degrees, a wrong quaternion and a missing joint are errors that say what is expected."""
    policy = example.DeployedPolicy(port.path / "deploy.onnx")
    good = {signal["name"]: dict.fromkeys(signal["elements"], 0.1) for signal in policy.about["signals"]} | {
        "base_quat": {"w": 1.0, "x": 0.0, "y": 0.0, "z": 0.0}
    }
    with pytest.raises(RuntimeError, match="call reset"):
        policy(good)
    policy.reset()
    assert set(policy(good)) == set(TOY.joint_names)
    wrong = {
        "in degrees, encoder ticks or mm": {"joint_pos": dict.fromkeys(TOY.joint_names, 45.0)},
        "has length": {"base_quat": {"w": 1.0, "x": 1.0, "y": 0.0, "z": 0.0}},
        "the policy reads": {"joint_pos": {"left_hip": 0.1}},
        "joint_pos is None, the policy reads": {"joint_pos": None},
        "is no number": {"velocity_command": good["velocity_command"] | {"lin_vel_x": math.inf}},
    }
    for said, change in wrong.items():
        with pytest.raises(ValueError, match=said):
            policy(good | change)
    whole = {name: {element: round(number) for element, number in row.items()} for name, row in good.items()}
    single = {name: {element: np.float32(number) for element, number in row.items()} for name, row in good.items()}
    assert set(policy(whole)) == set(policy(single)) == set(TOY.joint_names)


def test_a_missing_file_is_named(port: Port, example: Any, tmp_path: Path) -> None:
    """A folder that is no port, or whose sample is gone, is refused by the file's name and with what to give."""
    copy = shutil.copytree(port.path, tmp_path / "port")
    for name in ("deploy_sample.csv", "deploy.onnx"):
        (copy / name).unlink()
        with pytest.raises(ValueError, match=rf"has no {name}; give the folder that policy-port export --deploy wrote"):
            example.self_test(copy)


def test_a_wheel_may_turn_on(example: Any, tmp_path: Path) -> None:
    """A joint that is not driven to positions may be further round than 4 pi."""
    joints = {"left": {"default": 0.0, "damping": 0.0, "effort_limit": 1.0}}
    terms = {
        "observation": {"terms": [{"term": "joint_pos"}]},
        "action": {"terms": [{"term": "joint_effort", "scale": 1.0}]},
    }
    contract = Contract.model_validate(contract_data(joints=joints, **terms))
    port = write_port(tmp_path / "port", network(contract, tmp_path), identity_remap(contract), formats=("onnx",))
    policy = example.DeployedPolicy(port.path / "deploy.onnx")
    policy.reset()
    assert set(policy({"joint_pos": {"left": 50.0}})) == {"left"}


def test_a_changed_sample_is_noticed_by_port_and_program(port: Port, example: Any, tmp_path: Path) -> None:
    """A stored target that is another one fails the load, and the example's self-test."""
    copy = shutil.copytree(port.path, tmp_path / "port")
    sample = copy / "deploy_sample.csv"
    head, *rows = sample.read_text().splitlines()
    cells = rows[3].split(",")
    rows[3] = ",".join([*cells[:-1], repr(float(cells[-1]) + 0.01)])
    sample.write_text("\n".join([head, *rows]) + "\n")
    renewed(copy, port)
    with pytest.raises(PortError, match=r"joint_target/right_knee of step 3"):
        load_port(copy)
    assert example.self_test(copy) > 1e-3
    rows[3] = ",".join([*cells[:-1], "nan"])
    for text, said in (("\n".join([head, *rows]), None), (head, "holds no step"), (f"{head}\n{cells[0]}", "cut short")):
        sample.write_text(text + "\n")
        if said is None:
            assert math.isnan(example.self_test(copy))
            continue
        with pytest.raises(ValueError, match=said):
            example.self_test(copy)
    shutil.copy(copy / "policy.onnx", copy / "deploy.onnx")
    with pytest.raises(ValueError, match="is no deploy.onnx of a port"):
        example.self_test(copy)


def test_a_port_of_before_still_loads(port: Port, tmp_path: Path) -> None:
    """Without deploy.onnx a port is a port, and inspect says why there is none; half of the pair is refused."""
    copy = shutil.copytree(port.path, tmp_path / "port")
    (copy / "deploy_sample.csv").unlink()
    renewed(copy, port)
    with pytest.raises(PortError, match=r"deploy_sample.csv: is missing"):
        load_port(copy)
    (copy / "deploy.onnx").unlink()
    renewed(copy, port)
    assert load_port(copy).pilot().folded is None
    shown = CliRunner().invoke(app, ["inspect", str(copy)])
    assert "no deploy.onnx: the port was written before" in shown.output, shown.output
    shown = CliRunner().invoke(app, ["inspect", str(port.path)])
    assert "in NumPy around the network: the observation has a history" in shown.output, shown.output


def renewed(copy: Path, port: Port) -> None:
    """Write the manifest of what lies there now."""
    (copy / "manifest.json").unlink()
    about = {key: value for key, value in port.manifest.items() if key not in ("files", "sha256_of_the_rest")}
    write_manifest(copy, about)


def test_what_no_graph_can_hold_is_said(tmp_path: Path) -> None:
    """What only a task computes: the port goes without and says why, --deploy refuses."""
    terms = [{"term": "external", "size": 2, "name": "map"}, {"term": "joint_pos"}]
    contract = Contract.model_validate(contract_data(observation={"terms": terms}))
    policy = network(contract, tmp_path)
    port = write_port(tmp_path / "port", policy, identity_remap(contract), formats=("onnx",))
    assert "'map' of contract 'toy' can only be computed by the task environment" in port.manifest["without_deploy"]
    with pytest.raises(PortError, match=r"can't be one graph: .*'map'.* Leave out --deploy"):
        write_port(tmp_path / "other", policy, identity_remap(contract), formats=("onnx",), deploy=True)
    assert not (tmp_path / "other").exists()


PLACED = [
    {"term": "base_lin_vel", "point": "com"},
    {"term": "base_ang_vel", "frame": {"site": "robot/imu"}},
    {"term": "base_lin_vel", "name": "shown", "point": {"sensor": "speed"}, "history": 2},
    {"term": "base_lin_vel", "name": "nose", "point": [0.3, 0.0, 0.1], "frame": {"site": "robot/imu"}},
    {"term": "projected_gravity", "frame": {"site": "robot/imu"}},
]


@pytest.mark.parametrize("terms", [*([term] for term in PLACED), PLACED], ids=lambda terms: terms[-1]["term"])
def test_where_places_are_is_given_by_name(terms: list[dict[str, Any]], example: Any, tmp_path: Path) -> None:
    """Velocities at the centre of mass, at a site or a sensor, and axes of a site: each is proved, and replayed."""
    terms = [*terms, {"term": "joint_pos"}]
    contract = Contract.model_validate(contract_data(observation={"terms": terms, "history": HISTORY}))
    policy = network(contract, tmp_path)
    port = write_port(tmp_path / "port", policy, identity_remap(contract), formats=("onnx",), deploy=True)
    assert example.self_test(port.path) < 1e-6
    assert load_port(port.path).pilot().folded is not None
    found = prove_deploy(port.path / "deploy.onnx", policy, identity_remap(contract))
    assert (found.faults["a quaternion as x, y, z, w"] is None) == (terms[0].get("point") == "com" and len(terms) == 2)
    about = example.DeployedPolicy(port.path / "deploy.onnx").about
    signals = {signal["name"]: signal for signal in about["signals"]}
    wanted = {"base_com": "xyz"} if terms[0].get("point") == "com" else {}
    wanted |= {"site_quat_robot/imu": "wxyz"} if any("frame" in term for term in terms) else {}
    if any("sensor" in (term.get("point") or ()) for term in terms):
        wanted |= {"sensor_pos_speed": "xyz", "sensor_quat_speed": "wxyz"}
    for name, elements in wanted.items():
        assert signals[name]["elements"] == list(elements)
        assert "in the base frame; a constant of the robot" in signals[name]["unit"]
    assert {name for name in signals if name.startswith(("base_com", "site", "sensor"))} == set(wanted)


def test_metadata_says_names_units_and_gains(port: Port, example: Any) -> None:
    """Order, widths, units, rate, drives and gains are read from the file, at full precision."""
    about = example.DeployedPolicy(port.path / "deploy.onnx").about
    assert about["joint_names"] == list(TOY.joint_names)
    assert about["control_dt"] == TOY.control_dt
    assert [joint["stiffness"] for joint in about["joints"].values()] == [10.0, 11.0, 12.0, 13.0]
    signals = {signal["name"]: signal for signal in about["signals"]}
    assert set(signals) == {"joint_pos", "base_quat", "velocity_command"}
    assert signals["base_quat"]["elements"] == list("wxyz")
    assert {state["input"] for state in about["states"]} == {"last_action_in", "observation_history_in", "steps_in"}
    assert np.isclose(about["joints"]["left_hip"]["default"], 0.1, rtol=0.0, atol=0.0)


def moving(names: Any, number: int, slow: float = 0.5) -> dict[str, dict[str, float]]:
    """A robot that swings its joints about 0.1 rad, as its sensors say it at 50 Hz."""
    angle = [number * 0.02 * slow / 0.3 + 0.5 * index for index in range(len(names))]
    place = {name: 0.1 + 0.3 * math.sin(each) for name, each in zip(names, angle, strict=True)}
    return {"joint_pos": place, "joint_vel": {n: slow * math.cos(a) for n, a in zip(names, angle, strict=True)}}


def scaled(signals: dict[str, dict[str, float]], **factors: float) -> dict[str, dict[str, float]]:
    return {name: {j: factors.get(name, 1.0) * x for j, x in row.items()} for name, row in signals.items()}


DEGREES = 180.0 / math.pi
UNITS = {
    "degrees": {"joint_pos": DEGREES, "joint_vel": DEGREES},
    "positions in degrees": {"joint_pos": DEGREES},
    "ticks": {"joint_pos": 4096 / math.tau},
    "mm": {"joint_pos": 1000.0},
    "velocities in degrees per second": {"joint_vel": DEGREES},
}


@pytest.fixture(scope="module")
def unit_ports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ports that read positions and velocities, of joints with limits, with none, and that slide."""
    found = {}
    for name, joint in {
        "limits": {"unit": "deg", "lower": -33.3, "upper": 71.7, "default": 10.0},
        "none": {},
        "slides": {"unit": "m", "upper": 0.04, "default": 0.02},
    }.items():
        joints = {name: {"stiffness": 10.0, "damping": 1.0, "default": 0.1, **joint} for name in TOY.joint_names}
        observed = {"terms": [{"term": "joint_pos"}, {"term": "joint_vel"}]}
        contract = Contract.model_validate(contract_data(joints=joints, observation=observed))
        folder = tmp_path_factory.mktemp(name)
        policy, remap = network(contract, folder), identity_remap(contract)
        found[name] = write_port(folder / "port", policy, remap, formats=("onnx",)).path
    return found


@pytest.mark.parametrize("limits", ["limits", "none"])
def test_other_units_are_refused_by_limits_and_by_steps(limits: str, example: Any, unit_ports: dict[str, Path]) -> None:
    """A second of slow motion in any other unit is refused in words; in SI units no step of four seconds is."""
    assert example.self_test(unit_ports[limits]) < 1e-6, "the stored sample is plausible too"
    policy = example.DeployedPolicy(unit_ports[limits] / "deploy.onnx")
    for slow in (0.1, 0.5, 20.0):
        policy.reset()
        for number in range(200):
            policy(moving(TOY.joint_names, number, slow))
    for name, factors in UNITS.items():
        policy.reset()
        with pytest.raises(ValueError, match=r"joint_(pos|vel).*(degrees|SI units)"):
            for number in range(50):
                policy(scaled(moving(TOY.joint_names, number), **factors))
                assert number < 49, name


def test_a_robot_that_stands_and_trembles_is_right(example: Any, unit_ports: dict[str, Path]) -> None:
    """Noise of an encoder and of its derivative, and one blow, are no other unit."""
    policy = example.DeployedPolicy(unit_ports["none"] / "deploy.onnx")
    policy.reset()
    rng = np.random.default_rng(0)
    for number in range(200):
        place = dict(zip(TOY.joint_names, 0.1 + 0.0008 * rng.normal(size=4), strict=True))
        speed = dict(zip(TOY.joint_names, 0.3 * rng.normal(size=4) + (15.0 if number == 40 else 0.0), strict=True))
        policy({"joint_pos": place, "joint_vel": speed})


def test_limits_are_in_si_at_full_precision(example: Any, unit_ports: dict[str, Path]) -> None:
    """A contract's degrees become radians, unrounded; a joint that slides has its metres, and only the limit it has."""
    joint = example.DeployedPolicy(unit_ports["limits"] / "deploy.onnx").about["joints"]["left_hip"]
    assert (joint["lower"], joint["upper"]) == (-33.3 / DEGREES, 71.7 / DEGREES)
    policy = example.DeployedPolicy(unit_ports["slides"] / "deploy.onnx")
    assert (policy.about["joints"]["left_hip"]["upper"], "lower" in policy.about["joints"]["left_hip"]) == (0.04, False)
    assert example.self_test(unit_ports["slides"]) < 1e-6
    policy.reset()
    still = dict.fromkeys(TOY.joint_names, 0.0)
    policy({"joint_pos": dict.fromkeys(TOY.joint_names, 0.04), "joint_vel": still})
    with pytest.raises(ValueError, match=r"joint_pos of left_hip is 20, far from .*'upper': 0.04.* m: .* or mm"):
        policy({"joint_pos": dict.fromkeys(TOY.joint_names, 20.0), "joint_vel": still})


def test_the_cpp_example_replays_the_sample(port: Port, tmp_path: Path) -> None:
    """Built against ONNX Runtime's own headers, where they are at hand, it is within 1e-6 of the sample.

    A site's name may hold a slash, and positions in degrees are refused.
    """
    root = os.environ.get("ONNXRUNTIME_ROOT", "")
    headers = root or Path("/usr/include/onnxruntime/onnxruntime_cxx_api.h").is_file()
    if not (headers and shutil.which("cmake") and shutil.which("c++")):
        pytest.skip(
            "needs cmake, a C++ compiler, and ONNX Runtime's headers and library: installed (libonnxruntime-dev), or "
            "include/ and lib/ in the folder that ONNXRUNTIME_ROOT names"
        )
    source = ROOT / "examples" / "deploy_cpp"
    configure = ["cmake", "-S", source, "-B", tmp_path, f"-DONNXRUNTIME_ROOT={root}"]
    for command in (configure, ["cmake", "--build", tmp_path]):
        subprocess.run(command, check=True, capture_output=True)
    contract = Contract.model_validate(contract_data(observation={"terms": [PLACED[1], {"term": "joint_pos"}]}))
    policy, remap = network(contract, tmp_path), identity_remap(contract)
    placed = write_port(tmp_path / "port", policy, remap, formats=("onnx",)).path
    for path in (port.path, placed):
        done = subprocess.run([tmp_path / "deploy_cpp", path], check=True, capture_output=True, text=True)
        assert float(done.stdout.rpartition(":")[2]) < 1e-6
    head, *rows = [line.split(",") for line in (placed / "deploy_sample.csv").read_text().splitlines()]
    turned = [
        [str(DEGREES * float(x)) if n.startswith("joint_pos") else x for n, x in zip(head, r, strict=True)]
        for r in rows
    ]
    (placed / "deploy_sample.csv").write_text("\n".join(",".join(row) for row in (head, *turned)) + "\n")
    done = subprocess.run([tmp_path / "deploy_cpp", placed], capture_output=True, text=True)
    assert (done.returncode, "is it in degrees" in done.stderr) == (2, True)
