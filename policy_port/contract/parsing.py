"""What an observation term asks of the contract that it stands in; `spec.Contract` is one."""

from __future__ import annotations

from typing import Any, Protocol


class Parsing(Protocol):
    """The part of a contract that its terms may read, so that a term can be read before the contract."""

    # Read-only, as a contract's fields are. Joints, action and command are described after the terms.
    @property
    def name(self) -> str:
        """Name of the policy."""
        ...

    @property
    def joints(self) -> Any:
        """Joints by name, in the policy's joint order."""
        ...

    @property
    def action(self) -> Any:
        """The network's output."""
        ...

    @property
    def command(self) -> Any:
        """What the policy is told."""
        ...

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in the policy's joint order."""
        ...

    @property
    def action_joint_names(self) -> tuple[str, ...]:
        """Joint name of each element of the action."""
        ...

    def action_joints(self, term: Any) -> tuple[str, ...]:
        """Joint names that an action term drives, in order."""
        ...

    @property
    def action_size(self) -> int:
        """Width of the network's output."""
        ...

    @property
    def raw_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lower and upper bounds of the raw action, action order."""
        ...

    @property
    def control_dt(self) -> float:
        """Control period [s]."""
        ...

    def per_si(self, joint: str) -> float:
        """Contract units per radian or metre of a joint."""
        ...

    def holding_action(self, joint: str, position: float) -> float:
        """The raw action that keeps a joint at `position` [unit]."""
        ...
