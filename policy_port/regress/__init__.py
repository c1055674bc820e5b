"""Regression suites: what a replay did when it was last accepted, and whether it still does."""

from policy_port.regress.suite import Case, Suite, load_suite

__all__ = ["Case", "Suite", "load_suite"]
