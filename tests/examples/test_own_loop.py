"""examples/own_loop.py flies a port as the project's own loop would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
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
