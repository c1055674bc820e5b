"""Options of commands that read a policy file: whoever does what their refusals say gets somewhere.

The file is read for real, one of each container; what would be done with it is left out. See `test_option_advice.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy_port.cli import export, inspect, verify
from policy_port.cli.verify import Engine, TraceSide
from policy_port.export import write
from policy_port.probe import probe
from policy_port.verdict import evidence
from tests.cli.advised import files
from tests.cli.test_option_advice import Options, accept, answer, dead_ends, show
from tests.export.test_shared_oracles import contract_of

FILES = {
    "clean.pt": {"activation", "from", "ignore"},
    "final_ckpt.pt": {"activation", "from", "ignore"},
    "denied/model_1.pt": {"activation", "agent", "from", "ignore"},
    "run.zip": {"statistics", "from", "agent", "activation", "ignore"},
    "which.onnx": {"output", "from"},
    "slices.pt": {"from", "width"},
}
"""Small files -> the options that may mean something to them."""

VALUES: dict[str, Any] = {
    "from": None,
    "activation": "elu",
    "agent": Path("owned/params/agent.yaml"),
    "statistics": "right.pkl",
    "output": ["mu"],
    "ignore": ["critic"],
}
KINDS = {"clean.pt": "cleanrl", "final_ckpt.pt": "maniskill", "denied/model_1.pt": "rsl_rl", "run.zip": "sb3"}
KINDS |= {"which.onnx": "onnx", "slices.pt": "torchscript"}
WIDTHS = {"clean.pt": (8, 4), "final_ckpt.pt": (8, 4), "denied/model_1.pt": (6, 3), "run.zip": (6, 2)}
WIDTHS |= {"which.onnx": (9, 3), "slices.pt": (47, 4)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind, in the working folder of each test."""
    made = tmp_path_factory.mktemp("files")
    files.write_checkpoints(made)
    files.write_graphs(made)
    for file, widths in WIDTHS.items():
        (made / f"{KINDS[file]}.yaml").write_text(contract_of(*widths).to_yaml())
    return made


@pytest.fixture(autouse=True)
def working(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def exported(file: str) -> Callable[[Options], str | None]:
    def refusal(chosen: Options) -> str | None:
        given = {name: KINDS[file] if name == "from" else VALUES[name] for name in chosen}
        given["library"] = given.pop("from", None)
        return answer(
            lambda: export.export(policy=Path(file), contract=Path(f"{KINDS[file]}.yaml"), out=Path("out"), **given)
        )

    return refusal


def inspected(file: str) -> Callable[[Options], str | None]:
    values = VALUES | {
        "width": 47,
        "teacher": True,
        "probe": True,
        "contract": Path(f"{KINDS[file]}.yaml"),
        "json": True,
    }

    def refusal(chosen: Options) -> str | None:
        given = {name: KINDS[file] if name == "from" else values[name] for name in chosen}
        given["library"] = given.pop("from", None)
        return answer(lambda: inspect.inspect(file=Path(file), **given))

    return refusal


@pytest.mark.parametrize("file", FILES)
def test_export_leads_somewhere(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """From each set of three options of a policy file; remap takes the same."""
    monkeypatch.setattr(write, "write_port", accept)
    assert not (found := dead_ends(exported(file), VALUES, 3)), show(found)


@pytest.mark.parametrize("file", FILES)
def test_export_ignores_nothing(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """An option that means nothing to a kind of file is refused."""
    monkeypatch.setattr(write, "write_port", accept)
    refusal = exported(file)
    for stray in VALUES.keys() - FILES[file]:
        needed = {"from"} if file == "final_ckpt.pt" else {"output"} if file == "which.onnx" else set()
        assert refusal(frozenset({*needed, stray})) is not None, f"{file} takes --{stray}"


@pytest.mark.parametrize("file", FILES)
def test_inspect_leads_somewhere(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """From each set of three of its options."""
    monkeypatch.setattr(probe, "probe", accept)
    options = {*VALUES, "width", "teacher", "probe", "contract"} - {"ignore"}
    assert not (found := dead_ends(inspected(file), options, 3)), show(found)


def test_verify_leads_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace is all that it asks for."""
    monkeypatch.setattr(evidence, "read_evidence", accept)
    values = {"trace": Path("t"), "side": TraceSide.PORT, "engine": Engine.ONNX, "report": Path("r"), "json": True}

    def refusal(chosen: Options) -> str | None:
        return answer(lambda: verify.verify(port=Path("p"), **{name: values[name] for name in chosen}))

    assert not (found := dead_ends(refusal, values, 5)), show(found)
