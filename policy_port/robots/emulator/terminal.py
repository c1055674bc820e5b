"""A pseudo-terminal that a serial driver opens like a USB adapter's port."""

from __future__ import annotations

import contextlib
import os
import secrets
import termios
import tty
from pathlib import Path

from policy_port.errors import EmulatorError

_SPEEDS = {
    getattr(termios, f"B{rate}"): rate
    for rate in (4800, 9600, 19_200, 38_400, 57_600, 115_200, 500_000, 1_000_000)
    if hasattr(termios, f"B{rate}")
}


class Terminal:
    """Both ends of a pseudo-terminal; the near end is read and written here, the far end has a path."""

    def __init__(self, link: Path | None) -> None:
        """Open it.

        Args:
            link: Symbolic link to make to its path, which stays the same when the terminal does not.

        Raises:
            EmulatorError: When something other than an old link stands at `link`, or it can't be made.
        """
        self._near, self._far = os.openpty()
        # Kept open here too: otherwise the near end would fail whenever no client has the port open.
        tty.setraw(self._far)
        settings = termios.tcgetattr(self._far)
        settings[4] = settings[5] = termios.B1000000
        termios.tcsetattr(self._far, termios.TCSANOW, settings)
        os.set_blocking(self._near, False)
        self.device = os.ttyname(self._far)
        self._link = link
        self.path = self.device if link is None else str(link)
        """What a client opens."""
        if link is not None:
            try:
                _point(link, self.device)
            except BaseException:
                self._link = None
                self.close()
                raise

    def fileno(self) -> int:
        """The near end, for select."""
        return self._near

    @property
    def baud_rate(self) -> int | None:
        """Speed that the client has set [bits/s]; None where it is one without a name."""
        return _SPEEDS.get(termios.tcgetattr(self._near)[5])

    def read(self) -> bytes:
        """Bytes that the client has sent; none when there are none."""
        try:
            return os.read(self._near, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send bytes; what a client that does not read leaves no room for is lost, as on a wire."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._near, data)

    def close(self) -> None:
        """Hang up: a client that has the port open gets an error from then on. Twice is harmless."""
        if self._link is not None and self._link.is_symlink() and os.readlink(self._link) == self.device:
            self._link.unlink()
        self._link = None
        for end in (self._near, self._far):
            if end >= 0:
                os.close(end)
        self._near = self._far = -1


def _point(link: Path, device: str) -> None:
    if os.path.lexists(link) and not link.is_symlink():
        raise EmulatorError(f"{link}: is there and is no symbolic link; name another path for the port")
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        temporary.symlink_to(device)
        temporary.replace(link)
    except OSError as cause:
        raise EmulatorError(f"{link}: can't be made: {cause.strerror}") from cause
