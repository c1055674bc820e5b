"""examples/own_loop.py flies a port as the project's own loop would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_contract, load_mapping
from policy_port.export.write import write_port
from policy_port.remap import build_remap, identity_remap
from tests.conftest import ROOT
from tests.control.networks import save_linear
from tests.samples import contract_data

GAINS = {"right_knee": 1.0, "right_hip": -1.0, "left_knee": 0.5, "left_hip": -0.3}


def test_the_loop_drives_every_joint_by_name(tmp_path: Path) -> None:
    """Each joint comes to rest where its own gain and default say, though the loop's order is not the contract's."""
    joints = {name: contract_data()["joints"][name] for name in GAINS}
    assert list(joints) != sorted(joints)
    data = contract_data(base={"floating": False}, quaternion_order="none", joints=joints)
    contract = Contract.model_validate({**data, "observation": {"terms": [{"term": "joint_pos"}]}})
    policy = load_policy(save_linear(tmp_path / "linear.onnx", np.diag(list(GAINS.values()))))
    port = write_port(tmp_path / "port", policy, identity_remap(contract), formats=("onnx",))
    command = [sys.executable, "examples/own_loop.py", str(port.path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    first, *rest = done.stdout.splitlines()
    assert first == "200 steps of 0.02 s"
    # position = default + 0.25 * gain * position, solved by hand.
    rest_at = {name: joints[name]["default"] / (1.0 - 0.25 * gain) for name, gain in GAINS.items()}
    assert rest == [f"{name}: {rest_at[name]:.4f}" for name in sorted(joints)]


def test_a_port_in_other_units_needs_its_mapping(tmp_path: Path) -> None:
    """The README's own port speaks degrees and percent: one message, and through its mapping it flies in radians."""
    assets, mapping = ROOT / "policy_port" / "assets" / "so100_reach", "so100_maniskill_to_lerobot"
    remap = build_remap(load_contract(assets / "contract.yaml"), load_mapping(mapping))
    port = write_port(tmp_path / "port", load_policy(assets / "model.pt"), remap, formats=("onnx",))
    command = [sys.executable, "examples/own_loop.py", str(port.path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: joint 'gripper.pos' of contract 'so100_reach' is in percent")
    assert len(done.stderr.splitlines()) == 1
    done = subprocess.run([*command, mapping], cwd=ROOT, check=True, capture_output=True, text=True)
    joints = [line.partition(":")[0] for line in done.stdout.splitlines()[1:]]
    assert joints == sorted(remap.source.joint_names)
