"""Object files per instruction set: nothing that one emits may be shared with another set, or the linker mixes them.

An inline function that two of them emit is kept once, perhaps with instructions that the machine does not have.
"""

import glob
import os
import re
import subprocess
import unittest

import library


def objects():
    """(instruction set, path) of every object file, in the build folder that holds the library."""
    folder = os.path.dirname(os.path.realpath(library.path()))
    found = glob.glob(f"{folder}/lib/CMakeFiles/eplb_target_*.dir/**/*.o", recursive=True)
    return [(re.search(r"eplb_target_(\w+)\.dir", path)[1], path) for path in found]


def shared_names(path):
    """Mangled names that the object defines and the linker may take for another object's, too."""
    lines = subprocess.run(
        ["nm", "--defined-only", path], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [line.split()[-1] for line in lines if re.search(r" [A-Zu] ", line)]


class Targets(library.LibraryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not objects():
            raise unittest.SkipTest("no object files next to the library")

    def test_every_name_belongs_to_one_instruction_set(self):
        for target, path in objects():
            # In the target's namespace, in one of Highway's own, or the one name by which the target is reached.
            own = re.compile(rf"{len(target)}{target}[0-9A-Z]|3hwy\d+N_[A-Z0-9_]+|instruction_set_{target}E$")
            names = shared_names(path)
            with self.subTest(path=path):
                self.assertTrue(names, "no names were read")
                self.assertEqual([name for name in names if not own.search(name)], [])

    def test_plain_code_is_always_there(self):
        self.assertIn("plain", dict(objects()))


if __name__ == "__main__":
    unittest.main()
