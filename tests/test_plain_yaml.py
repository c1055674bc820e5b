"""Claims about the one reader of YAML: whatever a file holds, it ends in data or in one message, soon."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_port.contract import load_contract
from policy_port.contract.yaml_file import read_yaml
from policy_port.errors import ContractError
from policy_port.plain_yaml import MAX_VALUES, PlainYaml, read_text
from tests.samples import contract_data


def plain(text: str, **options: object) -> object:
    return PlainYaml(text, "f.yaml", ContractError, **options).data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("-12", -12),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("'010'", "010"),
        ('"yes"', "yes"),
        ("left_hip", "left_hip"),
        ("1.0.0", "1.0.0"),
        ("-", [None]),
        ("[1, [2.5, x]]", [1, [2.5, "x"]]),
        ("!!float 3", 3.0),
        ("!!str 3", "3"),
        ("-.inf", float("-inf")),
        # A hash, which is hexadecimal, begins so in one of 256 files.
        ("a: 0b24e9", {"a": "0b24e9"}),
        ("a: 0o18", {"a": "0o18"}),
    ],
)
def test_scalars_mean_one_thing(text: str, value: object) -> None:
    """Numbers, words and nothing come out as YAML 1.2 has them, with their type."""
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "ON", "off", "010", "-017", "0x1F", "0b11", "0o17", "2:00", "1:30:00.5", "1_000", "2024-02-30"],
)
def test_what_two_yamls_read_differently_is_refused_or_text(word: str) -> None:
    """Such a word never becomes a number: our own files refuse it with the line, foreign ones keep it as text."""
    with pytest.raises(ContractError, match=r"f\.yaml:2: .* means one thing to YAML 1\.1"):
        plain(f"a: 1\nb: {word}\n")
    assert plain(f"b: {word}\n", strict=False) == {"b": word}
    assert plain(f"b: '{word}'\n") == {"b": word}


@pytest.mark.parametrize("value", ["true", "yes", "'0.5'", "010", "2:00", "0x10", "1_0", "!!bool true", "!!str 1.0"])
def test_no_such_word_becomes_a_joint_limit(tmp_path: Path, value: str) -> None:
    """A limit is a number as it stands; the right one beside it is read."""
    data = contract_data()
    name = next(iter(data["joints"]))
    data["joints"][name]["upper"] = 1.5
    text = yaml.safe_dump(data, sort_keys=False)
    (tmp_path / "right.yaml").write_text(text)
    assert load_contract(tmp_path / "right.yaml").joints[name].upper == 1.5
    (tmp_path / "wrong.yaml").write_text(text.replace("upper: 1.5", f"upper: {value}"))
    with pytest.raises(ContractError, match=r"wrong\.yaml:\d+: "):
        load_contract(tmp_path / "wrong.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "1" * 5000, "a number of 5000 characters"),
        ("a: !!int foo", "'foo' is no int"),
        ("a: !!float foo", "'foo' is no float"),
        ("a: !!bool maybe", "'maybe' is no bool"),
        ("a: !!timestamp 2024-01-01", "tag !!timestamp is refused"),
        ("a: !local x", "tag !!!local is refused"),
        ("? [a]\n: 1", "a key is a word"),
        ("? {a: 1}\n: 1", "a key is a word"),
        ("a: " + "[" * 900 + "]" * 900, "more than 40 levels deep"),
        ("a: " + "[" * 20_000, "more than 40 levels deep"),
        ("\n".join(" " * i + f"k{i}:" for i in range(2000)), "more than 40 levels deep"),
        ("a: &x [*x]", "an alias leads back to itself"),
        ("a: *nobody", "(?s)alias"),
        ("a: 1\na: 2", "stands twice, first in line 1"),
        ("a: 1\n--- \nb: 2", "a second document"),
        ('a: "\\ud800"', "(half a character|not plain YAML)"),
        ('"\\ud800": 1', "(half a character|not plain YAML)"),
        ('a: "\\e[31m"', "control character U\\+001B"),
        ('"a\\u200bb": 1', "invisible character U\\+200B"),
        ("hip_\u0430: 1", "mixes alphabets"),
        ("a: [1", "is not plain YAML"),
        ("a: b: c", "is not plain YAML"),
        ("a: \x07", "is not plain YAML"),
    ],
)
def test_every_oddity_is_one_message(text: str, message: str) -> None:
    """What a file can hold beside data is refused with its name."""
    with pytest.raises(ContractError, match=message):
        plain(text)


@pytest.mark.parametrize("shape", ["lists", "maps"])
def test_aliases_can_not_multiply(shape: str) -> None:
    """Ten levels of ten aliases each cost nothing and are refused."""
    one, other = ("[", "]") if shape == "lists" else ("{", "}")
    rows = [f"a0: &a0 {one}{'x' if shape == 'lists' else 'x: 1'}{other}"]
    for i in range(1, 12):
        many = [f"*a{i - 1}" if shape == "lists" else f"k{j}: *a{i - 1}" for j in range(10)]
        rows.append(f"a{i}: &a{i} {one}{', '.join(many)}{other}")
    began = time.monotonic()
    with pytest.raises(ContractError, match=f"more than {MAX_VALUES} values"):
        plain("\n".join(rows))
    assert time.monotonic() - began < 10.0


def test_an_alias_is_one_object() -> None:
    """A shared value is read once, and the data says so."""
    data = plain("a: &x [1, 2]\nb: *x\n")
    assert isinstance(data, dict)
    assert data["a"] is data["b"]


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """Nothing waits for a pipe's writer, and nothing reads a device without end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ContractError, match="is a pipe, a socket or a device"):
            read_text(path, ContractError, what="a YAML file", max_bytes=100)
    with pytest.raises(ContractError, match="is a folder"):
        read_text(tmp_path, ContractError, what="a YAML file", max_bytes=100)
    (tmp_path / "long").write_text("x" * 101)
    with pytest.raises(ContractError, match="more than 100 bytes"):
        read_text(tmp_path / "long", ContractError, what="a YAML file", max_bytes=100)


@pytest.mark.parametrize("key", ["default", "defualt"])
def test_thirty_thousand_joints_end_soon(tmp_path: Path, key: str) -> None:
    """Right or wrong, a file of 0.8 MB is an error within seconds, and not thirty thousand lines of it."""
    data = contract_data() | {"joints": {f"joint_{i}": {key: 0.1} for i in range(30_000)}}
    (tmp_path / "c.yaml").write_text(yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    began = time.process_time()
    with pytest.raises(ContractError) as caught:
        load_contract(tmp_path / "c.yaml")
    assert len(str(caught.value).splitlines()) < 30
    assert time.process_time() - began < 10.0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=2000)
@given(data=VALUES, cut=st.integers(0, 400), junk=st.text(alphabet="{}[]&*!?:-#|>'\"\n\t ax0", max_size=8))
def test_anything_is_data_or_one_message(data: object, cut: int, junk: str) -> None:
    """Documents of any shape, whole and with junk in their middle: data, or an error of ours."""
    text = yaml.safe_dump(data, allow_unicode=True)
    for each in (text, text[:cut] + junk + text[cut:]):
        for strict in (True, False):
            with contextlib.suppress(ContractError):
                plain(each, strict=strict)


WORDS = st.text(alphabet="ab _-1.", max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="abc", max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(data=PLAIN)
def test_what_pyyaml_writes_is_read_back(data: object) -> None:
    """Plain data comes back equal, type by type."""
    assert repr(plain(yaml.safe_dump(data, sort_keys=False), strict=False)) == repr(data)


def test_lines_are_told_for_every_value(tmp_path: Path) -> None:
    """A document knows the line of a key, of a list's entry, and of the deepest part that it has."""
    (tmp_path / "d.yaml").write_text("a:\n  b: 1\n  c:\n  - 2\n  - 3\n")
    document = read_yaml(tmp_path / "d.yaml", ContractError)
    assert [document.line(at) for at in (("a",), ("a", "b"), ("a", "c", 1), ("a", "none"))] == [1, 2, 5, 1]
