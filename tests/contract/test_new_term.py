"""A new observation term is one class: it is observed, remapped and sampled without another line of the package.

What is written once more on purpose, or for people, is asked for by name where it is missing.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import numpy as np
import pytest
import yaml
from pydantic import Field

from policy_port.contract import Contract, RobotMapping
from policy_port.contract.draws import Draws
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.mapping import JointConversion
from policy_port.contract.term import Reading, Term
from policy_port.contract.terms import Observation, ObservationTerm
from policy_port.contract.yaml_file import parse, read_yaml
from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from policy_port.deploy.derived import DERIVED
from policy_port.deploy.program import Value
from policy_port.deploy.source import Source
from policy_port.errors import ContractError
from policy_port.proof import reference
from policy_port.proof.reference import ByNameReference, layout
from policy_port.proof.sampling import sample_observations
from policy_port.remap import build_remap
from policy_port.verdict.signals import RecordedSignals
from tests.samples import LEGS, contract_data

if TYPE_CHECKING:
    from policy_port.verdict.evidence import Evidence


class BaseHeight(Term):
    """Height of the base above the ground [m]."""

    term: Literal["base_height"]
    scale: float = 1.0
    """Factor."""

    def elements(self, contract: Contract) -> tuple[str, ...]:
        """The one axis."""
        return ("z",)

    def readings(self, contract: Contract) -> tuple[Reading, ...]:
        """The third number of the base's position."""
        return (Reading("base_pos", 2),)

    def draw(self, contract: Contract, draws: Draws) -> Any:
        """0.2 to 0.4 m."""
        return 0.3 + 0.1 * draws.smooth()[..., None]


class NormalisedJointPos(JointTerm):
    """Joint position within its limits: -1 at the lower, 1 at the upper."""

    term: Literal["joint_pos_normalised"]

    def readings(self, contract: Contract) -> tuple[Reading, ...]:
        """The positions, less the middle, in halves of the range."""
        found = []
        for name in self.elements(contract):
            low, high = contract.joints[name].sweep
            half = (high - low) / 2.0
            found.append(Reading("joint_pos", name, contract.per_si(name) / half, -(low + high) / 2.0 / half))
        return tuple(found)

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """Limits take unit and zero along, so that only the direction is left."""
        return conversion.sign, 0.0

    def moving(self, joint: Any, position: Any, smooth: Any) -> Any:
        """From the limits."""
        low, high = joint.sweep
        return (2.0 * position - low - high) / (high - low)


class BasePitch(Term):
    """Pitch of the base [rad], for which no signal stands ready."""

    term: Literal["base_pitch"]

    def columns(self, contract: Contract) -> dict[str, int]:
        """One."""
        return {"base_pitch": 1}

    def draw(self, contract: Contract, draws: Draws) -> Any:
        """Up to 0.3 rad."""
        return 0.3 * draws.smooth()[..., None]


def pitch(source: Source) -> Value:
    """What fills the column of base_pitch: from the base's orientation."""
    w, x, y, z = (source.signal("base_quat")[index] for index in range(4))
    return ((w * y - z * x) * 2.0).call("Asin")


class MoreTerms(Observation):
    """The network's input, with the union of terms as it would be once the three stand in it."""

    terms: tuple[
        Annotated[ObservationTerm | BaseHeight | NormalisedJointPos | BasePitch, Field(discriminator="term")], ...
    ] = Field(min_length=1)


class MoreContract(Contract):
    """A contract of such an observation."""

    observation: MoreTerms


TERMS: list[dict[str, Any]] = [
    {"term": "base_height", "scale": 2.0},
    {"term": "joint_vel", "scale": 0.05},
    {
        "term": "joint_pos_normalised",
        "joints": ["right_knee", "left_hip"],
        "scale": {"right_knee": 3.0, "left_hip": 1.0},
    },
]


def contract(*terms: dict[str, Any]) -> MoreContract:
    return MoreContract.model_validate(contract_data(observation={"terms": list(terms or TERMS)}))


def show(signals: Signals, positions: dict[str, float], velocities: dict[str, float], height: float) -> None:
    signals.state.base_pos[:] = [7.0, 8.0, height]
    signals.state.joint_pos[:] = [positions[name] for name in signals.joint_names]
    signals.state.joint_vel[:] = [velocities[name] for name in signals.joint_names]


def test_a_file_may_name_it(tmp_path: Path) -> None:
    """It is read from YAML and written again, as strictly as every other term, and laid out by its elements."""
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(contract_data(observation={"terms": TERMS}), sort_keys=False))
    read = parse(MoreContract, read_yaml(path, ContractError), ContractError)
    assert [type(term) for term in read.observation.terms][::2] == [BaseHeight, NormalisedJointPos]
    assert [str(slot) for slot in observation_slots(read)] == [
        "base_height[z]",
        *(f"joint_vel[{name}]" for name in LEGS),
        "joint_pos_normalised[right_knee]",
        "joint_pos_normalised[left_hip]",
    ]
    assert read.widths() == "base_height 1 + joint_vel 4 + joint_pos_normalised 2 = 7"
    path.write_text(read.to_yaml())
    assert parse(MoreContract, read_yaml(path, ContractError), ContractError) == read
    for wrong, said in (
        ({"term": "base_height", "scal": 2.0}, "unknown key 'scal'; did you mean 'scale'"),
        ({"term": "joint_pos_normalised", "joints": ["left_hipp"]}, "did you mean 'left_hip'"),
        ({"term": "joint_pos_normalised", "scale": {"left_hip": 1.0}}, "leaves out left_knee"),
    ):
        path.write_text(yaml.safe_dump(contract_data(observation={"terms": [wrong]})))
        with pytest.raises(ContractError, match=said):
            parse(MoreContract, read_yaml(path, ContractError), ContractError)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_it_is_observed(num_envs: int) -> None:
    """The control loop's observation holds its numbers, joints by name whatever the plant's order."""
    signals = Signals(contract(), LEGS[::-1], num_envs)
    show(
        signals, {"left_hip": -1.0, "left_knee": 9.0, "right_hip": 9.0, "right_knee": 1.25}, dict.fromkeys(LEGS, 2), 0.3
    )
    # The limits are -1 and 2: the lower one is -1, and 1.25 is halfway from the middle to the upper one.
    built = ObservationBuilder(contract(), signals).build()
    np.testing.assert_allclose(built, [[0.6, 0.1, 0.1, 0.1, 0.1, 3.0 * 0.5, -1.0]] * num_envs, rtol=1e-6)


def test_it_is_remapped() -> None:
    """Turned, moved, reordered and renamed joints: the network sees of the target what it saw of the source."""
    source, there = contract(), {name: f"{name}_t" for name in LEGS}
    mapping = RobotMapping.model_validate(
        {
            "source_joint_names": LEGS,
            "target_joint_names": [there[name] for name in reversed(LEGS)],
            "rename": there,
            "joints": {
                "left_hip": {"sign": -1, "scale": 2.0, "offset": 0.3},
                "right_knee": {"unit": "deg", "offset": 5.0},
            },
            "terms": {"base_height": {"scale": 1.0, "rename": "height"}},
        }
    )
    remap = build_remap(source, mapping)
    positions = {"left_hip": 0.2, "left_knee": -0.4, "right_hip": 0.7, "right_knee": 1.1}
    velocities = {"left_hip": 1.0, "left_knee": 2.0, "right_hip": 3.0, "right_knee": 4.0}
    here = Signals(source, LEGS, 1)
    show(here, positions, velocities, 0.31)
    plant = Signals(remap.target, tuple(there.values()), 1)
    # The plant speaks SI: what the target's contract has in degrees it shows in rad.
    turned = {**positions, "left_hip": -2.0 * 0.2 + 0.3, "right_knee": 1.1 + math.radians(5.0)}
    moved = {**velocities, "left_hip": -2.0}
    show(plant, {there[n]: v for n, v in turned.items()}, {there[n]: v for n, v in moved.items()}, 0.31)
    seen = ObservationBuilder(remap.target, plant).build()
    assert seen[0, 0] == np.float32(0.31)
    assert not np.allclose(seen, ObservationBuilder(source, here).build(), atol=0.05)
    np.testing.assert_allclose(remap.observation(seen), ObservationBuilder(source, here).build(), rtol=1e-5, atol=1e-6)


def test_what_the_target_lacks_is_shown() -> None:
    """A joint that is not there stands still at its stated position, and a term that is not there at its value."""
    mapping = RobotMapping.model_validate(
        {
            "source_joint_names": LEGS,
            "target_joint_names": LEGS[:3],
            "only_in_source": {"right_knee": {"position": 1.25}},
            "terms": {"base_height": {"constant": 0.4}},
        }
    )
    remap = build_remap(contract(), mapping)
    seen = dict(zip(remap.observation.outputs, remap.observation(np.zeros(remap.observation.n_in)), strict=True))
    assert seen["joint_pos_normalised[right_knee]"] == 3.0 * 0.5
    assert seen["base_height[z]"] == 0.8
    assert remap.target.observation.terms[-1].label == "joint_pos_normalised"


def test_it_is_sampled() -> None:
    """A port is proved on numbers that it says are realistic."""
    drawn = sample_observations(contract(), 40, 30, np.random.default_rng(0))["realistic"]
    column = {key[:2]: drawn[..., place] for place, key in enumerate(layout(contract()))}
    height, knee = column["base_height", "z"], column["joint_pos_normalised", "right_knee"]
    assert 0.4 <= height.min() < height.max() <= 0.8
    assert -3.0 <= knee.min() < -1.0 < 1.0 < knee.max() <= 3.0


@pytest.mark.parametrize("num_envs", [1, 2])
def test_it_may_bring_a_signal_of_its_own(monkeypatch: pytest.MonkeyPatch, num_envs: int) -> None:
    """Its columns are laid out, one after the other where two terms have some, and what computes it fills them."""
    monkeypatch.setitem(DERIVED, "base_pitch", pitch)
    made = contract({"term": "base_pitch"}, {"term": "goal", "size": 1, "frame": "m"})
    signals = Signals(made, LEGS, num_envs)
    signals.goal[:] = 5.0
    signals.state.base_quat[:] = [math.cos(0.1), 0.0, math.sin(0.1), 0.0]
    np.testing.assert_allclose(ObservationBuilder(made, signals).build(), [[0.2, 5.0]] * num_envs, rtol=1e-6)


class TipQuat(Term):
    """Orientation of a tip as a quaternion."""

    holds_quaternion: ClassVar[bool] = True
    term: Literal["tip_quat"]

    def columns(self, contract: Contract) -> dict[str, int]:
        """Four."""
        return {"tip_quat": 4}

    def draw(self, contract: Contract, draws: Draws) -> Any:
        """None are drawn here."""
        raise NotImplementedError


class QuatContract(Contract):
    """A contract that may observe one."""

    class Terms(Observation):
        """Its observation."""

        terms: tuple[Annotated[ObservationTerm | TipQuat, Field(discriminator="term")], ...] = Field(min_length=1)

    observation: Terms


@pytest.mark.parametrize("order", [None, "none"])
def test_a_quaternions_order_is_asked_for_where_a_term_holds_one(order: str | None) -> None:
    """Most contracts hold none and leave the order out; one whose term holds a quaternion can't be read without."""
    data = contract_data(quaternion_order=order, observation={"terms": [{"term": "base_ang_vel"}]})
    assert QuatContract.model_validate(data).quaternion_order == order
    data["observation"] = {"terms": [{"term": "tip_quat"}]}
    with pytest.raises(ValueError, match="must be wxyz or xyzw, since tip_quat holds a quaternion"):
        QuatContract.model_validate(data)
    assert QuatContract.model_validate(data | {"quaternion_order": "xyzw"}).quaternion_order == "xyzw"


@pytest.mark.parametrize("kind", ["base_height", "joint_pos_normalised"])
def test_the_independent_twins_refuse_what_they_do_not_know(kind: str) -> None:
    """Neither the proof nor the verdict passes over a term that nobody has written there."""
    made = contract({"term": "joint_pos"}, {"term": kind})
    with pytest.raises(NotImplementedError, match=f"'{kind}'.*proof/reference.py"):
        ByNameReference(made, made, None)
    # Nothing of the trace is looked at before the term is refused.
    evidence: Evidence = NoEvidence()  # type: ignore[assignment]
    term = made.observation.terms[1]
    with pytest.raises(NotImplementedError, match=f"verdict/signals.py.*'{kind}'"):
        RecordedSignals(made, evidence).of(term, made.term_elements(term)[0])


class NoEvidence:
    """A trace of one step that holds no array."""

    shape = (1, 1)


KINDS = [get_args(kind.model_fields["term"].annotation)[0] for kind in get_args(get_args(ObservationTerm)[0])]


def test_every_kind_stands_in_its_twin_and_in_the_documents() -> None:
    """`KINDS` of proof/reference.py, by which ports are proved, and a page of docs/; sensors.py has its own test."""
    assert set(KINDS) == set(reference.KINDS)
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (Path(__file__).parents[2] / "docs").glob("*.md"))
    assert [kind for kind in KINDS if not re.search(rf"\b{kind}\b", pages)] == []
