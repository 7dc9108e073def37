#!/usr/bin/env python3
"""What `cmake --install` leaves behind is what a stranger needs: header, library, pkg-config file and CMake package.

EPLB_BUILD is the build folder, EPLB_CMAKE the cmake that configured it, CC the C compiler.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
CMAKE = os.environ.get("EPLB_CMAKE", "cmake")
CC = os.environ.get("CC", "cc")

sys.path.insert(0, os.path.join(ROOT, "tests", "contract", "c"))
from header_program import extract  # noqa: E402
from run_program import fault  # noqa: E402


def call(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="eplb-install-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        staged = os.path.join(cls.folder, "staged")
        cls.prefix = os.path.join(cls.folder, "moved here")
        call(CMAKE, "--install", os.environ["EPLB_BUILD"], "--prefix", staged)
        # A package is built in one place and unpacked in another, so no path of the first may be left in it.
        os.rename(staged, cls.prefix)
        found = glob.glob(f"{cls.prefix}/lib*/libeplb.so.0") + glob.glob(f"{cls.prefix}/lib/*/libeplb.so.0")
        cls.library = found[0] if found else None
        cls.program = os.path.join(cls.folder, "client.c")
        with (
            open(f"{cls.prefix}/include/eplb.h", encoding="ascii") as header,
            open(cls.program, "w", encoding="ascii") as out,
        ):
            out.write(extract(header.read()))

    def run_client(self, *command):
        environment = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(self.library)}
        self.assertIsNone(fault(call(*command, env=environment)))

    def test_files(self):
        self.assertIsNotNone(self.library, "no libeplb.so.0")
        with open(f"{ROOT}/include/eplb.h", "rb") as ours, open(f"{self.prefix}/include/eplb.h", "rb") as theirs:
            self.assertEqual(ours.read(), theirs.read())
        self.assertEqual(os.listdir(f"{self.prefix}/include"), ["eplb.h"])
        self.assertEqual(os.readlink(self.library.removesuffix(".0")), "libeplb.so.0")

    def test_soname_and_no_run_path(self):
        dynamic = call("readelf", "-d", self.library)
        self.assertIn("Library soname: [libeplb.so.0]", dynamic)
        self.assertNotIn("RPATH", dynamic)
        self.assertNotIn("RUNPATH", dynamic)

    def test_cmake_package(self):
        project, build = f"{self.folder}/client", f"{self.folder}/client-build"
        shutil.copytree(f"{HERE}/client", project)
        shutil.copy(self.program, f"{project}/client.c")
        call(CMAKE, "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={CC}")
        call(CMAKE, "--build", build)
        self.run_client(f"{build}/client")

    def test_cmake_package_refuses_another_major_version(self):
        project = f"{self.folder}/newer"
        shutil.copytree(f"{HERE}/client", project)
        shutil.copy(self.program, f"{project}/client.c")
        with open(f"{project}/CMakeLists.txt", encoding="ascii") as file:
            text = file.read().replace("find_package(eplb", "find_package(eplb 99")
        with open(f"{project}/CMakeLists.txt", "w", encoding="ascii") as file:
            file.write(text)
        with self.assertRaisesRegex(AssertionError, "99"):
            call(CMAKE, "-S", project, "-B", f"{project}-build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("no pkg-config")
        environment = {**os.environ, "PKG_CONFIG_PATH": os.path.join(os.path.dirname(self.library), "pkgconfig")}
        flags = call("pkg-config", "--cflags", "--libs", "eplb", env=environment)
        client = f"{self.folder}/pkg-config-client"
        # Through a shell, as a makefile would: the folder has a space in it.
        call("sh", "-c", f'"{CC}" -std=c99 "{self.program}" -o "{client}" {flags}')
        self.run_client(client)
        self.assertRegex(call("pkg-config", "--modversion", "eplb", env=environment), r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
