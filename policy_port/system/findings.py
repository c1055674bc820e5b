"""What the probes' answers mean, and what would mend what is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

MESA_FLOOR = (24, 3)
"""First Mesa whose software driver SAPIEN accepts: it brought VK_KHR_external_semaphore_fd."""


class Need(StrEnum):
    """What a user may want to do on this machine."""

    SIM = "sim"
    GPU = "gpu"
    REAL = "real"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What was looked at."""

    ok: bool
    """Whether it is there and works."""

    detail: str
    """What was found: a version, a device, or the reason why not."""

    mend: str = ""
    """The command or the step that mends it; empty where nothing is amiss or nothing can be done."""

    needed_by: tuple[Need, ...] = ()
    """What can't be done without it."""


Judgement = tuple[bool, str, str]
"""Of a finding: `ok`, `detail` and `mend`."""


def unmet(found: tuple[Finding, ...], need: Need) -> tuple[Finding, ...]:
    """Return what `need` lacks, in the order of the findings."""
    return tuple(finding for finding in found if need in finding.needed_by and not finding.ok)


def findings(answers: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Turn what the probes answered into findings.

    Args:
        answers: Probe name -> what it found.
        facts: What `machine` returned.
    """
    every = (Need.SIM, Need.GPU, Need.REAL)
    simulated = (Need.SIM, Need.GPU)
    torch, vulkan, sapien = answers["torch"], answers["vulkan"], answers["sapien"]
    mujoco, newton, lerobot = answers["mujoco"], answers["newton"], answers["lerobot"]
    runtime, serial = answers["onnxruntime"], answers["serial"]

    rows: tuple[tuple[str, tuple[Need, ...], Judgement], ...] = (
        ("Python", every, _python(facts)),
        ("torch", every, _library(torch, "")),
        ("CUDA", (Need.GPU,), _cuda(torch, facts)),
        ("ONNX Runtime", every, _library(runtime, "", ", ".join(runtime.get("providers", ())))),
        ("Vulkan", simulated, _vulkan(vulkan, facts)),
        ("ManiSkill", simulated, _library(answers["mani_skill"], "sim")),
        ("SAPIEN", simulated, _sapien(sapien, vulkan, facts)),
        ("PhysX GPU library", (Need.GPU,), _physx(torch, sapien, facts)),
        ("MuJoCo", simulated, _library(mujoco, "sim")),
        ("MuJoCo pictures", (), _egl(mujoco, facts)),
        ("Newton", (), _library(newton, "newton")),
        ("LeRobot", (Need.REAL,), _library(lerobot, "real")),
        ("Serial ports", (Need.REAL,), _serial(serial)),
    )
    return tuple(
        Finding(name=name, ok=ok, detail=detail, mend=mend, needed_by=needed_by)
        for name, needed_by, (ok, detail, mend) in rows
    )


def vulkan_mend(facts: Mapping[str, Any], accepted_devices: bool) -> str:
    """Return the command that gives this machine a Vulkan driver that SAPIEN accepts.

    Args:
        facts: What `machine` returned.
        accepted_devices: Whether a device that is new enough is there already, so that the driver is not at fault.
    """
    if accepted_devices:
        return "reinstall SAPIEN: " + _pip("sim")
    if facts["nvidia"]:
        return (
            "install the Vulkan part of the NVIDIA driver (nvidia_icd.json is missing or its library is); in a "
            "container set NVIDIA_DRIVER_CAPABILITIES=all"
        )
    packages = "libvulkan1 mesa-vulkan-drivers"
    if facts["release"].get("VERSION_CODENAME") == "bookworm":
        # Debian 12's own Mesa is too old, and its backports are not enabled from the start. Their source is the
        # one that the machine has already, with the suite changed.
        lists = "/etc/apt/sources.list.d"
        if facts["deb822"]:
            change = "/^$/q; s/^Suites:.*/Suites: bookworm-backports/"
            enable = f"sed '{change}' {lists}/debian.sources > {lists}/policy-port-backports.sources"
        else:
            change = "s/ bookworm main/ bookworm-backports main/p"
            enable = f"sed -n '{change}' /etc/apt/sources.list > {lists}/policy-port-backports.list"
        install = f"apt-get install -y -t bookworm-backports {packages}"
        return _as_root(facts, f'sh -c "{enable} && apt-get update && {install}"')
    if _family(facts) & {"debian", "ubuntu"}:
        return _as_root(facts, f"apt-get install -y {packages}")
    return "install the Vulkan loader and Mesa's software driver (lavapipe), Mesa 24.3 or newer"


def _as_root(facts: Mapping[str, Any], command: str) -> str:
    return command if facts["root"] else f"sudo {command}"


def _pip(extra: str) -> str:
    return f"pip install 'policy-port[{extra}]'" if extra else "pip install --force-reinstall policy-port"


def _python(facts: Mapping[str, Any]) -> Judgement:
    new_enough = tuple(int(part) for part in facts["python"].split(".")[:2]) >= (3, 12)
    mend = "" if new_enough else "install Python 3.12 or newer"
    return new_enough, f"{facts['python']} ({facts['python_path']})", mend


def _library(answer: Mapping[str, Any], extra: str, also: str = "") -> Judgement:
    if "version" not in answer:
        return False, answer["error"], _pip(extra)
    return True, answer["version"] + (f", {also}" if also else ""), ""


def _cuda(torch: Mapping[str, Any], facts: Mapping[str, Any]) -> Judgement:
    if torch.get("devices"):
        return True, f"CUDA {torch['cuda']}, {', '.join(torch['devices'])}", ""
    if not facts["nvidia"]:
        return False, "no NVIDIA GPU or no driver (nvidia-smi is not on the path)", ""
    if "version" not in torch:
        return False, "torch can't be asked", _pip("")
    if torch["cuda"] is None:
        return False, f"torch {torch['version']} was built without CUDA", "install the CUDA build of torch"
    detail = f"torch sees no GPU: {torch.get('reason') or 'its CUDA can not start'}"
    return False, detail, f"update the NVIDIA driver to one that runs CUDA {torch['cuda']}"


def _mesa(device: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the Mesa version of a Vulkan device, None for another vendor's driver."""
    import re

    numbers = re.match(r"Mesa (\d+)\.(\d+)", device["driver"])
    return tuple(int(number) for number in numbers.groups()) if numbers else None


def _new_enough(vulkan: Mapping[str, Any]) -> bool:
    versions = [_mesa(device) for device in vulkan.get("devices", ())]
    return any(version is None or version >= MESA_FLOOR for version in versions)


def _vulkan(vulkan: Mapping[str, Any], facts: Mapping[str, Any]) -> Judgement:
    devices = vulkan.get("devices", ())
    ok = _new_enough(vulkan)
    detail = "; ".join(f"{device['name']}, {device['driver']}" for device in devices)
    if not devices:
        detail = vulkan.get("error", "the Vulkan loader is here, but no driver offers a device")
    elif not ok:
        detail += f" is older than Mesa {MESA_FLOOR[0]}.{MESA_FLOOR[1]}, which SAPIEN needs"
    return ok, detail, "" if ok else vulkan_mend(facts, accepted_devices=False)


def _sapien(sapien: Mapping[str, Any], vulkan: Mapping[str, Any], facts: Mapping[str, Any]) -> Judgement:
    if sapien.get("rendered"):
        return True, f"{sapien['version']} rendered a picture on {', '.join(sapien['rendered'])}", ""
    detail = sapien.get("error") or f"{sapien['version']} can't render: {sapien['reason']}"
    if "version" in sapien or "crashed" in sapien.get("error", ""):
        return False, detail, vulkan_mend(facts, accepted_devices=_new_enough(vulkan))
    return False, detail, _pip("sim")


def _physx(torch: Mapping[str, Any], sapien: Mapping[str, Any], facts: Mapping[str, Any]) -> Judgement:
    if "physx" not in sapien:
        return False, "its version is unknown without SAPIEN", ""
    folder = Path(facts["home"], ".sapien", "physx", sapien["physx"])
    if (folder / "libPhysXGpu_64.so").is_file():
        return True, str(folder), ""
    mend = f'{facts["python_path"]} -c "import sapien.physx; sapien.physx.enable_gpu()"'
    # SAPIEN downloads the library and loads it at once, which needs the NVIDIA driver.
    return False, f"libPhysXGpu_64.so is not in {folder}", mend if torch.get("devices") else ""


def _egl(mujoco: Mapping[str, Any], facts: Mapping[str, Any]) -> Judgement:
    if mujoco.get("rendered"):
        return True, "EGL rendered a picture", ""
    detail = mujoco.get("error") or f"EGL can't render: {mujoco.get('reason')}"
    if "version" not in mujoco and "crashed" not in mujoco.get("error", ""):
        return False, detail, _pip("sim")
    if _family(facts) & {"debian", "ubuntu"}:
        return False, detail, _as_root(facts, "apt-get install -y libegl1 libgl1 libgl1-mesa-dri")
    return False, detail, "install EGL and Mesa's software renderer"


def _serial(serial: Mapping[str, Any]) -> Judgement:
    ports, closed = serial.get("ports", ()), serial.get("closed", ())
    if ports:
        return True, ", ".join(ports), ""
    if closed:
        detail = f"{', '.join(closed)}: no permission to open"
        return False, detail, 'sudo usermod -aG dialout "$USER", then log in again'
    mend = "connect the arm's USB cable and switch its power on"
    return False, serial.get("error", "no USB serial port"), mend


def _family(facts: Mapping[str, Any]) -> set[str]:
    """The distribution and those that it is made from."""
    release = facts["release"]
    return {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
