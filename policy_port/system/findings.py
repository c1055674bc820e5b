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

    new_enough = tuple(int(part) for part in facts["python"].split(".")[:2]) >= (3, 12)
    found = [
        Finding(
            name="Python",
            ok=new_enough,
            detail=f"{facts['python']} ({facts['python_path']})",
            mend="" if new_enough else "install Python 3.12 or newer",
            needed_by=every,
        ),
        _library("torch", torch, "", every),
        _cuda(torch, facts),
        _library("ONNX Runtime", runtime, "", every, ", ".join(runtime.get("providers", ()))),
        _vulkan(vulkan, facts),
        _library("ManiSkill", answers["mani_skill"], "sim", simulated),
        _sapien(sapien, vulkan, facts),
        _physx(torch, sapien, facts),
        _library("MuJoCo", mujoco, "sim", simulated),
        _egl(mujoco, facts),
        _library("Newton", newton, "newton", ()),
        _library("LeRobot", lerobot, "real", (Need.REAL,)),
        _serial(serial),
    ]
    return tuple(found)


def vulkan_mend(facts: Mapping[str, Any], accepted_devices: bool) -> str:
    """Return the command that gives this machine a Vulkan driver that SAPIEN accepts.

    Args:
        facts: What `machine` returned.
        accepted_devices: Whether a device that is new enough is there already, so that the driver is not at fault.
    """
    release = facts["release"]
    system, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    family = {system, *release.get("ID_LIKE", "").split()}
    if accepted_devices:
        return "reinstall SAPIEN: " + _pip("sim")
    if facts["nvidia"]:
        return (
            "install the Vulkan part of the NVIDIA driver (nvidia_icd.json is missing or its library is); in a "
            "container set NVIDIA_DRIVER_CAPABILITIES=all"
        )
    packages = "libvulkan1 mesa-vulkan-drivers"
    if codename == "bookworm":
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
    if family & {"debian", "ubuntu"}:
        return _as_root(facts, f"apt-get install -y {packages}")
    return "install the Vulkan loader and Mesa's software driver (lavapipe), Mesa 24.3 or newer"


def _as_root(facts: Mapping[str, Any], command: str) -> str:
    return command if facts["root"] else f"sudo {command}"


def _pip(extra: str) -> str:
    return f"pip install 'policy-port[{extra}]'" if extra else "pip install --force-reinstall policy-port"


def _library(name: str, answer: Mapping[str, Any], extra: str, needed_by: tuple[Need, ...], also: str = "") -> Finding:
    if "version" not in answer:
        return Finding(name=name, ok=False, detail=answer["error"], mend=_pip(extra), needed_by=needed_by)
    detail = answer["version"] + (f", {also}" if also else "")
    return Finding(name=name, ok=True, detail=detail, needed_by=needed_by)


def _cuda(torch: Mapping[str, Any], facts: Mapping[str, Any]) -> Finding:
    if torch.get("devices"):
        detail = f"CUDA {torch['cuda']}, {', '.join(torch['devices'])}"
        return Finding(name="CUDA", ok=True, detail=detail, needed_by=(Need.GPU,))
    if not facts["nvidia"]:
        detail, mend = "no NVIDIA GPU or no driver (nvidia-smi is not on the path)", ""
    elif "version" not in torch:
        detail, mend = "torch can't be asked", _pip("")
    elif torch["cuda"] is None:
        detail = f"torch {torch['version']} was built without CUDA"
        mend = "install the CUDA build of torch"
    else:
        detail = f"torch sees no GPU: {torch.get('reason') or 'its CUDA can not start'}"
        mend = f"update the NVIDIA driver to one that runs CUDA {torch['cuda']}"
    return Finding(name="CUDA", ok=False, detail=detail, mend=mend, needed_by=(Need.GPU,))


def _mesa(device: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the Mesa version of a Vulkan device, None for another vendor's driver."""
    import re

    numbers = re.match(r"Mesa (\d+)\.(\d+)", device["driver"])
    return tuple(int(number) for number in numbers.groups()) if numbers else None


def _new_enough(vulkan: Mapping[str, Any]) -> bool:
    versions = [_mesa(device) for device in vulkan.get("devices", ())]
    return any(version is None or version >= MESA_FLOOR for version in versions)


def _vulkan(vulkan: Mapping[str, Any], facts: Mapping[str, Any]) -> Finding:
    devices = vulkan.get("devices", ())
    ok = _new_enough(vulkan)
    detail = "; ".join(f"{device['name']}, {device['driver']}" for device in devices)
    if not devices:
        detail = vulkan.get("error", "the Vulkan loader is here, but no driver offers a device")
    elif not ok:
        detail += f" is older than Mesa {MESA_FLOOR[0]}.{MESA_FLOOR[1]}, which SAPIEN needs"
    return Finding(
        name="Vulkan",
        ok=ok,
        detail=detail,
        mend="" if ok else vulkan_mend(facts, accepted_devices=False),
        needed_by=(Need.SIM, Need.GPU),
    )


def _sapien(sapien: Mapping[str, Any], vulkan: Mapping[str, Any], facts: Mapping[str, Any]) -> Finding:
    needed_by = (Need.SIM, Need.GPU)
    if sapien.get("rendered"):
        detail = f"{sapien['version']} rendered a picture on {', '.join(sapien['rendered'])}"
        return Finding(name="SAPIEN", ok=True, detail=detail, needed_by=needed_by)
    if "version" in sapien or "crashed" in sapien.get("error", ""):
        mend = vulkan_mend(facts, accepted_devices=_new_enough(vulkan))
    else:
        mend = _pip("sim")
    return Finding(
        name="SAPIEN",
        ok=False,
        detail=sapien.get("error") or f"{sapien['version']} can't render: {sapien['reason']}",
        mend=mend,
        needed_by=needed_by,
    )


def _physx(torch: Mapping[str, Any], sapien: Mapping[str, Any], facts: Mapping[str, Any]) -> Finding:
    name, needed_by = "PhysX GPU library", (Need.GPU,)
    if "physx" not in sapien:
        return Finding(
            name=name, ok=False, detail="its version is unknown without SAPIEN", mend="", needed_by=needed_by
        )
    folder = Path(facts["home"], ".sapien", "physx", sapien["physx"])
    if (folder / "libPhysXGpu_64.so").is_file():
        return Finding(name=name, ok=True, detail=str(folder), needed_by=needed_by)
    mend = f'{facts["python_path"]} -c "import sapien.physx; sapien.physx.enable_gpu()"'
    return Finding(
        name=name,
        ok=False,
        detail=f"libPhysXGpu_64.so is not in {folder}",
        # SAPIEN downloads the library and loads it at once, which needs the NVIDIA driver.
        mend=mend if torch.get("devices") else "",
        needed_by=needed_by,
    )


def _egl(mujoco: Mapping[str, Any], facts: Mapping[str, Any]) -> Finding:
    name = "MuJoCo pictures"
    if mujoco.get("rendered"):
        return Finding(name=name, ok=True, detail="EGL rendered a picture")
    family = {facts["release"].get("ID", ""), *facts["release"].get("ID_LIKE", "").split()}
    packages = "libegl1 libgl1 libgl1-mesa-dri"
    if "version" not in mujoco and "crashed" not in mujoco.get("error", ""):
        mend = _pip("sim")
    elif family & {"debian", "ubuntu"}:
        mend = _as_root(facts, f"apt-get install -y {packages}")
    else:
        mend = "install EGL and Mesa's software renderer"
    detail = mujoco.get("error") or f"EGL can't render: {mujoco.get('reason')}"
    return Finding(name=name, ok=False, detail=detail, mend=mend)


def _serial(serial: Mapping[str, Any]) -> Finding:
    name, needed_by = "Serial ports", (Need.REAL,)
    ports, closed = serial.get("ports", ()), serial.get("closed", ())
    if ports:
        return Finding(name=name, ok=True, detail=", ".join(ports), needed_by=needed_by)
    if closed:
        return Finding(
            name=name,
            ok=False,
            detail=f"{', '.join(closed)}: no permission to open",
            mend='sudo usermod -aG dialout "$USER", then log in again',
            needed_by=needed_by,
        )
    return Finding(
        name=name,
        ok=False,
        detail=serial.get("error", "no USB serial port"),
        mend="connect the arm's USB cable and switch its power on",
        needed_by=needed_by,
    )
