"""Claims about the reader of trainers' YAML: two tags, nothing is ever constructed, and what nobody reads is let be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign, Slice, read_tagged_yaml
from policy_port.errors import ContractError
from tests.descriptors.importing import write


def test_tuples_and_slices_are_read_as_plain_values(tmp_path: Path) -> None:
    """The two tags of Isaac Lab's files become a tuple and three plain values."""
    path = write(
        tmp_path / "env.yaml",
        "eye: !!python/tuple\n- 7.5\n- 1\nids: !!python/object/apply:builtins.slice\n- null\n- null\n- null\n"
        "part: !!python/object/apply:builtins.slice [1, 5, 2]\n",
    )
    data = read_tagged_yaml(path)
    assert data == {"eye": (7.5, 1), "ids": Slice(None, None, None), "part": Slice(1, 5, 2)}
    assert data["ids"].everything
    assert not data["part"].everything


@pytest.mark.parametrize(
    "tag",
    [
        "python/object/apply:os.system",
        "python/object/new:subprocess.Popen",
        "python/name:os.system",
        "python/module:os",
        "python/object/apply:builtins.eval",
        "python/object/apply:builtins.slice2",
        "python/object/apply:numpy.core.multiarray.scalar",
        "binary",
        "set",
        "local",
    ],
)
@pytest.mark.parametrize("value", ["['touch {trace}']", "{{x: [1, !!python/name:os.system y]}}", "'touch {trace}'"])
def test_any_other_tag_is_let_be_until_its_value_is_needed(tmp_path: Path, tag: str, value: str) -> None:
    """What only code could read runs nothing, and is an error that names line and tag where somebody needs it."""
    trace = tmp_path / "it_ran"
    path = write(tmp_path / "env.yaml", f"a: 1\nb:\n- c: !!{tag} {value.format(trace=trace)}\nd: [1, !!{tag} 2]\n")
    record = Record.read(path)
    assert record.number("a") == 1.0
    assert record.data["b"][0]["c"] == Foreign(f"!!{tag}", 3)
    section = record.sections("b")[0]
    for read in (
        section.number,
        section.text,
        section.section,
        section.flag,
        section.names,
        section.bounds,
        section.get,
    ):
        with pytest.raises(
            ContractError, match=rf"env\.yaml: key 'b\[0\]\.c' is a value with the tag !!{tag} \(line 3\)"
        ):
            read("c")
    with pytest.raises(ContractError, match=rf"'d\[1\]' is a value with the tag !!{tag} \(line 4\)"):
        record.numbers("d")
    assert not trace.exists()


def test_a_hostile_tag_on_a_key_is_refused(tmp_path: Path) -> None:
    """Keys are looked at like values."""
    path = write(tmp_path / "env.yaml", "? !!python/name:os.system x\n: 1\n")
    with pytest.raises(ContractError, match=r"env.yaml:1: a key has the tag !!python/name:os.system"):
        read_tagged_yaml(path)
    with pytest.raises(ContractError, match="a key has the tag !!binary"):
        read_tagged_yaml(write(tmp_path / "env.yaml", "a: &x [{? !!binary 'AAA=' : 1}]\nb: *x\n"))


@pytest.mark.parametrize("text", ["!!python/tuple 3", "!!python/object/apply:builtins.slice [1]"])
def test_a_known_tag_on_something_else_is_a_foreign_one(tmp_path: Path, text: str) -> None:
    """A tuple or slice that is none stops whoever needs it, and nobody else."""
    record = Record.read(write(tmp_path / "env.yaml", f"a: {text}\nb: 2\n"))
    assert record.number("b") == 2.0
    with pytest.raises(ContractError, match="'a' is a value with the tag"):
        record.get("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "2: key 'a' stands twice, first in line 1"),
        ("a: &x [*x]\n", "an alias leads back to itself"),
        ("- 1\n", "holds no YAML mapping"),
        ("", "holds no YAML mapping"),
        ("a: [1\n", "is not plain YAML"),
        ("[1]: 2\n", "a key is a word"),
        ("a: " + "[" * 70 + "]" * 70, "more than 60 levels deep"),
        ("a: " + "[" * 5000, "more than 60 levels deep"),
        ("a: !!int x\n", "'x' is no int"),
    ],
)
def test_a_malformed_file_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    """Every way of being malformed is named, with the line where there is one."""
    with pytest.raises(ContractError, match=message):
        read_tagged_yaml(write(tmp_path / "env.yaml", text))


def test_aliases_are_followed_and_can_not_multiply(tmp_path: Path) -> None:
    """Isaac Lab's files share values by alias; a thousand million of them cost nothing."""
    lines = ["a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    start = time.monotonic()
    data = read_tagged_yaml(write(tmp_path / "env.yaml", "\n".join(lines)))
    assert data["a1"] == [[1, 2]] * 9
    assert time.monotonic() - start < 5.0


def test_a_file_that_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    """The reader's own trouble is a message as well."""
    with pytest.raises(ContractError, match="no such file"):
        read_tagged_yaml(tmp_path / "none.yaml")
    (tmp_path / "policy.pt").write_bytes(b"\x80\x02\xff\xfe")
    with pytest.raises(ContractError, match="is not text"):
        read_tagged_yaml(tmp_path / "policy.pt")
