"""Frames of a camera that nobody else reads: an index, a device, an address, or a folder of stills."""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.errors import CameraError
from policy_port.files import write_atomic
from policy_port.plain_yaml import read_bytes

PATIENCE = 3.0
"""How long a camera may take to its first frame, and between two [s]."""
WARM_UP = 0.5
"""Frames of this long after opening are thrown away: exposure and white balance settle meanwhile [s]."""
MAX_BYTES = 64 * 2**20
"""Largest picture read."""
SIGNATURE, HEAD, NOTE = b"\x89PNG\r\n\x1a\n", 33, b"policy-port\0"
"""How a PNG file begins, where its header ends, and the keyword of a note in it."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Frame:
    """One picture of a camera."""

    image: NDArray[np.uint8]
    """RGB, shape (rows, columns, 3)."""
    stamp: float
    """When it came [s], on the clock of `time.perf_counter`."""


def read_still(path: Path) -> NDArray[np.uint8]:
    """A picture file as RGB, shape (rows, columns, 3).

    Raises:
        CameraError: When it is no picture.
    """
    import cv2

    data = read_bytes(path, CameraError, what="a picture", max_bytes=MAX_BYTES)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if found is None:
        raise CameraError(f"{path}: is no picture that OpenCV reads; give a PNG or a JPEG")
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def write_still(path: Path, image: NDArray[np.uint8], note: str = "", per_metre: int = 0) -> None:
    """Write a PNG file, whole or not at all.

    Args:
        path: The file.
        image: RGB, shape (rows, columns, 3).
        note: What `read_note` finds in it.
        per_metre: Pixels a metre, for a printer; nothing is said of it, if 0.
    """
    import cv2

    done, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    data = png.tobytes()
    more = _chunk(b"tEXt", NOTE + note.encode("latin-1")) if note else b""
    if per_metre:
        more += _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    write_atomic(path, data[:HEAD] + more + data[HEAD:])


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def read_note(path: Path) -> str:
    """What `write_still` noted in a PNG file; "" where there is nothing, as in one that another program saved."""
    data, at = read_bytes(path, CameraError, what="a picture", max_bytes=MAX_BYTES), len(SIGNATURE)
    while data.startswith(SIGNATURE) and at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        text = data[at + 8 : at + 8 + length]
        if kind == b"tEXt" and text.startswith(NOTE):
            return text[len(NOTE) :].decode("latin-1")
        at += 12 + length
    return ""


def grab(
    source: int | str, count: int, *, size: tuple[int, int] | None = None, fps: float | None = None
) -> list[Frame]:
    """Take frames.

    Args:
        source: Index, device path or address, as OpenCV takes it, or a folder of stills.
        count: How many; of a folder all of them.
        size: Rows and columns that the frames have to have; what a device is opened with.
        fps: Rate that a device is opened with [Hz].

    Raises:
        CameraError: When it is absent, busy, gives nothing, or another size.
    """
    if isinstance(source, str) and Path(source).is_dir():
        frames = _folder(Path(source))
    else:
        with _opened(source, size, fps) as read:
            frames = [read() for _ in range(count)]
    for frame in frames:
        if size is not None and frame.image.shape[:2] != size:
            has = frame.image.shape
            raise CameraError(
                f"camera {source} gives frames of {has[1]}x{has[0]}, wanted are {size[1]}x{size[0]} (width x height): "
                "set its size in the robot file or image.camera_size in the environment file; nothing is resized "
                "silently"
            )
    return frames


def _folder(path: Path) -> list[Frame]:
    files = sorted(item for item in path.iterdir() if item.suffix.lower() in SUFFIXES)
    if not files:
        raise CameraError(f"{path}: holds no stills ({', '.join(SUFFIXES)})")
    frames = [Frame(read_still(item), 0.0) for item in files]
    sizes = {frame.image.shape for frame in frames}
    if len(sizes) > 1:
        raise CameraError(f"{path}: its stills have different sizes; give those of one camera")
    return frames


@contextlib.contextmanager
def _opened(source: int | str, size: tuple[int, int] | None, fps: float | None) -> Iterator[Any]:
    import cv2

    stream = isinstance(source, str) and "://" in source
    where = Path(f"/dev/video{source}") if isinstance(source, int) else Path(source)
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            raise CameraError(f"camera {source}: {_why(source, where, stream=stream)}")
        if not stream and size is not None:
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        if not stream and fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)

        def read() -> Frame:
            due = time.perf_counter() + PATIENCE
            while time.perf_counter() < due:
                done, image = capture.read()
                if done:
                    return Frame(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), time.perf_counter())
                time.sleep(0.01)
            raise CameraError(
                f"camera {source}: is open and gives no frames for {PATIENCE:g} s; plug it in again, and give it a USB "
                "port of its own"
            )

        ready = time.perf_counter() + WARM_UP
        while read().stamp < ready:
            pass
        yield read
    finally:
        capture.release()


def _why(source: int | str, where: Path, *, stream: bool) -> str:
    if stream:
        return "nothing answers there; is the stream running, and the address right?"
    if where.exists():
        return "is there and does not open: another program has it, or you may not read it (group video)"
    there = sorted(str(item) for item in Path("/dev").glob("video*"))
    return f"is not there; this machine has {', '.join(there) or 'no camera'} and no folder of that name"


def as_source(text: str) -> int | str:
    """A source as it is written in a command: digits are an index."""
    return int(text) if text.isdigit() else text


def median(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The median of frames, pixel by pixel; a frame of its own where there is but one."""
    return np.median(np.stack(frames), axis=0).round().astype(np.uint8) if len(frames) > 1 else frames[0]
