"""Parity: right exports pass, whatever they are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policy_port.errors import PortError
from policy_port.proof.gate import HALF_ULP, allowed_error
from policy_port.proof.parity import prove
from tests.proof.samples import (
    JOINTS,
    contract,
    plain,
    policy_of,
    ported,
    random_net,
    turned,
    write_onnx,
    write_torchscript,
)

WIDTH = contract().observation_size
DEGREES = {"knee": {"unit": "deg", "sign": -1, "offset": 90.0}, "toe": {"unit": "deg"}}


def test_a_right_export_passes(tmp_path):
    """Both formats of the same network pass, as a whole and per joint, far below what is allowed."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    write_torchscript(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    assert report.passed
    assert [file.file for file in report.files] == ["policy.onnx", "policy.pt"]
    assert report.max_ratio < 0.7
    for file in report.files:
        assert [joint.joint for joint in file.joints] == list(JOINTS)
        assert all(joint.mean <= joint.p999 <= joint.max < 1e-4 * joint.action_range for joint in file.joints)


def test_a_right_remap_passes(tmp_path):
    """Another order, a flipped sign and degrees pass: rounding in the conversion is held against rounding."""
    net, remap = random_net(0, WIDTH), turned(**DEGREES)
    write_onnx(ported(net, remap), tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), remap)
    assert [joint.joint for joint in report.files[0].joints] == ["toe", "hip", "ankle", "knee"]
    assert report.max_ratio < 0.7


@pytest.mark.parametrize("seed", range(15))
def test_no_false_alarm(tmp_path, seed):
    """Random networks of random width, depth, activation and gain, remapped at random into other units, all pass."""
    rng = np.random.default_rng(seed)
    widths = tuple(int(w) for w in rng.integers(4, 64, rng.integers(0, 4)))
    net = random_net(seed, WIDTH, widths=widths, gain=float(10.0 ** rng.uniform(-2, 2)))
    net = replace(net, activation=str(rng.choice(["Elu", "Relu", "Tanh"])))
    units = {
        name: {
            "sign": int(rng.choice([-1, 1])),
            "unit": str(rng.choice(["rad", "deg", "percent"])),
            "scale": float(rng.uniform(0.5, 2.0)),
            "offset": float(rng.uniform(-90.0, 90.0)),
        }
        for name in JOINTS
    }
    remap = turned(**units)
    write_onnx(ported(net, remap), tmp_path)
    assert prove(tmp_path, policy_of(net, tmp_path), remap, seed=seed).passed


def test_large_actions_do_not_alarm(tmp_path):
    """A policy whose actions reach past 128 passes, with errors that a fixed tolerance of 1e-5 would refuse."""
    net = random_net(3, WIDTH, gain=100.0)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    assert max(joint.action_range for joint in report.files[0].joints) > 128.0
    assert report.max_error > 1e-5


def test_outputs_that_cross_zero_do_not_alarm(tmp_path):
    """Relative error and ULP are huge where an action crosses zero; they are reported and not judged."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    assert max(joint.ulp for joint in report.files[0].joints) > 100.0
    assert max(joint.relative for joint in report.files[0].joints) > 1e-5


def test_an_empty_folder_is_no_port(tmp_path):
    """A folder without an export has nothing to prove."""
    with pytest.raises(PortError, match=r"neither policy\.onnx nor policy\.pt"):
        prove(tmp_path, policy_of(random_net(0, WIDTH), tmp_path), plain())


@pytest.mark.parametrize("shape", [(30,), (230,), (120, 3)])
def test_recorded_observations_are_driven_too(tmp_path, shape):
    """A recording of any length, of one environment or several, is a group of its own and counts."""
    net = random_net(0, WIDTH)
    recorded = np.random.default_rng(1).normal(size=(*shape, WIDTH))
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain(), recorded=recorded)
    assert report.samples["recorded"] >= min(np.prod(shape), 200)
    assert {group.group for group in report.files[0].groups} >= {"recorded", "realistic", "tails"}


def test_what_is_allowed():
    """Eight times eager, at most 1e-4 of the range, and never less than four units in the last place."""
    expected = np.array([[[0.0, 0.0, 0.5]], [[2.0, 2.0, 0.5]]])
    eager = np.array([1e-6, 1e-4, 0.0])
    allowed = allowed_error(expected, eager, np.array([2.0, 2.0, 0.0]))
    assert allowed[0] == pytest.approx(8e-6)
    # Eager itself is at half of what the range allows, so an export may be four times eager's error.
    assert allowed[1] == pytest.approx(4e-4)
    assert allowed[2] == pytest.approx(4 * HALF_ULP * 0.5)
    assert allowed_error(expected, np.full(3, 2e-5), np.full(3, 2.0))[0] == pytest.approx(16e-5)
    assert allowed_error(expected, np.full(3, 4e-5), np.full(3, 2.0))[0] == pytest.approx(2e-4)
