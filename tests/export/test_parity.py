"""Parity: right exports pass, each wrong one fails and is told what it looks like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.checkpoints.policy import OriginalRunner
from policy_port.contract import Contract
from policy_port.errors import PortError, ProofError
from policy_port.export.parity import measure, prove
from policy_port.export.parity_gate import HALF_ULP, allowed_error
from policy_port.remap import identity_remap
from tests.export.parity_samples import (
    JOINTS,
    NetActor,
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


@pytest.mark.parametrize("seed", range(30))
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


def _fails(tmp_path: Path, right, wrong, remap=None, match: str = "off", **keywords) -> None:
    write_onnx(wrong, tmp_path)
    with pytest.raises(ProofError, match=match):
        prove(tmp_path, policy_of(right, tmp_path), plain() if remap is None else remap, **keywords)


def test_swapped_actions_fail(tmp_path):
    """Two exchanged outputs fail and are named."""
    net = random_net(0, WIDTH)
    match = r"policy\.onnx does not compute .*hip, ankle are off.*outputs of hip and ankle were exchanged"
    _fails(tmp_path, net, replace(net, order=(2, 1, 0, 3), sign=np.ones(4, np.float32)), match=match)


def test_the_identity_instead_of_the_remap_fails(tmp_path):
    """Leaving the remap out, or putting its inverse in, fails."""
    net, remap = random_net(0, WIDTH), turned()
    _fails(tmp_path, net, net, remap)
    right = ported(net, remap)
    _fails(tmp_path, net, replace(right, order=tuple(np.argsort(right.order).tolist())), remap, match="another order")


def test_a_flipped_sign_fails(tmp_path):
    """One flipped sign of an action fails and is named; one of an observation fails too."""
    net, remap = random_net(0, WIDTH), turned(**DEGREES)
    right = ported(net, remap)
    sign = right.sign.copy()
    sign[1] *= -1
    _fails(tmp_path, net, replace(right, sign=sign), remap, match="hip is off.*sign of hip were flipped")
    factor = right.factor.copy()
    factor[8] *= -1
    _fails(tmp_path, net, replace(right, factor=factor), remap)


def test_swapped_observations_fail(tmp_path):
    """Two joints whose velocities alone are exchanged fail."""
    net, remap = random_net(0, WIDTH), turned()
    right = ported(net, remap)
    pick = list(right.pick)
    pick[11], pick[12] = pick[12], pick[11]
    _fails(tmp_path, net, replace(right, pick=tuple(pick)), remap)


def test_a_forgotten_normaliser_fails(tmp_path):
    """An export without mean and deviation fails."""
    net = random_net(0, WIDTH)
    bare = replace(net, mean=np.zeros_like(net.mean), deviation=np.ones_like(net.deviation))
    _fails(tmp_path, net, bare)


def test_another_activation_fails(tmp_path):
    """ReLU instead of ELU fails."""
    net = random_net(0, WIDTH)
    _fails(tmp_path, net, replace(net, activation="Relu"))


@pytest.mark.parametrize("clip", [3.0, 5.0, 18.0])
def test_another_clip_fails(tmp_path, clip):
    """A normaliser that clips at 3, 5 or 18 instead of 100 fails, though few observations reach so far."""
    net = random_net(0, WIDTH)
    _fails(tmp_path, net, replace(net, clip=clip))


def test_a_clip_that_only_tails_reach_says_so(tmp_path):
    """What only far observations show is said to look like a clip."""
    net = random_net(0, WIDTH)
    _fails(tmp_path, net, replace(net, clip=18.0), match="only far ones wrongly, as if a clip were another")


@pytest.mark.parametrize("step", [1e-2, 1e-3, 1e-4])
def test_one_weight_that_is_slightly_off_fails(tmp_path, step):
    """One weight of 0.2 changed by 1e-2, 1e-3 or 1e-4 fails."""
    net = random_net(0, WIDTH)
    weight, bias = net.layers[1]
    weight = weight.copy()
    weight[3, 5] += step
    _fails(tmp_path, net, net.with_layer(1, weight, bias))


def test_a_default_pose_that_is_slightly_off_fails(tmp_path):
    """One joint's offset that is 0.001 rad off fails."""
    net, remap = random_net(0, WIDTH), turned(hip={"offset": 0.1})
    right = ported(net, remap)
    shift = right.shift.copy()
    shift[6] += 0.001
    _fails(tmp_path, net, replace(right, shift=shift), remap)


def test_a_default_pose_in_the_contract_is_held_against_the_source(tmp_path):
    """A target contract with a joint's default left in the source's zero fails: the reference decodes with it."""
    net, remap = random_net(0, WIDTH), turned(hip={"offset": 0.1})
    joints = dict(remap.target.joints)
    joints["hip"] = joints["hip"].model_copy(update={"default": 0.1})
    write_onnx(ported(net, remap), tmp_path)
    wrong = replace(remap, target=remap.target.model_copy(update={"joints": joints}))
    with pytest.raises(ProofError, match="hip is off.*constant were added to hip"):
        prove(tmp_path, policy_of(net, tmp_path), wrong)


def test_numbers_that_are_not_finite_fail(tmp_path):
    """An export that computes NaN fails, and its report is still valid JSON."""
    net = random_net(0, WIDTH)
    weight, bias = net.layers[0]
    broken = net.with_layer(0, weight, np.full_like(bias, np.nan))
    _fails(tmp_path, net, broken, match="not finite")
    report = measure(tmp_path, policy_of(net, tmp_path), plain())
    assert not report.passed
    assert json.loads(report.to_json())["max_error"] == "inf"


def test_a_fixed_batch_fails(tmp_path):
    """A graph that takes one row only is refused at the first batch of another size."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path, batch=1)
    with pytest.raises(ProofError, match=r"policy\.onnx fails at batch 64"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_file_that_does_not_load_fails(tmp_path):
    """A truncated export is refused by name."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    file = tmp_path / "policy.onnx"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ProofError, match=r"policy\.onnx was written but ONNX Runtime can't load it"):
        prove(tmp_path, policy_of(net, tmp_path), plain())
    file.unlink()
    (tmp_path / "policy.pt").write_bytes(b"not a module")
    with pytest.raises(ProofError, match=r"policy\.pt was written but torch\.jit can't load it"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_an_empty_folder_is_no_port(tmp_path):
    """A folder without an export has nothing to prove."""
    with pytest.raises(PortError, match=r"neither policy\.onnx nor policy\.pt"):
        prove(tmp_path, policy_of(random_net(0, WIDTH), tmp_path), plain())


class _Original(OriginalRunner):
    def __init__(self, net) -> None:
        self._actor = NetActor(net).eval()

    def reset(self) -> None:
        pass

    def step(self, obs: np.ndarray) -> np.ndarray:
        import torch

        return self._actor(torch.from_numpy(obs))[0].numpy()


def test_a_file_that_was_read_wrongly_fails(tmp_path):
    """When the policy file's own runtime disagrees with the network read from it, reading is to blame."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path, _Original(net)), plain())
    assert report.original is not None
    assert report.original.complaint == ""
    with pytest.raises(ProofError, match=r"reading model\.pt went wrong"):
        prove(tmp_path, policy_of(net, tmp_path, _Original(replace(net, activation="Relu"))), plain())


@pytest.mark.parametrize("shape", [(30,), (230,), (120, 3)])
def test_recorded_observations_are_driven_too(tmp_path, shape):
    """A recording of any length, of one environment or several, is a group of its own and counts."""
    net = random_net(0, WIDTH)
    recorded = np.random.default_rng(1).normal(size=(*shape, WIDTH))
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain(), recorded=recorded)
    assert report.samples["recorded"] >= min(np.prod(shape), 200)
    assert {group.group for group in report.files[0].groups} >= {"recorded", "realistic", "tails"}


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
    """JSON holds the very numbers, the worst input included; the table and the line say the same in words."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    write_torchscript(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    data = json.loads(report.to_json())
    assert data["passed"] is True
    assert data["files"][0]["joints"][0]["max"] == report.files[0].joints[0].max
    worst = report.files[0].worst
    assert data["files"][0]["worst"]["observation"] == list(worst.observation)
    assert report.worst_inputs()["policy.onnx"].shape == (WIDTH,)
    lines = report.table().splitlines()
    assert lines[0].split()[:3] == ["file", "joint", "max"]
    assert len(lines) == 1 + 2 * len(JOINTS)
    assert "every deliberate fault was caught" in report.summary()
    assert "\n" not in report.summary()


def test_the_worst_input_is_the_worst(tmp_path):
    """The stored observation, run through the float64 network, gives the stored action."""
    import torch

    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    worst = prove(tmp_path, policy_of(net, tmp_path), plain()).files[0].worst
    obs = torch.tensor([worst.observation], dtype=torch.float64)
    actions = NetActor(net).double()(obs)[0][0]
    assert float(actions[JOINTS.index(worst.joint)]) == pytest.approx(worst.expected, rel=1e-12)
    assert worst.given != worst.expected


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
