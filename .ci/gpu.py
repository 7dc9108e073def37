"""What takes a GPU: builds, tests, checks and measures there, in nine minutes, without a network or Debian packages."""

import dataclasses
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

from places import BUILD, ROOT
from steps import answer
from tally import COUNTS, Tally

BUDGET = 540  # seconds for everything
LEAST = 5  # a step that has less is not begun
FOLDER = os.path.join(BUILD, "gpu")
SHOWN = 40  # lines of a failed step's log
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
# A sanitizer makes every launch wait, so nothing that looks at waiting or at free memory is run under one.
SANITIZED = ["--only", "parity,late,graphs", "--problems", "6", "--most-slots", "64", "--rounds", "2"]
REFUSALS = ("Device not supported", "Unable to find", "not supported on this", "initialization failed")
# The distinct DeepSeek-V3 traces; the others in that folder are near copies of these.
TRACES = ("prefill-in512", "prefill-in1024", "prefill-in2048", "decode-in1000out1000")


# ---------------------------------------------------------------------------------------------------------- the machine


def first_line(command):
    try:
        done = answer(command)
    except OSError:
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def find_tool(name, beside=None):
    """On the PATH, beside another tool, or where toolkits are installed."""
    folders = [os.path.dirname(beside)] if beside else []
    folders += sorted(glob.glob("/usr/local/cuda*/bin"), reverse=True) + glob.glob("/opt/nvidia/*/*")
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


@dataclasses.dataclass
class Machine:
    nvcc: str | None
    gpu: str  # "NVIDIA H200, 580.159.04, 9.0"; empty: none

    @property
    def missing(self):
        needed = {
            "nvcc (a CUDA 13 toolkit)": self.nvcc,
            "a GPU that nvidia-smi shows": self.gpu,
            "cmake": shutil.which("cmake"),
            "g++": shutil.which("g++"),
        }
        return [name for name, there in needed.items() if not there]

    @property
    def architecture(self):
        return self.gpu.split(",")[-1].strip().replace(".", "")

    def describe(self):
        release = re.search(r"release ([\d.]+)", answer([self.nvcc, "--version"]).stdout) if self.nvcc else None
        driver = self.gpu.split(",")[-2].strip() if self.gpu else "none"
        return f"driver {driver}, nvcc {release.group(1) if release else 'none'}, {os.cpu_count()} cores"


def find_machine(nvcc):
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    return Machine(nvcc or find_tool("nvcc"), first_line(query))


def find_shared():
    """The folder with measured weights and torch programs, if it travelled along."""
    places = [os.path.join(ROOT, "shared"), os.path.join(ROOT, "..", "shared")]
    return next((place for place in places if os.path.isdir(place)), None)


# ------------------------------------------------------------------------------------------------------------ the steps


class Run:
    """Steps one after the other, each with a time limit and a log. No step's failure stops the next."""

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
        self.say(f"-- {name} ({took}{'' if status != 124 else ', stopped: that was its limit'})")
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
    """The exit status; 124 after the limit, when all that it started is ended too; 127 if there is no such command."""
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
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 124


def build(run, machine, highway):
    generator = ["-G", "Ninja"] if shutil.which("ninja") else ["-G", "Unix Makefiles"]
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=OFF", "EPLB_DEVICE_TESTS=ON", "EPLB_GPU_BENCH=ON"]
    # Only what this machine runs: the other architectures take most of the time. Line numbers are for the sanitizers.
    options += ["EPLB_CUDA=ON", f"CMAKE_CUDA_COMPILER={machine.nvcc}", "CMAKE_CUDA_FLAGS=-lineinfo"]
    options += [f"CMAKE_CUDA_ARCHITECTURES={machine.architecture}-real"]
    options += [f"EPLB_HIGHWAY_INCLUDE={os.path.abspath(highway)}"] if highway else []
    configure = ["cmake", "-S", ROOT, "-B", FOLDER, *generator, *(f"-D{option}" for option in options)]
    make = ["cmake", "--build", FOLDER, "--parallel", str(os.cpu_count() or 1), "--target"]
    targets = ["eplb", "eplb_device_tests", "eplb_gpu_bench"]
    if not run.judge("build", run.run("build", [configure, [*make, *targets]], 270, "build.log")):
        return False
    cuobjdump = find_tool("cuobjdump", machine.nvcc)
    if cuobjdump is None:
        run.skip("resources of the kernels", "no cuobjdump")
        return True
    done = run.run("resources", [[cuobjdump, "--dump-resource-usage", library()]], 30, "build.log")
    if run.judge("resources", done):
        show_resources(run, done[1])
    return True


def library():
    return os.path.join(FOLDER, "libeplb.so.0")


def show_resources(run, printed):
    """A line for each kernel: two lines of cuobjdump's, its name and its numbers."""
    for name, numbers in re.findall(r"Function (\S+?):\s*\n\s*(.*)", printed):
        short = re.sub(r"CONSTANT\S+|TEXTURE\S+|SURFACE\S+|SAMPLER\S+", "", numbers)
        run.say(f"   {name[:90]} {' '.join(short.split())}")


def device_tests(*arguments):
    return [os.path.join(FOLDER, "tests", "device", "eplb_device_tests"), library(), *arguments]


def test(run, shared):
    all_but_traces = "facts,golden,parity,large,calls,late,graphs,worlds,threads,memory,broken"
    command = device_tests("--only", all_but_traces, "--problems", "100")
    done = run.run("tests", [command], 100, "tests.log")
    run.judge("tests", done)
    if done and "skipped facts: " in done[1]:
        run.tally.add(0, 1, 0)
        run.say("   FAILED tests: nvidia-smi shows a GPU, and the library finds none")
    data = os.path.join(shared, "data") if shared else ""
    if not os.path.isdir(data):
        return run.skip("tests on measured weights", "no folder shared/data")
    command = device_tests("--only", "traces", "--data", data)
    return run.judge("tests on measured weights", run.run("tests on measured weights", [command], 70, "tests.log"))


def sanitize(run, machine):
    program = find_tool("compute-sanitizer", machine.nvcc)
    for tool in SANITIZERS:
        if program is None:
            run.skip(tool, "no compute-sanitizer")
            continue
        command = [program, "--tool", tool, "--error-exitcode", "9", *device_tests(*SANITIZED)]
        done = run.run(tool, [command], 45, "sanitize.log")
        refusal = next((words for words in REFUSALS if done and done[0] != 0 and words in done[1]), None)
        if refusal:
            run.skip(tool, f"it refuses this device: {refusal}")
        else:
            run.judge(tool, done)


def python(run):
    folder = os.path.join("bindings", "python")
    for module in ("pytest", "numpy", "torch", "cffi"):
        if answer([sys.executable, "-c", f"import {module}"]).returncode != 0:
            return run.skip("Python", f"no {module} in {sys.executable}")
    path = os.pathsep.join(filter(None, [os.path.join(ROOT, folder), os.environ.get("PYTHONPATH")]))
    env = {"EPLB_LIBRARY": library(), "PYTHONPATH": path}
    junit = os.path.join(FOLDER, "junit.xml")
    if os.path.exists(junit):
        os.remove(junit)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", "cuda"]
    command += [f"--junitxml={junit}", os.path.join(folder, "tests")]
    done = run.run("Python", [command], 60, "python.log", env)
    if done is None:
        return None
    if done[0] == 5:
        return run.skip("Python", "no test with cuda in its name")
    before = run.tally.failed
    if os.path.exists(junit):
        run.tally.add_junit(junit)
    if done[0] != 0:
        run.tally.add(0, int(run.tally.failed == before), 0)
        run.show(done[1])
    return None


def bench(run, machine, shared, commit):
    traces = [os.path.join(shared, "data", f"deepseek-v3_{name}_L58xE256.csv") for name in TRACES] if shared else []
    traces = [os.path.relpath(path, ROOT) for path in traces if os.path.exists(path)]
    table, times = os.path.join(run.out, "gpu.md"), os.path.join(FOLDER, "times.tsv")
    command = [os.path.join(FOLDER, "bench", "eplb_gpu_bench"), "--markdown", table, "--tsv", times]
    command += ["--commit", commit, "--machine", machine.describe(), *traces]
    done = run.run("bench", [command], 130, "bench.log")
    if run.judge("bench", done):
        run.say("\n".join(line for line in done[1].splitlines() if not line.startswith("$")))
    return traces, times


def torch(run, shared, traces, times, commit):
    if not shared or not os.path.isdir(os.path.join(shared, "seeds")):
        return run.skip("torch programs", "no folder shared/seeds")
    if answer([sys.executable, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]).returncode != 0:
        return run.skip("torch programs", "no torch that sees the GPU")
    if not os.path.exists(times):
        return run.skip("torch programs", "the benchmark left no times")
    command = [sys.executable, os.path.join("bench", "torch_on_gpu.py"), "--ours", times, "--shared", shared]
    command += ["--commit", commit, "--markdown", os.path.join(run.out, "torch.md"), *traces[:1]]
    return run.judge("torch programs", run.run("torch programs", [command], 75, "bench.log"))


def gpu(out, nvcc, commit, highway=None):
    machine = find_machine(nvcc)
    if machine.missing:
        print(f"./dev gpu is for a machine with CUDA. Missing here: {', '.join(machine.missing)}.")
        return 2
    run = Run(os.path.abspath(out))
    shared = find_shared()
    # What an earlier run has left would be appended to.
    for old in glob.glob(os.path.join(run.out, "*.log")):
        os.remove(old)
    run.say(f"{machine.gpu}; {machine.describe()}; commit {commit}; Python {sys.version.split()[0]}")
    run.say(first_line(["cmake", "--version"]) + "; " + first_line(["g++", "--version"]))
    if build(run, machine, highway):
        test(run, shared)
        traces, times = bench(run, machine, shared, commit)
        sanitize(run, machine)
        python(run)
        torch(run, shared, traces, times, commit)
    for name in run.tally.skips:
        run.say(f"skipped: {name}")
    run.say(str(run.tally))
    return 1 if run.tally.failed or not run.tally.passed else 0
