"""Tools that the machine and .venv need, and how they are installed."""

import glob
import os
import re
import shlex
import shutil
import sys

from places import ROOT, VENV, VENV_PYTHON
from steps import answer, step

# Tool: how to detect it, and the Debian package that contains it.
TOOLS = {
    "g++": ("program", "g++", "g++"),
    "cmake": ("program", "cmake", "cmake"),
    "ninja": ("program", "ninja", "ninja-build"),
    "Highway": ("header", "hwy/highway.h", "libhwy-dev"),
    "venv": ("module", "ensurepip", "python3-venv"),
    "GoogleTest": ("header", "gtest/gtest.h", "libgtest-dev"),
    "JSON for C++": ("header", "nlohmann/json.hpp", "nlohmann-json3-dev"),
    "Boost.Context": ("header", "boost/context/detail/fcontext.hpp", "libboost-context-dev"),
    "Thrust": ("header", "thrust/version.h", "libthrust-dev"),
    "pkg-config": ("program", "pkg-config", "pkg-config"),
    "clang": ("program", "clang++-14", "clang-14"),
    "clang runtime": ("glob", "/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.asan-*.a", "libclang-rt-14-dev"),
    "abidw": ("program", "abidw", "abigail-tools"),
    "valgrind": ("program", "valgrind", "valgrind"),
    "g++ for aarch64": ("program", "aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
    "emulator of aarch64": ("program", "qemu-aarch64", "qemu-user"),
    "clang-format": ("program", "clang-format-14", "clang-format-14"),
    "clang-tidy": ("program", "clang-tidy-14", "clang-tidy-14"),
    "ccache": ("program", "ccache", "ccache"),
    "llvm-cov": ("program", "llvm-cov-14", "llvm-14"),
}
FOR_LIBRARY = ["g++", "cmake", "ninja", "Highway"]
FOR_PYTHON = FOR_LIBRARY + ["venv"]
FOR_AARCH64 = FOR_PYTHON + ["g++ for aarch64", "emulator of aarch64"]
FOR_TESTS = FOR_AARCH64 + [
    "GoogleTest",
    "JSON for C++",
    "Boost.Context",
    "Thrust",
    "pkg-config",
    "clang",
    "clang runtime",
    "clang-tidy",
    "abidw",
    "valgrind",
    "ccache",
]
FOR_COVERAGE = FOR_TESTS + ["llvm-cov"]

# Python packages, by what they are for: see lock.py.
LOCKS = os.path.join(ROOT, "tools", "build", "locks")


def is_there(tool):
    kind, name, _ = TOOLS[tool]
    if kind == "program":
        return shutil.which(name) is not None
    if kind == "glob":
        return bool(glob.glob(name))
    if kind == "module":
        return answer([sys.executable, "-c", f"import {name}"]).returncode == 0
    compile_only = ["g++", "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    return is_there("g++") and answer(compile_only, input=f"#include <{name}>\n").returncode == 0


def need(tools):
    missing = [tool for tool in tools if not is_there(tool)]
    if not missing:
        return
    packages = [TOOLS[tool][2] for tool in missing]
    apt = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    # sudo -n fails at once where it would ask for a password.
    by = [] if os.geteuid() == 0 else ["sudo", "-n"]
    able = shutil.which("apt-get") and (not by or (shutil.which("sudo") and answer([*by, "true"]).returncode == 0))
    if not able:
        sys.exit(f"Missing: {', '.join(missing)}. On Debian and Ubuntu, install it with:\n    sudo {shlex.join(apt)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    step("update the lists of Debian packages", [*by, "apt-get", "update"], env=quiet)
    step(f"install {' '.join(packages)}", [*by, *apt], env=quiet)


def stamp_path(name):
    return os.path.join(VENV, f"stamp-{name}")


def is_fresh(stamp, key):
    try:
        with open(stamp) as file:
            return file.read() == key
    except OSError:
        return False


def set_stamp(stamp, key):
    with open(stamp, "w") as file:
        file.write(key)


def make_venv():
    key = f"{sys.version}\n{sys.base_prefix}\n{VENV}"
    if not is_fresh(stamp_path("python"), key):
        step("make .venv", [sys.executable, "-m", "venv", "--clear", VENV])
        set_stamp(stamp_path("python"), key)


# Compiling all modules takes pip longer than the rest; most are never imported.
PIP = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile"]


def pip_install(name, *options):
    """Installs what a lock has into .venv."""
    make_venv()
    path = os.path.join(LOCKS, f"{name}.txt")
    with open(path) as file:
        key = file.read()
    if not is_fresh(stamp_path(name), key):
        step(f"install packages for {name} into .venv", [*PIP, *options, "--require-hashes", "--requirement", path])
        set_stamp(stamp_path(name), key)


def locked_version(name, package):
    with open(os.path.join(LOCKS, f"{name}.txt")) as file:
        return re.search(rf"^{re.escape(package)}==([^ \n]+)", file.read(), re.M)[1]
