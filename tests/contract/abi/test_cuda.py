"""What a library with CUDA carries: code for every architecture, kernels that keep to their share of a multiprocessor.

cuobjdump is taken from EPLB_CUOBJDUMP or from the path; without it, or in a library without CUDA, the tests skip.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

import library

sys.path.insert(0, os.path.join(library.ROOT, "tools", "build"))
from cmake import release_architectures  # noqa: E402

# Of a release, if no others are named.
ARCHITECTURES = os.environ.get("EPLB_ARCHITECTURES", "").split() or release_architectures()
MOST_BYTES = 16 << 20
# Of one warp to a block. More than 255 registers there are not; what does not fit is spilled to the stack, and nothing
# else should be there: 816 bytes at most, of evaluations on sm_90. From sm_90 on the driver takes 1 KiB of the shared
# memory of each block.
MOST_REGISTERS, MOST_STACK, MOST_STATIC_SHARED = 255, 832, 1280
# Searches by excess call functions, which read their state there: 5616 bytes at most, on sm_80, of which 3168 are the
# kernel's own and 1856 those of the fresh placement that it asks for. A driver keeps local memory for all threads that
# a device can hold: 4680 bytes would be 1.2 GiB on an H100.
MOST_STACK_OF_CALLS, CALLS = 5760, ("ByExcess", "UnequalBestMethod")


def cuobjdump(*options):
    program = os.environ.get("EPLB_CUOBJDUMP") or shutil.which("cuobjdump")
    if program is None:
        raise unittest.SkipTest("no cuobjdump: EPLB_CUOBJDUMP or the path would name it")
    done = subprocess.run([program, *options, library.path()], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return [
        re.sub(r"\(.*", "", re.sub(r"\(anonymous namespace\)::|eplb::\w+::|void ", "", n))
        for n in done.stdout.split("\n")
    ]


def resources():
    """Rows of architecture, kernel, registers, stack and static shared bytes."""
    rows, architecture = [], None
    pattern = r"^arch = (\w+)$|^ Function (\w+):\n +REG:(\d+) STACK:(\d+) SHARED:(\d+)"
    for match in re.finditer(pattern, cuobjdump("--dump-resource-usage"), re.M):
        architecture = match[1] or architecture
        own = match[2] and match[2].startswith("_ZN4eplb")  # not Thrust's, whose arguments are ours
        if own and "_GLOBAL__N_" in match[2]:
            rows.append((architecture, match[2], int(match[3]), int(match[4]), int(match[5])))
    return rows


class Cuda(library.LibraryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not library.has_cuda():
            raise unittest.SkipTest("a library without CUDA")

    def test_size(self):
        self.assertLessEqual(os.path.getsize(library.path()), MOST_BYTES)

    def test_every_architecture_and_ptx_for_later_ones(self):
        self.assertEqual(set(re.findall(r"\.sm_(\d+)\.cubin", cuobjdump("--list-elf"))), set(ARCHITECTURES))
        self.assertEqual(set(re.findall(r"\.sm_(\d+)\.ptx", cuobjdump("--list-ptx"))), set(ARCHITECTURES[-1:]))

    def test_registers_stack_and_shared_memory(self):
        rows = resources()
        self.assertGreaterEqual(len({kernel for _, kernel, *_ in rows}), 15, "kernels were not found")
        kernels = [kernel for _, kernel, *_ in rows]
        names = dict(zip(kernels, demangled(kernels), strict=False))
        print(f"\n{'kernel':58} {'arch':7} registers  stack  static shared bytes")
        for architecture, kernel, registers, stack, shared in sorted(rows, key=lambda row: (names[row[1]], row[0])):
            print(f"{names[kernel]:58.58} {architecture:7} {registers:9} {stack:6} {shared:8}")
            with self.subTest(kernel=names[kernel], architecture=architecture):
                self.assertLessEqual(registers, MOST_REGISTERS)
                self.assertLessEqual(
                    stack, MOST_STACK_OF_CALLS if any(c in names[kernel] for c in CALLS) else MOST_STACK
                )
                self.assertLessEqual(shared, MOST_STATIC_SHARED)


if __name__ == "__main__":
    unittest.main()
