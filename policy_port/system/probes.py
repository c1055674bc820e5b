"""What is asked of each library and driver; run as a program, one probe per process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
    # Structures of vulkan_core.h; what is not set stays zero.
    number, pointer, text, name = ctypes.c_uint32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char * 256
    application_info = _structure(
        type=number, next=pointer, name=text, version=number, engine=text, engine_version=number, api_version=number
    )
    instance_info = _structure(
        type=number,
        next=pointer,
        flags=number,
        application=ctypes.POINTER(application_info),
        layer_count=number,
        layers=pointer,
        extension_count=number,
        extensions=pointer,
    )
    driver_properties = _structure(
        type=number, next=pointer, id=number, name=name, info=name, conformance=ctypes.c_uint8 * 4
    )
    # The limits that follow the device's name are of no interest here, only their room is.
    numbers = dict.fromkeys(("api_version", "driver_version", "vendor", "device", "kind"), number)
    device_properties = _structure(type=number, next=pointer, **numbers, name=name, rest=ctypes.c_uint8 * 1024)

    application = application_info(type=0, api_version=(1 << 22) | (2 << 12))
    request = instance_info(type=1, application=ctypes.pointer(application))
    instance = pointer()
    status = library.vkCreateInstance(ctypes.byref(request), None, ctypes.byref(instance))
    if status != 0:
        return {"error": f"the Vulkan loader finds no driver (VkResult {status})"}
    count = number()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (pointer * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    devices = []
    for handle in handles:
        driver = driver_properties(type=1000196000)
        device = device_properties(type=1000059001, next=ctypes.cast(ctypes.pointer(driver), pointer))
        library.vkGetPhysicalDeviceProperties2(pointer(handle), ctypes.byref(device))
        info, brand = driver.info.decode(errors="replace"), driver.name.decode(errors="replace")
        shown = info if info.startswith("Mesa") else f"{brand} {info}"
        devices.append({"name": device.name.decode(errors="replace"), "driver": shown})
    return {"devices": devices}


def _structure(**fields: Any) -> Any:
    """A class of C structures with these fields, in this order."""
    import ctypes

    return type("Structure", (ctypes.Structure,), {"_fields_": tuple(fields.items())})


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
    # The other shaders first integrate their tables of light, which takes a software driver five seconds.
    sapien.render.set_camera_shader_dir("trivial")
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


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
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
"""Probes by name; each answers with plain data."""


if __name__ == "__main__":
    try:
        result = PROBES[sys.argv[1]]()
    except ModuleNotFoundError as missing:
        result = {"error": f"not installed ({missing.name})"}
    print(json.dumps(result), flush=True)
    # Some GPU libraries crash while the interpreter shuts down; the answer is given, so that says nothing.
    os._exit(0)
