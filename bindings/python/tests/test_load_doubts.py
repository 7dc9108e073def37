"""Notes on loads that look wrong: few experts have most of them, or many have none. On healthy ones there are none."""

import json

import numpy as np
import pytest
from conftest import ROOT, TRACES
from eplb import read_loads
from load_files import write

EXPERTS = 64
PADDED = [5, 7, 43, 58]
QUESTION = "padding or warm-up?"
EXAMPLES = sorted((ROOT / "examples" / "data").glob("*.csv"))
MEASURED = [*EXAMPLES, *sorted(TRACES.glob("*.csv")), *sorted(TRACES.glob("*.npz"))]


def healthy(*shape):
    return np.random.default_rng(3).integers(100, 300, shape)


def padded(table, tokens, experts=PADDED):
    table = table.copy()
    table[..., experts] += tokens
    return table


def notes(path, counts, **options):
    np.save(path / "counts.npy", counts)
    return list(read_loads(path / "counts.npy", header=False, index=False, **options).notes)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_measured_loads_are_believed(path):
    assert read_loads(path, header=False, index=False).notes == ()


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_padding_is_seen_in_measured_loads(tmp_path, path):
    """Seven tokens of padding to one, which pick an eighth of the experts."""
    counts = read_loads(path, header=False, index=False).counts.sum(axis=0)
    picked = range(0, counts.shape[1], 8)
    counts[:, picked] += 7 * counts.sum(axis=1, keepdims=True) // len(picked)
    (note,) = notes(tmp_path, counts)
    assert note.endswith(f" % of the load: {QUESTION}")
    assert note.startswith("expert 0 has" if len(picked) == 1 else "experts 0, 8, " if len(picked) > 2 else "experts 0")


@pytest.mark.parametrize("shape", [(1, EXPERTS), (3, EXPERTS), (2, 3, EXPERTS)])
def test_the_same_few_experts(tmp_path, shape):
    counts = padded(healthy(*shape), 20000)
    share = counts[..., PADDED].sum() / counts.sum()
    assert notes(tmp_path, counts) == [f"experts 5, 7, 43 and 58 have {100 * share:.0f} % of the load: {QUESTION}"]


def test_some_layers(tmp_path):
    counts = healthy(4, EXPERTS)
    counts[1:3] = padded(counts[1:3], 20000)
    assert notes(tmp_path, counts) == [f"in layers 1 to 2, experts 5, 7, 43 and 58 have 87 % of the load: {QUESTION}"]


def test_other_experts_in_each_layer(tmp_path):
    counts = healthy(3, EXPERTS)
    for layer in range(3):
        counts[layer] = padded(counts[layer], 20000 + 1000 * layer, [layer, 9 + layer])
    assert notes(tmp_path, counts) == [
        f"few experts have most of the load, as experts 2 and 11 have 78 % in layer 2: {QUESTION}"
    ]


def test_one_expert_and_many(tmp_path):
    one, many = padded(healthy(1, 256), 10**6, [17]), padded(healthy(1, 256), 10**6, list(range(20)))
    assert notes(tmp_path, one) == [f"expert 17 has 95 % of the load: {QUESTION}"]
    assert notes(tmp_path, many) == [f"experts 0, 1, 2, 3, 4, 5, 6, 7 and 12 more have 100 % of the load: {QUESTION}"]


def test_loads_of_any_size(tmp_path):
    """Sums above all numbers, and below all of full precision, are no reason to fail."""
    shares = padded(healthy(2, EXPERTS), 20000) / 1e5
    for scale in (1e306, 1e-300):
        assert notes(tmp_path, np.array([shares * scale] * 64))[0].endswith(QUESTION)


def test_skew_alone_is_no_padding(tmp_path):
    """Loads that fall evenly; few experts; few tokens."""
    falling = (10**6 / (1 + np.arange(EXPERTS))).astype(int)[np.newaxis]
    few = np.zeros((1, EXPERTS), int)
    few[0, :40] = 1
    for counts in (falling, [[900, 1, 1, 1]], few):
        assert notes(tmp_path, np.array(counts)) == []


@pytest.mark.parametrize(
    ("unused", "sentence"),
    [
        ([32], "32 of 64 experts have no load"),
        ([31], None),
        ([56, 56], "56 of 64 experts have no load"),
        ([56, 40], "up to 56 of 64 experts have no load"),
        ([0, 40], "in layer 1, 40 of 64 experts have no load"),
    ],
)
def test_experts_without_load(tmp_path, unused, sentence):
    counts = healthy(len(unused), EXPERTS)
    for layer, number in enumerate(unused):
        counts[layer, :number] = 0
    why = ": few tokens, warm-up, or those of one rank?"
    assert notes(tmp_path, counts) == ([] if sentence is None else [sentence + why])


def test_layers_without_load(tmp_path):
    counts = healthy(3, 2, EXPERTS)[0].repeat(2, axis=0)
    counts[0] = 0
    assert notes(tmp_path, counts) == ["layer 0 has no load, and is left out of all means"]
    counts[[1, 3]] = 0
    assert notes(tmp_path, counts) == ["layers 0 to 1, 3 have no load, and are left out of all means"]
    assert notes(tmp_path, [[1, 2], [0, 0]]) == ["layer 1 has no load, and is left out of all means"]


def test_one_file_of_several(tmp_path):
    """What the sum of all files hides is said of each; what the sum shows, once."""
    days = [healthy(2, EXPERTS) * 50 for _ in range(8)]
    files = [tmp_path / f"day{day}.npy" for day in range(8)]

    def noted(*wrong):
        for day, file in enumerate(files):
            np.save(file, padded(days[day] // 50, 20000) if day in wrong else days[day])
        return list(read_loads(files).notes)

    sentence = f"experts 5, 7, 43 and 58 have 87 % of the load: {QUESTION}"
    assert noted() == []
    assert noted(3) == [f"{files[3]}: {sentence}"]
    assert noted(0, 1, 2, 3, 4) == [
        *(f"{files[day]}: {sentence}" for day in range(3)),
        "2 more files with most of the load on few experts",
    ]
    assert noted(*range(8)) == [sentence]


def test_lines_of_files_belong_to_their_file(tmp_path):
    lines = [json.dumps({"logical_load": padded(healthy(1, EXPERTS), 20000).tolist()}) for _ in range(3)]
    much = json.dumps({"logical_load": (healthy(1, EXPERTS) * 1000).tolist()})
    write(tmp_path / "a.jsonl", "\n".join(lines))
    write(tmp_path / "a.jsonl2.jsonl", f"{much}\n{much}")
    found = read_loads([tmp_path / "a.jsonl", tmp_path / "a.jsonl2.jsonl"]).notes
    assert found == (f"{tmp_path / 'a.jsonl'}: experts 5, 7, 43 and 58 have 88 % of the load: {QUESTION}",)


def test_files_without_load_are_named(tmp_path):
    paths = [tmp_path / f"load{number}.npy" for number in range(6)]
    for number, path in enumerate(paths):
        np.save(path, healthy(2, EXPERTS) * (number == 2))
    loads = read_loads(paths[1:4], header=False, index=False)
    assert loads.notes == (f"no load in {paths[1]}, {paths[3]}",)
    assert not loads.counts[0].any()
    assert read_loads(paths, header=False, index=False).notes == (
        f"no load in {paths[0]}, {paths[1]}, {paths[3]}, 2 more",
    )
