"""Files of every kind, whole, damaged and hostile: each is read, or refused in one sentence, within limits.

The readers run in a process of their own: nothing that a file does to them can end the tests. --fuzz-minutes goes on
with random files for as long; what it finds is to become a case of hostile.py.
"""

import itertools
import re
import time

import pytest

pytest.importorskip("hypothesis")

from hostile import hostile_files
from hypothesis import HealthCheck, Phase, given, seed, settings
from reading import Reading
from reading_process import READERS
from strategies import files, seeds

HOSTILE = list(hostile_files())
IDS = [f"{reader}-{name}" for reader, name, *_ in HOSTILE]
FEW, MANY = 60, 500
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
NEEDS = {".yaml": "yaml", ".safetensors": "safetensors"}


@pytest.fixture(scope="module")
def reading():
    made = Reading()
    yield made
    made.close()


def fuzz(reading, reader, **options):
    @settings(**QUIET, **options)
    @given(files(reader))
    def ask(file):
        reading.ask(reader, *file)

    return ask


@pytest.mark.parametrize("reader", READERS)
def test_whole_files_are_read(reading, reader):
    for name, content in seeds()[reader].items():
        came, words = reading.ask(reader, name, content)
        assert came == "read", words


@pytest.mark.parametrize(("reader", "name", "content", "sentence"), HOSTILE, ids=IDS)
def test_hostile_files(reading, reader, name, content, sentence):
    for suffix, module in NEEDS.items():
        if name.endswith(suffix):
            pytest.importorskip(module)
    came, words = reading.ask(reader, name, content)
    assert came == ("read" if sentence is None else "refused"), words
    assert re.search(sentence or "", words)


@pytest.mark.parametrize("reader", READERS)
def test_random_files(reading, reader):
    fuzz(reading, reader, max_examples=FEW, derandomize=True)()


def test_for_minutes(reading, request, capsys):
    minutes = request.config.getoption("--fuzz-minutes")
    if not minutes:
        pytest.skip("--fuzz-minutes is not given")
    end, chance = time.monotonic() + 60 * minutes, time.time_ns()
    try:
        for number, reader in enumerate(itertools.cycle(READERS)):
            if time.monotonic() > end:
                break
            phases = (Phase.generate, Phase.shrink)
            seed(chance + number)(fuzz(reading, reader, max_examples=MANY, phases=phases))()
    finally:
        with capsys.disabled():
            came = reading.came
            print(f"\n{came.total()} files for {len(READERS)} readers, {came['refused']} of them refused")
