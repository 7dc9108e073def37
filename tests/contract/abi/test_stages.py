"""tools/build/stages.py runs stages when they may run, a few at once, and loses no failure."""

import contextlib
import io
import os
import sys
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tools", "build"))
from stages import LANES, Stage, run_stages  # noqa: E402
from steps import Failure, step  # noqa: E402

PATIENCE = 60  # seconds until a stage that waits for another one gives up


def run(*stages):
    """The tally, and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tally = run_stages(stages)
    return tally, printed.getvalue()


def fail(tally):
    raise Failure("a step", "")


class Stages(unittest.TestCase):
    def setUp(self):
        self.order = []

    def stage(self, name, *needs, **more):
        return Stage(name, lambda tally: self.order.append(name), needs, **more)

    def test_each_waits_for_what_it_needs(self):
        begun = threading.Event()
        first = Stage("first", lambda tally: begun.wait(PATIENCE) and self.order.append("first"))
        other = Stage("other", lambda tally: (self.order.append("other"), begun.set()))
        run(first, other, self.stage("second", "first", "other"), self.stage("third", "second"))
        self.assertEqual(self.order, ["other", "first", "second", "third"])

    def test_as_many_at_once_as_there_are_lanes(self):
        together, now, most = threading.Barrier(LANES), [], []

        def work(tally):
            now.append(None)
            most.append(len(now))
            together.wait(PATIENCE)
            now.pop()
            together.wait(PATIENCE)

        tally, _ = run(*(Stage(str(number), work) for number in range(3 * LANES)))
        self.assertEqual(max(most), LANES)

    def test_downloads_take_no_lane(self):
        done = threading.Event()
        waits = [Stage(str(number), lambda tally: self.assertTrue(done.wait(PATIENCE))) for number in range(LANES)]
        run(*waits, Stage("download", lambda tally: done.set(), downloads=True))

    def test_a_failed_step_is_a_failed_test_and_what_needs_it_is_left_out(self):
        tally, _ = run(
            Stage("build", fail), self.stage("test", "build"), self.stage("more", "test"), self.stage("alone")
        )
        self.assertEqual((str(tally), self.order), ("0 passed, 1 failed, 0 skipped", ["alone"]))

    def test_what_needs_a_stage_that_says_no_is_left_out(self):
        tally, _ = run(Stage("install", lambda tally: tally.skip("no room") or False), self.stage("test", "install"))
        self.assertEqual((str(tally), tally.skips, self.order), ("0 passed, 0 failed, 1 skipped", ["no room"], []))

    def test_counts_are_those_of_all(self):
        names = [Stage(str(number), lambda tally, n=number: (tally.add(n, 1, 0), tally.skip(n))) for number in range(5)]
        tally, _ = run(*names)
        self.assertEqual((str(tally), tally.skips), ("10 passed, 5 failed, 5 skipped", [0, 1, 2, 3, 4]))

    def test_a_need_that_is_no_earlier_stage_is_named(self):
        for stages in (("build",), ("test", "bild")), (("test", "build"), ("build",)):
            with self.assertRaisesRegex(ValueError, "test needs b"):
                run(*(self.stage(*names) for names in stages))
        self.assertEqual(self.order, [])

    def test_a_fault_of_a_stage_itself_ends_the_run(self):
        with self.assertRaises(ZeroDivisionError):
            run(Stage("broken", lambda tally: 1 // 0))

    def test_lines_of_stages_do_not_mix(self):
        together = threading.Barrier(2)

        def work(text, code):
            program = f"print({text!r}); raise SystemExit({code})"
            return lambda tally: (together.wait(PATIENCE), step(f"say {text}", [sys.executable, "-c", program]))

        tally, printed = run(Stage("one", work("a", 0)), Stage("two", work("b", 3)))
        self.assertEqual(str(tally), "0 passed, 1 failed, 0 skipped")
        self.assertRegex(printed, r"(?m)^-- say a \(\d+\.\d s, \d+\.\d s of processors\)$")
        self.assertRegex(printed, r"(?m)^-- say b FAILED \(\d+\.\d s\)\n\$ .*\nb$")


if __name__ == "__main__":
    unittest.main()
