"""Who may include whom: a folder of lib includes those of lower floors only."""

import os
import re
import unittest

from header import ROOT

SOURCES = (".c", ".h", ".cpp", ".cu", ".cuh", ".hpp", ".cc", ".h.in")
MOST_LINES = 400
MAY_BE_LONGER = {  # path: why, and how many lines
    "include/eplb.h": 900,  # the manual of the C API, nearly all comment
    "tests/golden/rebalance.py": 410,  # a program to be read from top to bottom
    "bindings/go/layout_generated.go": 800,  # generated from the header, with its comments
    "bindings/rust/eplb-sys/src/bindings.rs": 1500,  # the same
}
NOT_WRITTEN = {"build", "target", ".venv", "__pycache__", "corpus", "_native", "released"}  # folders, not by hand
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "stuff", "base", "shared", "general"}

CXX = r"<[a-z_]+>"  # the C++ standard library: no dots, no folders
DEVICE_CXX = r"<cuda/std/[a-z_]+>"
POSIX = r"<(pthread|signal|unistd|dlfcn|link|sched|sys/\w+)\.h>"
INTRINSICS = r"<(xmmintrin|emmintrin|immintrin)\.h>"
HIGHWAY = r"<hwy/[\w/-]+\.h>"
CUDA = r"<(cuda\w*|cub/[\w/]+|cuda/[\w/]+|thrust/[\w/]+|cooperative_groups)(\.h|\.cuh)?>"

CONTRACT = r'"eplb\.h"'


def room(*names, ends=r"(h|cuh)"):
    """Any header of these folders of lib."""
    return rf'"({"|".join(names)})/\w+\.{ends}"'


# The floors of the solver, lowest first: a room includes its own floor and those below.
FLOORS = [("team",), ("layer",), ("counts", "packing", "split", "transfers"), ("search", "evaluate"), ("strategies",)]
SEAM = r'"machines/machine\.h"'
CORE = room("core")
PROBLEM = r'"core/problem\.h"'  # plain values, which stages get as they are
SOLVER = room(*(f"solver/{name}" for floor in FLOORS for name in floor))
CPU = room("machines/cpu")
ON_CUDA = room("machines/cuda", "machines/cuda/team", "machines/cuda/kernels")

# For each folder, the longest match counts: what its files may include.
RULES = {
    "lib/core": [CORE, CONTRACT, CXX],
    "lib/session": [r'"session/\w+\.h"', SEAM, CORE, CONTRACT, CXX],
    "lib/machines": [CORE, CONTRACT, CXX],
    "lib/machines/cpu": [CPU, r'"targets\.h"', SEAM, CORE, SOLVER, CONTRACT, CXX, POSIX, INTRINSICS, HIGHWAY],
    "lib/machines/cuda": [ON_CUDA, SEAM, CORE, SOLVER, CONTRACT, CXX, DEVICE_CXX, CUDA],
    "lib/machines/no_cuda": [SEAM, CORE, CONTRACT, CXX],
    "lib/api": [r'"api/\w+\.h"', r'"session/session\.h"', SEAM, CORE, CONTRACT, CXX, POSIX, INTRINSICS],
    "include": [r"<std(def|int)\.h>"],
    "tests/contract/c": [CONTRACT, r"<[\w/]+\.h>"],  # and headers of their own folder, like the next
    "examples/c": [CONTRACT, r"<[\w/]+\.h>"],
    "examples/cpp": [CXX, r"<(eplb|torch/torch)\.h>"],
    "bindings": [CONTRACT, r"<[\w/]+\.h>"],
}
for height, floor in enumerate(FLOORS):
    below = [f"solver/{name}" for lower in FLOORS[:height] for name in lower]
    for name in floor:
        RULES[f"lib/solver/{name}"] = [room(f"solver/{name}", *below), PROBLEM, CXX, DEVICE_CXX]

# Programs, whose files include each other by name.
FLAT = ("tests/contract/c", "examples/c", "examples/cpp")

# Thrust's exceptions become this library's where it is called.
CATCHES = "lib/machines/cuda/kernels/whole_arrays.cuh"

# core is arithmetic: it writes nothing, reads no environment, knows no clock and no threads.
NOT_IN_CORE = {
    "<iostream>",
    "<fstream>",
    "<ostream>",
    "<istream>",
    "<filesystem>",
    "<thread>",
    "<mutex>",
    "<chrono>",
    "<cstdlib>",
    "<random>",
}


def files(folder):
    for path, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = [
            name for name in folders if name not in ("build", "target", ".venv", "__pycache__", "node_modules")
        ]
        for name in sorted(names):
            if name.endswith(SOURCES):
                yield os.path.relpath(os.path.join(path, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def includes(path):
    return re.findall(r'^\s*#\s*include\s*([<"].*?[>"])', read(path), re.M)


def rule_for(path):
    matches = [folder for folder in RULES if path.startswith(folder + "/")]
    return max(matches, key=len) if matches else None


class Includes(unittest.TestCase):
    def test_every_file_keeps_to_its_rule(self):
        broken, looked_at = [], 0
        for folder in ("lib", "include", "tests/contract/c", "bindings", "examples"):
            for path in files(folder):
                rule = rule_for(path)
                if rule is None:
                    broken.append(f"{path} lies in a folder that has no rule")
                    continue
                allowed = list(RULES[rule])
                if rule in FLAT:
                    names = os.listdir(os.path.join(ROOT, rule))
                    allowed += [re.escape(f'"{name}"') for name in names if name.endswith(".h")]
                for include in includes(path):
                    looked_at += 1
                    if not any(re.fullmatch(pattern, include) for pattern in allowed):
                        broken.append(f"{path} includes {include}")
        self.assertEqual(broken, [])
        self.assertGreater(looked_at, 100, "nothing was looked at")

    def test_core_is_arithmetic(self):
        broken = [f"{path} includes {i}" for path in files("lib/core") for i in includes(path) if i in NOT_IN_CORE]
        self.assertEqual(broken, [])

    def test_quoted_includes_are_relative_to_lib(self):
        """A path relative to the file would dodge the rules above."""
        self.assertEqual([f"{path}: {i}" for path in files("lib") for i in includes(path) if i.startswith('".')], [])

    def test_the_border_is_in_api(self):
        """extern "C", catch and the caller's handles live in lib/api alone, but for what Thrust throws."""
        broken = []
        for path in files("lib"):
            if path.startswith("lib/api/"):
                continue
            text = without_comments(read(path))
            broken += [
                f"{path}: {word}"
                for word in ('extern "C"', "catch (", "catch(", "eplb_context ", "eplb_context*")
                if word in text and not (path == CATCHES and word == "catch (")
            ]
        self.assertEqual(broken, [])

    def test_solver_names_no_target(self):
        names = re.compile(r"\b(hwy|__AVX\w*|__SSE\w*|_mm\d*_\w+|cudaStream\w*|threadIdx|blockIdx|__shfl\w*)\b")
        broken = [
            f"{path}: {m[0]}" for path in files("lib/solver") for m in names.finditer(without_comments(read(path)))
        ]
        self.assertEqual(broken, [])


class Files(unittest.TestCase):
    FOLDERS = ("lib", "include", "tests", "tools", "bench", "bindings", "examples")

    def own_files(self):
        for folder in self.FOLDERS:
            for path, folders, names in os.walk(os.path.join(ROOT, folder)):
                folders[:] = [f for f in folders if f not in NOT_WRITTEN]
                for name in names:
                    if name.endswith((*SOURCES, ".py", ".rs", ".go", ".txt", ".sh")):
                        yield os.path.relpath(os.path.join(path, name), ROOT)

    def test_no_file_is_too_long(self):
        long = {}
        for path in self.own_files():
            lines = len(read(path).splitlines())
            if lines > MAY_BE_LONGER.get(path, MOST_LINES):
                long[path] = lines
        self.assertEqual(long, {})

    def test_files_are_named_by_noun(self):
        vague = []
        for path in self.own_files():
            parts = re.split(r"[/_.-]", path)
            if VAGUE & set(parts):
                vague.append(path)
        self.assertEqual(vague, [])


if __name__ == "__main__":
    unittest.main()
