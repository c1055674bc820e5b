"""The wheel carries all that the commands need, and works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

# What the light commands need. Linked from this environment rather than downloaded, so that the test needs
# neither a network nor the gigabytes of the heavy libraries, which are not there at all.
LIGHT = ("numpy", "pydantic", "pyyaml", "typer")


def run(*command: str | Path, cwd: Path) -> str:
    # Nothing of this environment or of the checkout may reach the new one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def with_dependencies(names: tuple[str, ...]) -> set[str]:
    """Return the distributions that `names` need at run time, themselves included."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return found


def link_distribution(name: str, folder: Path) -> None:
    """Put an installed distribution into another environment's folder, as links to its top-level entries."""
    distribution = metadata.distribution(name)
    for entry in {Path(file).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        source = Path(str(distribution.locate_file(entry)))
        if source.exists() and not (folder / entry).exists():
            (folder / entry).symlink_to(source)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("policy_port-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that holds the wheel and the light libraries only."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    run(
        sys.executable, "-m", "pip", "--python", programs / "python", "install",
        "--no-deps", "--no-index", "--disable-pip-version-check", wheel,
        cwd=folder,
    )  # fmt: skip
    packages = next((folder / "lib").glob("python*/site-packages"))
    for name in with_dependencies(LIGHT):
        link_distribution(name, packages)
    return programs


def test_the_wheel_carries_mappings_and_assets(wheel: Path) -> None:
    """Every mapping and asset of the checkout is in it, and no test, script or checkout path is."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (ROOT / "mappings").rglob("*.yaml"):
        assert f"policy_port/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "policy_port" / "assets").rglob("*"):
        if path.is_file():
            assert path.relative_to(ROOT).as_posix() in names
    assert "policy_port/py.typed" in names
    assert {name.split("/")[0] for name in names} <= {"policy_port", f"{wheel.name.split('-py3')[0]}.dist-info"}


def test_the_wheel_states_its_extras_and_licence(wheel: Path) -> None:
    """Its metadata names the extras that the README and the errors name, and carries the licence."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(name).decode())
        assert any(entry.endswith("/licenses/LICENSE") for entry in archive.namelist())
    extras = {"sim", "newton", "real", "dataset", "view", "ray", "train", "identify", "camera", "sweep", "docs", "dev"}
    assert set(fields.get_all("Provides-Extra") or ()) == extras
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.12"


def test_the_installed_program_answers(installed: Path, tmp_path: Path) -> None:
    """`policy-port --help` works in an environment without any heavy library."""
    assert "doctor" in run(installed / "policy-port", "--help", cwd=tmp_path)
    missing = "import importlib.util as u; print([n for n in ('torch', 'onnx', 'mujoco') if u.find_spec(n)])"
    assert run(installed / "python", "-c", missing, cwd=tmp_path).strip() == "[]"


def test_the_installed_package_finds_its_files(installed: Path, tmp_path: Path) -> None:
    """Mappings are found in the installed package, not in some checkout."""
    code = "from policy_port.resources import mappings_dir; print(mappings_dir())"
    folder = Path(run(installed / "python", "-c", code, cwd=tmp_path).strip())
    assert folder.is_relative_to(installed.parent)
    assert {path.name for path in folder.glob("*.yaml")} == {path.name for path in (ROOT / "mappings").glob("*.yaml")}


def test_the_installed_program_shows_a_shipped_mapping(installed: Path, tmp_path: Path) -> None:
    """`policy-port map show` finds a shipped mapping by its name and prints its joints."""
    if " map " not in run(installed / "policy-port", "--help", cwd=tmp_path):
        pytest.skip("the program has no `map` command yet")
    shown = run(installed / "policy-port", "map", "show", "g1_physx_to_newton", cwd=tmp_path)
    assert "left_hip_pitch_joint" in shown
