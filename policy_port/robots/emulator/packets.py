"""Feetech's packets: bytes from the host to instructions, and replies to bytes.

    instruction  FF FF id length instruction parameters... checksum
    reply        FF FF id length status      parameters... checksum

The length counts what follows it, the checksum is the complement of the sum from the id on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

HEADER = b"\xff\xff"
BROADCAST = 0xFE
MAX_PENDING = 4096
"""Bytes kept while waiting for the rest of a packet; a host sends at most 259 in one."""


class Instruction(IntEnum):
    """What a host can ask of servos."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


@dataclass(frozen=True)
class Packet:
    """One packet from the host, its checksum verified."""

    servo_id: int
    instruction: int
    parameters: bytes


def checksum(body: bytes) -> int:
    """Checksum of what stands between header and checksum."""
    return ~sum(body) & 0xFF


def frame(servo_id: int, code: int, parameters: bytes = b"") -> bytes:
    """A whole packet; `code` is the instruction, or the status byte in a reply."""
    body = bytes((servo_id, len(parameters) + 2, code)) + parameters
    return HEADER + body + bytes((checksum(body),))


class Decoder:
    """Cuts a stream of bytes into packets; what is no packet is skipped."""

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def pending(self) -> bool:
        """Whether bytes wait for the rest of their packet."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[Packet]:
        """Take bytes from the wire and return the packets that they complete."""
        self._pending += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        del self._pending[:-MAX_PENDING]
        return packets

    def idle(self) -> list[Packet]:
        """The line was silent: what is pending begins no packet, but may hide one behind a false beginning."""
        packets = []
        while self._pending:
            del self._pending[:1]
            packets += self.feed(b"")
        return packets

    def _next(self) -> Packet | None:
        pending = self._pending
        while True:
            start = pending.find(HEADER)
            if start < 0:
                # The last byte may be the first half of a header.
                del pending[: len(pending) - (pending[-1:] == b"\xff")]
                return None
            del pending[:start]
            if len(pending) < 4:
                return None
            length = pending[3]
            # An id of FF is a header that a stray FF precedes.
            if pending[2] == 0xFF or length < 2:
                del pending[:1]
                continue
            if len(pending) < length + 4:
                return None
            body = bytes(pending[2 : length + 3])
            if checksum(body) != pending[length + 3]:
                # The length itself may be what is wrong: look for the next header right behind this one.
                del pending[:2]
                continue
            del pending[: length + 4]
            return Packet(body[0], body[2], body[3:])
