"""Runs commands one after the other; their output is shown only if they fail."""

import os
import shlex
import subprocess
import time

LONGEST = 500  # characters of a command that is shown: formatters are given hundreds of files


class Failure(Exception):
    """A step failed. Its output has been shown and is in `printed`."""

    printed = ""


def step(headline, command, *, env=None, show=False, to=None, longest=None):
    """Runs a command and returns its output, which is shown if the command fails or `show` is set.

    `to` is a file that receives standard output instead. A command that takes longer than `longest` seconds fails.
    """
    print(f"-- {headline}", end="\n" if show else " ", flush=True)
    start = time.monotonic()
    pipes = {"stdout": to or subprocess.PIPE, "stderr": subprocess.PIPE if to else subprocess.STDOUT}
    quiet = {} if show else {**pipes, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(command, env={**os.environ, **(env or {})}, timeout=longest, **quiet)
    except subprocess.TimeoutExpired:
        print(f"FAILED (not done after {longest} s)", flush=True)
        raise Failure(f"{headline}, within {longest} s") from None
    if not show:
        print(f"{'FAILED ' if done.returncode else ''}({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode:
        printed = done.stdout or done.stderr or ""
        line = shlex.join(command)
        print(f"$ {line if len(line) <= LONGEST else line[:LONGEST] + ' ...'}\n{printed}", flush=True)
        failure = Failure(headline)
        failure.printed = printed
        raise failure
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
