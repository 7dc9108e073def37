"""What several test files use."""

import importlib.util
import json
import logging
import os
import sys
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[2]
# Real router counts; not part of the repository.
TRACES = ROOT.parent / "shared" / "data"
FILE = "libeplb.so.0"


def find_package():
    """Makes the package importable from a checkout that was built but not installed."""
    if importlib.util.find_spec("eplb") is None:
        sys.path.insert(0, str(ROOT / "bindings" / "python"))
    folders = importlib.util.find_spec("eplb").submodule_search_locations
    if "EPLB_LIBRARY" in os.environ or any((Path(folder) / "_native" / FILE).exists() for folder in folders):
        return
    built = [ROOT / "build" / "release" / FILE, ROOT / "build" / FILE]
    found = next((library for library in built if library.exists()), None)
    if found is not None:
        os.environ["EPLB_LIBRARY"] = str(found)


find_package()
import eplb  # noqa: E402
import eplb.engines._counters as engine_counters  # noqa: E402
import eplb.engines._start as engine_start  # noqa: E402
from eplb._session import Session  # noqa: E402

if importlib.util.find_spec("hypothesis") is not None:  # what ./dev gpu runs does without it
    from hypothesis import HealthCheck, settings

    # Nothing is timed: other tests may take the processor.
    settings.register_profile("eplb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("eplb")

# The other strategy starts from a placement.
FROM_WEIGHTS = [strategy for strategy in eplb.strategies() if strategy != "rebalance"]
# 600 560 120 ...: the best largest load is 196.67.
PAIRS = [[600, 560, 120, 120, 20, 10, 10, 10]]
# Of a session: methods that fetch a map by name.
FETCHES = ("ints", "ints32", "floats", "compact")


def pytest_addoption(parser):
    parser.addoption("--fuzz-minutes", type=float, default=0, help="read random files for so long, in tests/fuzz")


def package_folder():
    return Path(eplb.__file__).parent


def child_environment(**changes):
    """For programs that import the package, and modules of these tests, from where this one did. None removes one."""
    path = os.pathsep.join(filter(None, [str(package_folder().parent), os.environ.get("PYTHONPATH"), str(TESTS)]))
    environment = {**os.environ, "PYTHONPATH": path, **changes}
    return {name: value for name, value in environment.items() if value is not None}


@pytest.fixture
def context():
    with eplb.Context() as made:
        yield made


@pytest.fixture
def olmoe():
    """Real counts that ship with the repository."""
    return np.loadtxt(ROOT / "examples" / "data" / "olmoe-1b-7b_allenai_L3xE64.csv", delimiter=",")


@pytest.fixture(scope="session")
def available_strategies():
    def has(strategy):
        with eplb.Context() as made:
            try:
                made.solve(PAIRS, num_slots=16, num_gpus=8, strategy=strategy)
            except eplb.Unavailable:
                return False
        return True

    return [strategy for strategy in FROM_WEIGHTS if has(strategy)]


@pytest.fixture
def python():
    return sys.executable


@pytest.fixture
def run(capsys):
    """Runs the command in this process: exit status, output, errors."""
    from eplb import _command

    def call(*arguments):
        code = _command.run([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return call


@pytest.fixture
def json_of(run):
    """The same with --json, for commands that succeed and say nothing else."""

    def call(*arguments):
        code, out, err = run(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def calls(monkeypatch):
    """Counts what is asked of the library."""
    counted = Counter()

    def count(name):
        method = getattr(Session, name)

        def counting(session, *arguments):
            counted[arguments[0] if name in FETCHES else name] += 1
            return method(session, *arguments)

        monkeypatch.setattr(Session, name, counting)

    for name in (*FETCHES, "report", "evaluate", "evaluate_windows", "upload", "solve"):
        count(name)
    return counted


@pytest.fixture(scope="session")
def ranks(tmp_path_factory):
    """4 processes of torch.distributed."""
    pytest.importorskip("torch")
    from distributed_ranks import Ranks

    made = Ranks(tmp_path_factory.mktemp("ranks"))
    yield made
    made.close()


@pytest.fixture
def fresh_engine(monkeypatch):
    """As in a process that has not planned yet, and in which no strategy is asked for."""
    monkeypatch.setattr(engine_counters, "_counters", engine_counters.Counters())
    monkeypatch.setattr(engine_start, "_said", set())
    monkeypatch.delenv("EPLB_ENGINE", raising=False)


@pytest.fixture
def lines(caplog):
    """What was logged, in order."""
    caplog.set_level(logging.INFO)
    return lambda level=None: [each.getMessage() for each in caplog.records if level in (None, each.levelname)]


@pytest.fixture
def module(monkeypatch):
    """Makes a module with these attributes importable, packages included."""

    def make(name, **attributes):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            if path not in sys.modules:
                monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
                sys.modules[path].__path__ = []
            if depth > 1:
                monkeypatch.setattr(
                    sys.modules[".".join(parts[: depth - 1])], parts[depth - 1], sys.modules[path], raising=False
                )
        for key, value in attributes.items():
            monkeypatch.setattr(sys.modules[name], key, value, raising=False)
        return sys.modules[name]

    return make


@pytest.fixture(params=["numpy", "torch"])
def array(request):
    """Makes an array of a kind that engines pass."""
    if request.param == "numpy":
        return np.asarray
    torch = pytest.importorskip("torch")
    return lambda values, dtype=None: torch.tensor(np.asarray(values), dtype=dtype and getattr(torch, str(dtype)))


@pytest.fixture
def library(monkeypatch):
    """What the package takes for the library, until the test ends."""
    from watched import Watched

    made = Watched()
    monkeypatch.setattr("eplb._session.lib", made)
    return made
