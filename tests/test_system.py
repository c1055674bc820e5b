"""What the machine can do is found without guessing, and each lack names what mends it."""

from __future__ import annotations

from typing import Any

import pytest

from policy_port.system import Finding, Need, examine, findings, probe, unmet, vulkan_mend
from policy_port.system.probes import PROBES


def facts(**changes: Any) -> dict[str, Any]:
    """A Debian 12 machine without a GPU."""
    return {
        "python": "3.12.1",
        "python_path": "/venv/bin/python",
        "release": {"ID": "debian", "VERSION_CODENAME": "bookworm"},
        "nvidia": False,
        "deb822": True,
        "root": False,
        "home": "/home/user",
        **changes,
    }


def answers(**changes: Any) -> dict[str, dict[str, Any]]:
    """What the probes answer on a machine where everything works but the GPU and the arm."""
    return {
        "torch": {"version": "2.11.0", "cuda": "13.0", "devices": []},
        "onnxruntime": {"version": "1.31.1", "providers": ["CPUExecutionProvider"]},
        "vulkan": {"devices": [{"name": "llvmpipe", "driver": "Mesa 25.0.7"}]},
        "mani_skill": {"version": "3.0.1"},
        "sapien": {"version": "3.0.3", "physx": "105.1", "rendered": ["cpu"], "reason": ""},
        "mujoco": {"version": "3.17.0", "rendered": True},
        "newton": {"version": "1.8.0"},
        "lerobot": {"version": "0.6.1"},
        "serial": {"ports": [], "closed": []},
        **changes,
    }


def named(found: tuple[Finding, ...], name: str) -> Finding:
    return next(finding for finding in found if finding.name == name)


def test_a_machine_without_gpu_and_arm_is_ready_for_simulation() -> None:
    """Each need is judged by what it needs, and by nothing else."""
    found = findings(answers(), facts())
    assert unmet(found, Need.SIM) == ()
    assert [finding.name for finding in unmet(found, Need.GPU)] == ["CUDA", "PhysX GPU library"]
    assert [finding.name for finding in unmet(found, Need.REAL)] == ["Serial ports"]


def test_an_old_driver_is_named_with_the_command_that_replaces_it() -> None:
    """Debian 12's own Mesa is too old; the command takes the newer one from its backports."""
    old = {"devices": [{"name": "llvmpipe", "driver": "Mesa 22.3.6"}]}
    refused = {"version": "3.0.3", "physx": "105.1", "rendered": [], "reason": "no device"}
    found = findings(answers(vulkan=old, sapien=refused), facts())
    vulkan = named(found, "Vulkan")
    assert not vulkan.ok
    assert vulkan.detail == "llvmpipe, Mesa 22.3.6 is older than Mesa 24.3, which SAPIEN needs"
    assert vulkan.mend == (
        "sudo sh -c \"sed '/^$/q; s/^Suites:.*/Suites: bookworm-backports/' /etc/apt/sources.list.d/debian.sources "
        "> /etc/apt/sources.list.d/policy-port-backports.sources && apt-get update && "
        'apt-get install -y -t bookworm-backports libvulkan1 mesa-vulkan-drivers"'
    )
    sapien = named(found, "SAPIEN")
    assert sapien.detail == "3.0.3 can't render: no device"
    assert sapien.mend == vulkan.mend


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"release": {"ID": "debian", "VERSION_CODENAME": "trixie"}}, "sudo apt-get install -y libvulkan1"),
        ({"release": {"ID": "ubuntu"}, "root": True}, "apt-get install -y libvulkan1"),
        ({"release": {"ID": "pop", "ID_LIKE": "ubuntu debian"}}, "sudo apt-get install -y libvulkan1"),
        ({"release": {"ID": "fedora"}}, "install the Vulkan loader and Mesa's software driver"),
        ({"nvidia": True}, "install the Vulkan part of the NVIDIA driver"),
        ({"deb822": False, "root": True}, "sh -c \"sed -n 's/ bookworm main/ bookworm-backports main/p' /etc"),
    ],
)
def test_the_mending_command_fits_the_system(changes: dict[str, Any], mend: str) -> None:
    """The command is the one of this distribution, with sudo where the user is not root."""
    assert vulkan_mend(facts(**changes), accepted_devices=False).startswith(mend)


def test_a_driver_that_crashes_is_a_finding() -> None:
    """A crash of SAPIEN is reported as one, and does not end the examination."""
    found = findings(answers(sapien={"error": "crashed with SIGSEGV"}), facts())
    assert named(found, "SAPIEN").detail == "crashed with SIGSEGV"
    assert named(found, "SAPIEN").mend.startswith("reinstall SAPIEN")
    assert named(found, "PhysX GPU library").detail == "its version is unknown without SAPIEN"


def test_missing_libraries_name_their_extra() -> None:
    """A bare installation is told which extra brings what."""
    absent = {"error": "not installed"}
    found = findings(answers(mani_skill=absent, sapien=absent, mujoco=absent, newton=absent, lerobot=absent), facts())
    extras = {"ManiSkill": "sim", "SAPIEN": "sim", "MuJoCo": "sim", "Newton": "newton", "LeRobot": "real"}
    for name, extra in extras.items():
        finding = named(found, name)
        assert not finding.ok
        assert finding.detail == "not installed"
        assert finding.mend == f"pip install 'policy-port[{extra}]'"


def test_a_gpu_that_torch_cannot_use_says_why() -> None:
    """A driver older than torch's CUDA is told apart from a missing GPU."""
    torch = {"version": "2.11.0", "cuda": "13.0", "devices": [], "reason": "the driver is too old"}
    cuda = named(findings(answers(torch=torch), facts(nvidia=True)), "CUDA")
    assert cuda.detail == "torch sees no GPU: the driver is too old"
    assert cuda.mend == "update the NVIDIA driver to one that runs CUDA 13.0"


def test_the_gpu_library_is_looked_for_where_sapien_loads_it(tmp_path: Any) -> None:
    """The folder is named; with the library in it the finding is good."""
    gpu = {"version": "2.11.0", "cuda": "13.0", "devices": ["H200"]}
    folder = tmp_path / ".sapien" / "physx" / "105.1"
    here = facts(home=str(tmp_path), nvidia=True)
    missing = named(findings(answers(torch=gpu), here), "PhysX GPU library")
    assert missing.detail == f"libPhysXGpu_64.so is not in {folder}"
    assert missing.mend == '/venv/bin/python -c "import sapien.physx; sapien.physx.enable_gpu()"'
    folder.mkdir(parents=True)
    (folder / "libPhysXGpu_64.so").touch()
    found = findings(answers(torch=gpu), here)
    assert named(found, "PhysX GPU library").ok
    assert unmet(found, Need.GPU) == ()


def test_a_port_without_permission_is_not_a_port() -> None:
    """A serial port that can't be opened names the group that may."""
    found = findings(answers(serial={"ports": [], "closed": ["/dev/ttyACM0"]}), facts())
    assert named(found, "Serial ports").detail == "/dev/ttyACM0: no permission to open"
    assert "dialout" in named(found, "Serial ports").mend
    ready = findings(answers(serial={"ports": ["/dev/ttyACM0"], "closed": []}), facts())
    assert unmet(ready, Need.REAL) == ()


def test_an_old_python_is_said() -> None:
    """Python 3.11 is refused and 3.13 is not."""
    assert named(findings(answers(), facts(python="3.11.9")), "Python").mend == "install Python 3.12 or newer"
    assert named(findings(answers(), facts(python="3.13.0")), "Python").ok


def test_probes_that_fail_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-out, crash, error and chatter on the output are each read as what they are."""
    import subprocess

    def end(code: int, out: str = "", err: str = "") -> None:
        done = subprocess.CompletedProcess([], code, out, err)
        monkeypatch.setattr(subprocess, "run", lambda *a, **k: done)

    end(-11)
    assert probe("sapien") == {"error": "crashed with SIGSEGV"}
    end(1, err="Traceback ...\nImportError: libGL.so.1")
    assert probe("mujoco") == {"error": "ImportError: libGL.so.1"}
    end(3)
    assert probe("mujoco") == {"error": "exit status 3"}
    end(0, out='Warp 1.0 says hello\n{"version": "1"}\n')
    assert probe("newton") == {"version": "1"}
    monkeypatch.undo()
    assert probe("torch", seconds=0.01) == {"error": "no answer within 0 s"}


def test_this_machine_is_examined_without_an_error_of_the_probes_own() -> None:
    """The real probes run here: what they need is installed by the set-up, and none fails by a slip of its own."""
    found = examine()
    assert {"Python", "torch", "ONNX Runtime", "ManiSkill", "MuJoCo", "Newton", "LeRobot"} <= {
        finding.name for finding in found if finding.ok
    }
    for finding in found:
        assert "Error" not in finding.detail or "ErrorIncompatibleDriver" in finding.detail, finding
    assert set(PROBES) == set(answers())
