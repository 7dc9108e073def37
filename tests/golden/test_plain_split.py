"""eplb_split against its plain definition, slot for slot: small random layers, and layers of measured loads."""

import eplb
import numpy as np
import pytest
from split import SHARES, UNIT, Graph, Split
from test_real_traces import counts_of, traces
from test_split import density, random_case

CASES = 2000


def of_plain(graph, tokens, tolerance=0):
    found = Split(graph, tokens, tolerance)
    assert not found.missed
    return found


def of_library(context, graph, tokens, tolerance=0.0):
    """An answer for a layer, whose plain speeds are whole numbers."""
    equal = len(set(graph.paces)) == 1
    cluster = None if equal else eplb.Cluster(speed=graph.paces)
    sizes = {"num_gpus": len(graph.paces)} if equal else {"cluster": cluster}
    return context.split([tokens], np.array([graph.row]), **sizes, tolerance=tolerance)


@pytest.mark.parametrize("part", range(4))
def test_random_layers(part):
    """On GPUs that are equally fast; speeds are whole numbers in the definition, and 1/65536 of the fastest in C."""
    compared = 0
    with eplb.Context() as context:
        for seed in range(part, CASES, 4):
            graph, tokens = random_case(seed)
            if len(set(graph.paces)) > 1:
                continue
            tolerance = (0, 1 / 512, 0, 1 / 4)[seed // 4 % 4]
            found = of_library(context, graph, tokens, tolerance)
            plain = of_plain(graph, tokens, int(tolerance * UNIT))
            assert found.share.tolist() == [plain.shares()], seed
            assert found.quota.tolist() == [plain.quotas()], seed
            assert found.gpu_load.tolist() == [plain.load], seed
            assert np.flatnonzero(found.tight[0]).tolist() == sorted(plain.tight), seed
            assert found.bound[0] == pytest.approx(float(plain.bound * graph.paces[0]), rel=1e-11)
            compared += 1
    assert compared > CASES / 4 / 2


def test_speeds_that_are_whole_in_both():
    """With powers of two, the paces of C are those of the definition."""
    with eplb.Context() as context:
        for seed in range(300):
            graph, tokens = random_case(seed)
            paces = [1 << pace % 4 for pace in graph.paces]
            if max(paces) == min(paces):
                continue
            graph = Graph(graph.row, [pace * 65536 // max(paces) for pace in paces])
            plain = of_plain(graph, tokens)
            found = of_library(context, graph, tokens)
            assert found.quota.tolist() == [plain.quotas()], seed
            assert found.share.tolist() == [plain.shares()], seed


@pytest.mark.parametrize("path", traces())
def test_measured_layers(path):
    """Over a placement that was made for other layers, so that much has to be split."""
    counts = np.asarray(counts_of(path)).astype(np.int64)
    layers, experts = counts.shape[-2:]
    counts = counts.reshape(-1, layers, experts).sum(axis=0)
    chosen = sorted({0, layers // 2, layers - 1})
    slots, gpus = experts + experts // 8, experts // 8
    with eplb.Context() as context:
        placement = context.solve(np.roll(counts, 1, axis=0)[chosen], slots, gpus).physical_to_logical
        found = context.split(counts[chosen], placement, gpus)
    for at, layer in enumerate(chosen):
        tokens = counts[layer].tolist()
        graph = Graph(placement[at].tolist(), [1] * gpus)
        plain = of_plain(graph, tokens)
        assert found.share[at].tolist() == plain.shares()
        assert found.quota[at].tolist() == plain.quotas()
        assert found.share[at].sum() == SHARES * experts
        tight = np.flatnonzero(found.tight[at]).tolist()
        assert density(graph, tokens, tight) == plain.bound
