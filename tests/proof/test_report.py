"""What a parity report says, and the self-test of the gate."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from policy_port.contract import Contract
from policy_port.errors import ProofError
from policy_port.proof.parity import prove
from policy_port.remap import identity_remap
from tests.proof.samples import (
    JOINTS,
    NetActor,
    contract,
    plain,
    policy_of,
    random_net,
    write_onnx,
    write_torchscript,
)

WIDTH = contract().observation_size


def test_the_same_seed_gives_the_same_report(tmp_path):
    """Two runs with one seed agree to the last digit, another seed draws other observations."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    first, again, other = (prove(tmp_path, policy_of(net, tmp_path), plain(), seed=s).to_json() for s in (4, 4, 5))
    assert first == again
    assert first != other


def test_every_deliberate_fault_is_reported(tmp_path):
    """The report names each fault that was tried on the real export and by how much it failed the gate."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    probes = {probe.kind: probe for probe in report.files[0].probes}
    assert probes["two actions swapped"].trials[0].fault == "actions of hip and knee swapped"
    assert probes["one sign flipped"].trials[0].fault == "sign of hip flipped"
    assert probes["two joints' observations swapped"].trials[0].fault == "observations of hip and knee swapped"
    assert probes["stale recurrent state"].note == "the policy has no memory"
    assert all(probe.trials[-1].ratio > 1000.0 for probe in probes.values() if probe.trials)


def test_joints_that_never_move_are_passed_over_by_the_self_test(tmp_path):
    """Swapping two joints that the policy holds still changes nothing, so others are tried."""
    net = random_net(0, WIDTH)
    weight, bias = (array.copy() for array in net.layers[-1])
    weight[:2], bias[:2] = 0.0, 0.0
    net = net.with_layer(2, weight, bias)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    trials = report.files[0].probes[0].trials
    assert [(trial.fault, trial.ratio > 1.0) for trial in trials] == [
        ("actions of hip and knee swapped", False),
        ("actions of knee and ankle swapped", True),
    ]


def test_a_proof_without_teeth_is_refused(tmp_path):
    """A policy that never moves passes any comparison, and is refused for it."""
    net = random_net(0, WIDTH)
    weight, bias = net.layers[-1]
    net = net.with_layer(2, np.zeros_like(weight), np.zeros_like(bias))
    write_onnx(net, tmp_path)
    with pytest.raises(ProofError, match="no teeth: it does not notice two actions swapped, one sign flipped"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_single_joint_can_not_be_swapped(tmp_path):
    """With one joint the report says that swapping does not apply."""
    terms = {"terms": [{"term": "joint_pos"}, {"term": "goal", "size": 2, "frame": "base, m"}]}
    one = Contract.model_validate(
        contract(observation=terms).model_dump() | {"joints": {"hip": {"default": 0.0}}, "observation": terms}
    )
    net = random_net(0, 3, 1)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), identity_remap(one))
    notes = {probe.kind: probe.note for probe in report.files[0].probes}
    assert notes["two actions swapped"] == "the policy moves a single joint"
    assert notes["two joints' observations swapped"] == "the policy observes fewer than two joints"
    assert notes["one sign flipped"] == ""


def test_the_report_keeps_full_precision(tmp_path):
    """JSON holds the very numbers, the worst input included."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    write_torchscript(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    data = json.loads(report.to_json())
    assert data["passed"] is True
    assert data["files"][0]["joints"][0]["max"] == report.files[0].joints[0].max
    worst = report.files[0].worst
    assert data["files"][0]["worst"]["observation"] == list(worst.observation)
    assert len(worst.observation) == WIDTH


def test_the_worst_input_is_the_worst(tmp_path):
    """The stored observation, run through the float64 network, gives the stored action."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    worst = prove(tmp_path, policy_of(net, tmp_path), plain()).files[0].worst
    obs = torch.tensor([worst.observation], dtype=torch.float64)
    actions = NetActor(net).double()(obs)[0][0]
    assert float(actions[JOINTS.index(worst.joint)]) == pytest.approx(worst.expected, rel=1e-12)
    assert worst.given != worst.expected
