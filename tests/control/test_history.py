"""Histories by hand: layouts, orders, fills, blocks of the past alone."""

from __future__ import annotations

import tracemalloc

from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from tests.control.test_observation import PLANT, make_contract


def test_history_layouts_by_hand() -> None:
    """Three steps 1, 2, 3 of a command, and 10, 20, 30 of a goal, in every layout and order."""
    expected = {
        ("term_major", "oldest_first"): [1, 2, 3, 10, 20, 30],
        ("term_major", "newest_first"): [3, 2, 1, 30, 20, 10],
        ("time_major", "oldest_first"): [1, 10, 2, 20, 3, 30],
        ("time_major", "newest_first"): [3, 30, 2, 20, 1, 10],
    }
    for (layout, order), wanted in expected.items():
        terms = [
            {"term": "goal", "size": 1, "frame": "m", "history": 3},
            {"term": "goal", "name": "other", "size": 1, "frame": "m", "history": 3},
        ]
        contract = make_contract(terms, history={"layout": layout, "order": order, "fill": "first"})
        signals = Signals(contract, PLANT, 1)
        builder = ObservationBuilder(contract, signals)
        for step in (1, 2, 3):
            signals.goal[0] = [step, 10 * step]
            builder.build()
        assert builder.observation[0].tolist() == wanted


def test_fills_by_hand() -> None:
    """Before a reset there was nothing: it is shown as the first value, or as zero."""
    for fill, wanted in (("first", [5.0, 5.0, 5.0]), ("zero", [0.0, 0.0, 5.0])):
        contract = make_contract(
            [{"term": "goal", "size": 1, "frame": "m", "history": 3}],
            history={"layout": "term_major", "order": "oldest_first", "fill": fill},
        )
        signals = Signals(contract, PLANT, 1)
        signals.goal[0] = 5.0
        assert ObservationBuilder(contract, signals).build()[0].tolist() == wanted


def test_a_past_only_block_by_hand() -> None:
    """ASAP's block: ages 1 to 3 of each term, newest first, zeros before reset, the present beside it."""
    goal = {"term": "goal", "size": 1, "frame": "m"}
    past = {"steps": {"length": 3, "newest": 1, "order": "newest_first"}, "layout": "term_major", "fill": "zero"}
    contract = make_contract(
        [{**goal, "name": "past", "group": "past"}, {**goal, "name": "now"}], groups={"past": past}
    )
    assert contract.widths() == "past 1 x 3 + now 1 = 4"
    signals = Signals(contract, PLANT, 1)
    builder = ObservationBuilder(contract, signals)
    seen = []
    for step in (1, 2, 3, 4, 5):
        signals.goal[0] = step
        seen.append(builder.build()[0].tolist())
    assert seen == [[0, 0, 0, 1], [1, 0, 0, 2], [2, 1, 0, 3], [3, 2, 1, 4], [4, 3, 2, 5]]


def test_only_the_new_step_and_the_gather_are_written() -> None:
    """A step of a strided history allocates nothing."""
    steps = {"length": 4, "newest": 2, "stride": 5, "order": "oldest_first"}
    groups = {"past": {"steps": steps, "layout": "time_major", "fill": "first"}}
    contract = make_contract([{"term": "joint_pos", "group": "past"}], groups=groups)
    builder = ObservationBuilder(contract, Signals(contract, PLANT, 2))
    for _ in range(40):
        builder.build()
    tracemalloc.start()
    builder.build()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(200):
        builder.build()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 500
    assert peak - before < 2000
