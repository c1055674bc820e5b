"""The table of faults that the emulated arm can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Target = Literal["joint", "camera"]


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault: what it strikes, its number, and what then happens."""

    name: str
    effect: str
    target: Target | None = None
    """What it strikes: joints or cameras, all of them when none is named; None: the arm as a whole."""
    value: str | None = None
    """What its number means, with the unit; None: it has none."""
    default: float | None = None
    """The number, when none is given; None: one must be given."""
    least: float = 0.0
    most: float = 1e6
    one_joint: bool = False
    """Whether a joint must be named."""
    at_once: bool = False
    """An event: it happens and is over, so that there is nothing to clear."""
    viewed: bool = False
    """Whether only a camera that has a view can have it."""

    @property
    def usage(self) -> str:
        """How it is written."""
        target = "" if self.target is None else f":{self.target.upper()}" if self.one_joint else f"[:{self.target}]"
        value = "" if self.value is None else f":{self.value}" if self.default is None else f"[:{self.value}]"
        return f"{self.name}{target}{value}"


KINDS = (
    # On the wire, towards the host.
    FaultKind("silent", "obeys and does not answer", "joint"),
    FaultKind("absent", "neither answers nor obeys, and its motor is without power", "joint"),
    FaultKind("late", "answers so much later", "joint", "seconds", 0.1, most=60.0),
    FaultKind("latency", "every answer takes so much longer", None, "seconds", 0.02, most=60.0),
    FaultKind("jitter", "every answer takes longer, by a random time up to this", None, "seconds", 0.01, most=60.0),
    FaultKind("drop", "answers get lost", "joint", "probability", 0.1, most=1.0),
    FaultKind("corrupt", "answers arrive with a wrong checksum", "joint", "probability", 0.1, most=1.0),
    FaultKind(
        "flip", "one bit of what is read is wrong, and the checksum is right", "joint", "probability", 0.1, most=1.0
    ),
    FaultKind("truncate", "answers break off", "joint", "probability", 0.1, most=1.0),
    FaultKind("duplicate", "answers arrive twice", "joint", "probability", 0.1, most=1.0),
    FaultKind("wrong-id", "answers under another servo's id", "joint", "probability", 1.0, most=1.0),
    FaultKind("garbage", "random bytes before answers", None, "probability", 1.0, most=1.0),
    FaultKind("babble", "random bytes, so many per second, though nobody asked", None, "bytes/s", 200.0, most=1e5),
    FaultKind("echo", "the adapter sends back what it is sent"),
    # On the wire, from the host.
    FaultKind("lost", "instructions get lost on the way to the servos", None, "probability", 0.1, most=1.0),
    FaultKind("deaf", "instructions to this servo get lost", "joint", "probability", 1.0, most=1.0),
    # Protections and power.
    FaultKind("overload", "the overload protection has tripped", "joint"),
    FaultKind("overheat", "the motor reads so hot", "joint", "celsius", 85.0, most=255.0),
    FaultKind("overcurrent", "the current protection has tripped", "joint"),
    FaultKind("undervoltage", "the supply has so much", "joint", "volts", 3.5, most=25.0),
    FaultKind("overvoltage", "the supply has so much", "joint", "volts", 12.4, most=25.0),
    FaultKind("brownout", "all servos restart: torque off, memory as after power-up", at_once=True),
    FaultKind("reboot", "one servo restarts", "joint", one_joint=True, at_once=True),
    FaultKind("torque-loss", "no torque, and nothing says so", "joint"),
    FaultKind("unplug", "the USB cable is out; clearing plugs it in again"),
    # Sensors and mechanics.
    FaultKind("sensor", "the position sensor has failed, and the status says so", "joint"),
    FaultKind("frozen", "the position reading stands still, and nothing says so", "joint"),
    FaultKind(
        "slip",
        "the horn has slipped: the joint is so far from where the sensor says",
        "joint",
        "ticks",
        160.0,
        -2048.0,
        2048.0,
        True,
    ),
    FaultKind("stuck", "the joint is blocked", "joint"),
    FaultKind("weak", "this share of the torque is left", "joint", "share", 0.2, most=1.0),
    FaultKind("slow", "this share of the speed is left", "joint", "share", 0.2, most=1.0),
    FaultKind("push", "somebody moves the joint", "joint", "ticks", 200.0, -2048.0, 2048.0, True, True),
    # Cameras.
    FaultKind("stall-camera", "no frames come, the connection stays", "camera"),
    FaultKind("freeze-camera", "the same picture comes again and again", "camera"),
    FaultKind("black-camera", "pictures are black", "camera"),
    FaultKind("slow-camera", "frames come so late", "camera", "seconds", 0.3, most=60.0),
    FaultKind("unplug-camera", "the connection closes and none is accepted", "camera"),
    FaultKind("turn-camera", "it is mounted upside down", "camera"),
    FaultKind("mirror-camera", "pictures are mirrored, left and right", "camera"),
    FaultKind("swap-camera", "red and blue are exchanged", "camera"),
    FaultKind("blur-camera", "it is out of focus by so much", "camera", "pixels", 3.0, most=50.0),
    FaultKind("gain-camera", "pictures are so many times as bright", "camera", "times", 2.0, most=20.0),
    FaultKind("bare-camera", "the arm is taken out of its view; table and things stay", "camera", viewed=True),
    FaultKind("move-camera", "it stands so far to its left", "camera", "metres", 0.03, -1.0, 1.0, viewed=True),
    FaultKind("zoom-camera", "its field of view is so much higher", "camera", "degrees", 5.0, -60.0, 60.0, viewed=True),
)

BY_NAME = {kind.name: kind for kind in KINDS}


def table() -> str:
    """All kinds, one a line, for help and messages."""
    width = max(len(kind.usage) for kind in KINDS)
    lines = []
    for kind in KINDS:
        default = "" if kind.default is None or kind.value is None else f" ({kind.default:g} {kind.value})"
        lines.append(f"{kind.usage:<{width}}  {kind.effect}{default}")
    return "\n".join(lines)
