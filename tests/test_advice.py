"""Every option, command, key and package that a message names is there, on the command that can print the message."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

from policy_port.cli.app import COMMANDS, GROUPS, command_named
from tests.advice import Message, messages, printed_by
from tests.sources import PACKAGE, sources

# An option of another command than the one that prints the message, which then says so -> that command.
NAMED_FOR: dict[tuple[str, str], str] = {
    ("camera/env_file.py", "--out"): "camera background",
    ("checkpoints/libraries/rsl_rl_layout.py", "--teacher"): "inspect",
    ("checkpoints/load.py", "--ignore"): "export",
    ("checkpoints/load.py", "--width"): "inspect",
    ("checkpoints/torchscript/record.py", "--width"): "inspect",
    ("cli/contract.py", "--student-contract"): "distil",
    ("cli/contract.py", "--teacher-contract"): "distil",
    ("cli/contract.py", "--write"): "contract measurable",
    ("cli/identify.py", "--dynamics"): "play",
    ("cli/inspect.py", "--ignore"): "export",
    ("cli/verify.py", "--probe"): "inspect",
    ("closed_loop/diagnosis.py", "--trace"): "diagnose",
    ("compare/run.py", "--out"): "play",
    ("export/write.py", "--engine"): "verify",
    ("export/write.py", "--plant"): "diagnose",
    ("robots/arm/confirmation.py", "--robot"): "robot check",
    ("robots/arm/confirmation.py", "--confirm"): "robot check",
    ("replay/open_env.py", "--env"): "contract import",
    ("train/task_distil.py", "--obs-mode"): "contract import",
    ("regress/pilots.py", "--normalize-states"): "",
    ("verdict/sides.py", "--engine"): "verify",
    ("camera/shots.py", "--whole"): "camera background",
}
# Options of other people's programs.
FOREIGN = {("checkpoints/libraries/maniskill.py", "--normalize-states"), ("system/findings.py", "--force-reinstall")}


@cache
def options_of() -> dict[str, set[str]]:
    """Options by command; groups' commands as "map derive"."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for part, inner in command.commands.items():
                walk(inner, f"{name} {part}".strip())
            return
        found[name] = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--")
        }

    for name in {**COMMANDS, **GROUPS}:
        walk(command_named(name), name)
    return found


def test_messages_are_found() -> None:
    """The reader of the source has not gone blind."""
    assert len(messages()) > 150
    assert any("--seconds" in message.options and message.file == "replay/held.py" for message in messages())


def lacking(message: Message) -> list[str]:
    """The options that a message names and a command that prints it does not have."""
    found = []
    for option in message.options:
        key = message.file, option
        commands = () if key in FOREIGN else (NAMED_FOR[key],) if key in NAMED_FOR else printed_by(message)
        found += [f"{message}\n`{each}` has no {option}" for each in commands if option not in options_of()[each]]
    return found


def test_options_that_messages_name_exist() -> None:
    """On every command that prints them."""
    assert not [said for message in messages() for said in lacking(message)]
    assert lacking(Message("replay/held.py", 1, "give --scales"))


def test_commands_that_messages_name_exist() -> None:
    """As they are called."""
    assert not [str(message) for message in messages() if not message.commands <= options_of().keys()]


def test_extras_that_messages_name_exist() -> None:
    """pip install 'policy-port[sim]' is an extra of pyproject.toml."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = "\n".join(each.text for each in sources())
    named = set(re.findall(r"policy-port\[([a-z]+)\]", source))
    assert named
    assert named <= project["optional-dependencies"].keys()
