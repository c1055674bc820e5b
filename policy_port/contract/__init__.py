"""The contract of a policy and the mapping between two parsings: frozen data and its YAML."""

from policy_port.contract.mapping import RobotMapping, load_mapping
from policy_port.contract.spec import Contract, load_contract

__all__ = ["Contract", "RobotMapping", "load_contract", "load_mapping"]
