"""What this machine can do: typed findings, each with what would mend it."""

from policy_port.system.examination import examine, machine, probe
from policy_port.system.findings import Finding, Need, findings, unmet, vulkan_mend

__all__ = ["Finding", "Need", "examine", "findings", "machine", "probe", "unmet", "vulkan_mend"]
