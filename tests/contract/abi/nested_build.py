"""Builds the library once more, from edited sources. Without Highway and unoptimised, to be quick."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def folder(name):
    """Next to the build that is tested, so that a second run finds everything built."""
    return os.path.join(os.environ["EPLB_BUILD"], name)


def call(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}")


def build(source, out):
    """Returns the path of the library."""
    cmake = os.environ.get("EPLB_CMAKE", "cmake")
    switches = [
        "CMAKE_BUILD_TYPE=Debug",
        "CMAKE_CXX_FLAGS_DEBUG=",
        "EPLB_SIMD=OFF",
        "EPLB_TESTS=OFF",
        "EPLB_BENCH=OFF",
        "EPLB_CUDA=OFF",
    ]
    call(cmake, "-S", source, "-B", out, *(f"-D{switch}" for switch in switches))
    call(cmake, "--build", out, "--target", "eplb")
    return os.path.join(out, "libeplb.so.0")


def renew(path, text):
    """Writes a file unless it holds that already: a new date would have everything built again."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def edited(path, edits):
    """The text of a file of the repository after edits, pairs of old and new, each of which must be possible once."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    for old, new in edits:
        if text.count(old) != 1:
            raise AssertionError(f"{path} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    return text
