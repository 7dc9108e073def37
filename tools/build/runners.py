"""Test runners that write JUnit files."""

import os

from steps import Failure, step


def run_suite(tally, headline, command, junit, env=None):
    """Counts the JUnit file. A runner that writes none, or fails without a failed test, counts as a failed test."""
    if os.path.exists(junit):
        os.remove(junit)
    before = tally.failed
    try:
        step(headline, command, env=env)
        failed = False
    except Failure:
        failed = True
    if os.path.exists(junit):
        tally.add_junit(junit)
    if (failed and tally.failed == before) or not os.path.exists(junit):
        tally.add(0, 1, 0)
