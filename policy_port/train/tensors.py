"""What RSL-RL's environments and runners pass each other, or what is said where it is not installed."""

from __future__ import annotations

from policy_port.errors import MissingDependencyError


def missing(cause: ModuleNotFoundError) -> MissingDependencyError:
    """The error of a package that only trainings need."""
    return MissingDependencyError(
        f"training needs the Python package {cause.name}, which is not installed: pip install 'policy-port[train]'"
    )


try:
    from tensordict import TensorDict as TensorDict
except ModuleNotFoundError as cause:
    raise missing(cause) from None
