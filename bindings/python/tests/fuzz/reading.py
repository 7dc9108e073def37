"""Asks a process to read files, and starts another one when a file has ended it."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conftest import child_environment

PROGRAM = Path(__file__).with_name("reading_process.py")


class Reading:
    """A process that reads files.

    Attributes:
        came: how often files were read and refused.
    """

    def __init__(self):
        self.came = Counter()
        self._process = None

    def ask(self, reader, name, content):
        """What came of a file, "read" or "refused", and in words. All else is a failure of the test."""
        if self._process is None:
            command = [sys.executable, str(PROGRAM)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._process = subprocess.Popen(command, env=child_environment(), **pipes)
        question = {"reader": reader, "name": name, "size": len(content)}
        self._process.stdin.write(json.dumps(question).encode() + b"\n" + content)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._process = None
            took_long = code == -signal.SIGPROF
            raise AssertionError(f"{reader}: {name}: {'takes too long' if took_long else f'ended it with {code}'}")
        came, words = json.loads(line)
        assert came != "fault", f"{reader}: {name}: {words}"
        self.came[came] += 1
        return came, words

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
