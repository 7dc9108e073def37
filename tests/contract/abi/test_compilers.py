"""The header alone, in every standard that it promises, with both compilers and nearly every warning that they have."""

import os
import shutil
import subprocess
import tempfile
import unittest

import header

HERE = os.path.dirname(os.path.abspath(__file__))
STANDARDS = {".c": ("c99", "c11", "c17"), ".cpp": ("c++11", "c++14", "c++17", "c++20")}
COMPILERS = {".c": ("gcc", "clang-14"), ".cpp": ("g++", "clang++-14")}

OPAQUE = "typedef struct eplb_context eplb_context;"
STRICT = ["-fsyntax-only", "-pedantic-errors", "-Werror", "-Wall", "-Wextra"]
GCC = ["undef", "shadow", "conversion", "sign-conversion", "cast-qual", "unused-macros", "padded"]
GCC_C = ["strict-prototypes", "missing-prototypes", "old-style-definition", "redundant-decls", "c++-compat"]
GCC_CXX = ["old-style-cast", "zero-as-null-pointer-constant", "useless-cast", "non-virtual-dtor"]
# The header keeps even to C++98; the file that includes it has static assertions.
CLANG = ["-Weverything", "-Wno-c++98-compat", "-Wno-c++98-compat-pedantic"]


def warnings(compiler, ending):
    return (
        CLANG
        if compiler.startswith("clang")
        else [f"-W{name}" for name in GCC + (GCC_C if ending == ".c" else GCC_CXX)]
    )


def compile_header(compiler, ending, standard, folder):
    """Compiles what includes the folder's eplb.h; returns what the compiler said, which is nothing if all is well."""
    source = os.path.join(HERE, "header_alone" + ending)
    include = [f"-I{folder}", "-include", os.path.join(folder, "eplb.h")]
    command = [compiler, f"-std={standard}", *STRICT, *warnings(compiler, ending), *include, source]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr or ("" if done.returncode == 0 else f"{compiler} ended with {done.returncode}")


class Compilers(unittest.TestCase):
    def compiles_everywhere(self, ending, number):
        compiler = COMPILERS[ending][number]
        if shutil.which(compiler) is None:
            self.skipTest(f"no {compiler} on this machine")
        for standard in STANDARDS[ending]:
            with self.subTest(compiler=compiler, standard=standard):
                self.assertEqual(compile_header(compiler, ending, standard, os.path.dirname(header.PATH)), "")

    def test_c_with_gcc(self):
        self.compiles_everywhere(".c", 0)

    def test_c_with_clang(self):
        self.compiles_everywhere(".c", 1)

    def test_cxx_with_gcc(self):
        self.compiles_everywhere(".cpp", 0)

    def test_cxx_with_clang(self):
        self.compiles_everywhere(".cpp", 1)

    def test_a_bad_header_is_seen(self):
        """Else the warnings above may not be on."""
        bad = {
            "#if EPLB_NOT_DEFINED\n#endif": (".c", ".cpp"),
            "int32_t eplb_old_style();": (".c",),
            "static int32_t eplb_inside(int64_t n) { return n; }": (".c", ".cpp"),
        }
        with open(header.PATH, encoding="ascii") as file:
            good = file.read()
        for text, endings in bad.items():
            with tempfile.TemporaryDirectory() as folder:
                with open(os.path.join(folder, "eplb.h"), "w", encoding="ascii") as file:
                    file.write(good.replace(OPAQUE, f"{text}\n{OPAQUE}", 1))
                for ending in endings:
                    for compiler in filter(shutil.which, COMPILERS[ending]):
                        with self.subTest(text=text, compiler=compiler):
                            self.assertIn("error", compile_header(compiler, ending, STANDARDS[ending][0], folder))


if __name__ == "__main__":
    unittest.main()
