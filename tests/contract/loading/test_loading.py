#!/usr/bin/env python3
"""dlopen, solve, dlclose thousands of times, from several threads, leave nothing behind; a forked child starts afresh.

The same program, loading.c, is run as it is, under valgrind, and with ThreadSanitizer in it where that is in the
library. Both tools must first find what was put there for them to find.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "abi"))
import library  # noqa: E402
from header import ROOT  # noqa: E402

VALGRIND = "valgrind --quiet --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --error-exitcode=9"
CC = os.environ.get("CC", "cc")


class LoadingTest(library.LibraryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_program()

    @classmethod
    def make_program(cls, *options):
        cls.folder = tempfile.mkdtemp(prefix="eplb-loading-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.library = os.path.realpath(library.path())
        cls.program = out = os.path.join(cls.folder, "loading")
        strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-g", "-O1", f"-I{ROOT}/include"]
        subprocess.run([CC, *strict, *options, f"{HERE}/loading.c", "-o", out, "-ldl", "-pthread"], check=True)

    @classmethod
    def run_program(cls, command, count, under=()):
        arguments = [*under, cls.program, cls.library, command, str(count)]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout

    def leaves_nothing(self, command, count, under=()):
        status, printed = self.run_program(command, count, under)
        self.assertEqual(status, 0, printed)
        return printed


class Plain(LoadingTest):
    def test_one_after_the_other(self):
        printed = self.leaves_nothing("cycles", 5000)
        self.assertRegex(printed, r"bytes [1-9]")  # else the C library did not report it

    def test_from_eight_threads(self):
        self.leaves_nothing("threads", 300)

    def test_a_forked_child_makes_a_context_of_its_own(self):
        self.leaves_nothing("fork", 50)

    def test_a_child_that_is_forked_amid_a_solve_of_another_thread(self):
        self.leaves_nothing("fork-amid", 50)


class Valgrind(LoadingTest):
    UNDER = [*VALGRIND.split(), "--fair-sched=yes", f"--suppressions={HERE}/loader.supp"]

    @classmethod
    def setUpClass(cls):
        if shutil.which("valgrind") is None:
            raise unittest.SkipTest("no valgrind on this machine: apt-get install valgrind")
        super().setUpClass()

    def test_a_leak_is_seen(self):
        status, printed = self.run_program("leak", 1, self.UNDER)
        self.assertEqual(status, 9, printed)
        self.assertIn("definitely lost", printed)

    def test_one_after_the_other(self):
        self.leaves_nothing("cycles", 1000, self.UNDER)

    def test_from_eight_threads(self):
        self.leaves_nothing("threads", 20, self.UNDER)

    def test_a_forked_child_makes_a_context_of_its_own(self):
        self.leaves_nothing("fork", 10, self.UNDER)


class Threads(LoadingTest):
    """With ThreadSanitizer, which must be in the program too. Here the C library is not asked for bytes."""

    @classmethod
    def setUpClass(cls):
        if not any(name.startswith("__tsan_") for name in library.imported()):
            raise unittest.SkipTest("the library is built without ThreadSanitizer")
        cls.make_program("-fsanitize=thread")
        # GCC 12's and clang 14's cannot place their memory where the kernel is very random about addresses.
        printed = cls.run_program("cycles", 1)[1]
        cls.under = ["setarch", "-R"] if "unexpected memory mapping" in printed else []

    def test_a_race_is_seen(self):
        status, printed = self.run_program("race", 1000, self.under)
        self.assertEqual(status, 66, printed)
        self.assertIn("data race", printed)

    def test_one_after_the_other(self):
        self.leaves_nothing("cycles", 1000, self.under)

    def test_from_eight_threads(self):
        self.leaves_nothing("threads", 40, self.under)

    def test_a_forked_child_makes_a_context_of_its_own(self):
        self.leaves_nothing("fork", 10, self.under)


if __name__ == "__main__":
    unittest.main()
