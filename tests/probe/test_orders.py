"""Claims about joint orders and symmetry, on linear networks whose right contract is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.layout import observation_slots
from policy_port.probe.mirror import partner
from policy_port.probe.network import Network, ordinary_observations
from policy_port.probe.orders import Orders, Relabelling, judge_orders
from tests.probe.quadruped import BY_KIND, BY_LEG, TERMS, contract, linear, noise, symmetric, with_feedback

FEEDBACK = {"joint_pos_rel": -1.0, "joint_vel": -0.5}
SWAPPED = tuple({"FL_calf": "RR_hip", "RR_hip": "FL_calf"}.get(name, name) for name in BY_LEG)
OTHER_SIDES = tuple({"L": "R", "R": "L"}[name[1]].join((name[0], name[2:])) for name in BY_LEG)


def judged(weights: Array, stated: Contract, seed: int = 0) -> Orders:
    network = Network(linear(weights))
    return judge_orders(stated, network.response(ordinary_observations(stated, np.random.default_rng(seed))))


def called(right: Contract, order: tuple[str, ...], place: str) -> Contract:
    """The right contract with other names at one place or at all."""
    true = dict(zip(right.joint_names, order, strict=True))
    labels = [term.label for term in right.observation.terms if isinstance(term, JointTerm)]
    observed = {} if place == "action" else dict.fromkeys(labels, true)
    mistake = Relabelling(words="", known=False, action={} if place == "observation" else true, observed=observed)
    wrong = mistake.mended(right)
    assert wrong is not None
    return wrong


def orders(stated: Contract | None) -> tuple[tuple[str, ...], ...]:
    assert stated is not None
    terms = [term.elements(stated) for term in stated.observation.terms if isinstance(term, JointTerm)]
    return (stated.action_joint_names, *terms)


def mends(found: Orders, wrong: Contract) -> list[tuple[tuple[str, ...], ...]]:
    return [orders(other.mended(wrong)) for other in found.looks_like]


@pytest.mark.parametrize("names", [BY_LEG, BY_KIND])
def test_a_right_order_is_sharp(names: tuple[str, ...]) -> None:
    """Each action answers its own joint, in position and velocity, and nothing else is suggested."""
    right = contract(names)
    found = judged(with_feedback(right, FEEDBACK), right)
    assert [term.verdict for term in found.terms] == ["sharp", "sharp"]
    assert found.looks_like == ()


@pytest.mark.parametrize("order", [BY_KIND, SWAPPED, OTHER_SIDES], ids=["parser", "two joints", "sides"])
@pytest.mark.parametrize("place", ["observation", "action"])
def test_one_side_in_another_order_is_told_with_its_edit(order: tuple[str, ...], place: str) -> None:
    """Whatever the order is, the right contract is one of those suggested, and it is told where they stand."""
    right = contract()
    wrong = called(right, order, place)
    found = judged(with_feedback(right, FEEDBACK), wrong)
    assert [term.verdict for term in found.terms] == ["wrong", "wrong"]
    assert orders(right) in mends(found, wrong)
    assert all(other.edits(wrong) for other in found.looks_like)


def test_one_term_alone_in_another_order_is_told_alone() -> None:
    """Velocities in another order, positions in the right one: the edit touches the velocities."""
    right = contract()
    wrong = contract(terms=(*TERMS_BUT_LAST, {"term": "joint_vel", "joints": list(SWAPPED)}))
    right = contract(terms=(*TERMS_BUT_LAST, "joint_vel"))
    found = judged(with_feedback(right, FEEDBACK), wrong)
    assert [term.verdict for term in found.terms] == ["sharp", "wrong"]
    assert mends(found, wrong) == [orders(right)]
    (other,) = found.looks_like
    assert [edit.key for edit in other.edits(wrong)] == ["observation.terms[joint_vel].joints"]


TERMS_BUT_LAST = ("base_ang_vel", "joint_pos_rel")


def test_the_symmetry_tells_where_all_joints_are_called_otherwise() -> None:
    """Observation and action in one wrong order: the right one is among those as symmetric, the stated one is not."""
    right = contract()
    wrong = called(right, BY_KIND, "all")
    found = judged(symmetric(right), wrong)
    assert found.fit is not None
    assert found.fit.value < 0.5
    assert found.best_fit == pytest.approx(1.0, abs=1e-3)
    assert orders(right) in mends(found, wrong)
    assert orders(wrong) not in mends(found, wrong)
    assert orders(called(right, OTHER_SIDES, "all")) in mends(found, wrong)


def test_left_for_right_throughout_cannot_be_told() -> None:
    """The mirror image of a symmetric network is that network, so nothing is claimed."""
    right = contract()
    found = judged(symmetric(right), called(right, OTHER_SIDES, "all"))
    assert (found.because, found.looks_like) == ("", ())
    assert found.fit is not None
    assert found.fit.value == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_two_joints_called_otherwise_throughout_are_told(seed: int) -> None:
    """The symmetry tells them, or their partners, which the network can't tell apart; these stand first.

    Each is followed by the same exchange in the action and in the observation alone.
    """
    right = contract()
    wrong = called(right, SWAPPED, "all")
    found = judged(symmetric(right, seed), wrong)
    partners = tuple({"FR_calf": "RL_hip", "RL_hip": "FR_calf"}.get(name, name) for name in wrong.joint_names)
    assert {orders(right), (partners,) * 3} <= set(mends(found, wrong)[:6])
    assert orders(wrong) not in mends(found, wrong)


@pytest.mark.parametrize("seed", range(6))
def test_an_order_that_nobody_uses_is_not_guessed_from_the_symmetry(seed: int) -> None:
    """The stated names are said to be wrong, and no others to be right, where the right ones are not tried."""
    right = contract()
    rng = np.random.default_rng(seed)
    wrong = called(right, tuple(map(str, rng.permutation(BY_LEG))), "all")
    found = judged(symmetric(right, seed), wrong)
    assert found.because
    assert found.looks_like == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", [BY_LEG, BY_KIND, SWAPPED])
def test_a_network_that_tells_nothing_leads_to_no_claim(order: tuple[str, ...], seed: int) -> None:
    """Random weights fit every order as badly: can't be told."""
    right = contract()
    found = judged(noise(right, 1.0, seed), called(right, order, "observation"))
    assert [term.verdict for term in found.terms] == ["open", "open"]
    assert (found.because, found.looks_like) == ("", ())


def test_the_signs_of_the_joints_are_found() -> None:
    """Hips turn opposite ways, thighs and calves the same way."""
    right = contract()
    fit = judged(symmetric(right), right).fit
    assert fit is not None
    assert fit.signs == {name: -1 if "hip" in name else 1 for name in BY_LEG}
    assert min(fit.margins.values()) > 0.05


def seen_at(weights: Array, right: Contract, point: tuple[float, float, float]) -> Array:
    """The same network, shown the velocity of another point: v = u - w x r, so that w takes a share of u's weights."""
    slots = observation_slots(right)
    linear, angular = ([i for i, s in enumerate(slots) if s.term == f"base_{kind}_vel"] for kind in ("lin", "ang"))
    moved = weights.copy()
    for axis in range(3):
        moved[:, angular[axis]] -= weights[:, linear] @ np.cross(np.eye(3)[axis], point)
    return moved


@pytest.mark.parametrize("stated", [{"point": [0.2, 0.6, 0.1]}, {"point": {"site": "imu"}}, {"point": {"sensor": "v"}}])
def test_a_velocity_beside_the_middle_is_held_against_no_mirror(stated: dict) -> None:
    """Told of the point, a symmetric network that reads its velocity is symmetric; told nothing, it seems less so."""
    rest = tuple(term for term in TERMS if term != "velocity_command")
    told = contract(terms=({"term": "base_lin_vel", **stated}, *rest))
    untold = contract(terms=("base_lin_vel", *rest))
    weights = seen_at(symmetric(untold), untold, (0.2, 0.6, 0.1))
    right, wrong = (judged(weights, side).fit for side in (told, untold))
    assert right is not None
    assert wrong is not None
    assert right.value > 0.99
    assert wrong.value < right.value - 0.03


@pytest.mark.parametrize("stated", [{"point": "com"}, {"point": [0.2, 0.0, 0.1]}])
def test_a_velocity_in_the_middle_has_its_mirror_image(stated: dict) -> None:
    """The centre of mass and points in the middle count as before: a network that mirrors them wrong is less alike."""
    told = contract(terms=({"term": "base_lin_vel", **stated}, *TERMS))
    weights = symmetric(told)
    assert (fit := judged(weights, told).fit) is not None
    assert fit.value > 0.99
    weights[:, :3] = np.abs(noise(told)[:, :3]) * np.array([1.0, 30.0, 1.0])
    assert (worse := judged(weights, told).fit) is not None
    assert worse.value < 0.98


def test_a_vector_in_turned_axes_is_held_against_no_mirror() -> None:
    """Axes of a site may be turned, so that any number of it says nothing of left and right."""
    told = contract(terms=tuple({"term": t, "frame": {"site": "imu"}} if t == "base_ang_vel" else t for t in TERMS))
    weights = symmetric(told)
    weights[:, :3] = 5.0 * noise(told)[:, :3]
    assert (fit := judged(weights, told).fit) is not None
    assert fit.value > 0.99
    assert (other := judged(weights, contract()).fit) is not None
    assert other.value < fit.value - 0.03


def arm(count: int, name: Callable[[int], str]) -> Contract:
    """An arm without a base, its joints named by number."""
    joints = {name(i): {"default": 0.0} for i in range(count)}
    terms = [{"term": "joint_pos"}, {"term": "joint_target"}]
    return contract(joints=joints, observation={"terms": terms}, base={"floating": False}, quaternion_order="none")


def test_names_without_sides_say_why_nothing_is_told() -> None:
    """An arm is compared with no mirror image, and its own order is told all the same."""
    right = arm(7, "joint_{}".format)
    found = judged(with_feedback(right, {"joint_pos": 1.0}, 0.02), right)
    assert found.silent == "no two joint names differ in their side alone"
    assert found.fit is None
    assert [term.verdict for term in found.terms] == ["sharp", "open"]


def test_a_few_joints_are_too_few() -> None:
    """Three joints have six orders, of which one always looks well."""
    right = arm(3, "joint_{}".format)
    found = judged(with_feedback(right, {"joint_pos": 1.0}), right)
    assert [term.verdict for term in found.terms] == ["open", "open"]


def test_a_joint_without_partner_is_named() -> None:
    """A robot that has something on one side alone is not compared."""
    right = arm(6, lambda i: ("left_a", "right_a", "left_b", "right_b", "left_c", "waist")[i])
    assert judged(noise(right), right).silent == "left_c has no partner among the joints"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_knee_joint", "right_knee_joint"),
        ("R_hip_yaw", "L_hip_yaw"),
        ("LF_HAA", "RF_HAA"),
        ("RL_calf_joint", "RR_calf_joint"),
        ("J01_HIP_PITCH_L", "J01_HIP_PITCH_R"),
        ("Left_Shoulder_Roll", "Right_Shoulder_Roll"),
        ("hl.knee", "hl.knee"),
        ("waist_yaw_joint", "waist_yaw_joint"),
    ],
)
def test_the_partner_of_a_joint(name: str, other: str) -> None:
    """The name with the other side in it, written as the one was; a name without a side is its own."""
    assert partner(name) == other
    assert partner(other) == name
