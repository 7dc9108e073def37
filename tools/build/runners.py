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


def run_ctest(tally, headline, folder, env=None, options=(), under=()):
    junit = os.path.join(folder, "junit.xml")
    # By default ctest truncates the output of passing tests, and the counts are at its end.
    command = ["ctest", "--test-dir", folder, "--output-on-failure", "--output-junit", junit, "--no-tests=error"]
    command += ["--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000"]
    run_suite(tally, headline, [*under, *command, *options, "-j", str(os.cpu_count() or 1)], junit, env)
