"""Runs commands; their output is shown only if they fail."""

import contextlib
import os
import shlex
import signal
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

    Of stages that run side by side both are shown at the end, or lines would mix. What the block appends to the list
    that it is given is shown, too.
    """
    side_by_side = threading.current_thread() is not threading.main_thread()
    if not side_by_side:
        print(f"-- {headline}", end=" ", flush=True)
    again = f"-- {headline} " if side_by_side else ""
    start, facts = time.monotonic(), []
    try:
        yield facts
        show_line(f"{again}({', '.join([f'{time.monotonic() - start:.1f} s', *facts])})")
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
    with timed(headline) as facts:
        status, printed, seconds = run(command, env, to, longest)
        if status is None:
            raise Failure(f"{headline}, within {longest} s", f"{line}\nis not done after {longest} s")
        if status:
            raise Failure(headline, f"{line}\n{printed}")
        facts.append(f"{seconds:.1f} s of processors")
    return "" if to else printed


def run(command, env, to, longest):
    """The status, None if it was stopped; what was printed, errors only if `to` has the rest; processor seconds."""
    pipes = {"stdout": to or subprocess.PIPE, "stderr": subprocess.PIPE if to else subprocess.STDOUT}
    # What is to be stopped with all of its children is a group of its own; all else ends with Ctrl-C.
    own = {"start_new_session": longest is not None}
    process = subprocess.Popen(command, env=env, text=True, errors="replace", **own, **pipes)
    stopped = threading.Event()

    def stop():
        stopped.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(longest or 0, stop)
    if longest:
        timer.start()
    with process.stderr if to else process.stdout as pipe:
        printed = pipe.read()
    # Rather than process.wait: only this tells what the command and all that it waited for have used.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    timer.cancel()
    seconds = usage.ru_utime + usage.ru_stime
    return None if stopped.is_set() else process.returncode, printed, seconds


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
