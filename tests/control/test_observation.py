"""Observations against a reference that knows only names, dictionaries and lists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_port.contract import Contract
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import Mounting
from policy_port.control.signals import Signals
from policy_port.errors import ContractError, RobotError, TaskError
from tests.samples import contract_data

JOINTS = ("hip", "knee", "ankle", "jaw")
PLANT = ("jaw", "knee", "wheel", "hip", "ankle")
"""The plant's order differs, and it has a joint that the contract does not know."""
UNITS = {"hip": "rad", "knee": "deg", "ankle": "rad", "jaw": "m"}

KINDS = (
    "base_lin_vel",
    "base_ang_vel",
    "projected_gravity",
    "velocity_command",
    "joint_pos",
    "joint_pos_rel",
    "joint_vel",
    "joint_target",
    "last_action",
    "gait_phase",
    "goal",
    "constant",
)

NAMED = {"site": "imu", "sensor": "velocimeter"}
TURNS = {
    "imu": [[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]],
    "velocimeter": [[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0, 0, 1]],
}
"""Axes of the two places as columns, in the base frame."""
PLACES = {"imu": [0.1, -0.2, 0.3], "velocimeter": [-0.3, 0.25, 0.05]}


def centre_of_mass(row: int) -> list[float]:
    """Each environment has another."""
    return [0.05 * (row + 1), -0.03, 0.02 * row]


def mountings(num_envs: int) -> Any:
    """What a plant would say."""

    def find(place: Any) -> Mounting:
        if place == "com":
            return Mounting(np.array([centre_of_mass(row) for row in range(num_envs)]), np.eye(3))
        name = place.site or place.sensor
        kind, site = ("", "") if place.site else ("velocimeter", "imu")
        return Mounting(np.tile(PLACES[name], (num_envs, 1)), np.array(TURNS[name]), kind, site)

    return find


number = st.floats(-3.0, 3.0, allow_nan=False).map(lambda x: round(x, 3))
bounds = st.tuples(st.floats(-2.0, -0.1), st.floats(0.1, 2.0))


def per_joint(values: st.SearchStrategy[Any], joints: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return values | st.fixed_dictionaries({name: values for name in joints})


@st.composite
def observation_terms(draw: st.DrawFn, history: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    term: dict[str, Any] = {"term": kind, "history": history}
    if kind.startswith("joint"):
        joints = draw(st.none() | st.permutations(JOINTS).flatmap(lambda p: st.sampled_from([p[:1], p[:3], p])))
        seen = JOINTS if joints is None else tuple(joints)
        term["joints"] = None if joints is None else seen
        term["scale"] = draw(per_joint(number, seen))
        term["offset"] = draw(per_joint(number, seen))
        term["clip"] = draw(st.none() | per_joint(bounds, seen))
    elif kind in ("gait_phase", "goal", "constant"):
        count = draw(st.integers(1, 3))
        if kind == "gait_phase":
            term |= {"period": draw(st.floats(0.3, 2.0)), "offsets": tuple(draw(number) for _ in range(count))}
        elif kind == "goal":
            term |= {"size": count, "frame": "base, m", "scale": draw(number)}
        else:
            term["value"] = tuple(draw(number) for _ in range(count))
    elif kind == "last_action":
        term |= {"scale": draw(number), "clip": draw(st.none() | bounds)}
    else:
        term |= {
            "scale": draw(number | st.tuples(number, number, number)),
            "offset": draw(number | st.tuples(number, number, number)),
            "clip": draw(st.none() | bounds),
        }
        if term["clip"] is not None and 0.0 not in np.ravel(term["scale"]):
            term["clip_after_scale"] = draw(st.booleans())
        if kind != "velocity_command":
            term["frame"] = draw(st.sampled_from([None, "link", {"site": "imu"}, {"sensor": "velocimeter"}]))
        if kind == "base_lin_vel":
            offset = st.tuples(number, number, number)
            term["point"] = draw(offset | st.sampled_from([None, "link", "com", *({k: v} for k, v in NAMED.items())]))
    return term


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    layout = draw(st.sampled_from(["term_major", "time_major"]))
    length = draw(st.integers(1, 4))
    terms = []
    for index in range(draw(st.integers(1, 6))):
        history = length if layout == "time_major" else draw(st.integers(1, 4))
        terms.append({**draw(observation_terms(history)), "name": f"term{index}"})
    orders, fills = st.sampled_from(["oldest_first", "newest_first"]), st.sampled_from(["first", "zero"])
    history = {"layout": layout, "order": draw(orders), "fill": draw(fills)}
    listed = st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True)
    equal = st.fixed_dictionaries(
        {"length": st.integers(1, 4), "newest": st.integers(0, 2), "stride": st.integers(1, 3), "order": orders}
    )
    groups = {}
    for name in draw(st.lists(st.sampled_from(["a", "b"]), unique=True)):
        kind = draw(st.sampled_from(["term_major", "time_major"]))
        groups[name] = {"steps": draw(listed | equal), "layout": kind, "fill": draw(fills)}
        for index in range(draw(st.integers(1, 2))):
            terms.append({**draw(observation_terms(1)), "name": f"{name}{index}", "group": name})
    return make_contract(terms, history=history, groups=groups, clip=draw(st.none() | bounds))


def make_contract(terms: list[dict[str, Any]], **observation: Any) -> Contract:
    return Contract.model_validate(
        contract_data(
            joints={n: {"default": 0.1 * (i + 1), "unit": UNITS[n]} for i, n in enumerate(JOINTS)},
            observation={"terms": terms, **observation},
            action={
                "terms": [{"term": "joint_position", "joints": ("knee", "hip"), "scale": 0.5, "offset": "default"}]
            },
        )
    )


def rotate_world_into_base(quat: list[float], vector: list[float]) -> list[float]:
    """Rows of the rotation matrix of base in world, transposed."""
    w, x, y, z = quat
    matrix = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return [sum(matrix[row][column] * vector[row] for row in range(3)) for column in range(3)]


def at_point(term: Any, moment: dict[str, Any]) -> list[float]:
    """Where a velocity's point is."""
    if term.point in (None, "link"):
        return [0.0, 0.0, 0.0]
    if term.point == "com":
        return centre_of_mass(moment["row"])
    return list(term.point) if isinstance(term.point, tuple) else PLACES[term.point.site or term.point.sensor]


def in_axes(term: Any, vector: list[float]) -> list[float]:
    """The vector's projections on the axes that the term states, or that its velocimeter has."""
    point = getattr(term, "point", None)
    frame = term.frame
    if frame is None:
        frame = point if getattr(point, "sensor", None) else "link"
    if frame == "link":
        return vector
    columns = TURNS[frame.site or frame.sensor]
    return [sum(columns[row][axis] * vector[row] for row in range(3)) for axis in range(3)]


def raw_values(term: Any, moment: dict[str, Any]) -> list[tuple[str, float]]:
    """(element, raw value) of one step."""
    in_unit = {"rad": 1.0, "m": 1.0, "deg": 180.0 / math.pi}
    joints = list(getattr(term, "joints", None) or JOINTS)
    match term.term:
        case "projected_gravity":
            down = rotate_world_into_base(moment["base_quat"], [0.0, 0.0, -1.0])
            return list(zip("xyz", in_axes(term, down), strict=True))
        case "base_lin_vel":
            x, y, z = at_point(term, moment)
            a, b, c = moment["base_ang_vel"]
            v, w, u = moment["base_lin_vel"]
            return list(
                zip("xyz", in_axes(term, [v + b * z - c * y, w + c * x - a * z, u + a * y - b * x]), strict=True)
            )
        case "base_ang_vel":
            return list(zip("xyz", in_axes(term, moment[term.term]), strict=True))
        case "velocity_command":
            return list(zip("xyz", moment[term.term], strict=True))
        case "joint_pos_rel":
            defaults = {name: 0.1 * (i + 1) for i, name in enumerate(JOINTS)}
            return [(n, moment["joint_pos"][n] * in_unit[UNITS[n]] - defaults[n]) for n in joints]
        case "joint_pos" | "joint_vel" | "joint_target":
            return [(n, moment[term.term][n] * in_unit[UNITS[n]]) for n in joints]
        case "last_action":
            return [(str(i), value) for i, value in enumerate(moment["last_action"])]
        case "gait_phase":
            angles = [2 * math.pi * (moment["time"] / term.period + offset) for offset in term.offsets]
            return [("", math.sin(a)) for a in angles] + [("", math.cos(a)) for a in angles]
        case "goal":
            return [("", value) for value in moment["goal"][term.label]]
        case _:
            return [("", value) for value in term.value]


def scaled_values(contract: Contract, term: Any, moment: dict[str, Any]) -> list[float]:
    values = []
    for index, (element, value) in enumerate(raw_values(term, moment)):

        def pick(key: str, default: Any, element: str = element, index: int = index) -> Any:
            given = getattr(term, key, None)
            if given is None:
                return default
            if isinstance(given, dict):
                return given[element]
            return given[index] if isinstance(given, tuple) and key != "clip" else given

        low, high = pick("clip", (-math.inf, math.inf))
        if term.clip_after_scale:
            value = min(max(pick("scale", 1.0) * value + pick("offset", 0.0), low), high)
        else:
            value = pick("scale", 1.0) * min(max(value, low), high) + pick("offset", 0.0)
        if contract.observation.clip is not None:
            value = min(max(value, contract.observation.clip[0]), contract.observation.clip[1])
        values.append(value)
    return values


def reference(contract: Contract, moments: list[dict[str, Any]]) -> list[float]:
    """The observation after `moments`, all since reset, the last one being now."""

    def at(term: Any, age: int, fill: str) -> list[float]:
        if age < len(moments):
            return scaled_values(contract, term, moments[-1 - age])
        first = scaled_values(contract, term, moments[0])
        return first if fill == "first" else [0.0] * len(first)

    def ages(steps: Any) -> list[int]:
        if isinstance(steps, tuple):
            return list(steps)
        newest_first = [steps.newest + k * steps.stride for k in range(steps.length)]
        return newest_first if steps.order == "newest_first" else newest_first[::-1]

    def laid(terms: list[Any], lengths: list[list[int]], layout: Any) -> list[float]:
        if layout.layout == "term_major":
            pairs = [(term, age) for term, mine in zip(terms, lengths, strict=True) for age in mine]
        else:
            pairs = [(term, age) for age in lengths[0] for term in terms]
        return [value for term, age in pairs for value in at(term, age, layout.fill)]

    observation = contract.observation
    own = [term for term in observation.terms if term.group is None]
    newest_first = [list(range(term.history)) for term in own]
    mine = newest_first if observation.history.order == "newest_first" else [ages[::-1] for ages in newest_first]
    flat = laid(own, mine, observation.history)
    for name, group in observation.groups.items():
        terms = [term for term in observation.terms if term.group == name]
        flat += laid(terms, [ages(group.steps)] * len(terms), group)
    return flat


def random_moment(contract: Contract, rng: np.random.Generator, time: float) -> dict[str, Any]:
    quat = rng.normal(size=4)
    return {
        "joint_pos": dict(zip(PLANT, rng.normal(size=5).tolist(), strict=True)),
        "joint_vel": dict(zip(PLANT, rng.normal(size=5).tolist(), strict=True)),
        "joint_target": dict(zip(PLANT, rng.normal(size=5).tolist(), strict=True)),
        "base_quat": (quat / np.linalg.norm(quat)).tolist(),
        "base_lin_vel": rng.normal(size=3).tolist(),
        "base_ang_vel": rng.normal(size=3).tolist(),
        "velocity_command": rng.normal(size=3).tolist(),
        "last_action": rng.normal(size=2).tolist(),
        "goal": {t.label: rng.normal(size=t.size).tolist() for t in contract.observation.terms if t.term == "goal"},
        "time": time,
    }


def show(signals: Signals, row: int, moment: dict[str, Any]) -> None:
    for name in ("joint_pos", "joint_vel", "base_quat", "base_lin_vel", "base_ang_vel"):
        value = moment[name]
        getattr(signals.state, name)[row] = [value[n] for n in PLANT] if isinstance(value, dict) else value
    signals.joint_target[row] = [moment["joint_target"][n] for n in PLANT]
    signals.last_action[row] = moment["last_action"]
    signals.command[row] = moment["velocity_command"]
    signals.goal[row] = [value for values in moment["goal"].values() for value in values]
    signals.time[row] = moment["time"]


@settings(max_examples=80, deadline=None)
@given(contracts(), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_any_observation_equals_the_reference_by_name(contract: Contract, num_envs: int, seed: int) -> None:
    """Any terms, units, clips, scales by joint, joint subsets, history layouts and resets of single rows."""
    rng = np.random.default_rng(seed)
    signals = Signals(contract, PLANT, num_envs, mountings(num_envs))
    builder = ObservationBuilder(contract, signals)
    moments: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]
    for step in range(7):
        starting = rng.random(num_envs) < (1.0 if step == 0 else 0.25)
        if starting.any():
            signals.reset(starting)
            builder.reset(starting)
        for row in range(num_envs):
            moments[row] = [] if starting[row] else moments[row]
            moments[row].append(random_moment(contract, rng, time=0.02 * len(moments[row])) | {"row": row})
            show(signals, row, moments[row][-1])
        built = builder.build()
        assert built.dtype == np.float32
        expected = [reference(contract, moments[row]) for row in range(num_envs)]
        np.testing.assert_allclose(built, expected, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize(
    ("quat", "gravity"),
    [
        ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0]),
        # Rolled by 90 degrees to its right: its left side, +y, is up.
        ([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0], [0.0, -1.0, 0.0]),
        # Pitched nose down by 90 degrees: the base's x axis points down.
        ([math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0], [1.0, 0.0, 0.0]),
        # Yaw changes nothing.
        ([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)], [0.0, 0.0, -1.0]),
        # On its back.
        ([0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
    ],
)
def test_gravity_is_seen_from_the_base(quat: list[float], gravity: list[float], num_envs: int) -> None:
    """Quaternions of a plant are wxyz, of base in world; gravity is the world's down in base axes."""
    contract = make_contract([{"term": "projected_gravity"}])
    signals = Signals(contract, PLANT, num_envs)
    signals.state.base_quat[:] = quat
    np.testing.assert_allclose(ObservationBuilder(contract, signals).build(), [gravity] * num_envs, atol=1e-7)


def test_a_joint_that_the_plant_lacks_is_named() -> None:
    """The error names the joint, the nearest one and those there are."""
    with pytest.raises(RobotError, match=r"'ankle'.*did you mean 'ankles'.*hip, knee, ankles, jaw"):
        Signals(make_contract([{"term": "joint_pos"}]), ("hip", "knee", "ankles", "jaw"), 1)


def test_a_joint_that_the_plant_has_twice_is_refused() -> None:
    """An index from names needs unique names."""
    with pytest.raises(RobotError, match="joint hip twice"):
        Signals(make_contract([{"term": "joint_pos"}]), (*PLANT, "hip"), 1)


def test_an_external_term_is_refused_by_name() -> None:
    """Only a task environment computes it."""
    contract = make_contract([{"term": "external", "name": "obj_pose", "size": 7}])
    with pytest.raises(TaskError, match=r"'obj_pose'.*--env"):
        ObservationBuilder(contract, Signals(contract, PLANT, 1))


def test_percent_is_refused() -> None:
    """No plant speaks percent, and no fixed factor exists."""
    data = make_contract([{"term": "joint_pos"}]).model_dump()
    data["joints"]["jaw"]["unit"] = "percent"
    contract = Contract.model_validate(data)
    with pytest.raises(ContractError, match=r"'jaw'.*percent"):
        ObservationBuilder(contract, Signals(contract, PLANT, 1))


@pytest.mark.parametrize(
    ("end", "shown"), [("hold", [0.1, 0.5, 1.0, 1.0]), ("run", [0.1, 0.5, 1.0, 1.3]), ("repeat", [0.1, 0.5, 0.0, 0.3])]
)
def test_a_motions_share_is_counted_from_its_start(end: str, shown: list[float]) -> None:
    """(t + start) / length, twice its scale, and after its end as stated; every environment has its own time."""
    contract = make_contract([{"term": "elapsed", "length": 2.0, "start": 0.2, "end": end, "scale": 2.0}])
    signals = Signals(contract, PLANT, 2)
    builder = ObservationBuilder(contract, signals)
    for row, (time, share) in enumerate(zip([0.0, 0.8, 1.8, 2.4], shown, strict=True)):
        signals.time[row % 2] = time
        assert builder.build()[row % 2, 0] == pytest.approx(2.0 * share, abs=1e-6)
