"""Claims about Isaac Lab's actions to the joint limits: what a contract makes of them is what Isaac Lab does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.signals import Signals
from policy_port.errors import ContractError
from tests.descriptors.test_isaac_lab import JOINTS, action, descriptor, term
from tests.descriptors.test_isaac_lab_config import alone, whole
from tests.descriptors.test_isaac_lab_params import env, read, written

LIMITS = [[-1.0, 3.0], [-0.5, 0.5], [-2.0, 2.0], [0.0, 1.0]]
EMA = "isaaclab.envs.mdp.actions.joint_actions_to_limits:EMAJointPositionToLimitsAction"


def made(path: Path, config: dict[str, Any], **more: Any) -> Contract:
    described = descriptor([term("base_ang_vel")])
    described["actions"] = [action(full_path=EMA.replace(":", "."), offset=None, scale=1.0, alpha=0.3)]
    described["articulations"]["robot"]["default_joint_pos_limits"] = LIMITS
    run = yaml.safe_load(env({"it": written("base_ang_vel")}))
    run["scene"]["robot"]["soft_joint_pos_limit_factor"] = 0.9
    run["actions"] = {"joints": {"class_type": EMA, "asset_name": "robot", "joint_names": [".*"], **config}}
    changes = {key: described[key] for key in ("actions", "articulations")}
    return read(path, [term("base_ang_vel")], yaml.safe_dump(run), changes=changes, **more).contract


def test_targets_are_those_of_isaac_lab(tmp_path: Path) -> None:
    """Scaled, clipped, stretched over the soft limits, averaged from the measured position on; number by number."""
    contract = made(tmp_path, {"scale": {".*_hip": 0.5, ".*_knee": 2.0}, "alpha": 0.3, "clip": {".*": [-0.8, 2.0]}})
    scale = np.array([0.5 if "hip" in name else 2.0 for name in JOINTS])
    low, high = np.array(LIMITS).T
    middle, half = (low + high) / 2, 0.9 * (high - low) / 2
    signals = Signals(contract, JOINTS, 1)
    decoder = ActionDecoder(contract, signals)
    signals.state.joint_pos[0] = before = middle + 0.1
    signals.reset()
    rng = np.random.default_rng(0)
    for _ in range(5):
        raw = rng.normal(size=(1, 4)).astype(np.float32)
        processed = middle + half * np.clip(np.clip(raw[0] * scale, -0.8, 2.0), -1.0, 1.0)
        before = np.clip(0.3 * processed + 0.7 * before, middle - half, middle + half)
        np.testing.assert_allclose(decoder.decode(raw)[0], before, rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"alpha": {".*_hip": 0.5, ".*_knee": 0.2}}, "alpha' differs between joints"),
        ({"alpha": 0.0}, "alpha' is 0, expected a weight of the new"),
        ({"alpha": 0.3, "rescale_to_limits": False}, "rescale_to_limits' is false, and a clip comes after"),
    ],
)
def test_what_a_filter_can_not_state_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    """One alpha for all joints; the remedy that is named, the whole action, works."""
    with pytest.raises(ContractError, match=message):
        made(tmp_path, config)
    terms = [{"term": "joint_position", "scale": 0.5, "offset": 0.0}]
    assert made(tmp_path, config, settings={"action.terms": terms}).action.filter is None


def test_limits_that_no_file_has_are_asked_for(tmp_path: Path) -> None:
    """env.yaml alone has none; terms and filter may be stated, as the message says."""
    run = whole(actions={"joints": {"class_type": EMA, "asset_name": "robot", "joint_names": [".*"], "alpha": 0.2}})
    with pytest.raises(ContractError, match=r"no file has those of .*--set action\.terms=.*--set action\.filter="):
        alone(tmp_path, run)
    terms = [{"term": "joint_position", "scale": 0.5, "offset": 0.0}]
    filter_ = {"kind": "first_order", "of": "target", "alpha": 0.2}
    contract = alone(tmp_path, run, settings={"action.terms": terms, "action.filter": filter_}).contract
    assert contract.action.filter is not None
    assert contract.action.filter.weight(0.02) == 0.2
