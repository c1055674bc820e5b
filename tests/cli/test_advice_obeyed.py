"""Remedies that messages name, obeyed to the letter: the command then works, or says something else that is wrong.

The tables stand in `advised/`, one file a subject. A new message that names an option or a command needs a row there:
a Trial, or in `elsewhere.py` the test that obeys it.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.advice import OPTION, Message, key_messages, messages, texts
from tests.cli.advised import elsewhere, files, imports, isaac_lab, keys, plays, robots
from tests.cli.advised.trial import Note, Trial, made, run, shown
from tests.test_advice import FOREIGN

SUBJECTS = (plays, files, imports, isaac_lab, robots)
TRIALS: list[Trial] = [trial for subject in SUBJECTS for trial in subject.TRIALS if isinstance(trial, Trial)]
NOTES: list[Note] = [note for subject in SUBJECTS for note in subject.TRIALS if isinstance(note, Note)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What trials name."""
    for package in ("mujoco", "newton", "mani_skill", "lerobot.robots.so_follower", "ray"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as where:
        where.chdir(folder)
        for subject in (*SUBJECTS, keys):
            subject.build(folder)
    return folder


@pytest.fixture(scope="module")
def folder(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what was built, for every test after the other."""
    return shutil.copytree(built, tmp_path_factory.mktemp("copy") / "work")


@pytest.fixture(scope="module")
def wanted(built: Path) -> dict[str, tuple[int, ...]]:
    """The state of each file that was built."""
    return states(built)


@pytest.fixture
def work(built: Path, folder: Path, wanted: dict[str, tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was built, as it was: of some hundred files a test changes two or three."""
    mended(built, folder, wanted)
    monkeypatch.chdir(folder)
    # Not the cluster that another test has meanwhile: it takes whoever is connected along when it ends.
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    return folder


def mended(original: Path, copy: Path, wanted: dict[str, tuple[int, ...]]) -> None:
    """Make a folder again what another is, down to times and rights; what is equal stays."""
    there = states(copy)
    for name in there.keys() - wanted.keys():
        if os.path.lexists(copy / name):
            removed(copy / name)
    for name, state in wanted.items():
        if not state:
            (copy / name).mkdir(exist_ok=True)
        elif there.get(name) != state:
            shutil.copy2(original / name, copy / name)


def states(folder: Path | str, inside: str = "") -> dict[str, tuple[int, ...]]:
    """Rights, size and time of each file under a folder by its place, outer ones first; nothing of a folder."""
    found: dict[str, tuple[int, ...]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found[name] = ()
                found |= states(entry.path, f"{name}/")
            else:
                told = entry.stat(follow_symlinks=False)
                found[name] = told.st_mode, told.st_size, told.st_mtime_ns
    return found


def removed(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def written(work: Path) -> str:
    """What a command put into its output that a person reads."""
    new = work / "new"
    found = [new] if new.is_file() else [*new.glob("*.yaml"), *new.glob("*.json"), *new.glob("*.html")]
    return " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.says)
def test_a_remedy_is_obeyed(work: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command fails with the message or notes it; after the advice it works, or fails of something else."""
    with monkeypatch.context() as machine:
        if trial.before is not None:
            trial.before(work, machine)
        code, said = run(trial.command)
    said = f"{said} {written(work)}"
    assert code in (0, 1, 2), said
    assert shown(trial.says).search(said), said
    if code == 2:
        assert not (work / "new").exists(), "what is refused leaves nothing behind"
    unnamed = given(trial.obeyed) ^ given(trial.command)
    same = trial.obeyed.split()[:2] == trial.command.split()[:2]
    # A message that names a whole command names its options by that.
    same = same and f"policy-port {trial.obeyed.split()[0]}" not in said
    assert not same or unnamed <= set(OPTION.findall(said)), f"{sorted(unnamed)} is not what the message names: {said}"
    if "new" in trial.obeyed.split() and (work / "new").exists():
        removed(work / "new")
    code, after = run(trial.obeyed)
    assert not shown(trial.says).search(after), f"the advice leads back to the same message: {after}"
    if trial.ends is None:
        assert code in (0, 1), after
    else:
        assert code == 2, after
        assert trial.ends in after


def given(command: str) -> set[str]:
    """Options of a command line."""
    return set(OPTION.findall(command))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.says)
def test_a_note_quotes_what_was_given(work: Path, note: Note) -> None:
    """It names no option that the user has not written himself."""
    code, said = run(note.command)
    assert code in (0, 2), said
    assert shown(note.says).search(f"{said} {written(work)}"), said
    named = {option for message in messages() if meets(note.says, message) for option in message.options}
    assert named <= given(note.command)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("edit", keys.EDITS, ids=lambda edit: edit.says)
def test_a_key_is_written_as_the_message_says(work: Path, edit: keys.Edit) -> None:
    """The command then works, or says something else."""

    def call() -> tuple[int, str]:
        if edit.first:
            made(edit.first)
        return run(edit.command)

    code, said = call()
    assert code in (0, 2), said
    assert shown(edit.says).search(said), said
    assert any(word in said for key in edit.changes for word in key.split(".")[-2:]), "it names no key that is changed"
    data = yaml.safe_load(Path(edit.file).read_text(encoding="utf-8"))
    Path(edit.file).write_text(yaml.safe_dump(keys.changed(data, edit.changes), sort_keys=False), encoding="utf-8")
    code, after = call()
    assert not shown(edit.says).search(after), f"the advice leads back to the same message: {after}"
    if edit.ends is None:
        assert code in (0, 1), after
    else:
        assert (code, edit.ends in after) == (2, True), after


def meets(says: str, message: Message) -> bool:
    """Whether a row of a table is of that message."""
    return says == message.text or (len(says) > 11 and says in message.text)


def quoted(message: Message) -> bool:
    """Whether its one option stands in front of what is wrong, with the value that was given: "--size scan=x: ..."."""
    return len(OPTION.findall(message.text)) == 1 and not message.commands and bool(QUOTE.match(message.text))


QUOTE = re.compile(r"(\{\}: )?--[a-z-]+( '\{\}'| \{\}(=\{\})?)?: .")


def tried(message: Message) -> bool:
    """Whether some row is of it."""
    if quoted(message) or {(message.file, option) for option in message.options} - FOREIGN == set() < message.options:
        return not message.commands
    if message.file in elsewhere.WALKED:
        return True
    return any(meets(says, message) for says in (*(row.says for row in (*TRIALS, *NOTES)), *elsewhere.TRIED))


def test_each_message_has_been_tried() -> None:
    """Whatever names an option or a command is obeyed by a test."""
    new = sorted({f"{message.file}: {' '.join(message.text.split())}" for message in messages() if not tried(message)})
    assert not new, (
        "advice without a trial: add a Trial (a Note where the option is only quoted) to tests/cli/advised/, or to "
        "TRIED of elsewhere.py the test that obeys it:\n" + "\n".join(new)
    )


def test_each_key_that_a_message_names_has_been_written() -> None:
    """Whatever names a key of a YAML file is obeyed by a test."""
    rows = [*(edit.says for edit in keys.EDITS), *keys.TRIED, *(trial.says for trial in TRIALS)]
    new = [text for text in key_messages() if not any(row in text for row in (*rows, *keys.NO_ADVICE))]
    assert not new, (
        "a key that is advised without a trial: add an Edit to tests/cli/advised/keys.py, or to its TRIED the test "
        "that obeys it:\n" + "\n".join(new)
    )


def test_trials_try_what_is_said() -> None:
    """Each row's text stands in a message."""
    said = texts()
    for says in (*(row.says for row in (*TRIALS, *NOTES)), *elsewhere.TRIED):
        assert any(says in text for text in said), says
        fitting = {message.file for message in messages() if meets(says, message)}
        assert len(says) > 11 or len(fitting) == 1, f"{says}: a shorter text fits other messages as well"


@cache
def words_of(test: str) -> str:
    """The source of a test, of what it calls in its file, and constants of that; without the marks of patterns."""
    name, _, function = test.partition(":")
    module = importlib.import_module(name)
    called = [getattr(module, function)]
    for used in called[0].__code__.co_names:
        called += [getattr(module, used)] if hasattr(module, used) else []
    found = [inspect.getsource(each) if inspect.isfunction(each) else repr(each) for each in called]
    joined = re.sub(r'"\s*\n\s*r?f?"', "", "\n".join(found))
    return joined.replace("\\", "")


@pytest.mark.parametrize("says", [*dict.fromkeys(edit.says for edit in keys.EDITS), *keys.TRIED])
def test_keys_try_what_is_said(says: str) -> None:
    """Each row's text stands in a message, and the test that it names knows its key."""
    assert any(says in said for said in key_messages()), says
    if says in keys.TRIED:
        plain = r"cameras|measure|point|frame|unit|default|foot|seconds|ports|command|lasts|blend|kind|miss|start|range"
        plain += r"|parts|floating|out|run|each|inputs|ages|states|ignore|networks|group|sha256|description"
        plain += r"|size|amplitude|like|margin|after|fit|trace|emulated|use|distortion|joints|exclude|seeds|task"
        named = set(re.findall(rf"[a-z]+_[a-z]+|{plain}", says))
        assert named & set(re.findall(r"\w+", words_of(keys.TRIED[says])))


@pytest.mark.parametrize("says", elsewhere.TRIED)
def test_what_is_tried_elsewhere_is(says: str) -> None:
    """The test that is named is there, and knows words of the message, or its options and commands."""
    source = words_of(elsewhere.TRIED[says])
    for message in messages():
        if meets(says, message):
            words = [piece.split() for piece in message.text.split("{}")]
            runs = {" ".join(each[i : i + 3]) for each in words for i in range(len(each) - 2)}
            named = {*message.options, *(command.split()[-1] for command in message.commands)}
            assert any(run in source for run in runs) or all(word in source for word in named), message


@pytest.mark.parametrize("name", elsewhere.WALKED.values())
def test_walks_are_there(name: str) -> None:
    """Each test that walks along the messages of a file exists."""
    module, _, test = name.partition(":")
    assert callable(getattr(importlib.import_module(module), test))
