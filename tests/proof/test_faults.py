"""Each wrong export fails, and is told what it looks like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from policy_port.checkpoints.policy import OriginalRunner
from policy_port.errors import ProofError
from policy_port.proof.parity import measure, prove
from tests.proof.samples import (
    Net,
    NetActor,
    contract,
    plain,
    policy_of,
    ported,
    random_net,
    turned,
    write_onnx,
)

WIDTH = contract().observation_size
DEGREES = {"knee": {"unit": "deg", "sign": -1, "offset": 90.0}, "toe": {"unit": "deg"}}


def _fails(tmp_path: Path, right: Net, wrong: Net, remap=None, match: str = "off", **keywords) -> None:
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


def test_another_clip_of_the_observation_fails(tmp_path):
    """A contract's clip that the port has to do itself is held too: 100 passes, 3 fails."""
    net = random_net(0, WIDTH)
    net = replace(net, mean=np.zeros_like(net.mean), deviation=np.ones_like(net.deviation), clip=1e9)
    remap = turned(hip={"unit": "deg"}, clip=(-100.0, 100.0))
    assert remap.target.observation.clip is None
    right = replace(ported(net, remap), clip=100.0)
    write_onnx(right, tmp_path)
    assert prove(tmp_path, policy_of(net, tmp_path), remap).passed
    _fails(tmp_path, net, replace(right, clip=3.0), remap)
    _fails(tmp_path, net, replace(right, clip=1e9), remap)


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


def test_rows_that_leak_into_each_other_fail(tmp_path):
    """An export whose answer depends on what else is in the batch fails, and the message says so."""
    net = random_net(0, WIDTH)
    write_onnx(net, tmp_path)
    file = tmp_path / "policy.onnx"
    model = onnx.load(file)
    last = model.graph.node[-1]
    mean = onnx.helper.make_node("ReduceMean", [last.input[0]], ["mean"], axes=[0], keepdims=1)
    last.CopyFrom(onnx.helper.make_node("Add", [last.input[0], "mean"], ["actions"]))
    model.graph.node.insert(len(model.graph.node) - 1, mean)
    onnx.save(model, file)
    with pytest.raises(ProofError, match="batches of 64 and 7 and 1 disagree on the same rows"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


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


class _Original(OriginalRunner):
    def __init__(self, net) -> None:
        self._actor = NetActor(net).eval()

    def reset(self) -> None:
        pass

    def step(self, obs: np.ndarray) -> np.ndarray:
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
