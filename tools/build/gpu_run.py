"""Steps one after the other against a clock, each with a limit and a log; no step's failure stops the next."""

import contextlib
import os
import shlex
import signal
import subprocess
import time

from tally import COUNTS, Tally

BUDGET = 540  # seconds for everything
LEAST = 5  # a step that has less is not begun
GRACE = 2  # seconds to say where it was
STOPPED = 124
SHOWN = 40  # lines of a failed step's log


class Run:
    def __init__(self, out):
        self.out, self.tally, self.end = out, Tally(), time.monotonic() + BUDGET
        os.makedirs(out, exist_ok=True)
        self.summary = open(os.path.join(out, "summary.txt"), "w")  # noqa: SIM115

    def say(self, text):
        print(text, flush=True)
        print(text, file=self.summary, flush=True)

    def skip(self, name, why):
        self.tally.skip(f"{name}: {why}")
        self.say(f"-- {name}: skipped, {why}")

    def is_over(self):
        return self.end - time.monotonic() < LEAST

    def fail(self, name, why):
        self.tally.add(0, 1, 0)
        self.say(f"   FAILED {name}: {why}")

    def run(self, name, commands, limit, log, env=None):
        """Runs commands until one fails. Returns (status, what they printed); None if there was no time for them."""
        limit = min(limit, self.end - time.monotonic())
        if limit < LEAST:
            self.skip(name, f"the {BUDGET} seconds are used up")
            return None
        start, path = time.monotonic(), os.path.join(self.out, log)
        offset = os.path.getsize(path) if os.path.exists(path) else 0
        with open(path, "a") as file:
            status = 0
            for command in commands:
                file.write(f"$ {shlex.join(command)}\n")
                file.flush()
                status = run_limited(command, file, limit - (time.monotonic() - start), env)
                if status != 0:
                    break
        with open(path, errors="replace") as file:
            file.seek(offset)
            printed = file.read()
        took = f"{time.monotonic() - start:.1f} s"
        self.say(f"-- {name} ({took}{'' if status != STOPPED else ', stopped: that was its limit'})")
        return status, printed

    def show(self, printed):
        lines = printed.splitlines()
        failed = [line for line in lines if line.startswith("FAILED ") or ": error" in line or "error:" in line]
        self.say("\n".join(f"   {line[:400]}" for line in [*failed[:SHOWN], "...", *lines[-SHOWN:]]))

    def judge(self, name, done):
        """One passed or failed test, or as many as the program counted itself. Returns whether all is well."""
        if done is None:
            return False
        status, printed = done
        counts = COUNTS.findall(printed)
        if counts:
            passed, failed, skipped = map(int, counts[-1])
            self.tally.add(passed, max(failed, int(status != 0)), skipped)
            skips = [line for line in printed.splitlines() if line.startswith("skipped ")]
            self.tally.skips += [f"{name}: {line.removeprefix('skipped ')}" for line in skips]
            self.say(f"   {passed} passed, {failed} failed, {skipped} skipped")
        else:
            self.tally.add(int(status == 0), int(status != 0), 0)
        if status != 0:
            self.say(f"   FAILED {name}: exit status {status}")
            self.show(printed)
        return status == 0


def run_limited(command, file, seconds, env):
    """The exit status; STOPPED after the limit, when all that it started is ended too; 127 without such a command."""
    try:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
    except OSError as error:
        file.write(f"{error}\n")
        return 127
    try:
        return process.wait(timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return STOPPED
