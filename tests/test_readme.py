"""What the README promises is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import policy_port
from policy_port.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = sorted(
    {line.split("#")[0].strip() for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()}
)


def test_the_readme_is_short() -> None:
    """A newcomer reads it whole: under 700 words."""
    assert len(README.split()) < 700


def test_links_lead_somewhere() -> None:
    """Every relative link of the README is a file or folder of the project."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("policy-port ")])
def test_every_option_shown_exists(command: str) -> None:
    """Each command line of the README names commands and options that the program has."""
    words = shlex.split(command)[1:]
    path = [words[0]] + ([words[1]] if words[0] in ("map", "contract", "robot") else [])
    shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=200)
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.output


def test_every_script_shown_exists() -> None:
    """The scripts that the README starts are there and can be executed."""
    for command in (line for line in COMMANDS if line.startswith("scripts/")):
        assert (ROOT / command.split()[0]).stat().st_mode & 0o111


def test_every_name_of_the_library_shown_exists() -> None:
    """The library example uses names that the package exports."""
    code = "\n".join(block for kind, block in BLOCKS if kind == "python")
    names = set(re.findall(r"\bpp\.(\w+)", code))
    assert names
    assert [name for name in names if not hasattr(policy_port, name)] == []


def test_every_exported_name_loads() -> None:
    """Each name in `policy_port.__all__` can be had from its module."""
    assert [name for name in policy_port.__all__ if getattr(policy_port, name, None) is None] == []
