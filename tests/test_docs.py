"""The site's chapters and API pages are complete; scripts/docs itself builds them, and fails on a warning."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import hooks
from tests.test_rooms import ROOMS, TOP_ROOM

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("__init__", "arrays")


def test_every_room_has_an_api_page() -> None:
    """The pages are those of the table of rooms, and every module of the package is on exactly one."""
    assert set(hooks.rooms()) == {"", TOP_ROOM, *ROOMS}
    modules = [module for room in hooks.rooms().values() for module in room]
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "policy_port").rglob("*.py")}
    assert sorted(modules) == sorted(name.removesuffix(".__init__") for name in files)


def test_a_rooms_own_file_defines_nothing_public() -> None:
    """What a room's own file only passes on is shown where it is defined, so nothing may be defined there."""
    for path in (ROOT / "policy_port").rglob("*/__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        assert [name for name in defined if not name.startswith("_")] == [], path


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("docs/traces.md", "docs/traces.md"),
        ("policy_port/contract", "api/contract.md"),
        ("policy_port/trace.py", "api/trace.md"),
        ("policy_port/checkpoints/onnx/cut.py", "api/checkpoints.onnx.md#policy_port.checkpoints.onnx.cut"),
        ("policy_port/assets/so100_reach/contract.yaml", "policy_port/assets/so100_reach/contract.yaml"),
        ("mappings", "mappings/README.md"),
    ],
)
def test_a_link_leads_to_what_stands_for_its_target(path: str, place: str) -> None:
    """Code is its API page, a document or another file is itself, and a folder is the list of its files."""
    assert hooks.place_in_site(path) == place


@pytest.mark.slow
def test_mistakes_fail_the_build(tmp_path: Path) -> None:
    """A dead link, a dead anchor, a chapter in no list, and a described argument that is none: each warns."""
    checkout = tmp_path / "checkout"
    # Of the package two files: the build of its other pages is that of scripts/docs.
    shutil.copytree(ROOT / "docs", checkout / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "policy_port").mkdir()
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"policy_port/{n}.py" for n in KEPT)):
        shutil.copy(ROOT / name, checkout / name)
    mistakes = {
        "README.md": "\n[gone](docs/nothing.md) [lost](docs/ci.md#nowhere)\n",
        "docs/new.md": "# A chapter\n",
        "policy_port/arrays.py": '\n\ndef f(x: int):\n    """Do.\n\n    Args:\n        y: Nothing.\n    """\n',
    }
    for file, text in mistakes.items():
        with (checkout / file).open("a") as opened:
            opened.write(text)
    build = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(build, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "contains a link 'docs/nothing.md'" in done.stderr
    assert "does not contain an anchor '#nowhere'" in done.stderr
    assert "docs/new.md" in done.stderr
    assert "Parameter 'y' does not appear in the function signature" in done.stderr
