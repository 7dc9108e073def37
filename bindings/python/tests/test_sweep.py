"""eplb.sweep: which sizes are legal, that threads and Dask change no row, and which size is enough."""

import itertools
import json
import sys
from dataclasses import replace

import eplb
import numpy as np
import pytest
from conftest import TRACES
from eplb._many_solves import count_threads
from eplb._memory import gib_of
from eplb._sweep_result import Sweep, SweepRow
from eplb.sample import sample_weights

TRACE = TRACES / "deepseek-v3_decode-in1000out1000_L58xE256.csv"
SIZES = {"num_layers": 3, "num_experts": 32}


@pytest.fixture(scope="module")
def weights():
    return sample_weights(3, 24, 5)


def rows_of(figures, **fields):
    """Made-up rows of one number of GPUs with these imbalances."""
    common = dict.fromkeys(("imbalance_worst", "bound_mean", "windows_mean", "windows_worst"), 1.0)
    common |= {"num_nodes": 1, "num_groups": 1, "gib_per_gpu": None, "worst_layer": 0, "policy": "global"}
    for size, imbalance in enumerate(figures, 4):
        sizes = {"num_gpus": 8, "redundant": 8 * size - 32, "num_slots": 8 * size, "slots_per_gpu": size}
        yield SweepRow(**{**common, **sizes, "imbalance_mean": imbalance, **fields})


def test_rows_are_those_of_solve(weights, context):
    found = eplb.sweep(
        weights, [4, 8], range(0, 25), num_nodes=[1, 2], num_groups=[1, 4], expert_mib=42, bound="threshold"
    )
    assert [(*row.where, row.redundant) for row in found] == sorted((*row.where, row.redundant) for row in found)
    assert {row.where for row in found} == {
        (g, n, k) for g, n, k in itertools.product((4, 8), (1, 2), (1, 4)) if n > 1 or k == 1
    }
    for row in found:
        sizes = {"num_gpus": row.num_gpus, "num_nodes": row.num_nodes, "num_groups": row.num_groups}
        report = context.solve(weights, num_slots=24 + row.redundant, **sizes, bound="threshold").report
        for name in ("imbalance_mean", "imbalance_worst", "worst_layer", "bound_mean", "windows_mean", "policy"):
            assert getattr(row, name) == getattr(report, name)
        assert row.num_slots == row.slots_per_gpu * row.num_gpus == 24 + row.redundant
        assert row.gib_per_gpu == pytest.approx(row.slots_per_gpu * 3 * 42 / 1024)


@pytest.mark.parametrize("policy", ["auto", "hierarchical", "global", "soft"])
def test_what_is_legal_is_what_the_library_takes(weights, context, policy):
    gpus, nodes, groups, redundant = [3, 4, 6, 8], [1, 2, 3, 5], [2, 3, 6, 7], [0, 4, 8, 12, 24]
    options = {"policy": policy, "max_replicas": 1 + (policy == "auto"), "effort": "fast"}
    found = eplb.sweep(weights, gpus, redundant, num_nodes=nodes, num_groups=groups, **options)
    accepted = set()
    for sizes in itertools.product(gpus, nodes, groups, redundant):
        on = dict(zip(("num_gpus", "num_nodes", "num_groups"), sizes, strict=False))
        try:
            context.solve(weights, num_slots=24 + sizes[3], **on, **options)
        except eplb.InvalidArgument:
            continue
        # Groups make no difference on one node.
        if sizes[1] > 1 or sizes[2] == groups[0]:
            accepted.add(sizes)
    assert {(*row.where, row.redundant) for row in found} == accepted
    tried = len(gpus) * len(redundant) * (1 + (len(nodes) - 1) * len(groups))
    assert len(found) + sum(found.left_out.values()) == tried
    assert f"{tried - len(found)} of {tried} combinations are left out" in found.sentences()[-1]


def test_threads_change_nothing(weights):
    several = [
        list(eplb.sweep(weights, [4, 6, 8], range(0, 49, 4), num_nodes=[1, 2], num_groups=[2, 4], num_threads=threads))
        for threads in (1, 4, None)
    ]
    assert several[0] == several[1] == several[2]
    assert len(several[0]) > 20


def test_more_threads_than_sizes(weights):
    assert list(eplb.sweep(weights, 8, 8, num_threads=9)) == list(eplb.sweep(weights, 8, 8, num_threads=1))


def test_cores_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5})
    assert (count_threads(None), count_threads(2)) == (3, 2)


def test_sizes_without_a_wish(weights):
    found = eplb.sweep(weights, [5, 8])
    assert [(row.num_gpus, row.slots_per_gpu) for row in found] == [
        *((5, n) for n in range(5, 10)),
        *((8, n) for n in range(3, 8)),
    ]
    assert not found.left_out


def test_windows(weights, tmp_path):
    windows = np.stack([weights, weights[:, ::-1]])
    found = eplb.sweep(windows, 8, [0, 8], objective="windows", effort="fast")
    assert found.figure == "windows_mean"
    assert all(row.windows_mean != row.imbalance_mean for row in found)
    assert eplb.sweep(weights, 8, 8, objective="windows").figure == "imbalance_mean"
    np.save(tmp_path / "loads.npy", windows)
    loads = eplb.read_loads(tmp_path / "loads.npy")
    assert list(eplb.sweep(loads, 8, 8)) == list(eplb.sweep(windows, 8, 8))


@pytest.mark.parametrize(
    ("figures", "smallest"),
    [
        ((1.5, 1.2, 1.005, 1.0), 2),
        ((1.0, 1.0), 0),
        ((1.5, 1.01, 1.02, 1.0), 1),
        ((1.3, 1.1, 1.2), 1),
        ((1.2, 1.1, 1.011, 1.0), 3),
    ],
)
def test_enough_is_the_smallest_good_size(figures, smallest):
    found = Sweep(rows_of(figures), **SIZES)
    assert [row.enough for row in found] == [number == smallest for number in range(len(figures))]
    assert found.enough == [found[smallest]]


def test_sentences():
    figures = (1.41, 1.02, 1.015)
    found = Sweep([*rows_of(figures), *rows_of((1.0,), num_gpus=16)], **SIZES, left_out={"a": 2, "b": 1})
    gained = "take the imbalance from 1.410 with 0 to 1.020"
    assert found.sentences() == [
        f"8 GPUs: 5 slots per GPU (8 redundant) {gained}; 16 redundant reach 1.015.",
        "16 GPUs: 4 slots per GPU (0 redundant) are as good as more, with an imbalance of 1.000.",
        "3 of 7 combinations are left out: a (2); b (1).",
    ]
    priced = [*rows_of(figures[:1], gib_per_gpu=8.5), *list(rows_of(figures, gib_per_gpu=10.0))[1:]]
    costly = Sweep(priced, **SIZES)
    assert f"{gained} for 1.50 GiB more per GPU; " in costly.sentences()[0]


def test_groups_on_nodes_that_no_size_mends_are_named():
    where = {"num_nodes": 4, "num_groups": 8, "policy": "hierarchical"}
    rows = [*rows_of((1.32,), bound_mean=1.31, **where), *list(rows_of((1, 1.3), bound_mean=1.29, **where))[1:]]
    limit = "with whole groups on nodes no size gets below 1.290, with the policies soft and global they do."
    (sentence,) = Sweep(rows, **SIZES).sentences()
    assert sentence.endswith(limit)
    for other in ({"policy": "soft"}, {"num_nodes": 1}, {"num_groups": 1}):
        others = [replace(row, **other) for row in rows]
        (sentence,) = Sweep(others, **SIZES).sentences()
        assert "whole groups" not in sentence


def test_memory():
    assert gib_of(9 * 58, 42) == pytest.approx(21.410156)


def test_progress_and_json(weights):
    seen = []
    found = eplb.sweep(weights, [4, 8], [0, 8, 9], progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    content = json.loads(json.dumps(found.to_dict()))
    assert content["left_out"] == {"slots must be a multiple of the GPUs": 2}
    assert [SweepRow(**row) for row in content["rows"]] == list(found)
    assert repr(found).startswith("Sweep(4 sizes; the smallest that are enough: ")
    assert list(found[1:3]) == [found[1], found[2]]


def test_a_fault_of_one_solve_ends_it(weights):
    with pytest.raises(eplb.Unavailable, match="greedy does not have"):
        eplb.sweep(weights, [4, 8], strategy="greedy", policy="soft")
    with pytest.raises(KeyboardInterrupt):
        eplb.sweep(weights, [4, 8], progress=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num_gpus": "8"}, "num_gpus is '8', must be a number, or several"),
        ({"num_gpus": []}, "num_gpus is empty, must have a number at least"),
        ({"num_gpus": [8, 0]}, "num_gpus is 0, must be 1 to 262144"),
        ({"num_gpus": 8.0}, "num_gpus is 8.0, must be an integer"),
        ({"redundant": [-1]}, "redundant is -1, must be 0 to 262144"),
        (
            {"redundant": [1, 2]},
            "no combination of sizes is legal for 24 experts: slots must be a multiple of the GPUs: 0 or 8 redundant",
        ),
        (
            {"num_nodes": 3, "num_groups": 9},
            "no combination of sizes is legal for 24 experts: experts must be a multiple of the groups",
        ),
        ({"expert_mib": 0}, "expert_mib is 0, must be a number above 0"),
        ({"expert_mib": "a"}, "expert_mib is 'a', must be a number"),
        ({"num_threads": 0}, "num_threads is 0, must be 1 to"),
        ({"max_replicas": -1}, "max_replicas is -1, must be 0 to"),
        ({"strategy": "bestest"}, "strategy is 'bestest', must be one of"),
        (
            {"num_gpus": range(1, 201), "num_nodes": range(1, 201)},
            "200000 combinations of sizes are too many: at most 10000",
        ),
    ],
)
def test_wrong_input(weights, arguments, sentence):
    with pytest.raises(eplb.InvalidArgument) as refused:
        eplb.sweep(weights, **{"num_gpus": 8, **arguments})
    assert str(refused.value).startswith(sentence)


def test_dask(weights):
    pytest.importorskip("distributed")
    from distributed import LocalCluster

    options = {"num_nodes": [1, 2], "num_groups": [1, 4], "expert_mib": 42}
    quiet = {"dashboard_address": None, "processes": False}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster:
        address, seen = cluster.scheduler_address, []
        found = eplb.sweep(weights, [4, 8], **options, dask=address, progress=lambda *counts: seen.append(counts))
        with pytest.raises(eplb.Unavailable, match="greedy does not have"):
            eplb.sweep(weights, 8, strategy="greedy", policy="soft", dask=address)
    assert list(found) == list(eplb.sweep(weights, [4, 8], **options))
    assert seen[-1] == (len(found), len(found))
    with pytest.raises(eplb.Unavailable, match="dask is 'nowhere', where no scheduler answers"):
        eplb.sweep(weights, 8, dask="nowhere")


def test_without_dask(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        eplb.Unavailable, match=r"dask needs distributed, which is not installed: pip install 'eplb\[dask\]'"
    ):
        eplb.sweep(weights, 8, dask="tcp://127.0.0.1:8786")


@pytest.mark.skipif(not TRACE.exists(), reason="needs the measured traces")
def test_a_measured_model():
    found = eplb.sweep(np.loadtxt(TRACE, delimiter=","), [32, 64], effort="fast")
    assert [(row.num_gpus, row.num_slots) for row in found.enough] == [(32, 288), (64, 320)]
    assert all(row.imbalance_mean < 1.002 for row in found.enough)
