"""Reads files as questions on standard input ask, within limits of memory and time, and answers what came.

A question is a line of JSON with a reader, a name and a size, and that many bytes. An answer is a line of JSON: what
came ("read", "refused" or "fault"), and in words. A reader that takes too long is ended with its process.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import unicodedata
import warnings
from pathlib import Path

import eplb
import numpy as np
from eplb._replay_log import ReplayLog, apply_change
from eplb._start import Start

# Above what the modules take. A file of a few kilobytes needs less.
MOST_MEMORY = 1 << 30
# Of the processor, so that other programs make no difference.
MOST_SECONDS = 20
LONGEST_SENTENCE = 1000
SETTINGS = {"layers": 2, "loads": "0123456789abcdef", "rules": {"never": "never"}}


def is_harmless(text):
    """Whether it has no control characters and line breaks, nothing that turns its direction, and no half ones."""
    return not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text)


def check_loads(loads):
    windows, layers, experts = loads.counts.shape
    assert min(windows, layers, experts) > 0
    assert len(loads.layers) == layers
    assert loads.counts.dtype in (np.int64, np.float64)
    assert np.isfinite(loads.counts).all()
    assert loads.counts.min() >= 0
    assert loads.counts.flags.carray
    return show(loads)


def check_placement(placement):
    slots = placement.physical_to_logical
    assert slots.dtype == np.int64
    assert slots.size
    assert slots.min() >= -1
    assert (np.diff(placement.layers) > 0).all()
    return show(placement)


def show(found):
    """As a terminal and a notebook get it."""
    text = str(found)
    assert all(map(is_harmless, text.split("\n"))), text
    assert found._repr_html_()
    return repr(found)


def read_gpus(path):
    start = Start(np.zeros((2, 8), np.int64), {"num_nodes": 1}, [4, 4], None, None)
    start.change_gpus(None, None, path, None)
    start.change_gpus(None, None, None, path)
    return f"{start.slots} {start.speed}"


def read_log(path):
    log = ReplayLog(path, SETTINGS, ["never"], 1)
    placement = np.zeros((2, 8), np.int64)
    for row in log.rows["never"]:
        with contextlib.suppress(ValueError):
            placement = apply_change(placement, row.get("change", ""))
    return f"{len(log.rows['never'])} rows"


READERS = {
    "loads": lambda path: check_loads(eplb.read_loads(path)),
    "loads with labels": lambda path: check_loads(eplb.read_loads(path, header=True, index=True)),
    "placement": lambda path: check_placement(eplb.read_placement(path)),
    "placement of known size": lambda path: check_placement(
        eplb.read_placement(path, num_gpus=2, num_experts=4, layers=[3, 4])
    ),
    "state": lambda path: show(eplb.Rebalancer.load(path)),
    "GPUs": read_gpus,
    "log": read_log,
}


def answer(reader, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return "read", READERS[reader](path)
    except eplb.FileError as error:
        sentence = str(error)
        # Names are shown with escapes; what follows them is looked at.
        is_fine = sentence.startswith(str(path.parent)) and is_harmless(sentence) and len(sentence) < LONGEST_SENTENCE
        # Files here are so small that memory can only run out for what they claim.
        return "refused" if is_fine and "more memory" not in sentence else "fault", sentence
    except BaseException:
        return "fault", traceback.format_exc()


def main():
    # Modules that readers import take memory of their own.
    for module in ("yaml", "safetensors.numpy", "zstandard", "torch"):
        with contextlib.suppress(ModuleNotFoundError):
            __import__(module)
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY,) * 2)
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints is no answer.
    os.dup2(2, 1)
    while line := questions.readline():
        question = json.loads(line)
        content = questions.read(question["size"])
        folder = Path(tempfile.mkdtemp(prefix="eplb-fuzz-"))
        path = folder / question["name"]
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        came, words = answer(question["reader"], path)
        signal.setitimer(signal.ITIMER_PROF, 0)
        shutil.rmtree(folder, ignore_errors=True)
        answers.write(json.dumps([came, words]).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
