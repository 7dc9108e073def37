"""Old programs with a new library, new programs with an old one.

The old program is client.c, compiled from a kept header. The new library is this one with what a later minor version
might bring, put in by edits: a field at the end of every struct that may grow, and a function.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import header
import library
from nested_build import ROOT, build, edited, folder, renew
from test_layout import frozen_headers

HERE = os.path.dirname(os.path.abspath(__file__))
STRUCTS = ("context_options", "problem", "solve_options", "report", "backend")
# Of the new field 7 is the default, and the only value that the new library takes; in what it gives back it writes 9.
CHECK = """template <class T> T only_seven(T value) {
  if (value.later != 7) fail(EPLB_UNAVAILABLE, "later is %lld, must be 7", static_cast<long long>(value.later));
  return value;
}

"""
READ_PROBLEM = "read_struct(problem, kProblem)"
READ_OPTIONS = "read_struct(options, kSolveOptions)"
VERSION = "int32_t eplb_abi_version(void)"
NUM_THREADS = '  check_least("num_threads"'
RETURNED_SIZE = "  value.struct_size = out->struct_size;"
LATER_FIELDS = [(f"}} eplb_{name};", f"  int64_t later;\n}} eplb_{name};") for name in STRUCTS]
EDITS = {
    "include/eplb.h": [*LATER_FIELDS, (f"{VERSION};", f"{VERSION};\nint32_t eplb_later(void);")],
    "lib/api/defaults.h": [
        ("EPLB_DEVICE_CPU, 0, 1}", "EPLB_DEVICE_CPU, 0, 1, 7}"),
        (".max_replicas = 0}};", ".max_replicas = 0, .later = 7}};"),
        (".move_price = 0}};", ".move_price = 0, .later = 7}};"),
        ("inline eplb_problem read_problem", f"{CHECK}inline eplb_problem read_problem"),
        (READ_PROBLEM, f"only_seven({READ_PROBLEM})"),
        (READ_OPTIONS, f"only_seven({READ_OPTIONS})"),
    ],
    "lib/api/context.cpp": [(NUM_THREADS, f"  eplb::api::only_seven(options);\n{NUM_THREADS}")],
    "lib/api/structs.h": [(RETURNED_SIZE, f"{RETURNED_SIZE}\n  value.later = 9;")],
    "lib/api/info.cpp": [
        (f"{VERSION} {{ return 1 << 16 | ", f"{VERSION} {{ return 1 << 16 | 1 + "),
        (
            "const char* eplb_version_string",
            "int32_t eplb_later(void) { return 7; }\n\nconst char* eplb_version_string",
        ),
    ],
}


def later_sources():
    """A folder that looks like this repository in a later version. What is not edited is linked to."""
    top = os.path.join(folder("later"), "source")
    os.makedirs(f"{top}/lib", exist_ok=True)
    apart = {f"lib/api/{name}" for name in os.listdir(f"{ROOT}/lib/api")} | {"include/eplb.h"}
    for path in sorted(apart):
        renew(f"{top}/{path}", edited(path, EDITS.get(path, [])))
    for path in ["CMakeLists.txt", *(f"lib/{name}" for name in os.listdir(f"{ROOT}/lib") if name != "api")]:
        if not os.path.islink(f"{top}/{path}"):
            os.symlink(f"{ROOT}/{path}", f"{top}/{path}")
    return top


class Callers(library.LibraryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "EPLB_BUILD" not in os.environ:
            raise unittest.SkipTest("EPLB_BUILD is not set: no folder to build a later library in")
        cls.folder = tempfile.mkdtemp(prefix="eplb-callers-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.now = library.path()
        source = later_sources()
        cls.later = build(source, os.path.join(folder("later"), "build"))
        cls.new_client = cls.compile_client("new", f"{source}/include/eplb.h", cls.later, "-DLATER")

    @classmethod
    def compile_client(cls, name, path, against, *options):
        include = os.path.join(cls.folder, f"include-{name}")
        os.makedirs(include)
        shutil.copy(path, f"{include}/eplb.h")
        out = os.path.join(cls.folder, f"client-{name}")
        strict = [os.environ.get("CC", "cc"), "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{include}"]
        subprocess.run([*strict, *options, f"{HERE}/client.c", against, "-o", out], check=True)
        return out

    def run_client(self, client, against, *arguments, status=0):
        """What the program printed: the first line, which is the version, and the rest."""
        environment = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(os.path.realpath(against))}
        done = subprocess.run([client, *arguments], env=environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout)
        version, _, rest = done.stdout.partition("\n")
        return version, rest

    def test_every_released_program_runs_with_this_library_and_a_later_one(self):
        for (major, minor), path in frozen_headers().items():
            with self.subTest(major=major, minor=minor):
                old_client = self.compile_client(f"{major}.{minor}", path, self.now)
                version, answer = self.run_client(old_client, self.now)
                later_version, later_answer = self.run_client(old_client, self.later)
                self.assertIn("solved: imbalance", answer)
                self.assertEqual(answer, later_answer)
                self.assertNotEqual(version, later_version)

    def test_a_program_of_today_runs_with_a_later_library(self):
        client = self.compile_client("today", header.PATH, self.now)
        self.assertEqual(self.run_client(client, self.now)[1], self.run_client(client, self.later)[1])

    def test_a_new_program_uses_what_is_new(self):
        version, answer = self.run_client(self.new_client, self.later)
        self.assertRegex(version, r"^ABI 1\.[1-9]")
        self.assertEqual(re.findall("later: .*", answer), ["later: 7 7 7", "later: 9 9 9"])
        refused = self.run_client(self.new_client, self.later, "8", status=3)[1]
        self.assertIn("EPLB_UNAVAILABLE: later is 8, must be 7", refused)

    def test_a_new_program_runs_with_an_old_library_if_it_asks_for_nothing_new(self):
        answer = self.run_client(self.new_client, self.now)[1]
        self.assertEqual(re.findall("later: .*", answer), ["later: 0 0 0", "later: 0 0 0"])
        without = re.sub("later: .*\n", "", answer)
        self.assertEqual(without, re.sub("later: .*\n", "", self.run_client(self.new_client, self.later)[1]))

    def test_an_old_library_refuses_what_it_does_not_know(self):
        refused = self.run_client(self.new_client, self.now, "8", status=3)[1]
        self.assertRegex(refused, "EPLB_INVALID_ARGUMENT: options has a non-zero byte at 80: .* the caller is newer")


if __name__ == "__main__":
    unittest.main()
