#!/usr/bin/env python3
"""Runs the tests of a folder with the standard library alone, and ends with the line of counts that ./dev reads.

run_tests.py [FOLDER [MODULE...]]     without a folder: this one; without modules: all of it
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    folder = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else HERE
    sys.path.insert(0, folder)
    loader = unittest.defaultTestLoader
    whole = loader.discover(folder, pattern="test_*.py", top_level_dir=folder)
    suite = loader.loadTestsFromNames(sys.argv[2:]) if len(sys.argv) > 2 else whole
    total = suite.countTestCases()
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(suite)
    failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
    # A class that skips as a whole skips once and runs none of its tests.
    skipped = total - result.testsRun + sum(1 for test, _ in result.skipped if not test.id().startswith("setUpClass"))
    for test, why in result.skipped:
        print(f"skipped {test.id()}: {why}")
    print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not result.wasSuccessful() else 0


if __name__ == "__main__":
    sys.exit(main())
