"""Runs commands; their output is shown only if they fail."""

import contextlib
import os
import shlex
import subprocess
import sys
import threading
import time

LONGEST = 500  # characters of a command that is shown: formatters are given hundreds of files


class Failure(Exception):
    """A step failed. `printed` has been shown: the command and its output."""

    def __init__(self, what, printed):
        super().__init__(what)
        self.printed = printed


@contextlib.contextmanager
def timed(headline):
    """Shows a headline and, when its block is done, the seconds that it took.

    Of stages that run side by side both are shown at the end, or lines would mix.
    """
    side_by_side = threading.current_thread() is not threading.main_thread()
    if not side_by_side:
        print(f"-- {headline}", end=" ", flush=True)
    again = f"-- {headline} " if side_by_side else ""
    start = time.monotonic()
    try:
        yield
        show_line(f"{again}({time.monotonic() - start:.1f} s)")
    except Failure as failure:
        show_line(f"{again}FAILED ({time.monotonic() - start:.1f} s)\n{failure.printed}")
        raise


def show_line(text):
    """At once: print writes text and its end apart, and another stage's between them."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def step(headline, command, *, env=None, show=False, to=None, longest=None):
    """Runs a command and returns its output, which is shown if the command fails or `show` is set.

    `to` is a file that receives standard output instead. A command that takes longer than `longest` seconds fails.
    """
    env = {**os.environ, **(env or {})}
    line = shlex.join(command)
    line = f"$ {line if len(line) <= LONGEST else line[:LONGEST] + ' ...'}"
    if show:
        print(f"-- {headline}", flush=True)
        if subprocess.run(command, env=env).returncode:
            print(line, flush=True)
            raise Failure(headline, line)
        return ""
    pipes = {"stdout": to or subprocess.PIPE, "stderr": subprocess.PIPE if to else subprocess.STDOUT}
    with timed(headline):
        try:
            done = subprocess.run(command, env=env, timeout=longest, text=True, errors="replace", **pipes)
        except subprocess.TimeoutExpired:
            raise Failure(f"{headline}, within {longest} s", f"{line}\nis not done after {longest} s") from None
        if done.returncode:
            raise Failure(headline, f"{line}\n{done.stdout or done.stderr or ''}")
    return done.stdout or ""


def answer(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def attempt(tally, work, *arguments, counts=False):
    """Runs a step. A failure counts as a failed test, a success as a passed one if `counts` is set."""
    try:
        work(*arguments)
    except Failure:
        tally.add(0, 1, 0)
        return False
    tally.add(int(counts), 0, 0)
    return True
