"""Looks for calls of the C API, and for files, that break a promise: ./dev fuzz.

Half of the time libFuzzer draws calls in the build with ASan and UBSan and keeps inputs that reach new code; in the
other half the release, which is faster, makes calls from these. tests/fuzz/program.h says what an input is.
"""

import base64
import glob
import os
import re
import subprocess

from cmake import build_release, build_sanitized
from packages import FOR_TESTS, need
from places import BUILD, RELEASE, ROOT, SANITIZE, VENV_PYTHON
from python_package import install_package
from stages import LANES
from steps import Failure, answer, show_line, step, timed

KEPT = os.path.join(ROOT, "tests", "fuzz", "corpus")
FOLDER = os.path.join(BUILD, "fuzz")
FOUND = os.path.join(FOLDER, "corpus")
PROGRAMS = os.path.join("tests", "fuzz")
FUZZER = os.path.join(SANITIZE, PROGRAMS, "eplb_fuzz")
REPLAY = os.path.join(RELEASE, PROGRAMS, "eplb_fuzz_replay")
ENVIRONMENT = {"ASAN_OPTIONS": "allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
CALLS = re.compile(r"^eplb_fuzz: (\d+) calls$", re.M)
LONGEST_INPUT = 400  # bytes: 64 calls need no more
IN_CI = 54  # seconds, a minute with the reading of the corpus
SLOWEST = 300  # seconds for one input, on a machine that does other things too


def fuzz(arguments):
    need(FOR_TESTS)
    build_sanitized("the fuzzer, with ASan and UBSan", "eplb_fuzz", fuzz=True)
    build_release("eplb_fuzz_replay")
    install_package()
    seed = int.from_bytes(os.urandom(3), "big") if arguments.seed is None else arguments.seed
    fuzz_calls(60 * arguments.minutes, seed, os.cpu_count() or 1)
    command = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--fuzz-minutes={arguments.minutes}"]
    step("readers of files", [*command, "bindings/python/tests/fuzz"], show=True)
    return 0


def test_fuzz(tally):
    """A minute on the cores that another stage leaves, from a seed that everybody finds again."""
    fuzz_calls(IN_CI, seed_of_commit(), max(1, (os.cpu_count() or 1) // LANES))
    tally.add(1, 0, 0)


def seed_of_commit():
    """24 bits of its name, so that each commit tries other calls; 0 where there is no git."""
    name = answer(["git", "-C", ROOT, "rev-parse", "HEAD"]).stdout.strip()
    return int(name[:6] or "0", 16)


def fuzz_calls(seconds, seed, workers):
    os.makedirs(FOUND, exist_ok=True)
    half, numbers = max(1, int(seconds / 2)), range(workers)
    options = [f"-max_total_time={half}", f"-max_len={LONGEST_INPUT}", f"-timeout={SLOWEST}", "-print_final_stats=1"]
    options += ["-detect_leaks=1", f"-artifact_prefix={FOLDER}{os.sep}", FOUND, KEPT]
    # libFuzzer takes 0 for a seed of its own choice.
    commands = [[FUZZER, f"-seed={seed + n + 1}", *options] for n in numbers]
    run_side_by_side(f"fuzz, ASan and UBSan, seed {seed}", commands)
    commands = [[REPLAY, "--random", str(half), str(seed + n), FOUND, running(n)] for n in numbers]
    run_side_by_side(f"fuzz, release, seed {seed}", commands)


def running(number):
    return os.path.join(FOLDER, f"running-{number}")


def run_side_by_side(headline, commands):
    """Runs all at once, for their time. The input that one fails with stays in FOLDER."""
    for path in glob.glob(os.path.join(FOLDER, "running-*")):
        os.remove(path)
    logs = [os.path.join(FOLDER, f"log-{number}") for number in range(len(commands))]
    with timed(headline):
        processes = [start(command, log) for command, log in zip(commands, logs, strict=True)]
        failed = [number for number, process in enumerate(processes) if process.wait()]
        printed = [read(log) for log in logs]
        if failed:
            reports = [f"{printed[number][-8000:]}\n{reproducer(number, printed[number])}" for number in failed]
            raise Failure(headline, "\n".join(reports))
    calls = sum(int(count) for text in printed for count in CALLS.findall(text))
    show_line(f"   {calls:,} calls of the C API")


def start(command, log):
    with open(log, "w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **ENVIRONMENT})


def reproducer(number, printed):
    """How to run the input again, which is in these lines: where CI ran, no file is left."""
    written = re.search(r"Test unit written to (\S+)", printed)
    path, program = (written[1], FUZZER) if written else (running(number), REPLAY)
    if not os.path.exists(path):
        return "No input was kept: it failed before its first one."
    with open(path, "rb") as file:
        text = base64.b64encode(file.read()).decode()
    return f"Again, with its calls:\n  echo {text} | base64 -d > input\n  EPLB_FUZZ_TRACE=1 {relative(program)} input"


def relative(path):
    return os.path.relpath(path, ROOT)


def read(path):
    with open(path, errors="replace") as file:
        return file.read()
