"""What this machine can do: one function that returns typed findings, each with what would mend it.

Drivers that are broken can take the whole process with them, and the heavy libraries take seconds to import, so
each of them is asked in a process of its own, all at the same time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

MESA_FLOOR = (24, 3)
"""First Mesa whose software driver SAPIEN accepts: it brought VK_KHR_external_semaphore_fd."""

PROBE_SECONDS = 120.0
"""How long one probe may take; a cold import of torch from a slow disk has been seen to take a minute."""


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


def examine() -> tuple[Finding, ...]:
    """Look at everything that simulation, the GPU and the real arm need."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(_PROBES)) as pool:
        answers = dict(zip(_PROBES, pool.map(probe, _PROBES), strict=True))
    return findings(answers, machine())


def unmet(found: tuple[Finding, ...], need: Need) -> tuple[Finding, ...]:
    """Return what `need` lacks, in the order of the findings."""
    return tuple(finding for finding in found if need in finding.needed_by and not finding.ok)


def machine() -> dict[str, Any]:
    """Return the facts about this machine that the mending commands depend on."""
    import shutil

    release: dict[str, str] = {}
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition("=")
        release[key] = value.strip("\"'")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "python_path": sys.executable,
        "release": release,
        "nvidia": shutil.which("nvidia-smi") is not None,
        "deb822": Path("/etc/apt/sources.list.d/debian.sources").is_file(),
        "root": os.geteuid() == 0,
        "home": str(Path.home()),
    }


def probe(name: str, seconds: float = PROBE_SECONDS) -> dict[str, Any]:
    """Run one probe in a process of its own.

    Args:
        name: A key of `_PROBES`.
        seconds: How long it may take.

    Returns:
        What the probe found; {"error": reason} where it raised, crashed or took too long.
    """
    import signal
    import subprocess

    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if name == "mujoco":
        environment["MUJOCO_GL"] = "egl"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "policy_port.system", name],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {seconds:.0f} s"}
    if done.returncode < 0:
        return {"error": f"crashed with {signal.Signals(-done.returncode).name}"}
    # Libraries print banners; the answer is the last line.
    answer = done.stdout.strip().rpartition("\n")[2]
    try:
        return json.loads(answer)
    except ValueError:
        return {"error": (done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")[:300]}


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


def _probe_torch() -> dict[str, Any]:
    import torch

    answer: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda, "devices": []}
    if torch.cuda.is_available():
        # A device that is listed can still lack kernels for its architecture; only a computation tells.
        torch.ones(8, 8, device="cuda").matmul(torch.ones(8, 8, device="cuda")).sum().item()
        answer["devices"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    elif torch.version.cuda is not None:
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            answer["reason"] = str(error).partition("\n")[0]
    return answer


def _probe_vulkan() -> dict[str, Any]:
    import ctypes

    try:
        library = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return {"error": "the Vulkan loader (libvulkan.so.1) is not installed"}

    class Application(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_uint32),
            ("next", ctypes.c_void_p),
            ("name", ctypes.c_char_p),
            ("version", ctypes.c_uint32),
            ("engine", ctypes.c_char_p),
            ("engine_version", ctypes.c_uint32),
            ("api_version", ctypes.c_uint32),
        )

    class Instance(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_uint32),
            ("next", ctypes.c_void_p),
            ("flags", ctypes.c_uint32),
            ("application", ctypes.POINTER(Application)),
            ("layer_count", ctypes.c_uint32),
            ("layers", ctypes.c_void_p),
            ("extension_count", ctypes.c_uint32),
            ("extensions", ctypes.c_void_p),
        )

    class Driver(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_uint32),
            ("next", ctypes.c_void_p),
            ("id", ctypes.c_uint32),
            ("name", ctypes.c_char * 256),
            ("info", ctypes.c_char * 256),
            ("conformance", ctypes.c_uint8 * 4),
        )

    class Properties(ctypes.Structure):
        # The limits that follow the name are of no interest here, only their room is.
        _fields_ = (
            ("type", ctypes.c_uint32),
            ("next", ctypes.c_void_p),
            ("api_version", ctypes.c_uint32),
            ("driver_version", ctypes.c_uint32),
            ("vendor", ctypes.c_uint32),
            ("device", ctypes.c_uint32),
            ("kind", ctypes.c_uint32),
            ("name", ctypes.c_char * 256),
            ("rest", ctypes.c_uint8 * 1024),
        )

    application = Application(type=0, api_version=(1 << 22) | (2 << 12))
    request = Instance(type=1, application=ctypes.pointer(application))
    instance = ctypes.c_void_p()
    status = library.vkCreateInstance(ctypes.byref(request), None, ctypes.byref(instance))
    if status != 0:
        return {"error": f"the Vulkan loader finds no driver (VkResult {status})"}
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    devices = []
    for handle in handles:
        driver = Driver(type=1000196000)
        properties = Properties(type=1000059001, next=ctypes.cast(ctypes.pointer(driver), ctypes.c_void_p))
        library.vkGetPhysicalDeviceProperties2(ctypes.c_void_p(handle), ctypes.byref(properties))
        info, brand = driver.info.decode(errors="replace"), driver.name.decode(errors="replace")
        devices.append(
            {
                "name": properties.name.decode(errors="replace"),
                "driver": info if info.startswith("Mesa") else f"{brand} {info}",
            }
        )
    return {"devices": devices}


def _probe_sapien() -> dict[str, Any]:
    import sapien
    import sapien.physx
    import sapien.render

    answer: dict[str, Any] = {
        "version": sapien.__version__,
        "physx": sapien.physx.version(),
        "rendered": [],
        "reason": "",
    }
    for kind in ("cpu", "cuda"):
        try:
            render = sapien.render.RenderSystem(sapien.Device(kind))
            scene = sapien.Scene([sapien.physx.PhysxCpuSystem(), render])
            camera = scene.add_camera("camera", 16, 16, 1.0, 0.01, 10.0)
            scene.update_render()
            camera.take_picture()
            camera.get_picture("Color")
        except RuntimeError as error:
            answer["reason"] = answer["reason"] or str(error)
        else:
            answer["rendered"].append(kind)
    return answer


def _probe_mujoco() -> dict[str, Any]:
    import mujoco

    answer: dict[str, Any] = {"version": mujoco.__version__, "rendered": False}
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light/></worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        renderer = mujoco.Renderer(model, 16, 16)
        renderer.update_scene(data)
        renderer.render()
    # What a missing EGL raises depends on where it is missed: ImportError, AttributeError, RuntimeError, ...
    except Exception as error:
        answer["reason"] = str(error).partition("\n")[0]
    else:
        answer["rendered"] = True
    return answer


def _installed(distribution: str, *modules: str) -> dict[str, Any]:
    """Return the version of an installed distribution whose modules are there, without importing them."""
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    try:
        answer = {"version": version(distribution)}
    except PackageNotFoundError:
        return {"error": "not installed"}
    missing = [module for module in modules if find_spec(module) is None]
    return {"error": f"its part {', '.join(missing)} is not installed"} if missing else answer


def _probe_onnxruntime() -> dict[str, Any]:
    import onnxruntime

    return {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}


def _probe_serial() -> dict[str, Any]:
    try:
        from serial.tools import list_ports

        devices = {port.device for port in list_ports.comports() if port.vid is not None}
    except ImportError:
        devices = set()
    devices |= {str(path) for pattern in ("ttyACM*", "ttyUSB*") for path in Path("/dev").glob(pattern)}
    usable = {device for device in devices if os.access(device, os.R_OK | os.W_OK)}
    return {"ports": sorted(usable), "closed": sorted(devices - usable)}


_PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": _probe_torch,
    "onnxruntime": _probe_onnxruntime,
    "vulkan": _probe_vulkan,
    "mani_skill": lambda: _installed("mani_skill"),
    "sapien": _probe_sapien,
    "mujoco": _probe_mujoco,
    "newton": lambda: _installed("newton", "newton", "warp"),
    "lerobot": lambda: _installed("lerobot", "lerobot", "scservo_sdk", "serial"),
    "serial": _probe_serial,
}


if __name__ == "__main__":
    try:
        result = _PROBES[sys.argv[1]]()
    except ModuleNotFoundError as missing:
        result = {"error": f"not installed ({missing.name})"}
    print(json.dumps(result), flush=True)
    # Some GPU libraries crash while the interpreter shuts down; the answer is given, so that says nothing.
    os._exit(0)
