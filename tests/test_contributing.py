"""CONTRIBUTING.md is the map of what stands: every room is on it, and everything that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.test_rooms import ROOMS, TOP_ROOM

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "policy_port"
MAP = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)
(DIAGRAM,) = FENCE.findall(MAP)
TEXT = FENCE.sub("", MAP)
LINKS = re.findall(r"\]\(([^)]+)\)", TEXT)
PROGRAMS = {"policy-port", "pre-commit"}

# A paragraph, a bullet or a table's row: the names in one are looked for in the files that it links to, or names.
BLOCKS = [block for block in re.split(r"\n\n|\n(?=- )|\n(?=\|)", TEXT) if "`" in block]

TESTED_ELSEWHERE = {
    "robot_models": "plants and descriptors, which read robot files through it",
}
"""Room without a folder of tests -> the rooms whose tests it is tested by."""

NO_ROOM = {
    "examples": "tests of the programs in examples/",
    "real_policies": "contracts of policies that public projects trained; no tests",
}
"""Folder of tests -> what it is, where it stands for no room."""


def quoted(block: str) -> list[str]:
    return re.findall(r"`([^`]+)`", block)


def found(path: str) -> Path | None:
    """The file or folder that a path names: from the top of the project or the package, or by its name alone."""
    places = [ROOT / path, PACKAGE / path]
    if "/" not in path:
        places += [*PACKAGE.rglob(path), *(ROOT / "tests").rglob(path)]
    return next((place for place in places if place.exists()), None)


def is_path(token: str) -> bool:
    return " " not in token and ("/" in token or token.endswith((".py", ".md", ".yaml")))


def defined_in(file: Path) -> set[str]:
    """Names of classes, functions and assigned variables, methods and fields too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return names


def files_of(block: str) -> list[Path]:
    """The Python files that a block links to or names; those of a folder that it names."""
    links = [ROOT / link for link in re.findall(r"\]\(([^)]+)\)", block)]
    places = [*links, *filter(None, (found(token) for token in quoted(block) if is_path(token)))]
    return [file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])]


def test_links_lead_somewhere() -> None:
    """Every link is a file or folder of the project."""
    assert len(LINKS) > 20
    assert [link for link in LINKS if not (ROOT / link.partition("#")[0]).exists()] == []


def test_every_path_exists() -> None:
    """Each path in backticks is there, from the top of the project or of the package."""
    paths = [token for token in quoted(TEXT) if is_path(token)]
    assert len(paths) > 50
    assert [path for path in paths if found(path) is None] == []


def test_a_links_text_is_its_targets_name() -> None:
    """A link that shows a path leads to that path."""
    shown = re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", TEXT)
    assert len(shown) > 15
    ends = [(f"/{text.strip('/')}", f"/{link.removesuffix('/README.md')}") for text, link in shown]
    assert [link for text, link in ends if not link.endswith(text)] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if any(token.isidentifier() for token in quoted(block))])
def test_every_name_is_defined(block: str) -> None:
    """Each class, function or variable in backticks is defined in a Python file that its own paragraph leads to."""
    files = [file for file in files_of(block) if file.suffix == ".py"]
    names = {name for file in files for name in defined_in(file)}
    assert [token for token in quoted(block) if token.isidentifier() and token not in names] == []


def test_every_command_exists() -> None:
    """What is shown with arguments is a script of the project, with paths that exist, or a command of the program."""
    from policy_port.cli.app import COMMANDS, GROUPS

    shown = [token.split() for token in quoted(TEXT) if " " in token]
    assert len(shown) >= 3
    for program, *words in shown:
        if program == "policy-port":
            assert words[0] in (*COMMANDS, *GROUPS)
        elif program == "play":
            assert program in COMMANDS
        else:
            assert program == "pre-commit" or (ROOT / program).stat().st_mode & 0o111, program
        assert [word for word in words if "/" in word and found(word) is None] == []


def test_no_other_kind_of_token_is_left_unchecked() -> None:
    """Whatever stands in backticks is a path, a name, a command or an option."""
    assert [
        token
        for token in quoted(TEXT)
        if not is_path(token) and not token.isidentifier() and " " not in token and token not in ("--report", ".venv")
    ] == []


def test_every_room_is_on_the_map() -> None:
    """Each room of the table in test_rooms.py has its row, and no row is of a room that is gone."""
    rows = "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `"))
    rooms = {path.removesuffix(".py").strip("/").replace("/", ".") for path in quoted(rows)}
    assert rooms == {TOP_ROOM, *ROOMS}


def test_the_diagram_shows_rooms() -> None:
    """Each folder in the diagram is a room, and each room at the top that data flows through is in it."""
    drawn = set(re.findall(r"\b(\w+)/", DIAGRAM))
    folders = {room for room in (TOP_ROOM, *ROOMS) if (PACKAGE / room).is_dir()}
    assert drawn == folders - {"cli", "system"}


def test_the_tests_mirror_the_rooms() -> None:
    """What a room does is tested in the folder of its name; the exceptions are listed, and are ones."""
    tests = ROOT / "tests"
    folders = {".".join(p.parent.relative_to(tests).parts) for p in tests.rglob("test_*.py")} - {""}
    folders |= {folder.rpartition(".")[0] for folder in folders if "." in folder}
    # A room of a single test has it at the top.
    folders |= {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")} & set(ROOMS)
    rooms = {room for room in (TOP_ROOM, *ROOMS) if (PACKAGE / room.replace(".", "/")).is_dir()}
    assert rooms - folders == set(TESTED_ELSEWHERE)
    assert folders - {*ROOMS, TOP_ROOM} == {name for name in NO_ROOM if list((tests / name).glob("test_*.py"))}
    assert [name for name in NO_ROOM if not (tests / name).is_dir() or name in rooms] == []
