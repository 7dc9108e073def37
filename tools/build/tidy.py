"""clang-tidy on the sources of the library that are compiled once."""

import concurrent.futures
import glob
import os

from places import RELEASE, ROOT
from steps import Failure, answer, timed

FOLDERS = ("api", "core", "session", "machines/cpu")
# Compiled once for each instruction set, with options that clang does not know; tests run it under sanitizers.
NOT_CHECKED = {"target.cpp", "other_methods.cpp", "splits.cpp"}


def tidy():
    """Checks the sources with the rules of .clang-tidy, as the release was compiled, all cores at once."""
    paths = [path for folder in FOLDERS for path in sorted(glob.glob(os.path.join(ROOT, "lib", folder, "*.cpp")))]
    paths = [path for path in paths if os.path.basename(path) not in NOT_CHECKED]
    command = ["clang-tidy-14", "-p", RELEASE, "--quiet"]
    with timed(f"clang-tidy, {len(paths)} files"):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            failed = [done for done in pool.map(lambda path: answer([*command, path]), paths) if done.returncode]
        if failed:
            raise Failure("clang-tidy", "\n".join(done.stdout for done in failed))
