"""./dev gpu without a GPU: tools of stubs, in a copy of the repository made of links, so that nothing is built.

The stub of cmake puts a program of stubs where the CMakeLists.txt of each target would: paths that do not follow the
folders are seen here, not on the first machine with a GPU.
"""

import os
import subprocess
import sys
import tempfile
import unittest

from header import ROOT

LINKED = ("dev", "tools", "tests", "bench", "bindings", "lib", "include", "CMakeLists.txt")
STUB = """#!{python}
import os, sys
arguments = sys.argv[1:]
print("NVIDIA Stub, 580.1, 9.0, 1980 MHz" if "{name}" == "nvidia-smi" else ["{name}", *arguments])
if "{name}" == "cmake" and "--build" in arguments:
    folder = arguments[arguments.index("--build") + 1]
    for target in arguments[arguments.index("--target") + 1 :]:
        for path, _, files in os.walk("{root}", followlinks=True):
            lists = os.path.join(path, "CMakeLists.txt")
            if "CMakeLists.txt" not in files or os.path.relpath(path, "{root}").startswith("build"):
                continue
            text = open(lists).read()
            if not any(f"{{word}}({{target}} " in text for word in ("device_tests", "gpu_bench", "add_executable")):
                continue
            program = os.path.join(folder, os.path.relpath(path, "{root}"), target)
            os.makedirs(os.path.dirname(program), exist_ok=True)
            with open(program, "w") as file:
                file.write('#!/bin/sh\\necho "$0 $*"\\necho "1 passed, 0 failed, 0 skipped"\\n')
            os.chmod(program, 0o755)
"""


class DryRun(unittest.TestCase):
    def run_dev(self, stubs, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            root, programs = os.path.join(folder, "root"), os.path.join(folder, "bin")
            os.makedirs(root)
            os.makedirs(programs)
            for name in LINKED:
                os.symlink(os.path.join(ROOT, name), os.path.join(root, name))
            for name in stubs:
                path = os.path.join(programs, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(STUB.format(python=sys.executable, name=name, root=root))
                os.chmod(path, 0o755)
            environment = {**os.environ, "PATH": os.pathsep.join([programs, "/usr/bin", "/bin"])}
            command = [sys.executable, "-B", os.path.join(root, "dev"), "gpu", os.path.join(folder, "out"), *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def test_tests_and_bench(self):
        done = self.run_dev(["nvidia-smi", "nvcc", "cmake", "g++"], "--commit", "stub", "--only", "tests", "bench")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^2[0-2] passed, 0 failed, \d+ skipped$")

    def test_without_a_gpu(self):
        done = self.run_dev(["cmake", "g++"])
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("Missing here:", done.stdout)


if __name__ == "__main__":
    unittest.main()
