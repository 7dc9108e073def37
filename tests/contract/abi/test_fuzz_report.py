"""tools/build/fuzz.py: what fails in CI, whose files are lost, can be run again from what was printed."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tools", "build"))
import fuzz  # noqa: E402
from steps import Failure  # noqa: E402

INPUT = bytes(range(256)) + b": longer than what libFuzzer prints of one"
# Leaves an input in a file as both programs do, and ends with a status.
PROGRAM = """
import sys
path, status, text = sys.argv[1:]
open(path, "wb").write(bytes.fromhex(text))
print("eplb_fuzz: 12 calls")
if "crash" in path:
    print(f"Test unit written to {path}")
sys.exit(int(status))
"""


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        patched = mock.patch.object(fuzz, "FOLDER", self.folder)
        patched.start()
        self.addCleanup(patched.stop)

    def run_both(self, name, status):
        """What is printed where the second of two programs ends with the status; the failure, if it is one."""
        path = os.path.join(self.folder, name)
        kept = fuzz.running(0), "0", b"another".hex()
        commands = [[sys.executable, "-c", PROGRAM, *each] for each in (kept, (path, str(status), INPUT.hex()))]
        printed, failure = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            try:
                fuzz.run_side_by_side("fuzz, seed 7", commands)
            except Failure as caught:
                failure = caught
        return printed.getvalue(), failure

    def test_calls_are_added_up(self):
        printed, failure = self.run_both("running-1", 0)
        self.assertIsNone(failure)
        self.assertIn("   24 calls of the C API\n", printed)

    def test_a_failure_prints_its_seed_and_its_input(self):
        for name, program in (("running-1", "build/release/tests/fuzz/eplb_fuzz_replay"),
                              ("crash-1", "build/sanitize/tests/fuzz/eplb_fuzz")):  # fmt: skip
            with self.subTest(name):
                printed, failure = self.run_both(name, 77)
                self.assertIsNotNone(failure)
                self.assertIn("fuzz, seed 7 FAILED", printed)
                again = re.search(r"(echo \S+ \| base64 -d) > input\n  EPLB_FUZZ_TRACE=1 (\S+) input\n", printed)
                self.assertEqual(again[2], program)
                self.assertEqual(subprocess.run(["sh", "-c", again[1]], capture_output=True).stdout, INPUT)

    def test_a_program_that_does_not_start_leaves_no_input(self):
        commands = [[sys.executable, "-c", "raise SystemExit(3)"]]
        with contextlib.redirect_stdout(io.StringIO()) as printed, self.assertRaises(Failure):
            fuzz.run_side_by_side("fuzz", commands)
        self.assertIn("No input was kept", printed.getvalue())

    def test_the_seed_is_the_commit(self):
        for name, seed in (("0102ff" + 34 * "a", 0x0102FF), ("", 0)):
            with mock.patch.object(fuzz, "answer", return_value=mock.Mock(stdout=f"{name}\n")):
                self.assertEqual(fuzz.seed_of_commit(), seed)


if __name__ == "__main__":
    unittest.main()
