"""Options that are refused together: whoever does what the messages say gets somewhere.

Each command is called with every set of a few options, up to what is parsed; what it would then do is left out. A
refusal names options. Toggling one of those, giving one that is absent or leaving one out that is there, is obeying it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from policy_port.cli import compare, derive, diagnose, play, play_options, play_real, regress
from policy_port.descriptors import registry
from policy_port.descriptors.options import ImportOptions
from policy_port.errors import PolicyPortError

OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")

Options = frozenset[str]
Refusal = Callable[[Options], str | None]
"""What a command says to a set of options; None where it would set to work."""


class AcceptedError(Exception):
    """The command would set to work now."""


def accept(*_: Any, **__: Any) -> None:
    raise AcceptedError


def answer(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except AcceptedError:
        return None
    except (typer.BadParameter, PolicyPortError) as refused:
        return str(refused)
    return None


def sets_of(options: Iterable[str], most: int) -> list[Options]:
    return [frozenset(some) for size in range(most + 1) for some in itertools.combinations(sorted(options), size)]


def dead_ends(refusal: Refusal, options: Iterable[str], most: int) -> dict[Options, str]:
    """Sets from which no way along the messages ends in work, each with its message."""
    known = set(options)
    answers: dict[Options, str | None] = {}
    onward: dict[Options, set[Options]] = {}
    todo = sets_of(known, most)
    while todo:
        chosen = todo.pop()
        if chosen in answers:
            continue
        answers[chosen] = said = refusal(chosen)
        named = set(OPTION.findall(said or "")) & known
        onward[chosen] = {chosen ^ {option} for option in named}
        todo += onward[chosen]
    arrived = {chosen for chosen, said in answers.items() if said is None}
    while True:
        more = {chosen for chosen in answers if chosen not in arrived and onward[chosen] & arrived}
        if not more:
            return {chosen: said for chosen, said in answers.items() if said is not None and chosen not in arrived}
        arrived |= more


def show(found: dict[Options, str]) -> str:
    return "\n".join(f"{' '.join(f'--{o}' for o in sorted(options))}: {said}" for options, said in found.items())


PLAY: dict[str, Any] = {
    "env": "X-v1",
    "plant": "mujoco",
    "command": "0,0,0",
    "seconds": 1.0,
    "goal": ["point=1,1,1"],
    "task": "so100-reach",
    "robot": "so100",
    "episodes": 2,
    "timestep": 0.001,
    "processes": 2,
    "num-envs": 2,
    "control-mode": "pd",
    "no-meshes": True,
    "video": True,
    "rerun": True,
    "force": True,
    "real": True,
    "emulated": True,
    "continuous": True,
    "fault": ["late"],
    "dataset": Path("d"),
}


def refused_by_play(monkeypatch: pytest.MonkeyPatch) -> Refusal:
    monkeypatch.setattr(play, "_play_in_simulator", accept)

    def arm(options: play_options.PlayOptions) -> None:
        play_real._check_options(options)
        raise AcceptedError

    monkeypatch.setattr(play_real, "play_on_arm", arm)

    def refusal(chosen: Options) -> str | None:
        given = {name.replace("-", "_"): PLAY[name] for name in chosen}
        return answer(lambda: play.play(ports=[Path("p")], out=Path("o"), **given))

    return refusal


def test_play_leads_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From each of its sets of options that is refused."""
    assert not (found := dead_ends(refused_by_play(monkeypatch), PLAY, 3)), show(found)


def test_play_refuses_what_it_would_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that means nothing to a way of playing is never accepted with it."""
    refusal = refused_by_play(monkeypatch)
    ways = {
        "env": {"env"},
        "plant for a walk": {"plant", "command"},
        "plant for a task": {"plant", "task"},
        "plant for a time": {"plant", "seconds"},
        "real": {"real", "robot"},
    }
    means_nothing = {
        "env": {"command", "seconds", "goal", "robot", "timestep", "processes", "no-meshes", "dataset", "fault"},
        "plant for a walk": {"control-mode", "emulated", "continuous", "fault", "dataset", "env", "task"},
        "plant for a task": {"control-mode", "goal", "seconds", "command", "emulated", "dataset", "env"},
        "plant for a time": {"control-mode", "emulated", "continuous", "fault", "dataset", "env", "task"},
        "real": {
            "plant",
            "command",
            "goal",
            "timestep",
            "processes",
            "num-envs",
            "video",
            "rerun",
            "no-meshes",
            "force",
        },
    }
    for way, options in ways.items():
        assert refusal(frozenset(options)) is None, way
        for stray in means_nothing[way]:
            assert refusal(frozenset({*options, stray})) is not None, f"{way} takes --{stray}"


DIAGNOSE: dict[str, Any] = {
    "trace": Path("t"),
    "plant": play_options.PlantName.MUJOCO,
    "robot": "r.xml",
    "command": "0,0,0",
    "task": "so100-reach",
    "seconds": 1.0,
    "seed": 1,
    "through": "m",
    "side": "SIDE",
    "no-meshes": True,
    "json": True,
}


def test_diagnose_leads_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From each of its sets of options that is refused."""
    monkeypatch.setattr(diagnose, "_explain", accept)
    monkeypatch.setattr(diagnose, "_play", accept)

    def refusal(chosen: Options) -> str | None:
        given = {name.replace("-", "_"): DIAGNOSE[name] for name in chosen}
        return answer(lambda: diagnose.diagnose(port=Path("p"), **given))

    assert not (found := dead_ends(refusal, DIAGNOSE, 4)), show(found)


def test_compare_leads_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From each of its sets of options that is refused; runs are arguments, so two are given or none."""
    from policy_port.compare import run, scores

    monkeypatch.setattr(run, "read_run", accept)
    monkeypatch.setattr(scores, "read_rankings", accept)
    values: dict[str, Any] = {
        "tag": ["PP=a", "PN=b", "NN=c", "NP=d"],
        "rank": Path("r.csv"),
        "name": ["a", "b"],
        "report": True,
        "out": Path("o"),
        "json": True,
    }
    for runs in ([], [Path("a"), Path("b")]):

        def refusal(chosen: Options, runs: list[Path] = runs) -> str | None:
            given = {name: values[name] for name in chosen}
            return answer(lambda: compare.compare(runs=runs, **given))

        assert not (found := dead_ends(refusal, values, 6)), show(found)


def test_derive_leads_somewhere_and_ignores_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From each set of its options that is refused; orders go with a robot, proposals with lists of names."""
    from policy_port.descriptors import joint_orders

    monkeypatch.setattr(joint_orders, "derive_mapping", accept)
    monkeypatch.setattr(derive, "_from_names", accept)
    values: dict[str, Any] = {
        "robot": "r.xml",
        "from-order": "mujoco",
        "to-order": "newton",
        "names": (Path("a"), Path("b")),
        "accept-proposals": True,
        "force": True,
    }

    def refusal(chosen: Options) -> str | None:
        given = {name.replace("-", "_"): values[name] for name in chosen}
        return answer(lambda: derive.derive(out=tmp_path / "m.yaml", **given))

    assert not (found := dead_ends(refusal, values, 6)), show(found)
    robot = {"robot", "from-order", "to-order"}
    for ignored in ({"names", "from-order"}, {"names", "to-order"}, {*robot, "accept-proposals"}):
        assert refusal(frozenset(ignored)) is not None, ignored


def test_regress_leads_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """--update goes alone, and what does not go with it is named."""
    from policy_port.regress import suite

    monkeypatch.setattr(suite, "load_suite", lambda path: suite.Suite(path, suite.SuiteFile.model_construct(cases=())))
    monkeypatch.setattr(regress, "_judge", accept)
    monkeypatch.setattr(regress, "_update", accept)
    values = {"update": True, "junit": Path("j"), "report": Path("r"), "ray": True, "fail-on-skip": True, "fresh": True}

    def refusal(chosen: Options) -> str | None:
        given = {name.replace("-", "_"): values[name] for name in chosen}
        return answer(lambda: regress.regress(suite=Path("s"), **given))

    assert not (found := dead_ends(refusal, values, 6)), show(found)


KINDS = (None, *registry.KINDS, "isaac_labb")


@pytest.mark.parametrize("given_file", [False, True])
def test_import_leads_somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given_file: bool) -> None:
    """From each kind and set of options of `contract import`, with a file that is a deploy.yaml and without."""
    monkeypatch.setattr(registry, "_finish", accept)
    file = tmp_path / "deploy.yaml"
    file.write_text("joint_ids_map: [0]\nstep_dt: 0.02\nstiffness: [1]\nobservations: {}\nactions: {}\n")
    sources = [file] if given_file else []
    values = {"env": "X-v1"}

    for kind in KINDS:

        def refusal(chosen: Options, kind: str | None = kind) -> str | None:
            options = ImportOptions(name="n", **{name: values[name] for name in chosen if name != "from"})
            # Leaving --from out is going back to no kind; giving it is giving the right one.
            asked = kind if ("from" in chosen) else None
            return answer(lambda: registry.import_contract(sources, asked, options))

        found = dead_ends(refusal, {"env", "from"}, 2)
        # Where only a file helps, or its absence, the message says so.
        found = {
            c: said for c, said in found.items() if "name its file" not in said and "leave out the file" not in said
        }
        assert not found, f"{kind}: {show(found)}"
