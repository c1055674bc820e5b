"""The parts of the set-up that can be tried without a fresh machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
_SPEC: Any = importlib.util.spec_from_file_location("uv_install", ROOT / "scripts" / "uv_install.py")
uv_install: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(uv_install)
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


def stand_in(tmp_path: Path, python: str = "exit 0") -> dict[str, str]:
    """A checkout of its own and a stand-in for Python 3.12 that logs what it is to make, as an environment for bash.

    What is installed by pip does as $PIP says, by uv as $UV; of a uv on the path only $UV_RUNS says whether it runs.
    """
    checkout, log = tmp_path / "checkout", tmp_path / "log"
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    made = f"""
case "$*" in
  *"import sys, venv, ensurepip"*) exit 0 ;;
  "-c import sys; sys.exit(sys.version_info[:2]"*) {python} ;;
  "-V") echo Python 3.13.1 ;;
  "-m venv --clear "*) echo venv >>"{log}"; mkdir -p "$4/bin" "$4/lib/python3.12/site-packages/pip-25.dist-info"
    cp "$0" "$4/bin/python"; touch "$4/lib/python3.12/site-packages/pip-25.dist-info/RECORD"
    echo pip >"$4/lib/python3.12/site-packages/pip-25.dist-info/INSTALLER" ;;
  *"scripts/uv_install.py "*) echo "uv ${{*#*uv_install.py }}" >>"{log}"; eval "$UV" ;;
  "-m pip install "*" --quiet uv "*) exit 1 ;;
  "-m pip install "*) echo "$*" >>"{log}"; eval "$PIP" ;;
  *) exit 9 ;;
esac"""
    stub(tmp_path / "stubs", "uv", "exit $UV_RUNS")
    return {
        "POLICY_PORT_PYTHON": str(stub(tmp_path / "bin", "python3.12", made)),
        "POLICY_PORT_NO_APT": "1",
        "PATH": f"{tmp_path / 'stubs'}:/usr/bin:/bin",
        "UV_RUNS": "1",
        "PIP": "exit 0",
        "UV": "exit 0",
    }


def make_other(tmp_path: Path, pip: str, python: str = "exit 0") -> subprocess.CompletedProcess[str]:
    """Make `.venv-other` by a pip that does as is said, where no uv is to be had."""
    call = f"POLICY_PORT_ROOT='{tmp_path}/checkout'; other_python .venv-other OTHER_VENV 'thing[part]==1' extra"
    return shell(call, **{**stand_in(tmp_path, python), "OTHER_VENV": "", "PIP": pip})


def set_up(tmp_path: Path, extras: str = "", **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Set the stand-in's checkout up, and return what was made, a line each."""
    given = {**stand_in(tmp_path), "UV_RUNS": "0", **environment}
    done = shell(f"POLICY_PORT_ROOT='{tmp_path}/checkout'; set_up_once {extras}", **given)
    log = tmp_path / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return done, lines


def test_uv_installs_what_the_demonstration_needs_and_then_the_rest(tmp_path: Path) -> None:
    """Each part by one call of uv with the pins; what is there is not done again, and the whole holds the part."""
    assert set_up(tmp_path, "sim")[1] == [
        "venv",
        f"uv {tmp_path}/stubs/uv --editable {tmp_path}/checkout[sim] --constraint {tmp_path}/checkout/constraints.txt",
    ]
    assert set_up(tmp_path, "sim")[1] == []
    (whole,) = set_up(tmp_path)[1]
    assert "[sim,newton,real,dataset,view,train,identify,camera,ray,docs,dev]" in whole
    assert set_up(tmp_path)[1] == set_up(tmp_path, "sim")[1] == []


def test_what_was_interrupted_starts_over(tmp_path: Path) -> None:
    """Killed while the rest is installed: neither part is taken for made, and the next run makes a new environment."""
    set_up(tmp_path, "sim")
    assert set_up(tmp_path, UV="kill -9 $PPID")[0].returncode != 0
    assert [line.partition(" ")[0] for line in set_up(tmp_path, "sim")[1]] == ["venv", "uv"]


def test_two_at_once_make_one_environment(tmp_path: Path) -> None:
    """The demonstration's set-up, started while that of the tests is at work, waits for it and finds all there."""
    given = {**stand_in(tmp_path), "UV_RUNS": "0", "UV": "sleep 0.3"}
    call = f"POLICY_PORT_ROOT='{tmp_path}/checkout'; set_up_once & sleep 0.1; set_up_once sim; wait"
    assert shell(call, **given).returncode == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 2, "venv and uv, once"


@pytest.mark.parametrize("status", ["1", "3"])
def test_pip_does_what_uv_can_not(tmp_path: Path, status: str) -> None:
    """The reason is said, and pip is given the same packages."""
    done, (_, uv, pip) = set_up(tmp_path, "sim", UV=f"echo no such wheel; exit {status}")
    assert done.returncode == 0
    assert "no such wheel\nsetup: uv could not, for the reason above; pip tries\n" in done.stderr
    assert uv.partition("--editable")[2] == pip.partition("--editable")[2]


def test_uv_is_told_what_pip_is_told() -> None:
    """A setting of pip's reaches uv as its own; the environment's stands over the file's, `install` over `global`."""
    listed = """:env:.find-links='/wheels /more'
global.cert='/ca.pem'
global.constraint='/pins.txt'
global.extra-index-url='https://one.example/simple\\n  https://two.example/simple'
global.find-links='/elsewhere'
global.index-url='https://ours.example/simple'
global.no_index='false'
global.timeout='15'
install.progress-bar='off'
install.timeout='60'
freeze.local='true'
"""
    options, variables = uv_install.for_uv(uv_install.settings(listed))
    assert " ".join(options) == (
        "--index-strategy unsafe-best-match --constraint /pins.txt --find-links /wheels --find-links /more"
    )
    assert variables == {
        "UV_DEFAULT_INDEX": "https://ours.example/simple",
        "UV_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_HTTP_TIMEOUT": "60",
    }
    assert uv_install.for_uv({"no-index": "1", "pre": "true"})[0][2:] == ["--no-index", "--prerelease=allow"]


@pytest.mark.parametrize("setting", ["keyring-provider", "no-binary", "target", "what-comes-next-year"])
def test_uv_is_not_asked_where_it_can_not_be_told(setting: str) -> None:
    """A setting of pip's without a counterpart is named: installing without it would install something else."""
    with pytest.raises(ValueError, match=setting):
        uv_install.for_uv({"index-url": "https://ours.example/simple", setting: "x"})


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


def test_both_opencvs_are_of_one_version() -> None:
    """SAPIEN and LeRobot ask for two packages of the same files: of two versions, chance decides which one works."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("opencv-python")]
    versions = {line.split("==")[0]: line.split("==")[1] for line in lines}
    assert set(versions) == {"opencv-python", "opencv-python-headless"}
    assert len(set(versions.values())) == 1, versions
    installed = {name: importlib.metadata.version(name) for name in versions}
    assert installed == versions, "set up again: scripts/test makes what constraints.txt says"
