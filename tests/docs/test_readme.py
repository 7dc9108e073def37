"""Every example that a reader may copy from README.md or examples/ is run as it stands there.

Fenced blocks marked c, go, python, rust and sh are taken, but for those with a comment before them that says why not:
<!-- not run: why -->.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]*?) -->\s*)?^```(?P<language>c|go|python|rust|sh)\n(?P<text>.*?)^```$", re.M | re.S
)


def blocks():
    text = (ROOT / "README.md").read_text()
    for match in BLOCK.finditer(text):
        if match["why"]:
            continue
        line = text.count("\n", 0, match.start("text")) + 1
        yield pytest.param(match["language"], match["text"], id=f"line{line}-{match['language']}")


def build_folder():
    candidates = [os.environ.get("EPLB_BUILD"), ROOT / "build" / "release", ROOT / "build"]
    for folder in filter(None, candidates):
        if (Path(folder) / "libeplb.so.0").exists():
            return Path(folder)
    pytest.skip("libeplb is not built: run ./dev test")


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The library as a user has it: installed, found through pkg-config."""
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", build_folder(), "--prefix", prefix], check=True, capture_output=True)
    package = next(prefix.rglob("eplb.pc"))
    return {"PKG_CONFIG_PATH": str(package.parent), "LD_LIBRARY_PATH": str(package.parents[1])}


@pytest.fixture
def folder(tmp_path):
    """Looks like the top of the repository, but what examples write does not land there."""
    for name in ("examples", "include"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def environment(extra):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **extra}


def run(command, folder, extra, **more):
    done = subprocess.run(
        command, cwd=folder, env=environment(extra), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def compile_c(source, folder, installed):
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config on this machine")
    flags = run(["pkg-config", "--cflags", "--libs", "eplb"], folder, installed).split()
    program = folder / "program"
    run([os.environ.get("CC", "cc"), *STRICT, str(source), *flags, "-ldl", "-o", str(program)], folder, installed)
    return program


def run_go(text, folder, installed):
    """A program in a module of its own, as bindings/go/README.md says."""
    if shutil.which("go") is None:
        pytest.skip("no go on this machine")
    module = folder / "placer"
    module.mkdir()
    (module / "main.go").write_text(text)
    how = re.search(r"```sh\n(go mod edit.*?)```", (ROOT / "bindings" / "go" / "README.md").read_text(), re.S)
    commands = "go mod init placer\n" + how[1].replace("/path/to/libeplb", str(ROOT)) + "go vet .\ngo run .\n"
    return run(["bash", "-euo", "pipefail", "-c", commands], module, {**installed, "CGO_ENABLED": "0"})


def run_rust(text, folder, installed):
    """As a program of its own that depends on the crate; what the crates' own tests have built is not built again."""
    if shutil.which("cargo") is None:
        pytest.skip("no cargo on this machine")
    crates = ROOT / "bindings" / "rust"
    (folder / "src").mkdir()
    (folder / "src" / "main.rs").write_text(text)
    shutil.copy(crates / "Cargo.lock", folder)
    package = '[package]\nname = "example"\nversion = "0.0.0"\nedition = "2024"\n'
    (folder / "Cargo.toml").write_text(f"{package}[dependencies]\neplb = {{ path = '{crates / 'eplb'}' }}\n")
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "build" / "rust"))
    return run(["cargo", "run", "--quiet"], folder, {**installed, "CARGO_TARGET_DIR": target})


@pytest.mark.parametrize(("language", "text"), list(blocks()))
def test_block(language, text, folder, installed):
    if language == "c":
        source = folder / "example.c"
        source.write_text(text)
        assert run([compile_c(source, folder, installed)], folder, installed)
    elif language == "go":
        assert "GPU 7: experts" in run_go(text, folder, installed)
    elif language == "python":
        assert run([sys.executable, "-W", "error", "-c", text], folder, {})
    elif language == "rust":
        assert run_rust(text, folder, installed)
    else:
        assert run(["bash", "-euo", "pipefail", "-c", text], folder, installed)


def test_place(folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "place.c", folder, installed)
    printed = run([program, "examples/data/olmoe-1b-7b_allenai_L3xE64.csv", "80", "16"], folder, installed)
    before, after, bound = map(float, re.findall(r"\d+\.\d+", printed)[:3])
    assert bound <= after < before
    placement = [int(word) for word in printed.split("first layer:")[1].split()]
    assert len(placement) == 80
    assert set(placement) == set(range(64))


@pytest.mark.parametrize("text", ["", "1,2\n3\n", "1,2\n3,word\n", "1,2\n3,4 5\n"])
def test_place_refuses_what_is_no_table(text, folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "place.c", folder, installed)
    (folder / "bad.csv").write_text(text)
    done = subprocess.run([program, "bad.csv", "4", "2"], cwd=folder, env=environment(installed), capture_output=True)
    assert done.returncode == 2
    assert b"bad.csv" in done.stderr


@pytest.fixture
def load_at_run_time(folder, installed):
    return compile_c(ROOT / "examples" / "c" / "load_at_run_time.c", folder, installed)


@pytest.mark.parametrize("named_by", ["the argument", "the environment", "nobody"])
def test_load_at_run_time(load_at_run_time, folder, installed, named_by):
    library = str(Path(installed["LD_LIBRARY_PATH"]) / "libeplb.so.0")
    command = [load_at_run_time, *([library] if named_by == "the argument" else [])]
    extra = {"EPLB_LIBRARY": library} if named_by == "the environment" else {}
    assert "CUDA: " in run(command, folder, extra or (installed if named_by == "nobody" else {}))


FAKES = {
    "int something;": "has no eplb_abi_version: it is no libeplb",
    "int eplb_abi_version(void) { return 2 << 16; }": "has ABI 2.0, but this program needs 1.0 or a later 1.x",
    "int eplb_abi_version(void) { return 9; }": "has ABI 0.9, but",
    "int eplb_abi_version(void) { return 1 << 16; }": "has no eplb_version_string",
}


@pytest.mark.parametrize("body", FAKES)
def test_load_at_run_time_refuses_other_libraries(load_at_run_time, folder, body):
    (folder / "fake.c").write_text(body)
    library = folder / "libfake.so"
    run([os.environ.get("CC", "cc"), "-shared", "-fPIC", str(folder / "fake.c"), "-o", str(library)], folder, {})
    done = subprocess.run([load_at_run_time, library], env=environment({}), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{library} {FAKES[body]}" in done.stderr


def test_load_at_run_time_says_where_it_looked(load_at_run_time):
    for name, places in {
        "libnothing.so": "LD_LIBRARY_PATH (/some/where)",
        "/no/libnothing.so": "/no/libnothing.so",
    }.items():
        extra = environment({"LD_LIBRARY_PATH": "/some/where"})
        done = subprocess.run([load_at_run_time, name], env=extra, capture_output=True, text=True)
        assert done.returncode == 1
        assert name in done.stderr
        assert places in done.stderr


def test_every_language_has_an_example():
    languages = {parameter.values[0] for parameter in blocks()}
    assert languages == {"c", "go", "python", "rust", "sh"}


def test_files_named_in_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    names = re.findall(r"\]\(([^)#:]+)\)", text)
    assert not [name for name in names if not (ROOT / name).exists()]
