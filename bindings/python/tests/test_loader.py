"""Finding the library: what is tried, in which order, and what is said when there is none."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, child_environment, package_folder
from eplb import _library
from eplb._header import Header

HEADER = ROOT / "include" / "eplb.h"
SHOW = "import eplb; from eplb import _library; print(_library.path)"


def run(program=SHOW, **changes):
    command = [sys.executable, "-W", "error", "-c", program]
    # Not from here: python -c looks for modules in the current folder first.
    return subprocess.run(command, cwd="/", env=child_environment(**changes), capture_output=True, text=True)


def fake_library(folder, body):
    """A library that is only what a test needs."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = folder / "fake.c", folder / "libfake.so"
    source.write_text(body)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


def version_only(folder, version):
    return fake_library(folder, f"int eplb_abi_version(void) {{ return {version}; }}\n")


def test_environment_comes_first(tmp_path):
    copy = shutil.copy(_library.path, tmp_path / "mine.so") if "/" in _library.path else pytest.skip("no file")
    shutil.copy(HEADER, tmp_path / "eplb.h")
    done = run(EPLB_LIBRARY=str(copy))
    assert (done.stdout.strip(), done.stderr) == (str(copy), "")


def test_header_of_an_installed_library(tmp_path):
    if "/" not in _library.path:
        pytest.skip("no file")
    (tmp_path / "lib").mkdir()
    (tmp_path / "include").mkdir()
    copy = shutil.copy(_library.path, tmp_path / "lib" / "libeplb.so.0")
    header = HEADER.read_text().replace(
        "EPLB_STRATEGY_REBALANCE = 7", "EPLB_STRATEGY_REBALANCE = 7, EPLB_STRATEGY_NEWER = 8"
    )
    (tmp_path / "include" / "eplb.h").write_text(header)
    done = run("import eplb; print(eplb.strategies()[-1])", EPLB_LIBRARY=str(copy))
    # A strategy that is new in the header is there in Python by itself.
    assert done.stdout.strip() == "newer", done.stderr


@pytest.mark.parametrize("path", ["/nowhere/libeplb.so.0", "", "libnothing_of_this_name.so"])
def test_what_the_environment_names_is_not_there(path):
    done = run(EPLB_LIBRARY=path)
    assert done.returncode == 1
    assert "ImportError: eplb cannot load the library named by EPLB_LIBRARY. Tried:" in done.stderr
    assert repr(path) in done.stderr
    # Nothing else was tried: a user who names a library does not want another.
    assert "_native" not in done.stderr.split("Tried:")[1]


def setgid_python(folder):
    """A Python that runs with the rights of another group than its user's."""
    groups = {*os.getgroups(), 65534} - {os.getegid()} if os.geteuid() == 0 else {*os.getgroups()} - {os.getegid()}
    if not groups:
        pytest.skip("there is no other group")
    program = shutil.copy(Path(sys.executable).resolve(), folder / "python")
    os.chown(program, -1, max(groups))
    os.chmod(program, 0o2755)
    paths = [str(package_folder().parent), *(path for path in sys.path if path.endswith("-packages"))]
    environment = {"PYTHONHOME": sys.base_prefix, "PYTHONPATH": os.pathsep.join(paths)}
    command = [program, "-c", "import os; print(len(set(os.getresgid())))"]
    done = subprocess.run(command, env=child_environment(**environment), capture_output=True, text=True)
    if done.stdout != "2\n":
        pytest.skip(f"no setgid program can be run here: {done.stdout}{done.stderr}")
    return program, environment


def test_a_program_with_more_rights_refuses_the_environment(tmp_path):
    program, environment = setgid_python(tmp_path)
    copy = copied(tmp_path / "mine")
    show = "import eplb; print(eplb._library.path)"
    for path, with_rights in ((program, True), (sys.executable, False)):
        child = child_environment(**environment, EPLB_LIBRARY=str(copy))
        done = subprocess.run([path, "-c", show], cwd="/", env=child, capture_output=True, text=True)
        assert (done.stdout.strip() == str(copy)) is not with_rights, done.stderr
        refused = (
            f"named by EPLB_LIBRARY. Tried:\n  '{copy}': the program has more rights than its caller (setuid, setgid"
        )
        assert (refused in done.stderr) is with_rights


def test_no_library_at_all(tmp_path):
    shutil.copytree(package_folder(), tmp_path / "eplb", ignore=shutil.ignore_patterns("_native", "__pycache__"))
    done = run(EPLB_LIBRARY=None, PYTHONPATH=str(tmp_path), LD_LIBRARY_PATH="")
    if done.returncode == 0:
        pytest.skip(f"this machine has a library of its own: {done.stdout.strip()}")
    assert "ImportError: eplb cannot load the library. Tried:" in done.stderr
    assert str(tmp_path / "eplb" / "_native" / "libeplb.so.0") in done.stderr
    assert "'libeplb.so.0'" in done.stderr
    assert "EPLB_LIBRARY" in done.stderr


def test_no_library_file(tmp_path):
    text = tmp_path / "text.so"
    text.write_text("no ELF")
    done = run(EPLB_LIBRARY=str(text))
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert str(text) in done.stderr


def test_library_of_something_else(tmp_path):
    done = run(EPLB_LIBRARY=fake_library(tmp_path, "int something;\n"))
    assert "this is no libeplb" in done.stderr


VERSIONS = [(2 << 16, "2.0"), (7, "0.7"), ((1 << 16) + 1, "1.1"), ((1 << 16) + 3, None)]


@pytest.mark.parametrize(("version", "text"), VERSIONS)
def test_version(tmp_path, version, text):
    done = run("from eplb import _loader; _loader.load()", EPLB_LIBRARY=version_only(tmp_path, version))
    if text is None:
        # A later minor passes the check; that this one has nothing else is another matter.
        assert "ABI" not in done.stderr
    else:
        assert f"its ABI is {text}, but this package needs 1.2 or a later 1.x" in done.stderr


def copied(folder):
    if "/" not in _library.path:
        pytest.skip("no file")
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.copy(_library.path, folder / "libeplb.so.0")


def header_with(name):
    """One that has another name for a strategy, by which it is known, and all else."""
    return HEADER.read_text().replace("EPLB_STRATEGY_GREEDY", f"EPLB_STRATEGY_{name.upper()}")


@pytest.mark.parametrize(
    ("library", "header"),
    [
        ("lib", "lib/eplb.h"),
        ("lib", "include/eplb.h"),
        ("lib64", "include/eplb.h"),
        ("lib/x86_64-linux-gnu", "include/eplb.h"),
    ],
)
def test_header_that_belongs_to_a_library(tmp_path, library, header):
    copy = copied(tmp_path / library)
    (tmp_path / header).parent.mkdir(exist_ok=True)
    (tmp_path / header).write_text(header_with("own"))
    show = "import eplb; print('own' in eplb.strategies())"
    assert run(show, EPLB_LIBRARY=str(copy)).stdout == "True\n"
    # As distributions have it: a name for another file.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "libeplb.so").symlink_to(copy)
    assert run(show, EPLB_LIBRARY=str(tmp_path / "elsewhere" / "libeplb.so")).stdout == "True\n"


def test_header_of_a_library_that_the_system_finds(tmp_path):
    copied(tmp_path / "lib")
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "eplb.h").write_text(header_with("own"))
    program = "import eplb; print('own' in eplb.strategies(), eplb._library.path)"
    done = run(program, EPLB_LIBRARY="libeplb.so.0", LD_LIBRARY_PATH=str(tmp_path / "lib"))
    assert done.stdout == "True libeplb.so.0\n", done.stderr


@pytest.mark.parametrize("place", ["include/eplb.h", "usr/include/eplb.h"])
def test_header_that_belongs_to_none(tmp_path, place):
    """A library in opt/eplb/native has none; that of the package is taken, not one that lies about."""
    copy = copied(tmp_path / "opt" / "eplb" / "native")
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(header_with("strange"))
    done = run("import eplb; print('greedy' in eplb.strategies())", EPLB_LIBRARY=str(copy))
    assert done.stdout == "True\n", done.stderr


def test_system_folders_are_not_searched():
    program = """
from pathlib import Path
looked = []
Path.read_text = (lambda read: lambda self, *rest, **more: looked.append(str(self)) or read(self, *rest, **more))(
    Path.read_text
)
import eplb
print(*(name for name in looked if name.startswith("/usr")))
"""
    assert run(program).stdout.strip() == "" or _library.path.startswith("/usr")


@pytest.mark.parametrize(
    ("found", "has"), [("1.0", "Since ABI 1.0"), ("1.3", "Since\n * ABI 1.3"), ("2.0", "Since ABI 2.0")]
)
def test_header_of_another_version_next_to_the_library(tmp_path, found, has):
    copy = copied(tmp_path)
    text = re.sub(r"Since[\s*]+ABI[\s*]+1\.\d", "", HEADER.read_text())
    (tmp_path / "eplb.h").write_text(f"/* {has} */\n{text}")
    done = run(EPLB_LIBRARY=str(copy))
    assert f"its ABI is 1.2, but that of {tmp_path / 'eplb.h'} is {found}" in done.stderr


def test_header_of_this_package_is_too_new_for_the_library(tmp_path):
    package = tmp_path / "package" / "eplb"
    shutil.copytree(package_folder(), package, ignore=shutil.ignore_patterns("_native", "__pycache__"))
    (package / "_native").mkdir()
    (package / "_native" / "eplb.h").write_text(HEADER.read_text() + "/* Since ABI 1.9 */")
    done = run(EPLB_LIBRARY=str(copied(tmp_path / "native")), PYTHONPATH=str(package.parent))
    own = package / "_native" / "eplb.h"
    assert f"its ABI is 1.2, that of {own} is 1.9, and it has none of its own" in done.stderr


def test_header_says_its_version():
    """The import compares it with the library's, so an addition to the ABI must be marked in the header."""
    version = _library.lib.eplb_abi_version()
    assert Header(HEADER.read_text()).abi == (version >> 16, version & 0xFFFF)
    released = ROOT / "tests" / "contract" / "abi" / "released" / "eplb-1.0.h"
    assert Header(released.read_text()).abi == (1, 0)


def test_structs_of_another_header(tmp_path):
    """A struct that the library refuses, here one below the sizes of 1.0, is found by the import, not by a solve."""
    if "/" not in _library.path:
        pytest.skip("no file")
    copy = shutil.copy(_library.path, tmp_path / "libeplb.so.0")
    text = HEADER.read_text()
    for field in ("int64_t num_nodes", "int64_t num_groups", "double off_home_target", "int64_t max_replicas"):
        text = text.replace(f"  {field};", "")
    (tmp_path / "eplb.h").write_text(text)
    done = run(EPLB_LIBRARY=str(copy))
    assert done.returncode == 1
    assert "the eplb.h found for it has eplb_problem of 40 bytes" in done.stderr


@pytest.mark.parametrize("missing", ["eplb_version_string", "eplb_solve", "eplb_evaluate"])
def test_a_missing_function_is_named(tmp_path, missing):
    """Even one that is called late or never: the import says so, not a call months after it."""
    names = set(Header(HEADER.read_text()).functions) - {"eplb_abi_version", missing}
    assert len(names) > 20
    body = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names))
    library = fake_library(tmp_path, f"int eplb_abi_version(void) {{ return 1 << 16 | 2; }}\n{body}")
    done = run(EPLB_LIBRARY=library)
    assert done.returncode == 1
    assert f"{library!r}: it has no {missing}, which the eplb.h found for it declares" in done.stderr


def test_header_that_cannot_be_read(tmp_path):
    library = version_only(tmp_path, 1 << 16 | 2)
    (tmp_path / "eplb.h").write_text("int broken( /* Since ABI 1.2 */")
    assert "cannot be read" in run(EPLB_LIBRARY=library).stderr


def test_header_is_read_whole():
    header = Header(HEADER.read_text())
    for line in ("__cplusplus", "#", "/*"):
        assert line not in header.declarations
    assert header.constants["device_kind"] == {"cpu": 0, "cuda": 1}
    assert header.constants["policy_reason"] == {"asked": 0, "groups_divide": 1, "groups_do_not": 2}
    assert header.constants["dtype"] == {"float32": 0, "float64": 1, "int32": 2, "int64": 3}
    # Constants of C, all of them, and each in one type only.
    names = [name for values in header.full_names.values() for name in values.values()]
    assert len(names) == len(set(names))
    assert set(names) >= set(re.findall(r"\bEPLB_[A-Z0-9_]+(?= = )", HEADER.read_text()))


def test_torch_and_the_tools_are_not_imported():
    program = "import sys, eplb; eplb.rebalance_experts([[1.0, 2.0]], 2, 1, 1, 2); print(*sys.modules)"
    modules = run(program).stdout.split()
    assert "numpy" in modules
    assert not {"torch", "typer", "rich", "matplotlib"} & set(modules)
