"""Wheels of the Python package, the same bytes every time: ./dev wheel.

A wheel is the package's Python files with a library that was built, and the list of what is in that (SBOM). The files
are the same for every machine, so only libraries are compiled.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import zipfile
from dataclasses import dataclass

from cmake import CUOBJDUMP, build_cuda, build_release, install_nvcc, release_architectures
from packages import FOR_TESTS, locked_version, make_venv, need, pip_install
from places import AARCH64, BUILD, CUDA, RELEASE, ROOT, VENV_PYTHON
from steps import Failure, answer, step

WHEELS = os.path.join(BUILD, "wheels")
GLIBC = "2_34"  # what libraries built on Debian 12 need: RHEL 9, Debian 12, Ubuntu 22.04 and later
SBOM_MAKER = os.path.join(ROOT, "tools", "build", "sbom.py")
# With a wheel alone, and no compiler: what one use after the other goes through.
TESTS_OF_A_WHEEL = ["test_golden.py", "test_context.py", "test_maps.py", "test_files.py", "test_rebalance.py"]


@dataclass
class Variant:
    folder: str  # with the library
    machine: str
    label: str = ""  # of the version: which of two wheels for one machine it is
    tools: str = ""  # prefix of binutils


FOR_X86 = Variant(RELEASE, "x86_64")
FOR_ARM = Variant(AARCH64, "aarch64", tools="aarch64-linux-gnu-")
WITH_CUDA = Variant(CUDA, "x86_64", label="cu13")
VARIANTS = [FOR_X86, FOR_ARM, WITH_CUDA]


def refuse(text):
    print(text, flush=True)
    raise Failure(text, text)


def when():
    """The time that is in every file: the last commit's."""
    time = answer(["git", "-C", ROOT, "log", "-1", "--format=%ct"]).stdout.strip()
    return {"SOURCE_DATE_EPOCH": time or "315532800"}


def python_files(folder):
    """The package without a library, unpacked. Returns the name of its .dist-info."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [VENV_PYTHON, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    command += ["--config-settings=wheel.cmake=false", os.path.join(ROOT, "bindings", "python")]
    step("the package's Python files", command, env=when())
    [pure] = glob.glob(os.path.join(folder, "*.whl"))
    with zipfile.ZipFile(pure) as archive:
        archive.extractall(folder)
    os.remove(pure)
    [info] = glob.glob(os.path.join(folder, "*.dist-info"))
    return os.path.basename(info)


def rewrite(path, changes):
    with open(path) as file:
        lines = [next((new for old, new in changes.items() if line.startswith(old)), line) for line in file]
    with open(path, "w") as file:
        file.writelines(lines)


def add_library(variant, folder):
    step(
        f"its library, from {os.path.relpath(variant.folder, ROOT)}",
        ["cmake", "--install", variant.folder, "--component", "python", "--prefix", folder],
    )
    library = os.path.join(folder, "eplb", "_native", "libeplb.so.0")
    step("without symbols", [f"{variant.tools}strip", "--strip-unneeded", library])


def write_sbom(variant, version, path):
    compiler = answer([f"{variant.tools}g++", "-dumpfullversion"]).stdout.strip()
    command = [VENV_PYTHON, SBOM_MAKER, "--version", version, "--gcc", compiler, "--out", path]
    command += ["--cudart", locked_version("cuda", "nvidia-cuda-runtime")] if variant is WITH_CUDA else []
    step("what is in it", command, env=when())


def make_wheel(variant, out):
    folder = os.path.join(WHEELS, "contents")
    info = python_files(folder)
    version = info.removesuffix(".dist-info").split("-")[1]
    if variant.label:
        labelled = f"{version}+{variant.label}"
        renamed = info.replace(version, labelled)
        os.rename(os.path.join(folder, info), os.path.join(folder, renamed))
        info, version = renamed, labelled
    tag = f"Tag: py3-none-manylinux_{GLIBC}_{variant.machine}\n"
    rewrite(os.path.join(folder, info, "METADATA"), {"Version: ": f"Version: {version}\n"})
    rewrite(os.path.join(folder, info, "WHEEL"), {"Root-Is-Purelib: ": "Root-Is-Purelib: false\n", "Tag: ": tag})
    add_library(variant, folder)
    os.makedirs(os.path.join(folder, info, "sboms"))
    write_sbom(variant, version, os.path.join(folder, info, "sboms", "eplb.cdx.json"))
    before = set(glob.glob(os.path.join(out, "*.whl")))
    step("wheel", [VENV_PYTHON, "-m", "wheel", "pack", folder, "--dest-dir", out], env=when())
    [made] = set(glob.glob(os.path.join(out, "*.whl"))) - before
    shutil.copy(os.path.join(folder, info, "sboms", "eplb.cdx.json"), f"{made.removesuffix('.whl')}.cdx.json")
    check_tag(made)
    return made


def check_tag(path):
    """Does the library need no more of the system than the wheel's name says?"""
    found = json.loads(step("auditwheel", [VENV_PYTHON, "-m", "auditwheel", "show", "--json", path]))
    needed = re.match(r"manylinux_2_(\d+)_", found["overall_tag"])
    if not needed or int(needed[1]) > int(GLIBC.split("_")[1]):
        refuse(f"{os.path.basename(path)} is {found['overall_tag']}")


def try_wheels(paths):
    """In a virtual environment that has nothing else, and without a compiler, one after the other."""
    folder = os.path.join(WHEELS, "venv")
    python = os.path.join(folder, "bin", "python")
    step("a clean virtual environment", [os.path.realpath(VENV_PYTHON), "-m", "venv", "--clear", folder])
    tests = [os.path.join(ROOT, "bindings", "python", "tests", name) for name in TESTS_OF_A_WHEEL]
    alone = ["env", "-i", f"PATH={os.path.join(folder, 'bin')}", f"HOME={os.path.expanduser('~')}"]
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    for path in paths:
        # What the first needs is what all of them need, or the check says so.
        what = [f"{path}[test]"] if path == paths[0] else ["--force-reinstall", "--no-deps", path]
        step(f"install {os.path.basename(path)} there", [*install, *what])
        step("what it needs is there", [python, "-m", "pip", "check"])
        step("its tests", [*alone, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, *tests])


def build_again(*targets):
    """Compiles anew, from a copy of the sources, in another folder, without a cache. Returns the build's folder."""
    folder = os.path.join(WHEELS, "again")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lib", "include"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(folder, "source", name))
    shutil.copy(os.path.join(ROOT, "CMakeLists.txt"), os.path.join(folder, "source"))
    build = os.path.join(folder, "build")
    configure = ["cmake", "-S", os.path.join(folder, "source"), "-B", build, "-G", "Ninja"]
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DEPLB_TESTS=OFF", "-DEPLB_CUDA=OFF"]
    step("configure the library elsewhere", [*configure, *options])
    step("build it again", ["cmake", "--build", build, "--target", *targets], env={"CCACHE_DISABLE": "1"})
    return build


def check_library(path):
    with zipfile.ZipFile(path) as wheel:
        first = wheel.read("eplb/_native/libeplb.so.0")
    again = os.path.join(build_again("eplb"), "libeplb.so.0")
    step("without symbols", ["strip", "--strip-unneeded", os.path.realpath(again)])
    with open(again, "rb") as file:
        if file.read() != first:
            refuse(f"{again} is not the library in {path}")


def check_objects(path):
    """Every source, but only one set of instructions: all of them have the same sources, which take long."""
    build = build_again("eplb_objects", "eplb_no_cuda_objects", "eplb_target_plain")
    objects = glob.glob(os.path.join(build, "lib", "CMakeFiles", "**", "*.o"), recursive=True)
    for again in objects:
        first = os.path.join(FOR_X86.folder, os.path.relpath(again, build))
        if digest(again) != digest(first):
            refuse(f"{again} is not {first}, of which {path} is made")
    if not objects:
        refuse(f"{build} has no objects")


def check_contents(path):
    second = make_wheel(FOR_X86, os.path.join(WHEELS, "twice"))
    if digest(second) != digest(path):
        refuse(f"{second} and {path} differ")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def write_checksums(paths):
    with open(os.path.join(WHEELS, "SHA256SUMS"), "w") as file:
        file.writelines(f"{digest(path)}  {os.path.basename(path)}\n" for path in sorted(paths))


def make_wheels(variants, check_build):
    """Wheels of builds that are there, checked; their SBOMs and checksums lie beside them."""
    pip_install("build")
    pip_install("wheel")
    shutil.rmtree(WHEELS, ignore_errors=True)
    os.makedirs(os.path.join(WHEELS, "twice"))
    made = [make_wheel(variant, WHEELS) for variant in variants]
    write_checksums([*made, *glob.glob(os.path.join(WHEELS, "*.cdx.json"))])
    check_build(made[0])
    check_contents(made[0])
    try_wheels([path for path in made if path.endswith("_x86_64.whl")])
    return made


def check_kernels():
    """Of every architecture, as ./dev test does with one."""
    env = {"EPLB_LIBRARY": os.path.join(CUDA, "libeplb.so.0"), "EPLB_CUOBJDUMP": CUOBJDUMP}
    step("limits of kernels", [VENV_PYTHON, os.path.join(ROOT, "tests", "contract", "abi", "test_cuda.py")], env=env)


def test_wheels(tally):
    """A wheel of every build that is there is a test."""
    variants = [variant for variant in VARIANTS if os.path.exists(os.path.join(variant.folder, "libeplb.so.0"))]
    make_wheels(variants, check_objects)
    tally.add(len(variants), 0, 0)


def wheel(arguments):
    need(FOR_TESTS)
    make_venv()
    build_release("eplb")
    variants = VARIANTS[:1]
    if arguments.cuda:
        install_nvcc()
        build_cuda("eplb", architectures=release_architectures())
        check_kernels()
        variants.append(WITH_CUDA)
    print("\n".join(make_wheels(variants, check_library)))
    return 0
