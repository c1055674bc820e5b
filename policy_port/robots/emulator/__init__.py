"""An SO100 or SO101 arm that is not there: servos behind a pseudo-terminal, cameras on the loopback interface."""

from policy_port.robots.emulator.arm import EmulatedArm

__all__ = ["EmulatedArm"]
