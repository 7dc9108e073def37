"""Builds, tests, sanitizes and measures the CUDA backend on a GPU, in nine minutes, without network or apt."""

import csv
import glob
import io
import os
import re
import shutil
import sys

from gpu_machine import find_machine, find_tool, first_line, missing_modules, torch_sees_gpu
from gpu_run import STOPPED, Run
from places import BUILD, ROOT
from steps import answer
from traces import measured_traces, shared_folder

FOLDER = os.path.join(BUILD, "gpu")
# Each group runs in its own process: a failing kernel breaks the device for its whole process.
GROUPS = (
    "facts",
    "golden",
    "parity",
    "tiny",
    "calls",
    "late",
    "graphs",
    "worlds",
    "threads",
    "memory",
    "large",
    "broken",
    "moves",
    "clusters",
    "rebalances",
    "evaluation",
    "windows",
    "tables",
    "splits",
)
# Under a sanitizer every launch is synchronous, so tests of asynchrony and of free memory are left out.
SANITIZED = {
    "memcheck": ["--only", "parity,late,graphs", "--problems", "6"],
    "racecheck": ["--only", "parity", "--problems", "2"],
    "synccheck": ["--only", "parity,graphs", "--problems", "3"],
    "initcheck": ["--only", "parity", "--problems", "2"],
}
SANITIZED_SIZE = ["--most-slots", "64", "--rounds", "2"]
# How messages of compute-sanitizer itself begin.
REFUSAL = re.compile(r"^=+ .*(Device not supported|not supported on this|Unable to find|initialization failed)", re.M)
FINDING = re.compile(r"^=+ (Invalid|Uninitialized|Error: Race|.*hazard|Program hit|Barrier error)", re.M)
# No torch in this process: the library alone creates and destroys the device context.
ALONE = """
import eplb, numpy
weights = numpy.random.default_rng(1).lognormal(5, 1, (4, 64))
sizes = dict(num_slots=80, num_gpus=16, num_nodes=2, num_groups=4)
with eplb.Context() as cpu:
    want = cpu.solve(weights, **sizes)
for turn in range(3):
    with eplb.Context(device="cuda") as context:
        plan = context.solve(weights, **sizes)
    for name in ("physical_to_logical", "logical_to_physical", "replica_count", "gpu_load", "bound"):
        assert numpy.array_equal(getattr(plan, name), getattr(want, name)), (turn, name)
"""
METRICS = {
    "gpu__time_duration.sum": "us",
    "launch__registers_per_thread": "registers",
    "launch__shared_mem_per_block": "shared bytes",
    "sm__maximum_warps_per_active_cycle_pct": "occupancy possible, %",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy found, %",
    "dram__bytes.sum": "bytes of memory moved",
}


class Gpu:
    """The steps and the state they share."""

    def __init__(self, run, machine, arguments):
        self.run, self.machine, self.arguments = run, machine, arguments
        self.shared = shared_folder()
        self.data = os.path.join(self.shared, "data") if self.shared else ""
        self.traces = measured_traces()
        self.library = os.path.join(FOLDER, "libeplb.so.0")
        self.times = os.path.join(FOLDER, "times.tsv")
        package = os.path.join(ROOT, "bindings", "python")
        site = os.path.join(FOLDER, "site")
        path = os.pathsep.join(filter(None, [package, site, os.environ.get("PYTHONPATH")]))
        self.python_environment = {"EPLB_LIBRARY": self.library, "PYTHONPATH": path}
        if arguments.wheels:
            wheels = glob.glob(os.path.join(arguments.wheels, "*.whl"))
            options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", site]
            done = answer([sys.executable, "-m", "pip", "install", *options, *wheels])
            run.say(f"wheels: {'installed' if done.returncode == 0 else done.stderr.strip()}")

    # ------------------------------------------------------------------------------------------------------------ build

    def build(self):
        generator = ["-G", "Ninja"] if shutil.which("ninja") else ["-G", "Unix Makefiles"]
        options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=OFF", "EPLB_DEVICE_TESTS=ON", "EPLB_GPU_BENCH=ON"]
        # Only the architecture of this machine: the others would take most of the time. Line numbers serve the
        # sanitizers. Not -split-compile, which makes other kernels than a release has.
        options += ["EPLB_CUDA=ON", f"CMAKE_CUDA_COMPILER={self.machine.nvcc}", "CMAKE_CUDA_FLAGS=-lineinfo"]
        options += [f"CMAKE_CUDA_ARCHITECTURES={self.machine.architecture}-real"]
        highway = self.arguments.highway
        options += [f"EPLB_HIGHWAY_INCLUDE={os.path.abspath(highway)}"] if highway else []
        configure = ["cmake", "-S", ROOT, "-B", FOLDER, *generator, *(f"-D{option}" for option in options)]
        make = ["cmake", "--build", FOLDER, "--parallel", str(os.cpu_count() or 1), "--target"]
        targets = ["eplb", "eplb_device_tests", "eplb_gpu_bench"]
        run = self.run
        if not run.judge("build", run.run("build", [configure, [*make, *targets]], 380, "build.log")):
            return False
        cuobjdump = find_tool("cuobjdump", self.machine.nvcc)
        if cuobjdump is None:
            run.skip("resources of the kernels", "no cuobjdump")
            return True
        done = run.run("resources", [[cuobjdump, "--dump-resource-usage", self.library]], 30, "build.log")
        if run.judge("resources", done):
            self.show_resources(done[1])
        return True

    def show_resources(self, printed):
        """A line for each kernel: two lines of cuobjdump's, its name and its numbers."""
        for name, numbers in re.findall(r"Function (\S+?):\s*\n\s*(.*)", printed):
            # The prefix is the same for all: a namespace with the name of a file.
            kernel = re.sub(r"^.*_cu_[0-9a-f]+", "", name)
            short = re.sub(r"CONSTANT\S+|TEXTURE\S+|SURFACE\S+|SAMPLER\S+", "", numbers)
            self.run.say(f"   {kernel[:90]} {' '.join(short.split())}")

    # ------------------------------------------------------------------------------------------------------------ tests

    def device_tests(self, *arguments):
        return [os.path.join(FOLDER, "tests", "cuda", "eplb_device_tests"), self.library, *arguments]

    def tests(self):
        for group in GROUPS:
            name = f"tests: {group}"
            done = self.run.run(
                name,
                [self.device_tests("--only", group, "--problems", "100")],
                60 if group == "parity" else 40,
                "tests.log",
            )
            self.run.judge(name, done)
            if done and f"skipped {group}: " in done[1]:
                self.run.fail(name, "nvidia-smi shows a GPU, and the library finds none")

    def measured(self):
        if not os.path.isdir(self.data):
            return self.run.skip("tests on measured weights", "no folder shared/data")
        command = self.device_tests("--only", "traces", "--data", self.data)
        done = self.run.run("tests on measured weights", [command], 70, "tests.log")
        return self.run.judge("tests on measured weights", done)

    def sanitize(self, tool):
        program = find_tool("compute-sanitizer", self.machine.nvcc)
        if program is None:
            return self.run.skip(tool, "no compute-sanitizer")
        tests = self.device_tests(*SANITIZED[tool], *SANITIZED_SIZE)
        done = self.run.run(tool, [[program, "--tool", tool, "--error-exitcode", "9", *tests]], 45, "sanitize.log")
        status, printed = done or (0, "")
        refusal = REFUSAL.search(printed)
        if refusal and "SUMMARY" not in printed:
            return self.run.skip(tool, f"it does not support this device: {refusal.group(0)}")
        stopped = re.findall(r"^FAILED .*: Terminated$", printed, re.M)
        found = FINDING.search(printed) or len(re.findall(r"^FAILED ", printed, re.M)) > len(stopped)
        if status == STOPPED and not found:
            return self.run.skip(tool, "stopped at its limit, without a finding until then: see sanitize.log")
        return self.run.judge(tool, done)

    def python(self):
        run, env = self.run, self.python_environment
        missing = missing_modules(env)
        if missing:
            why = f"{sys.executable} has no {', '.join(missing)}: --wheels FOLDER takes them along"
            return run.skip("Python", why)
        run.judge(
            "Python, nothing but the library",
            run.run(
                "Python, nothing but the library",
                [[sys.executable, "-c", ALONE], [sys.executable, "-m", "eplb", "info"]],
                40,
                "python.log",
                env,
            ),
        )
        junit = os.path.join(FOLDER, "junit.xml")
        if os.path.exists(junit):
            os.remove(junit)
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", "cuda"]
        command += [f"--junitxml={junit}", os.path.join("bindings", "python", "tests")]
        done = run.run("Python tests", [command], 100, "python.log", env)
        if done is None:
            return None
        before, passed = run.tally.failed, run.tally.passed
        if os.path.exists(junit):
            run.tally.add_junit(junit)
        if done[0] != 0 and run.tally.failed == before:
            run.fail("Python tests", f"exit status {done[0]}")
        if done[0] != 0:
            run.show(done[1])
        return run.say(f"   {run.tally.passed - passed} passed, {run.tally.failed - before} failed")

    # -------------------------------------------------------------------------------------------------------- measuring

    def bench_program(self, *arguments):
        return [os.path.join(FOLDER, "bench", "eplb_gpu_bench"), *arguments]

    def bench(self):
        run = self.run
        if os.path.exists(self.times):
            os.remove(self.times)
        table = os.path.join(run.out, "gpu.md")
        command = self.bench_program("--markdown", table, "--tsv", self.times, "--budget", "110")
        command += ["--commit", self.arguments.commit, "--machine", self.machine.describe(), *self.traces]
        done = run.run("bench", [command], 130, "bench.log")
        run.judge("bench", done)
        if done:
            run.say("\n".join(line for line in done[1].splitlines() if not line.startswith("$")))

    def profile(self):
        """Occupancy and memory traffic of every kernel, counted by the hardware."""
        program = find_tool("ncu", self.machine.nvcc)
        if program is None:
            return self.run.skip("profile", "no ncu (Nsight Compute)")
        counted = os.path.join(FOLDER, "ncu.csv")
        if os.path.exists(counted):
            os.remove(counted)
        options = ["--clock-control", "none", "--profile-from-start", "off", "--print-units", "base", "--csv"]
        command = [program, *options, "--log-file", counted, "--metrics", ",".join(METRICS)]
        done = self.run.run(
            "profile", [[*command, *self.bench_program("--profile", *self.traces[:1])]], 60, "bench.log"
        )
        if done is None:
            return None
        rows = list(profile_rows(counted)) if os.path.exists(counted) else []
        if not rows:
            return self.run.skip("profile", f"ncu counted nothing (exit status {done[0]}): see bench.log")
        # The bench names a problem, then solves it: the kernels of one come in that order.
        names = iter(re.findall(r"^profiling (.*)$", done[1], re.M))
        lines = ["", "## Kernels", "", "Counted by Nsight Compute, each kernel alone, clocks as they were.", ""]
        lines += ["| | kernel | blocks | " + " | ".join(METRICS.values()) + " |", "|---" * (len(METRICS) + 3) + "|"]
        for kernel, blocks, values in rows:
            problem = next(names, "?") if kernel.startswith("sum_weights") else ""
            lines.append(f"| {problem} | {kernel} | {blocks} | " + " | ".join(values) + " |")
        with open(os.path.join(self.run.out, "gpu.md"), "a") as file:
            file.write("\n".join(lines) + "\n")
        if done[0] == STOPPED:
            return self.run.skip("profile", f"stopped at its limit after {len(rows)} kernels")
        return self.run.judge("profile", done)

    def torch(self):
        run = self.run
        if not self.shared or not os.path.isdir(os.path.join(self.shared, "seeds")):
            return run.skip("torch programs", "no folder shared/seeds")
        if not os.path.exists(self.times):
            return run.skip("torch programs", "the benchmark left no times")
        if run.is_over() or not torch_sees_gpu(self.python_environment):
            return run.skip("torch programs", "no torch that sees the GPU, or no time to ask")
        command = [sys.executable, os.path.join("bench", "torch_on_gpu.py"), "--ours", self.times]
        command += ["--shared", self.shared, "--commit", self.arguments.commit]
        command += ["--markdown", os.path.join(run.out, "torch.md"), *self.traces]
        return run.judge("torch programs", run.run("torch programs", [command], 75, "bench.log"))


def profile_rows(path):
    """(kernel, blocks, values) of each launch that ncu counted, in order."""
    with open(path, errors="replace") as file:
        lines = [line for line in file if line.startswith('"')]
    launches = {}
    for row in csv.DictReader(io.StringIO("".join(lines))):
        row = {key: value or "" for key, value in row.items()}  # the last one may be cut
        name = re.sub(r"\(anonymous namespace\)|<unnamed>|\(bool\)", "", row.get("Kernel Name", ""))
        kernel = re.sub(r"^void |(\w*::)+|\(.*", "", name)
        blocks = row.get("Grid Size", "").strip("() ").split(",")[0]
        values = launches.setdefault(row.get("ID"), (kernel[:60], blocks, {}))[2]
        values[row.get("Metric Name")] = row.get("Metric Value", "").replace(",", "")
    for kernel, blocks, values in launches.values():
        yield kernel, blocks, [shown(metric, values.get(metric)) for metric in METRICS]


def shown(metric, value):
    try:
        number = float(value) / (1000 if metric == "gpu__time_duration.sum" else 1)  # nanoseconds
    except (TypeError, ValueError):
        return "?"
    return f"{number:.0f}" if number == int(number) else f"{number:.1f}"


# The least tested steps come first: time may run out before the end.
STEPS = {
    "tests": Gpu.tests,
    "python": Gpu.python,
    "memcheck": lambda gpu: gpu.sanitize("memcheck"),
    "bench": Gpu.bench,
    "racecheck": lambda gpu: gpu.sanitize("racecheck"),
    "profile": Gpu.profile,
    "torch": Gpu.torch,
    "synccheck": lambda gpu: gpu.sanitize("synccheck"),
    "measured": Gpu.measured,
    "initcheck": lambda gpu: gpu.sanitize("initcheck"),
}


def gpu(arguments):
    machine = find_machine(arguments.nvcc)
    if machine.missing:
        print(f"./dev gpu is for a machine with CUDA. Missing here: {', '.join(machine.missing)}.")
        return 2
    run = Run(os.path.abspath(arguments.out))
    # Logs are appended to.
    for old in [*glob.glob(os.path.join(run.out, "*.log")), *glob.glob(os.path.join(run.out, "*.md"))]:
        os.remove(old)
    run.say(f"{machine.gpu}; {machine.describe()}; commit {arguments.commit}; Python {sys.version.split()[0]}")
    run.say(first_line(["cmake", "--version"]) + "; " + first_line(["g++", "--version"]))
    steps = Gpu(run, machine, arguments)
    if steps.build():
        for name in arguments.only or STEPS:
            try:
                STEPS[name](steps)
            except Exception as error:  # noqa: BLE001 - of this program; the other steps still count
                run.fail(name, repr(error))
    for name in run.tally.skips:
        run.say(f"skipped: {name}")
    run.say(str(run.tally))
    return 1 if run.tally.failed or not run.tally.passed else 0
