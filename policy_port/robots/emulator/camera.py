"""A camera as MJPEG over HTTP on the loopback interface, which OpenCV opens by its address."""

from __future__ import annotations

import contextlib
import http.server
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from policy_port.robots.emulator.faults import FaultList
from policy_port.robots.emulator.lens import struck_picture
from policy_port.robots.emulator.options import CameraSpec

Picture = NDArray[np.uint8]
BOUNDARY = "frame"
PATIENCE = 1.0
"""How long a viewer may leave frames unread before it is dropped [s]."""
NOISE, SHIFT = 3, 31
"""Most that noise adds to a pixel, and by how many pixels its grain is shifted from picture to picture."""
WAIT = 0.05
"""How often a camera that has nothing to do looks whether it is to close [s]."""


@dataclass(frozen=True)
class Pictures:
    """Where a camera's pictures come from; opened, used and closed by the camera's own thread."""

    draw: Callable[[int, int], Picture]
    """Draws what is to be seen now, given height and width, shape (height, width, 3)."""
    close: Callable[[], None]
    """Frees what it holds."""


class MjpegCamera:
    """Draws frames at its rate while somebody looks, and sends each to every viewer.

    A frame that takes longer to draw than the rate allows comes later; none comes twice.
    """

    def __init__(self, spec: CameraSpec, open_source: Callable[[], Pictures], faults: FaultList, seed: int = 0) -> None:
        """Listen on a free port.

        Args:
            spec: Name, size and rate.
            open_source: Opens the source of pictures, on the camera's thread: graphics belong to one thread.
            faults: The arm's faults.
            seed: Seed of its noise.
        """
        self._spec, self._open_source, self._faults = spec, open_source, faults
        self._closed = threading.Event()
        self._viewers = 0
        self._frame = b""
        self._number = 0
        self._news = threading.Condition()
        self._failure: BaseException | None = None
        self._random = np.random.default_rng(seed)
        self._grain: Picture | None = None
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.camera = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/{spec.name}.mjpg"
        """Address of the stream."""
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(WAIT,), name=f"camera {spec.name} server"),
            threading.Thread(target=self._draw_frames, name=f"camera {spec.name}"),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Send no more, and leave no thread.

        Raises:
            RuntimeError: When drawing had failed.
        """
        self._closed.set()
        with self._news:
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise RuntimeError(f"camera '{self._spec.name}' has failed") from failure

    @property
    def unplugged(self) -> bool:
        """Whether a fault keeps viewers out."""
        return self._closed.is_set() or self._faults.find("unplug-camera", self._spec.name) is not None

    def show(self, write: Callable[[bytes], Any]) -> None:
        """Give every new frame to one viewer, until the camera closes or the viewer's `write` fails."""
        with self._news:
            self._viewers += 1
            seen = self._number
        try:
            while not self.unplugged:
                with self._news:
                    if not self._news.wait_for(lambda last=seen: self._number != last, WAIT):
                        continue
                    frame, seen = self._frame, self._number
                write(b"--%s\r\nContent-Type: image/jpeg\r\n" % BOUNDARY.encode())
                write(b"Content-Length: %d\r\n\r\n%s\r\n" % (len(frame), frame))
        finally:
            with self._news:
                self._viewers -= 1

    def _draw_frames(self) -> None:
        source: Pictures | None = None
        try:
            due = time.monotonic()
            while not self._closed.wait(max(0.0, due - time.monotonic())):
                # A camera that was busy or unwatched goes on from now and does not catch up.
                due = max(due + 1.0 / self._spec.fps, time.monotonic())
                if self._viewers == 0 or self._faults.find("stall-camera", self._spec.name) is not None:
                    continue
                source = source or self._open_source()
                frame = self._next_frame(source)
                self._closed.wait(self._faults.find("slow-camera", self._spec.name) or 0.0)
                with self._news:
                    self._frame, self._number = frame, self._number + 1
                    self._news.notify_all()
        except BaseException as failure:
            # Viewers see a camera that went away; `close` tells why.
            self._failure = failure
            self._closed.set()
        finally:
            if source is not None:
                source.close()

    def _next_frame(self, source: Pictures) -> bytes:
        if self._frame and self._faults.find("freeze-camera", self._spec.name) is not None:
            return self._frame
        height, width = self._spec.height, self._spec.width
        if self._faults.find("black-camera", self._spec.name) is not None:
            return _as_jpeg(self._noisy(np.zeros((height, width, 3), np.uint8)))
        return _as_jpeg(self._noisy(struck_picture(source.draw(height, width), self._faults, self._spec.name)))

    def _noisy(self, picture: Picture) -> Picture:
        """The picture with a sensor's noise: no two are the same, also where nothing moves."""
        height, width = picture.shape[:2]
        if self._grain is None:
            grain = self._random.integers(0, NOISE, (height + SHIFT, width + SHIFT, 1), np.uint8, endpoint=True)
            # NumPy adds three channels to three in a fifth of the time that one to three takes.
            self._grain = grain.repeat(3, axis=2)
        row, column = self._random.integers(0, SHIFT, 2, endpoint=True)
        return np.minimum(picture, 255 - NOISE) + self._grain[row : row + height, column : column + width]


def _as_jpeg(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG", quality=85)
    return file.getvalue()


class _Server(http.server.ThreadingHTTPServer):
    # Closing waits for the viewers' threads, which end with the camera.
    daemon_threads = False
    camera: MjpegCamera

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that goes away is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Viewers are not announced."""

    def do_GET(self) -> None:
        """Send frames without end."""
        assert isinstance(self.server, _Server)
        camera = self.server.camera
        self.close_connection = True
        if camera.unplugged:
            return
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with contextlib.suppress(OSError):
            camera.show(self.wfile.write)
