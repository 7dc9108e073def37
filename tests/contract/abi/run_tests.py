#!/usr/bin/env python3
"""Runs the tests of a folder with the standard library alone, and ends with the line of counts that ./dev reads.

run_tests.py [--of library|sources] [FOLDER [NAME...]]

Without a folder: this one; without names of modules or classes: all of it, or with --of only the modules that import
`library`, which ask about the library that was built, or only the others.
"""

import argparse
import importlib
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def names_of(folder, wanted):
    """The modules of a folder, or only those of the library or of the sources."""
    names = sorted(name[:-3] for name in os.listdir(folder) if name.startswith("test_") and name.endswith(".py"))
    return [name for name in names if wanted in (None, "library" if has_library(name) else "sources")]


def has_library(name):
    return hasattr(importlib.import_module(name), "library")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--of", choices=["library", "sources"])
    parser.add_argument("folder", nargs="?", default=HERE)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    sys.path.insert(0, folder)
    suite = unittest.defaultTestLoader.loadTestsFromNames(arguments.names or names_of(folder, arguments.of))
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
