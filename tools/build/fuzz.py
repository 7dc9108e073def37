"""Looks for calls of the C API, and for files, that break a promise: ./dev fuzz.

Half of the time libFuzzer draws calls in the build with ASan and UBSan and keeps inputs that reach new code; in the
other half the release, which is faster, makes calls from these. tests/fuzz/program.h says what an input is.
"""

import glob
import os
import re
import subprocess

from cmake import build_release, build_sanitized
from packages import FOR_TESTS, need
from places import BUILD, RELEASE, ROOT, SANITIZE, VENV_PYTHON
from python_package import install_package
from steps import Failure, show_line, step, timed

KEPT = os.path.join(ROOT, "tests", "fuzz", "corpus")
FOLDER = os.path.join(BUILD, "fuzz")
FOUND = os.path.join(FOLDER, "corpus")
PROGRAMS = os.path.join("tests", "fuzz")
ENVIRONMENT = {"ASAN_OPTIONS": "allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
CALLS = re.compile(r"^eplb_fuzz: (\d+) calls$", re.M)
LONGEST_INPUT = 400  # bytes: 64 calls need no more
SLOWEST = 300  # seconds for one input, on a machine that does other things too


def fuzz(arguments):
    need(FOR_TESTS)
    build_sanitized("the fuzzer, with ASan and UBSan", "eplb_fuzz", fuzz=True)
    build_release("eplb_fuzz_replay")
    install_package()
    fuzz_calls(60 * arguments.minutes)
    command = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--fuzz-minutes={arguments.minutes}"]
    step("readers of files", [*command, "bindings/python/tests/fuzz"], show=True)
    return 0


def test_fuzz(tally):
    fuzz_calls(60)
    tally.add(1, 0, 0)


def fuzz_calls(seconds):
    os.makedirs(FOUND, exist_ok=True)
    half, chance = max(1, int(seconds / 2)), int.from_bytes(os.urandom(3), "big")
    numbers = range(os.cpu_count() or 1)
    fuzzer = os.path.join(SANITIZE, PROGRAMS, "eplb_fuzz")
    options = [f"-max_total_time={half}", f"-max_len={LONGEST_INPUT}", f"-timeout={SLOWEST}", "-print_final_stats=1"]
    options += ["-detect_leaks=1", f"-artifact_prefix={FOLDER}{os.sep}", FOUND, KEPT]
    run_side_by_side("fuzz, ASan and UBSan", [[fuzzer, f"-seed={chance + n + 1}", *options] for n in numbers])
    replay = os.path.join(RELEASE, PROGRAMS, "eplb_fuzz_replay")
    now = os.path.join(FOLDER, "running-")
    commands = [[replay, "--random", str(half), str(chance + n), FOUND, f"{now}{n}"] for n in numbers]
    run_side_by_side("fuzz, release", commands)


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
    written = re.search(r"Test unit written to (\S+)", printed)
    path = written[1] if written else os.path.join(FOLDER, f"running-{number}")
    program = os.path.join(os.path.relpath(RELEASE, ROOT), PROGRAMS, "eplb_fuzz_replay")
    return f"Again, with its calls: EPLB_FUZZ_TRACE=1 {program} {os.path.relpath(path, ROOT)}"


def read(path):
    with open(path, errors="replace") as file:
        return file.read()
