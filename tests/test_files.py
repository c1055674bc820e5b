"""Output is either whole or absent."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from policy_port.errors import OutputError
from policy_port.files import check_output_folder, output_folder, sha256, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def older(out: Path) -> Path:
    """A folder that a command wrote before."""
    out.mkdir()
    (out / "run.yaml").write_text("policy_port_run: 1\n")
    return out


def test_the_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    """Nothing is at the path before the block has ended, and only the folder is there afterwards."""
    out = tmp_path / "port"
    with output_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
        assert folder.parent == tmp_path
    assert names(tmp_path) == ["port"]
    assert (out / "a").read_text() == "1"


def test_missing_parents_are_made_and_taken_back_on_failure(tmp_path: Path) -> None:
    """Parents are made for an output that succeeds, and none stays behind one that fails."""
    out = tmp_path / "a" / "b" / "port"
    with pytest.raises(ValueError, match="stop"), output_folder(out):
        raise ValueError("stop")
    assert names(tmp_path) == []
    with output_folder(out):
        pass
    assert out.is_dir()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError])
def test_any_ending_but_a_good_one_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    """Ctrl-C and errors remove what was written, and keep their own type."""
    with pytest.raises(stop), output_folder(tmp_path / "port") as folder:
        (folder / "a").write_text("1")
        raise stop
    assert names(tmp_path) == []


def test_a_folder_in_use_is_refused_without_force(tmp_path: Path) -> None:
    """A folder with content is refused with the way out, before any work is done."""
    out = older(tmp_path / "port")
    with pytest.raises(OutputError, match=r"port: exists and is not empty; .* --force"), output_folder(out):
        pytest.fail("the block must not start")
    assert names(out) == ["run.yaml"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """An existing empty folder is as good as none."""
    out = tmp_path / "port"
    out.mkdir()
    with output_folder(out) as folder:
        (folder / "a").write_text("1")
    assert names(out) == ["a"]


def test_force_replaces_only_after_success(tmp_path: Path) -> None:
    """With force the old folder survives a failure and is wholly gone after a success."""
    out = older(tmp_path / "port")
    with pytest.raises(ValueError, match="stop"), output_folder(out, force=True):
        raise ValueError("stop")
    assert names(out) == ["run.yaml"]
    with output_folder(out, force=True) as folder:
        (folder / "new").write_text("new")
    assert names(out) == ["new"]
    assert names(tmp_path) == ["port"]


def test_force_puts_the_old_folder_back_when_the_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt between the two renames leaves the old folder where it was."""
    out = older(tmp_path / "port")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), output_folder(out, force=True):
        pass
    assert names(tmp_path) == ["port"]
    assert names(out) == ["run.yaml"]


def test_force_never_replaces_the_working_folder_a_home_or_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of the hand with force does not delete a user's work."""
    for folder in ("work/inner", "home/inner", "repository/.git"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "inner")
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "inner"))
    for folder in ("work", "home", "repository"):
        with (
            pytest.raises(OutputError, match="even with --force"),
            output_folder(tmp_path / folder, force=True),
        ):
            pytest.fail("the block must not start")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("file", ["thesis.tex", "run.yaml", "manifest.json", "metrics.json"])
def test_a_folder_that_something_else_made_is_never_replaced(tmp_path: Path, file: str, force: bool) -> None:
    """Also one whose file is called as one of ours; no message tells to force it."""
    out = tmp_path / "mine"
    (out / "deep").mkdir(parents=True)
    (out / file).write_text("{files: mine}")
    for act in (lambda: check_output_folder(out, force), lambda: output_folder(out, force).__enter__()):
        with pytest.raises(OutputError, match="no command made it: it holds deep, ") as caught:
            act()
        assert "force" not in str(caught.value)
    assert names(out) == sorted(["deep", file])


@pytest.mark.parametrize("stands", ["", "out"])
def test_a_place_that_may_not_be_written_to_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: str
) -> None:
    """The folder in which nothing may be written is named, whoever asks: root may write everywhere, so it is told."""
    (tmp_path / stands).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(OutputError, match=rf"out: can't be made: nothing may be written in {tmp_path}; name another"):
        check_output_folder(tmp_path / "out")


def test_a_file_in_the_place_is_refused_even_with_force(tmp_path: Path) -> None:
    """A file is never taken for an older output."""
    out = tmp_path / "port"
    out.write_text("a file")
    with pytest.raises(OutputError, match="is a file"), output_folder(out, force=True):
        pytest.fail("the block must not start")


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    """What a link points to is replaced, the link is kept."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "port").symlink_to(tmp_path / "disk")
    with output_folder(tmp_path / "port") as folder:
        (folder / "a").write_text("1")
    assert (tmp_path / "port").is_symlink()
    assert names(tmp_path / "disk") == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A disk that fills up midway is an OutputError with its cause, and no half folder."""

    def full(self: Path, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with (
        pytest.raises(OutputError, match="port: nothing was written: the disk is full") as caught,
        output_folder(tmp_path / "port") as folder,
    ):
        (folder / "policy.onnx").write_bytes(b"1")
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == []


def test_an_unreadable_input_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    """An error that names another file keeps its own type."""
    with pytest.raises(FileNotFoundError), output_folder(tmp_path / "port"):
        (tmp_path / "absent").read_text()


def test_a_write_that_the_system_stops_leaves_nothing(tmp_path: Path) -> None:
    """A real write beyond the system's limit on file sizes ends in OutputError and no half folder."""
    code = """
        import resource, sys
        from pathlib import Path
        from policy_port.errors import OutputError
        from policy_port.files import check_output_folder, output_folder, write_atomic

        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        out = Path(sys.argv[1])
        for write in ("folder", "file"):
            try:
                if write == "file":
                    write_atomic(out / "file", bytes(1 << 20))
                else:
                    with output_folder(out / "port") as folder:
                        (folder / "big").write_bytes(bytes(1 << 20))
            except OutputError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert "port: nothing was written: the disk is full" in first
    assert "file: can't be written: the disk is full" in second
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    """A place that can't be written to is an OutputError that names it."""
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(OutputError, match=r"can't be made: Permission denied"),
            output_folder(tmp_path / "p"),
        ):
            pytest.fail("the block must not start")
    finally:
        tmp_path.chmod(0o700)


def test_an_atomic_write_replaces_whole_files(tmp_path: Path) -> None:
    """Text and bytes arrive as they are, and nothing else is left in the folder."""
    write_atomic(tmp_path / "a", "ä\n")
    write_atomic(tmp_path / "a", "ö\n")
    write_atomic(tmp_path / "b", b"\x00\r\n")
    assert (tmp_path / "a").read_bytes() == "ö\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\r\n"
    assert names(tmp_path) == ["a", "b"]


def test_an_atomic_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content survives an error, and no temporary file stays."""
    write_atomic(tmp_path / "a", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="a: can't be written: the disk is full"):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_an_atomic_write_into_no_folder_is_said(tmp_path: Path) -> None:
    """A missing folder is named rather than made."""
    with pytest.raises(OutputError, match="No such file or directory"):
        write_atomic(tmp_path / "absent" / "a", "")


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    """The digest of "abc" is the one in the standard."""
    (tmp_path / "abc").write_text("abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["loop", "loop/inside", "no\0name"])
def test_a_path_that_leads_nowhere_is_one_message(tmp_path: Path, name: str) -> None:
    """A circle of links and an impossible name are errors of the output, for folders and for files."""
    (tmp_path / "loop").symlink_to("other")
    (tmp_path / "other").symlink_to("loop")
    with pytest.raises(OutputError, match="can't be written"):
        write_atomic(tmp_path / name, "x")
    with pytest.raises(OutputError, match="can't be written"), output_folder(tmp_path / name):
        pass
    assert names(tmp_path) == ["loop", "other"]
