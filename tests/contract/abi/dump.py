"""The ABI as a library's debug information tells it: written by abidw, compared by abidiff (both in abigail-tools)."""

import glob
import os
import shlex
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

import header

HERE = os.path.dirname(os.path.abspath(__file__))
RELEASED = os.path.join(HERE, "released")
FIRST = os.path.join(RELEASED, "eplb-1.0.abi")
INCLUDE = os.path.dirname(header.PATH)
FROZEN = ("eplb_error",)  # the other structs may grow at the end

# abidiff's exit status is a set of bits.
FAULTS, CHANGED = 1 | 2, 4 | 8

SHARED = ["-g", "-O0", "-shared", "-fPIC", "-Wl,-soname,libeplb.so.0", "-nostdlib"]


def sources():
    """The files that define the library's functions, as a compiler that runs in ROOT finds them."""
    return sorted(os.path.relpath(path, header.ROOT) for path in glob.glob(f"{header.ROOT}/lib/api/*.cpp"))


def compile_border(out, files):
    """The border of the library with debug information. What lies behind it stays undefined: nobody runs this."""
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    options = ["-std=c++20", "-fvisibility=hidden", '-DEPLB_VERSION_TEXT=""', "-Ilib", "-Iinclude"]
    border = ["-include", "lib/api/exports.h", "-Wl,--version-script=lib/eplb.map"]
    # Relative to ROOT, or the dump would name the folder in which it was written.
    subprocess.run([*compiler, *options, *SHARED, *border, *files, "-o", out], cwd=header.ROOT, check=True)


def compile_declarations(out, path):
    """A library whose functions do nothing: what a header declares, with debug information."""
    source = out + ".c"
    with open(source, "w", encoding="ascii") as file:
        file.write('#include "eplb.h"\n')
        for function in header.read(path).functions:
            parameters = ", ".join(f"{p.type} {p.name}" for p in function.parameters) or "void"
            body = "" if function.result == "void" else "return 0;"
            file.write(f"{function.result} {function.name}({parameters}) {{ {body} }}\n")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-std=c99", *SHARED, f"-I{os.path.dirname(path)}", source, "-o", out], check=True)


def write(library, out, include=INCLUDE):
    """Only what eplb.h declares: of everything else, the C++ library's types too, the dump knows nothing."""
    only = ["--exported-interfaces-only", "--drop-private-types", "--headers-dir", include]
    bare = ["corpus-path", "comp-dir-path", "show-locs", "elf-needed", "parameter-names"]
    subprocess.run(["abidw", *only, *(f"--no-{name}" for name in bare), "--out-file", out, library], check=True)


def keep(version):
    """Writes the dump of an ABI version that is released."""
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "libeplb.so")
        compile_border(library, sources())
        write(library, os.path.join(RELEASED, f"eplb-{version}.abi"))


def _structs(tree):
    return {each.get("name"): each for each in tree.iter("class-decl") if each.get("size-in-bits")}


def cut_to_released(path, released):
    """Takes off what structs have grown at their end, which is allowed; abidiff's own suppressions forgive far more."""
    tree = ElementTree.parse(path)
    old = _structs(ElementTree.parse(released))
    for name, struct in _structs(tree).items():
        if name not in old or name in FROZEN:
            continue
        size = int(old[name].get("size-in-bits"))
        if int(struct.get("size-in-bits")) > size:
            struct.set("size-in-bits", str(size))
        for member in struct.findall("data-member"):
            if int(member.get("layout-offset-in-bits")) >= size:
                struct.remove(member)
    tree.write(path)


def changes(path, released=FIRST):
    """What abidiff says has changed since the release, which is nothing if there are only additions."""
    cut_to_released(path, released)
    command = ["abidiff", "--no-added-syms", "--harmless", released, path]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode & FAULTS:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout or "something" if done.returncode & CHANGED else ""
