"""The GPU, the CUDA tools and the Python of this machine."""

import dataclasses
import glob
import os
import re
import shutil
import subprocess
import sys

from pythons import found_by
from steps import answer

QUICK = 60  # seconds; a first `import torch` is slow


def first_line(command):
    try:
        done = answer(command, timeout=QUICK)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def find_tool(name, other=None):
    """On the PATH, in the folder of another tool, or where toolkits are installed."""
    folders = [os.path.dirname(other)] if other else []
    folders += sorted(glob.glob("/usr/local/cuda*/bin"), reverse=True) + glob.glob("/opt/nvidia/*/*")
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


@dataclasses.dataclass
class Machine:
    nvcc: str | None
    gpu: str  # "NVIDIA H200, 580.159.04, 9.0, 1980 MHz"; empty: none

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
        return self._facts()[2].replace(".", "")

    def _facts(self):
        return [fact.strip() for fact in self.gpu.split(",")]

    def describe(self):
        release = re.search(r"release ([\d.]+)", answer([self.nvcc, "--version"]).stdout) if self.nvcc else None
        _, driver, _, clock = self._facts()
        nvcc = release.group(1) if release else "unknown"
        return f"driver {driver}, nvcc {nvcc}, at most {clock}, {os.cpu_count()} cores"


def find_machine(nvcc):
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap,clocks.max.sm", "--format=csv,noheader"]
    return Machine(nvcc or find_tool("nvcc"), first_line(query))


def missing_modules(env):
    """The Python modules that the tests of the package need and that are missing or broken."""
    probes = {
        "pytest": ("pytest", "'there'"),
        "numpy": ("numpy", "'there'"),
        "cffi (with pycparser)": ("cffi", "cffi.FFI().cdef('int f(void);') or 'there'"),
    }
    return [name for name, probe in probes.items() if found_by(sys.executable, *probe, env, QUICK) != "there"]


def torch_sees_gpu(env):
    return found_by(sys.executable, "torch", "str(torch.cuda.is_available())", env, QUICK) == "True"
