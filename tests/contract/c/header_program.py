#!/usr/bin/env python3
"""Takes the complete program out of the comment at the top of eplb.h.

header_program.py HEADER OUTPUT.c
"""

import re
import sys


def extract(header):
    """The indented lines between "A COMPLETE PROGRAM" and the next heading."""
    match = re.search(r"^ \* A COMPLETE PROGRAM\n(.*?)^ \* [A-Z]+\.", header, re.M | re.S)
    if match is None:
        sys.exit("the header has no complete program any more")
    lines = [line[2:].removeprefix(" ") for line in match.group(1).splitlines()]
    program = "\n".join(line.removeprefix("    ") for line in lines).strip("\n")
    if "int main(void)" not in program:
        sys.exit("what stands under A COMPLETE PROGRAM has no main")
    return program + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        text = extract(source.read())
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(text)
