"""YAML that strangers wrote, read in one place: regular files, bounded, with scalars that mean one thing.

Nothing is ever constructed but text, numbers, true, false, null, lists and mappings; whoever knows further tags says
what they become. Aliases are followed once, so that a file can't multiply itself. Scalars are those of YAML 1.2. What
1.1 read otherwise (`yes`, `010`, `2:00`, `1_000`, a date) is text to a reader of foreign files and an error in our
own, where such a word might become a limit of an arm.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from policy_port.errors import PolicyPortError

MAX_VALUES = 200_000
"""Values that a file may come to, aliases followed; the largest descriptor seen has 3,000."""

MAX_DIGITS = 400
"""Characters of a number; the longest float64 written out has 326."""

_TAG = "tag:yaml.org,2002:"
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = ("yes", "no", "on", "off")
_SEVERAL_MEANINGS = re.compile(
    rf"{'|'.join(_WORDS)}|[-+]?0[0-7_]+|[-+]?0(?:b[01_]+|o[0-7_]+|x[0-9a-f_]+)"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?",
    re.IGNORECASE,
)
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Writes what yaml.safe_dump does, four times as fast."""

Construct = Callable[[yaml.Node, Any], Any]
"""From a node and the plain value under it to what its tag stands for; a ValueError says why it is none."""


def read_text(path: Path, error: type[PolicyPortError], *, what: str, max_bytes: int) -> str:
    """The text of a regular file, or an error of ours.

    Args:
        path: The file.
        error: Class of the errors.
        what: What the file should be, for the messages: "a YAML file".
        max_bytes: Largest file read.
    """
    return text_of(read_bytes(path, error, what=what, max_bytes=max_bytes), path, error, what=what)


def read_bytes(path: Path, error: type[PolicyPortError], *, what: str, max_bytes: int, flags: int = 0) -> bytes:
    """The bytes of a regular file, opened with these `flags` too; see `read_text`."""
    try:
        # Without waiting: a pipe has no writer, and a device never ends.
        with open(path, "rb", opener=lambda name, basic: os.open(name, basic | flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise error(f"{path}: is a pipe, a socket or a device; give {what}")
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise error(f"{path}: more than {max_bytes} bytes are too many for {what}; is it the right one?")
        return data
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder; give {what}") from None
    except (OSError, ValueError) as cause:
        # A name with a null byte is a ValueError.
        reason = cause.strerror if isinstance(cause, OSError) else str(cause)
        raise error(f"{path}: can't be read: {reason or type(cause).__name__}") from cause


def text_of(data: bytes, path: Path, error: type[PolicyPortError], *, what: str) -> str:
    """The text of a file that was read already; see `read_text`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise error(f"{path}: is not text; give {what}") from None


class PlainYaml:
    """One document, composed to nodes and turned into plain data."""

    def __init__(
        self,
        text: str,
        where: object,
        error: type[PolicyPortError],
        *,
        tags: Mapping[str, Construct] | None = None,
        any_tag: Construct | None = None,
        strict: bool = True,
        max_depth: int = 40,
    ) -> None:
        """Read `text`.

        Args:
            text: One YAML document, or JSON.
            where: Its file, for the messages.
            error: Class of the errors.
            tags: What further tags become, by name without "!!".
            any_tag: What a tag that is not in `tags` becomes; None where it is refused by name.
            strict: Refuse scalars that YAML 1.1 and 1.2 read differently, instead of taking them for text.
            max_depth: Deepest nesting.

        Raises:
            PolicyPortError: Of the class `error`, with the line.
        """
        self._where, self._error = where, error
        self._tags = {f"{_TAG}{name}": construct for name, construct in (tags or {}).items()}
        self._any_tag, self._strict, self._max_depth = any_tag, strict, max_depth
        self.root = self._compose(text)
        """The document's node; an empty document is a null."""
        self._sizes: dict[int, int] = {}
        self._measure(self.root)
        self._made: dict[int, Any] = {}
        self.data = self._construct(self.root)
        """The document as plain data. What an alias names is one object."""

    def _compose(self, text: str) -> yaml.Node:
        """Build the nodes from the parser's events, which come in a loop: nesting costs no stack."""
        try:
            return self._composed(yaml.parse(text, Loader=_LOADER))
        except yaml.YAMLError as cause:
            mark = getattr(cause, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(cause, "problem", None) or getattr(cause, "reason", None) or str(cause).splitlines()[0]
            raise self._error(f"{self._where}{line}: is not plain YAML: {problem}") from None
        except UnicodeEncodeError:
            raise self._error(f"{self._where}: holds half a character (a lone surrogate), which is no text") from None

    def _composed(self, events: Iterator[yaml.Event]) -> yaml.Node:
        anchors: dict[str, yaml.Node] = {}
        stack: list[yaml.Node] = []
        root: yaml.Node | None = None
        pending: dict[int, yaml.Node] = {}  # the key that a mapping of the stack waits with
        for count, event in enumerate(events):
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._refuse(event, "a second document begins here; one file holds one")
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
                continue
            if not isinstance(event, yaml.NodeEvent):
                continue
            if count > 4 * MAX_VALUES:
                self._refuse(event, f"the file holds more than {MAX_VALUES} values")
            node = self._node(event, anchors)
            if not stack:
                root = node
            elif isinstance(stack[-1], yaml.SequenceNode):
                stack[-1].value.append(node)
            elif (key := pending.pop(id(stack[-1]), None)) is None:
                pending[id(stack[-1])] = node
            else:
                stack[-1].value.append((key, node))
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(node)
                if len(stack) > self._max_depth:
                    self._refuse(node, f"is nested more than {self._max_depth} levels deep")
        return root if root is not None else yaml.ScalarNode(f"{_TAG}null", "", yaml.Mark("", 0, 0, 0, "", 0))

    def _node(self, event: yaml.NodeEvent, anchors: dict[str, yaml.Node]) -> yaml.Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                self._refuse(event, f"the alias *{event.anchor} names nothing above it")
            return anchors[event.anchor]
        marks: tuple[Any, Any] = event.start_mark, event.end_mark
        if isinstance(event, yaml.ScalarEvent):
            # What stands without quotes and tag is known by its letters alone.
            tag = event.tag or ("" if event.style in (None, "") else f"{_TAG}str")
            node: yaml.Node = yaml.ScalarNode(tag if tag != "!" else f"{_TAG}str", event.value, *marks)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = yaml.SequenceNode(event.tag or f"{_TAG}seq", [], *marks)
        else:
            assert isinstance(event, yaml.MappingStartEvent)
            node = yaml.MappingNode(event.tag or f"{_TAG}map", [], *marks)
        if event.anchor is not None:
            anchors[event.anchor] = node
        return node

    def _measure(self, node: yaml.Node, depth: int = 0) -> int:
        """Values under a node, aliases written out, before any is built; loops and repeated keys are refused."""
        if (known := self._sizes.get(id(node))) is not None:
            if known == 0:
                self._refuse(node, "an alias leads back to itself")
            return known
        if depth > self._max_depth:
            self._refuse(node, f"is nested more than {self._max_depth} levels deep")
        self._sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self._measure(child, depth + 1) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    self._refuse(key, "a key is a word here, not a list or mapping")
                if key.value in lines:
                    self._refuse(key, f"key '{key.value}' stands twice, first in line {lines[key.value]}; keep one")
                lines[key.value] = key.start_mark.line + 1
                size += self._measure(key, depth + 1) + self._measure(value, depth + 1)
        if size > MAX_VALUES and self._strict:
            self._refuse(node, f"the file comes to more than {MAX_VALUES} values")
        self._sizes[id(node)] = size
        return size

    def _construct(self, node: yaml.Node) -> Any:
        if id(node) in self._made:
            return self._made[id(node)]
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self._construct(child) for child in node.value]
            plain = node.tag == f"{_TAG}seq"
        elif isinstance(node, yaml.MappingNode):
            value = {self._key(key): self._construct(child) for key, child in node.value}
            plain = node.tag == f"{_TAG}map"
        else:
            value, plain = self._scalar(node)
        if not plain:
            construct = self._tags.get(node.tag, self._any_tag)
            if construct is None:
                self._refuse_tag(node)
            try:
                value = construct(node, value)
            except ValueError as cause:
                self._refuse(node, str(cause))
        self._made[id(node)] = value
        return value

    def _key(self, node: yaml.Node) -> Any:
        key = self._construct(node)
        if isinstance(key, str) and not (key.isascii() and key.isprintable()):
            odd = next(
                (letter for letter in key if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Zl", "Zp")), None
            )
            if odd is not None:
                self._refuse(node, f"the key {key!a} holds the invisible character U+{ord(odd):04X}; take it out")
            scripts = {unicodedata.name(letter, "?").split()[0] for letter in key if letter.isalpha()}
            if len(scripts & {"LATIN", "CYRILLIC", "GREEK"}) > 1:
                self._refuse(node, f"the key {key!a} mixes alphabets whose letters look alike; write it anew")
        return key

    def _scalar(self, node: yaml.Node) -> tuple[Any, bool]:
        """The value of a scalar, and whether it is plain data."""
        text = node.value
        # What is printable has neither, and what is ASCII no half characters: most text is both.
        odd = not text.isprintable()
        if odd and not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            self._refuse(node, f"{text[:40]!a} holds half a character (a lone surrogate), which is no text")
        if odd and self._strict and (found := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)):
            # A terminal that is shown the text would obey it.
            self._refuse(node, f"{text[:40]!a} holds the control character U+{ord(found[0]):04X}; take it out")
        match node.tag.removeprefix(_TAG):
            case "str":
                return text, True
            case "":
                return self._plain_scalar(node, text), True
            case "int" | "float" | "bool" | "null" as name if node.tag.startswith(_TAG):
                value = self._plain_scalar(node, text)
                if name == "float" and isinstance(value, int) and not isinstance(value, bool):
                    value = float(value)
                kinds = {"int": int, "float": float, "bool": bool, "null": type(None)}
                if type(value) is not kinds[name]:
                    self._refuse(node, f"is not plain YAML: {text[:40]!r} is no {name}")
                return value, True
            case _:
                return text, False

    def _plain_scalar(self, node: yaml.Node, text: str) -> Any:
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text.isidentifier() and text.isascii() and text.lower() not in _WORDS:
            # It begins with a letter, as all that follows but these words does not.
            return text
        if _SEVERAL_MEANINGS.fullmatch(text):
            if self._strict:
                self._refuse(
                    node,
                    f"{text[:40]} means one thing to YAML 1.1 and another to YAML 1.2; write a decimal number, true or "
                    "false, or put text in quotes",
                )
            return text
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            if len(text) > MAX_DIGITS:
                self._refuse(node, f"a number of {len(text)} characters; write it with at most 17 digits")
            if _INT.fullmatch(text):
                return int(text)
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _refuse_tag(self, node: yaml.Node) -> NoReturn:
        known = ", ".join(f"!!{tag.removeprefix(_TAG)}" for tag in self._tags)
        self._refuse(
            node,
            f"the tag !!{node.tag.removeprefix(_TAG)} is refused: it would have to run code to be read"
            f"{f'. Such files need only {known}' if known else ''}; remove the line if you know what it stands for",
        )

    def _refuse(self, at: yaml.Node | yaml.Event, message: str) -> NoReturn:
        line = "" if at.start_mark is None else f":{at.start_mark.line + 1}"
        raise self._error(f"{self._where}{line}: {message}")
