"""Policy files of every training library, read into one kind of actor without running the trainer."""

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.load import inspect_file, load_policy
from policy_port.checkpoints.policy import LoadedPolicy, NormaliserInfo, OriginalRunner

__all__ = ["Actor", "LoadedPolicy", "NormaliserInfo", "OriginalRunner", "inspect_file", "load_policy"]
