"""The bytes that programs were compiled with: sizes, offsets and values as a C compiler sees them, against layout.txt.

python3 tests/abi/test_layout.py --write     after an addition; a changed line means a new ABI major version
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
import unittest

import header

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layout.txt")


def program(found):
    """C that prints one line for every struct, field and constant."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", '#include "eplb.h"', "int main(void) {"]
    for name, fields in found.structs.items():
        lines.append(f'  printf("struct {name}: %zu bytes\\n", sizeof({name}));')
        for member in fields:
            measures = f"sizeof((({name} *)0)->{member.name}), offsetof({name}, {member.name})"
            lines.append(f'  printf("  {member.type} {member.name}: %zu bytes at %zu\\n", {measures});')
    for name in found.typedefs:
        lines.append(f'  printf("type {name}: %zu bytes\\n", sizeof({name}));')
    for name in found.constants:
        lines.append(f'  printf("constant {name} = %d\\n", (int){name});')
    return "\n".join([*lines, "  return 0;", "}", ""])


def measured():
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "layout.c"), os.path.join(folder, "layout")
        with open(source, "w", encoding="ascii") as file:
            file.write(program(header.read()))
        include = "-I" + os.path.dirname(header.PATH)
        subprocess.run(
            [os.environ.get("CC", "cc"), "-std=c99", "-pedantic", "-Wall", "-Werror", include, source, "-o", out],
            check=True,
        )
        return subprocess.run([out], check=True, capture_output=True, text=True).stdout


class Layout(unittest.TestCase):
    def test_layout_is_the_committed_one(self):
        with open(LIST, encoding="ascii") as file:
            promised = file.read()
        difference = list(
            difflib.unified_diff(promised.splitlines(), measured().splitlines(), "promised", "now", "", "", 0, "")
        )
        self.assertEqual(difference, [])

    def test_no_two_constants_of_a_type_share_a_value(self):
        enums = [block.split("}")[0] for block in header.read().text.split("enum {")[1:]]
        for enum in enums:
            values = [entry.partition("=")[2].strip() for entry in enum.split(",") if "=" in entry]
            self.assertEqual(len(values), len(set(values)), enum)
        self.assertGreater(len(enums), 5)

    def test_structs_have_no_holes(self):
        """A hole holds what was there before: a later version could put a field there that nobody has zeroed."""
        blocks = measured().split("struct ")[1:]
        self.assertGreater(len(blocks), 5)
        for block in blocks:
            whole, *fields = [int(size) for size in re.findall(r": (\d+) bytes", block.split("type ")[0])]
            self.assertEqual(whole, sum(fields), block)


if __name__ == "__main__":
    if "--write" in sys.argv:
        with open(LIST, "w", encoding="ascii") as out:
            out.write(measured())
    else:
        unittest.main()
