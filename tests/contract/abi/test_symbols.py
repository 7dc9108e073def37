"""What the shared library gives and needs: exactly the functions of the header, libc and the loader."""

import os
import re
import subprocess
import tempfile
import unittest

import header
import library

NEWEST_GLIBC = (2, 34)  # Ubuntu 22.04, RHEL 9

# Calls with which a library changes or leaves its caller's process, and which nothing in this one has a use for.
FORBIDDEN = {
    "exit", "_exit", "quick_exit", "atexit", "signal", "sigaction", "setlocale", "uselocale", "setenv", "putenv",
    "unsetenv", "getenv", "secure_getenv", "fesetround", "fesetenv", "printf", "puts", "putchar", "system", "fork",
    "execve", "chdir", "umask", "socket", "fopen", "open", "dlopen", "srand", "rand", "random", "getrandom",
    "arc4random", "setrlimit", "prctl", "syslog", "perror",
}  # fmt: skip

# What the CUDA runtime brings along where it is linked in. Our own calls are seen in the library that has none.
OF_CUDART = {"getenv", "open", "exit", "setenv", "fopen", "socket", "dlopen"}


def names_of_header():
    return sorted(function.name for function in header.read().functions)


class Harness(unittest.TestCase):
    def test_it_knows_every_function(self):
        with open(os.path.join(header.ROOT, "tests", "contract", "c", "api_table.h"), encoding="ascii") as file:
            table = re.search(r"#define EPLB_FUNCTIONS\(F\)(.*?)\n\n", file.read(), re.S)
        known = re.findall(r"F\((\w+)\)", table.group(1))
        self.assertEqual(sorted(f"eplb_{name}" for name in known), names_of_header())


class Symbols(library.LibraryTest):
    def test_exports_are_the_functions_of_the_header(self):
        self.assertEqual(sorted(library.exported()), names_of_header())

    def test_needs_libc_and_the_loader_only(self):
        needed = [re.search(r"\[(.*)\]", value)[1] for tag, value in library.dynamic_section() if tag == "NEEDED"]
        strangers = [name for name in needed if not re.fullmatch(r"libc\.so\.6|ld-linux[\w-]*\.so\.\d", name)]
        self.assertEqual(strangers, [])
        self.assertIn("libc.so.6", needed)

    def test_newest_glibc_version(self):
        versions = {
            tuple(map(int, v.split("."))) for s in library.imported() for v in re.findall(r"@GLIBC_([\d.]+)$", s)
        }
        self.assertTrue(versions, "no versioned symbol was found, so nothing was tested")
        self.assertLessEqual(max(versions), NEWEST_GLIBC, [s for s in library.imported() if "@GLIBC_2.3" in s])

    def test_no_other_run_time_library(self):
        versioned = [s for s in library.imported() if "@" in s and not re.search(r"@GLIBC_[\d.]+$", s)]
        self.assertEqual(versioned, [])

    def test_calls_nothing_that_changes_the_process(self):
        called = {name.split("@")[0] for name in library.imported()}
        self.assertEqual(called & FORBIDDEN - (OF_CUDART if library.has_cuda() else set()), set())
        self.assertIn("malloc", called)  # else the list was not read


class Dynamics(library.LibraryTest):
    def test_soname(self):
        values = [value for tag, value in library.dynamic_section() if tag == "SONAME"]
        self.assertEqual(values, ["Library soname: [libeplb.so.0]"])

    def test_stays_mapped(self):
        flags = " ".join(value for tag, value in library.dynamic_section() if tag == "FLAGS_1")
        self.assertIn("NODELETE", flags)

    def test_no_text_relocations_no_run_path(self):
        tags = {tag for tag, _ in library.dynamic_section()}
        self.assertEqual(tags & {"TEXTREL", "RPATH", "RUNPATH", "SYMBOLIC"}, set())
        self.assertFalse(any("TEXTREL" in value for tag, value in library.dynamic_section() if tag == "FLAGS"))

    def test_the_stack_is_not_executable(self):
        flags = library.segments()
        self.assertEqual(flags.get("GNU_STACK", "none").replace(" ", ""), "RW")
        self.assertNotIn("RWE", flags.values())

    def test_what_the_loader_binds_is_read_only_afterwards(self):
        flags = " ".join(value for tag, value in library.dynamic_section() if tag in ("FLAGS", "FLAGS_1"))
        self.assertIn("BIND_NOW", flags)
        self.assertIn("GNU_RELRO", library.segments())

    def test_stacks_and_buffers_are_guarded(self):
        called = {name.split("@")[0] for name in library.imported()}
        self.assertIn("__stack_chk_fail", called)
        if library.build_type() != "Debug":  # FORTIFY needs optimisation
            self.assertIn("__vsnprintf_chk", called)

    def test_nothing_is_left_undefined(self):
        """Loaded with all symbols bound at once, by a program that has nothing else to offer."""
        with tempfile.TemporaryDirectory() as folder:
            source, program = f"{folder}/load.c", f"{folder}/load"
            with open(source, "w", encoding="ascii") as file:
                file.write(
                    "#include <dlfcn.h>\nint main(int c, char **v) { return c != 2 || !dlopen(v[1], RTLD_NOW); }\n"
                )
            subprocess.run([os.environ.get("CC", "cc"), source, "-o", program, "-ldl"], check=True)
            command = [*os.environ.get("EPLB_EMULATOR", "").split(), program, library.path()]
            self.assertEqual(subprocess.run(command).returncode, 0)


if __name__ == "__main__":
    unittest.main()
