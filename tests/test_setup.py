"""The parts of the set-up that can be tried without a fresh machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "apt_backports.py"

STANZAS = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /keys/debian.gpg
"""

LINES = """\
# deb http://mirror.example/old bookworm main
deb [signed-by=/keys/debian.gpg arch=amd64] http://mirror.example/debian bookworm main contrib # fast
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://mirror.example/debian-security bookworm-security main
"""


def derive(apt: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "bookworm", str(tmp_path / "out"), "--apt", str(apt)]
    return subprocess.run(command, capture_output=True, text=True)


def apt_folder(tmp_path: Path, name: str, text: str) -> Path:
    apt = tmp_path / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (apt / name).write_text(text)
    return apt


def test_backports_derive_from_stanzas(tmp_path: Path) -> None:
    """Mirror, components and key stay; of the stanzas only the release's own one is taken."""
    apt = apt_folder(tmp_path, "sources.list.d/debian.sources", STANZAS)
    assert derive(apt, tmp_path).stdout.strip() == str(tmp_path / "out.sources")
    assert (tmp_path / "out.sources").read_text() == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm-backports\n"
        "Components: main contrib\n"
        "Signed-By: /keys/debian.gpg\n"
    )


def test_backports_derive_from_lines(tmp_path: Path) -> None:
    """Options stay; comments, source packages and other suites are left out."""
    apt = apt_folder(tmp_path, "sources.list", LINES)
    assert derive(apt, tmp_path).returncode == 0
    assert (tmp_path / "out.list").read_text() == (
        "deb [signed-by=/keys/debian.gpg arch=amd64] http://mirror.example/debian bookworm-backports main contrib\n"
    )


@pytest.mark.parametrize("text", ["", STANZAS.replace("Suites: bookworm ", "Enabled: no\nSuites: bookworm ")])
def test_backports_say_where_nothing_can_be_derived(tmp_path: Path, text: str) -> None:
    """Without an enabled source of the release nothing is written, and the folder is named."""
    apt = apt_folder(tmp_path, "sources.list.d/debian.sources", text)
    done = derive(apt, tmp_path)
    assert done.returncode == 1
    assert f"no apt source of bookworm in {apt}" in done.stderr
    assert not (tmp_path / "out.sources").exists()


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"source '{ROOT}/scripts/setup'; {command}"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def stub(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """A stub on the path that fails gives way to the version manager's real interpreter."""
    stubs = tmp_path / "stubs"
    for name in ("python3.12", "python3.13", "python3", "uv"):
        stub(stubs, name, "exit 127")
    real = tmp_path / "pyenv" / "versions" / "3.12.9" / "bin"
    real.mkdir(parents=True)
    # Python's own way of finding its home does not matter here: the stand-in only has to run like one.
    stub(real, "python3.12", f'exec "{sys.executable}" "$@"')
    done = shell("find_python", PATH=f"{stubs}:/usr/bin:/bin", PYENV_ROOT=str(tmp_path / "pyenv"))
    assert done.stdout.strip() == str(real / "python3.12")


def test_no_python_is_a_clear_error(tmp_path: Path) -> None:
    """Where no interpreter is new enough, the ways to get one are named, and nothing is made."""
    stubs = tmp_path / "stubs"
    for name in ("python3.12", "python3.13", "python3", "uv"):
        stub(stubs, name, "exit 127")
    done = shell(
        "POLICY_PORT_ROOT=$HOME; mkdir -p $HOME; cp /dev/null $HOME/pyproject.toml;"
        "cp /dev/null $HOME/constraints.txt; set_up",
        PATH=f"{stubs}:/usr/bin:/bin",
        PYENV_ROOT=str(tmp_path),
        HOME=str(tmp_path / "home"),
    )
    assert done.returncode == 1
    assert "no Python 3.12 or newer" in done.stderr
    assert "uv python install 3.12" in done.stderr
    assert not (tmp_path / "home" / ".venv").exists()


def test_packages_that_stopped_halfway_are_seen(tmp_path: Path) -> None:
    """A package without the file that pip writes last marks the environment as unfinished."""
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    for name in ("pip-25.0.dist-info", "numpy-2.0.dist-info"):
        (packages / name).mkdir(parents=True)
        (packages / name / "INSTALLER").write_text("pip\n")
    assert shell(f"whole_packages '{tmp_path}'").returncode == 1, "pip's own list of files is missing"
    (packages / "pip-25.0.dist-info" / "RECORD").touch()
    assert shell(f"whole_packages '{tmp_path}'").returncode == 0
    (packages / "numpy-2.0.dist-info" / "INSTALLER").unlink()
    assert shell(f"whole_packages '{tmp_path}'").returncode == 1


def system_set_up(tmp_path: Path, sudo: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the system's part as a Debian 12 with its own old driver, with a `sudo` that only notes what it is told."""
    stubs, log = tmp_path / "stubs", tmp_path / "log"
    stub(stubs, "id", "echo 1000")
    stub(stubs, "uname", "echo Linux")
    stub(stubs, "nvidia-smi", "exit 9")
    stub(stubs, "apt-get", "exit 1")
    stub(stubs, "dpkg", "exit 0")
    stub(stubs, "dpkg-query", "echo 'installed 22.3.6-1'")
    stub(stubs, "sudo", f'printf "%s\\n" "$*" >>"{log}"; {sudo}')
    release = tmp_path / "os-release"
    release.write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    done = shell(
        f"OS_RELEASE='{release}'; apt_knows() {{ return 1; }}; set_up_system PYTHON '{tmp_path}/tried' KEY",
        PATH=f"{stubs}:/usr/bin:/bin",
        POLICY_PORT_NO_APT="0",
    )
    return done, log.read_text() if log.exists() else ""


def test_an_old_driver_is_replaced_from_backports(tmp_path: Path) -> None:
    """Where the system lets it, the derived source is written and the newer driver installed from it."""
    done, log = system_set_up(tmp_path, "exit 0")
    assert done.returncode == 0
    first, source, update, install = log.splitlines()
    assert first == "-n true"
    assert source.startswith("-n PYTHON ")
    assert source.endswith("apt_backports.py bookworm /etc/apt/sources.list.d/policy-port-backports")
    assert update.endswith("apt-get update")
    assert "install -y --no-install-recommends -t bookworm-backports mesa-vulkan-drivers" in install


def test_without_permission_the_commands_are_printed(tmp_path: Path) -> None:
    """Where sudo asks for a password the set-up goes on, and says exactly what to run."""
    done, log = system_set_up(tmp_path, "exit 1")
    assert done.returncode == 0
    assert log == "-n true\n"
    assert "sudo PYTHON scripts/apt_backports.py bookworm /etc/apt/sources.list.d/" in done.stderr
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends -t bookworm-b" in done.stderr
    again, log = system_set_up(tmp_path, "exit 1")
    assert log == "-n true\n", "what can't be done is not tried twice"
    assert "rendering still lacks: mesa-vulkan-drivers" in again.stderr


def test_a_failure_of_apt_is_said_and_survived(tmp_path: Path) -> None:
    """Without a network the set-up goes on and names apt's output."""
    done, _ = system_set_up(tmp_path, 'test "$2" = true')
    assert done.returncode == 0
    assert "apt failed (its output is in" in done.stderr


def test_the_other_environment_may_be_named(tmp_path: Path) -> None:
    """What the variable names is used as it is; a folder without a Python that runs is an error that names both."""
    stub(tmp_path / "venv" / "bin", "python", f'exec "{sys.executable}" "$@"')
    call = "other_python .venv-other OTHER_VENV 'thing==1'"
    done = shell(call, OTHER_VENV=str(tmp_path / "venv"))
    assert done.stdout == f"{tmp_path}/venv/bin/python\n"
    done = shell(call, OTHER_VENV=str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"OTHER_VENV={tmp_path}/nowhere: no Python 3.12 or newer runs as bin/python there" in done.stderr


def make_other(tmp_path: Path, pip: str, python: str = "exit 0") -> subprocess.CompletedProcess[str]:
    """Make `.venv-other` in a checkout of its own, by a stand-in for Python 3.12 whose pip does as is said."""
    checkout, log = tmp_path / "checkout", tmp_path / "log"
    checkout.mkdir(exist_ok=True)
    made = f"""
case "$*" in
  *"import sys, venv, ensurepip"*) exit 0 ;;
  "-c import sys; sys.exit(sys.version_info[:2]"*) {python} ;;
  "-V") echo Python 3.13.1 ;;
  "-m venv --clear "*) echo venv >>"{log}"; mkdir -p "$4/bin" "$4/lib/python3.12/site-packages/pip-25.dist-info"
    cp "$0" "$4/bin/python"; touch "$4/lib/python3.12/site-packages/pip-25.dist-info/RECORD"
    echo pip >"$4/lib/python3.12/site-packages/pip-25.dist-info/INSTALLER" ;;
  "-m pip install "*) echo "$*" >>"{log}"; eval "$PIP" ;;
  *) exit 9 ;;
esac"""
    interpreter = stub(tmp_path / "bin", "python3.12", made)
    call = f"POLICY_PORT_ROOT='{checkout}'; other_python .venv-other OTHER_VENV 'thing[part]==1' extra"
    return shell(call, POLICY_PORT_PYTHON=str(interpreter), OTHER_VENV="", PIP=pip)


def test_the_other_environment_is_made_once(tmp_path: Path) -> None:
    """pip is given the packages and no index; run again, nothing is done; another half is taken up from the start."""
    venv = tmp_path / "checkout" / ".venv-other"
    done = make_other(tmp_path, "exit 0")
    assert (done.returncode, done.stdout) == (0, f"{venv}/bin/python\n"), done.stderr
    made, installed = (tmp_path / "log").read_text().splitlines()
    assert made == "venv"
    assert installed.endswith("--progress-bar off thing[part]==1 extra")
    assert "index" not in installed
    assert make_other(tmp_path, "exit 1").stdout == done.stdout
    assert len((tmp_path / "log").read_text().splitlines()) == 2, "neither venv nor pip again"
    (venv / ".policy-port-setup").unlink()
    (venv / ".unfinished").touch()
    assert make_other(tmp_path, "exit 0").stdout == done.stdout
    assert (tmp_path / "log").read_text().splitlines()[2] == "venv"


def test_an_environment_that_can_not_be_made_says_why(tmp_path: Path) -> None:
    """pip's last words, where all of them are, and what to do; nothing on the output, and the next run tries again."""
    done = make_other(tmp_path, "echo no such package; exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such package" in done.stderr
    assert "all it said: .venv-other/.pip.log" in done.stderr
    assert "Run the same command again once that is mended." in done.stderr
    assert make_other(tmp_path, "exit 0").returncode == 0


def test_another_python_than_3_12_is_refused(tmp_path: Path) -> None:
    """What needs 3.12 says so, says what was found, and how to name one; nothing is made."""
    done = make_other(tmp_path, "exit 0", python="exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "thing[part]==1 extra needs Python 3.12, and none was found;" in done.stderr
    assert "python3.12 is Python 3.13.1." in done.stderr
    assert "POLICY_PORT_PYTHON=/path/to/python3.12" in done.stderr
    assert not (tmp_path / "log").exists()


def test_what_a_link_leads_to_is_not_emptied(tmp_path: Path) -> None:
    """An environment of somebody else's, linked in, is kept where it would be made anew."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".venv-other").symlink_to(theirs)
    done = make_other(tmp_path, "exit 0")
    assert (done.returncode, done.stdout) == (1, "")
    assert ".venv-other is a link, and what it leads to is not emptied from here" in done.stderr
    assert (theirs / "precious").exists()
