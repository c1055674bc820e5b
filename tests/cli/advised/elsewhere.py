"""Messages that tests of their own room obey."""

from __future__ import annotations

TRIED: dict[str, str] = {}
"""Part of the message, as it stands in the source -> the test."""

WALKED = {
    "cli/play.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "cli/diagnose.py": "tests.cli.test_option_advice:test_diagnose_leads_somewhere",
    "cli/compare.py": "tests.cli.test_option_advice:test_compare_leads_somewhere",
    "cli/derive.py": "tests.cli.test_option_advice:test_derive_leads_somewhere_and_ignores_nothing",
    "cli/regress.py": "tests.cli.test_option_advice:test_regress_leads_somewhere",
    "cli/play_real.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "replay/goals.py": "tests.cli.test_play_held:test_the_path_of_advice_ends_in_a_run",
}
"""File of messages about options that don't go together -> the test that walks along all of them."""
