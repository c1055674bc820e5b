"""Claims about the reader of trainers' YAML: two tags, and nothing is ever constructed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from policy_port.descriptors.tagged_yaml import Slice, read_tagged_yaml
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
        "local",
    ],
)
def test_any_other_tag_is_refused_by_name_and_runs_nothing(tmp_path: Path, tag: str) -> None:
    """A hostile tag is an error that names line and tag, wherever it stands; its command does not run."""
    trace = tmp_path / "it_ran"
    path = write(tmp_path / "env.yaml", f"a: 1\nb:\n- c: !!{tag} ['touch {trace}']\n")
    with pytest.raises(ContractError, match=r"env\.yaml:3: the tag !!") as caught:
        read_tagged_yaml(path)
    assert f"!!{tag} is refused" in str(caught.value)
    assert not trace.exists()


def test_a_hostile_tag_on_a_key_is_refused(tmp_path: Path) -> None:
    """Keys are looked at like values."""
    path = write(tmp_path / "env.yaml", "? !!python/name:os.system x\n: 1\n")
    with pytest.raises(ContractError, match="python/name:os.system"):
        read_tagged_yaml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "2: key 'a' stands twice, first in line 1"),
        ("a: &x [*x]\n", "an alias leads back to itself"),
        ("- 1\n", "holds no YAML mapping"),
        ("", "holds no YAML mapping"),
        ("a: [1\n", "is not plain YAML"),
        ("a: !!python/tuple 3\n", "a tuple or slice is written as a list"),
        ("a: !!python/object/apply:builtins.slice [1]\n", "a slice has three entries"),
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
