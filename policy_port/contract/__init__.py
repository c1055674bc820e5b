"""The contract of a policy and the mapping between two parsings: frozen data and its YAML."""

from policy_port.contract.mapping import Mapping, load_mapping
from policy_port.contract.spec import Contract, load_contract

__all__ = ["Contract", "Mapping", "load_contract", "load_mapping"]
