"""Commands that are run one after the other, quietly while they work."""

import os
import shlex
import subprocess
import time


class Failure(Exception):
    """A step did not work; what it printed has been shown, and stands in `printed`."""

    printed = ""


def step(headline, command, *, env=None, show=False, to=None):
    """Runs a command quietly; shows what it printed if it fails, or if asked to. Returns what it printed.

    `to` is a file for standard output instead.
    """
    print(f"-- {headline}", end="\n" if show else " ", flush=True)
    start = time.monotonic()
    pipes = {"stdout": to or subprocess.PIPE, "stderr": subprocess.PIPE if to else subprocess.STDOUT}
    quiet = {} if show else {**pipes, "text": True, "errors": "replace"}
    done = subprocess.run(command, env={**os.environ, **(env or {})}, **quiet)
    if not show:
        print(f"{'FAILED ' if done.returncode else ''}({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode:
        printed = done.stdout or done.stderr or ""
        print(f"$ {shlex.join(command)}\n{printed}", flush=True)
        failure = Failure(headline)
        failure.printed = printed
        raise failure
    return done.stdout or ""


def answer(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def attempt(tally, work, *arguments, counts=False):
    """Runs a step; its failure is one failed test, its success one passed test if it counts."""
    try:
        work(*arguments)
    except Failure:
        tally.add(0, 1, 0)
        return False
    tally.add(int(counts), 0, 0)
    return True
