"""What the package's messages advise, read out of its source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from policy_port.cli.app import COMMANDS
from tests.sources import sources

OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*")
COMMAND = re.compile(r"`?policy-port ((?:camera|contract|map|robot) [a-z]+|[a-z]+)")
NOT_MESSAGES = ("typer.Option", "typer.Argument", "typer.Typer")

# Where a message stands -> the commands that can print it; the longest fitting beginning counts.
PRINTED_BY: dict[str, tuple[str, ...]] = {
    "camera/background.py": ("camera background",),
    "camera/check.py": ("camera check",),
    "camera/env_": ("camera resets", "camera background", "camera check"),
    "camera/board.py": ("camera solve",),
    "camera/page.py": ("camera align",),
    "camera/shots.py": ("camera solve",),
    "camera/trained.py": ("camera resets",),
    "camera/solve": ("camera solve",),
    "cli/arm.py": ("play", "camera align"),
    "cli/arm_options.py": ("play",),
    "cli/arm_run.py": ("play", "collect"),
    "cli/camera_align.py": ("camera align",),
    "cli/camera_background.py": ("camera background",),
    "cli/camera_check.py": ("camera check",),
    "cli/camera_resets.py": ("camera resets",),
    "cli/camera_solve.py": ("camera solve",),
    "cli/emulate.py": ("emulate",),
    "checkpoints/": ("inspect", "export", "remap"),
    "checkpoints/libraries/training_only.py": ("export", "remap"),
    "checkpoints/policy.py": ("export", "remap"),
    "cli/collect.py": ("collect",),
    "cli/compare.py": ("compare",),
    "cli/contract.py": ("contract import",),
    "cli/derive.py": ("map derive",),
    "cli/diagnose.py": ("diagnose",),
    "cli/engine.py": ("engine",),
    "cli/identify.py": ("identify",),
    "cli/inspect.py": ("inspect",),
    "cli/map.py": ("map show",),
    "cli/plant_options.py": ("play",),
    "cli/play": ("play",),
    "cli/run_folder.py": ("export", "remap"),
    "cli/distil.py": ("distil",),
    "cli/train.py": ("train", "finetune"),
    "cli/verify.py": ("verify",),
    "cli/regress.py": ("regress",),
    "closed_loop/": ("diagnose",),
    "compare/": ("compare",),
    "contract/": ("play",),
    "contract/measurable.py": ("contract measurable",),
    "descriptors/": ("contract import",),
    "device/": ("play",),
    "dynamics/": ("play",),
    "engine/": ("engine",),
    "descriptors/outwards/": ("contract write",),
    "control/": ("play",),
    "export/": ("export", "remap"),
    "identify/": ("identify",),
    "files.py": ("export", "remap", "play", "compare"),
    "live/": ("play",),
    "mistakes/": ("diagnose",),
    "motion/": ("play", "export"),
    "plants/": ("play",),
    "plants/setup.py": ("play", "diagnose"),
    "port/": ("export",),
    "regress/": ("regress",),
    "sweep/": ("sweep",),
    "probe/": ("inspect",),
    "replay/": ("play",),
    "robot_models/": ("play", "diagnose"),
    "robots/arm/": ("play",),
    "robots/emulator/": ("emulate",),
    "robots/jobs/": ("play",),
    "robots/jobs/recorded_poses.py": ("camera solve",),
    "tasks/": ("play", "distil"),
    "robots/maniskill/": ("play",),
    "system/": (),
    "train/": ("train", "finetune"),
    "train/distil.py": ("distil",),
    "train/finetune.py": ("finetune",),
    "train/task_": ("distil",),
    "train/teacher.py": ("distil",),
    "verdict/": ("verify", "diagnose"),
    "verdict/motion_": ("export",),
    "pipeline/": ("pipeline",),
}


@dataclass(frozen=True)
class Message:
    """A text of the source that names an option or a command."""

    file: str
    line: int
    text: str
    """With {} for what is filled in."""

    @property
    def options(self) -> set[str]:
        """The package's options that it names; those of other programs stand behind their names."""
        return set(OPTION.findall(re.sub(r"(pip install|ray start|lerobot-calibrate)[^:;,]*", "", self.text)))

    @property
    def commands(self) -> set[str]:
        """The package's commands that it names."""
        return set() if self.file == "trace.py" else set(COMMAND.findall(self.text))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@functools.cache
def messages() -> list[Message]:
    """Every text that names an option or a command, docstrings and the help of options and commands aside."""
    helped = {line for _, line in COMMANDS.values()}
    found = [Message(file, line, text) for file, line, text, said in _texts() if said and text not in helped]
    # A sentence, not a style sheet, and not an option's bare name.
    return [each for each in found if _sentence(each.text) and (each.options or each.commands)]


KEY = re.compile(
    r"`(?!policy-port|export|real|with)[a-z_]+(?:: [^`]*)?`|\b(?:[Ww]rite|[Ss]et|[Dd]rop|[Gg]ive) [a-z_.]+: [^p]"
    r"|must say how|write JOINT: NUMBER|under only_in_|add lower and upper"
)


@functools.cache
def key_messages() -> list[str]:
    """Every text that names a key of a YAML file to write, to mend or to drop."""
    found = [text for _, _, text, said in _texts() if said and KEY.search(text) and _sentence(text)]
    return list(dict.fromkeys(found))


def printed_by(message: Message) -> tuple[str, ...]:
    """The commands that can print a message."""
    fitting = [start for start in PRINTED_BY if message.file.startswith(start)]
    assert fitting, f"{message}\nadvises something; say in PRINTED_BY which commands print it"
    return PRINTED_BY[max(fitting, key=len)]


def texts() -> list[str]:
    """Every text of the source."""
    return [text for _, _, text, _ in _texts()]


def _sentence(text: str) -> bool:
    return "{\n" not in text and " " in text.strip()


@functools.cache
def _texts() -> list[tuple[str, int, str, bool]]:
    """Every text of the source: file, line, text, and whether somebody is told it."""
    found = []
    for source in sources():
        skipped = {id(node) for node in _no_messages(source.nodes)}
        for node in source.nodes:
            if text := _text(node):
                found.append((source.file, getattr(node, "lineno", 0), text, id(node) not in skipped))
    return found


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


# The table of commands: a line of help of each.
HELP = ("COMMANDS", "GROUPS")


def _no_messages(nodes: list[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield from node.values
        elif (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in HELP) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _name(node.func) in NOT_MESSAGES
        ):
            yield from ast.walk(node)


def _name(function: ast.Attribute) -> str:
    return f"{function.value.id}.{function.attr}" if isinstance(function.value, ast.Name) else ""
