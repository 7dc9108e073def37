"""Finds the built library and asks binutils about it."""

import os
import re
import subprocess
import unittest

from header import ROOT


def path():
    """EPLB_LIBRARY, or libeplb.so.0 in EPLB_BUILD, or in the folders where it is usually built."""
    if os.environ.get("EPLB_LIBRARY"):
        return os.environ["EPLB_LIBRARY"]
    folders = [os.environ["EPLB_BUILD"]] if os.environ.get("EPLB_BUILD") else [f"{ROOT}/build/release", f"{ROOT}/build"]
    found = [f"{folder}/libeplb.so.0" for folder in folders if os.path.exists(f"{folder}/libeplb.so.0")]
    return found[0] if found else None


def _ask(*command):
    return subprocess.run([*command, path()], check=True, capture_output=True, text=True).stdout


def symbols(*options):
    """Names of dynamic symbols, with "@VERSION" where they have one."""
    lines = _ask("nm", "-D", *options).splitlines()
    return [line.split()[-1] for line in lines if line.strip()]


def exported():
    return symbols("--defined-only")


def imported():
    return symbols("--undefined-only")


def dynamic_section():
    """Pairs of tag and value."""
    return re.findall(r"^ *0x[0-9a-f]+ \((\w+)\)\s+(.*)$", _ask("readelf", "-dW"), re.M)


def build_type():
    """None if the library is not in the folder that CMake built it in."""
    cache = os.path.join(os.path.dirname(path()), "CMakeCache.txt")
    if not os.path.exists(cache):
        return None
    with open(cache, encoding="utf-8") as file:
        return re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w*)$", file.read(), re.M)[1]


def has_cuda():
    return ".nv_fatbin" in _ask("readelf", "-SW")


def segments():
    """Flags of each program header by its type."""
    lines = re.findall(r"^ +(\w+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([RWE ]{3})", _ask("readelf", "-lW"), re.M)
    return dict(lines)


class LibraryTest(unittest.TestCase):
    """A test of the file as it is shipped: without one, or of one that a sanitizer has changed, it skips."""

    @classmethod
    def setUpClass(cls):
        if path() is None:
            raise unittest.SkipTest("no libeplb.so.0: build it, or set EPLB_LIBRARY")
        if any(re.match(r"__(asan|ubsan|tsan|msan)_", name) for name in imported() + exported()):
            raise unittest.SkipTest("the library is built with a sanitizer")
