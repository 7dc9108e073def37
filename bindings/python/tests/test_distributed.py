"""Several processes over torch.distributed: 4 ranks with gloo."""

import pickle

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb.sample import sample_weights

pytest.importorskip("torch")
pytest.importorskip("torch.distributed")
import distributed_ranks as jobs  # noqa: E402
import eplb.distributed  # noqa: E402
from distributed_ranks import same_error  # noqa: E402

# --------------------------------------------------------------------------------------------------------------- loads


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64"])
def test_loads_are_summed_as_whole_numbers(ranks, dtype):
    counts = [np.arange(24).reshape(2, 3, 4).astype(dtype) + rank for rank in range(4)]
    for kind, total_dtype, total in ranks(jobs.reduce_loads, counts):
        assert (kind, total_dtype) == ("ndarray", "int64")
        assert np.array_equal(total, 4 * np.arange(24).reshape(2, 3, 4) + 6)


@pytest.mark.parametrize("dtype", ["int32", "bfloat16", "float32", "int64"])
def test_loads_of_tensors(ranks, dtype):
    counts = [[[rank, 2**rank, 0]] for rank in range(4)]
    for kind, total_dtype, total in ranks(jobs.reduce_loads, counts, dtype):
        assert (kind, total_dtype) == ("Tensor", "torch.int64")
        assert total.tolist() == [[6, 15, 0]]


def test_loads_that_narrow_types_would_lose(ranks):
    counts = [np.array([2**31 - 1, 2**24 + 1 if rank else 1]) for rank in range(4)]
    for counts_now in (counts, [each.astype(np.float64) for each in counts]):
        for _, _, total in ranks(jobs.reduce_loads, counts_now):
            assert total.tolist() == [4 * (2**31 - 1), 3 * (2**24 + 1) + 1]


def test_the_largest_sum(ranks):
    counts = [np.array([[0, 2**61]]), np.array([[0, 2**62]]), np.array([[0, 2**60]]), np.array([[0, 2**60 - 1]])]
    for _, _, total in ranks(jobs.reduce_loads, counts):
        assert total.tolist() == [[0, 2**63 - 1]]
    counts[3] = counts[3] + [[0, 1]]
    error = same_error(ranks(jobs.reduce_loads, counts), eplb.InvalidWeight, "local[0, 1]", str(2**63))
    assert error.status == "EPLB_INVALID_WEIGHT"


@pytest.mark.parametrize(
    "bad, shown",
    [(-1, "-1"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf"), (2.0**63, "9.22")],
)
def test_every_rank_refuses_bad_counts(ranks, bad, shown):
    counts = [np.ones((2, 3), np.asarray(bad).dtype) for _ in range(4)]
    counts[2][1, 2] = bad
    same_error(ranks(jobs.reduce_loads, counts), eplb.InvalidWeight, "rank 2: local[1, 2] is " + shown)


def test_every_rank_refuses_what_are_no_counts(ranks):
    good = np.ones(3, int)
    same_error(ranks(jobs.reduce_loads, [good, np.ones(3, bool), good, good]), eplb.InvalidArgument, "rank 1", "bool")
    same_error(ranks(jobs.reduce_loads, [good, good, good, [[1], [2, 3]]]), eplb.InvalidArgument, "rank 3", "local")
    large = np.array([2**63, 0], np.uint64)
    same_error(ranks(jobs.reduce_loads, [large] * 4), eplb.InvalidWeight, "local[0] is 9223372036854775808")
    error = same_error(
        ranks(jobs.reduce_loads, [good, good, np.ones(4, int), good]), eplb.distributed.GroupError, "shape", "rank 2"
    )
    assert error.ranks == (2,)
    assert pickle.loads(pickle.dumps(error)).ranks == (2,)


def test_ranks_in_different_functions(ranks):
    same_error(ranks(jobs.call_different_functions), eplb.distributed.GroupError, "function", "rank 1")


# -------------------------------------------------------------------------------------------------------------- solves


WEIGHTS = sample_weights(7, 64)
WINDOWS = np.stack([sample_weights(7, 64, seed) for seed in (1, 2, 3)])
SIZES = {"num_slots": 80, "num_gpus": 16}
NODES = {**SIZES, "num_nodes": 4, "num_groups": 8}
SOLVES = {
    "plain": (WEIGHTS, SIZES),
    "floats": (WEIGHTS / 7.0, {**SIZES, "seed": 5, "effort": "fast", "max_replicas": 2}),
    "greedy": (WEIGHTS, {**NODES, "strategy": "greedy"}),
    "hierarchical": (WEIGHTS, {**NODES, "policy": "hierarchical", "bound": "threshold"}),
    "noise": (WEIGHTS, {**SIZES, "strategy": "noise_spectrum", "seed": 1}),
    "windows": (WINDOWS, {**SIZES, "objective": "windows", "window_weights": 0.9}),
    "soft": (WEIGHTS, {**NODES, "policy": "soft", "effort": "fast"}),
    "soft, empty": (WINDOWS, {**NODES, "policy": "soft", "effort": "fast", "allow_empty": True}),
    "prices": (WEIGHTS, {**NODES, "policy": "soft", "effort": "fast", "prices": np.eye(4).repeat(2, axis=1)}),
    "cluster": (
        WEIGHTS,
        {"num_slots": 96, "cluster": eplb.Cluster(slots=[6] * 14 + [0, 3], speed=[1.0] * 15 + [2.0])},
    ),
    "fewer layers than ranks": (WEIGHTS[:2], SIZES),
    "zeros": (np.zeros((5, 64)), SIZES),
}


def assert_same(answers, expected):
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        if name == "report":
            assert answers[name] == value
        else:
            assert np.array_equal(answers[name], value), name


def assert_all_same(answers, plan):
    expected = jobs.answers_of(plan)
    for each in answers:
        assert not isinstance(each, Exception), each
        assert_same(each, expected)


@pytest.mark.parametrize("name", SOLVES)
def test_solves_have_the_bits_of_one_process(ranks, context, name):
    weights, options = SOLVES[name]
    assert_all_same(ranks(jobs.solve, "solve", (weights,), options), context.solve(weights, **options))


REBALANCES = {
    "target": {},
    "limits": {"max_moves": 5, "max_arrivals": 2, "seed": 3},
    "price": {"move_price": 0.01, "num_nodes": 2, "transfer_order": "in_place"},
    "all layers": {"max_moves_total": 20, "transfer_order": "exclusive"},
    "empty": {"target": 1.01, "allow_empty": True, "max_moves": 4},
    "dead": {"cluster": eplb.Cluster(slots=[5] * 3 + [0] + [5] * 12)},
    "soft": {"num_nodes": 4, "num_groups": 8, "policy": "soft", "effort": "fast"},
}


@pytest.mark.parametrize("name", REBALANCES)
@pytest.mark.parametrize("weights", [WEIGHTS, WINDOWS], ids=["sum", "windows"])
def test_rebalances_have_the_bits_of_one_process(ranks, context, name, weights):
    options = {"num_gpus": 16, **REBALANCES[name]}
    if "cluster" in options:
        del options["num_gpus"]
    if weights is WINDOWS:
        options["objective"] = "windows"
    current = context.solve(sample_weights(7, 64, 9), **SIZES).physical_to_logical
    if name == "dead":
        current[:, 15:20] = -1
    plan = context.rebalance(weights, current, **options)
    assert plan.report.moves > 0
    assert_all_same(ranks(jobs.solve, "rebalance", (weights, current), options), plan)


def test_a_plan_is_where_another_begins(ranks, context):
    first = context.solve(WEIGHTS, **SIZES)
    later = sample_weights(7, 64, 4)
    answers = ranks(jobs.solve, "rebalance", (later, pickle.loads(pickle.dumps(first))), {"max_moves": 3})
    assert_all_same(answers, context.rebalance(later, first, max_moves=3))


def test_plans_can_be_pickled_before_they_are_read(ranks, context):
    for options in (SIZES, {**NODES, "current": context.solve(WEIGHTS, **NODES).physical_to_logical}):
        expected = jobs.answers_of(context.solve(WINDOWS, **options))
        for plan in ranks(jobs.pickled_plan, (WINDOWS,), options):
            assert_same(jobs.answers_of(plan), expected)


def test_errors_of_solves_are_those_of_one_process(ranks, context):
    spoilt = WEIGHTS.astype(float)
    spoilt[5, 17] = np.nan
    stranger = np.tile(np.arange(80) % 64, (7, 1))
    stranger[6, 3] = 64
    lost = np.where(np.arange(80) < 40, -1, np.arange(80) % 64) * np.ones((7, 1), int)
    for call, arguments, options in (
        ("solve", (spoilt,), SIZES),
        ("solve", (WEIGHTS,), {**SIZES, "num_slots": 81}),
        ("solve", (WEIGHTS,), {**SIZES, "strategy": "rebalance"}),
        ("solve", (WEIGHTS,), {**SIZES, "max_replicas": 1}),
        ("solve", (WEIGHTS,), {**SIZES, "policy": "hard"}),
        ("solve", (WEIGHTS * 2.0**120,), {**SIZES, "strategy": "greedy"}),
        ("solve", (WEIGHTS, 80, 16), {"current": stranger[:5]}),
        ("rebalance", (WEIGHTS, stranger, 16), {}),
        ("rebalance", (WEIGHTS, lost, 16), {"max_moves": 1}),
    ):
        with pytest.raises(eplb.Error) as known:
            getattr(context, call)(*arguments, **options)
        same_error(ranks(jobs.solve, call, arguments, options), type(known.value), str(known.value))
    same_error(ranks(jobs.solve, "solve", (None,), SIZES), eplb.InvalidArgument, "weights is None")
    same_error(ranks(jobs.solve, "solve", (WEIGHTS,), {**SIZES, "slots": 3}), TypeError, "slots")


def test_what_one_rank_alone_meets(ranks):
    answers = ranks(jobs.solve_without_memory, (WEIGHTS,), SIZES, 1)
    same_error(answers, eplb.OutOfMemory, "rank 1: no more host memory")


def test_arguments_that_differ_are_named(ranks):
    other = WEIGHTS.copy()
    other[3, 3] += 1
    for arguments, options, word in (
        ([(WEIGHTS,), (WEIGHTS,), (other,), (WEIGHTS,)], SIZES, "weights must"),
        ((WEIGHTS,), [SIZES, SIZES, {**SIZES, "seed": 1}, SIZES], "sizes and options must"),
        ((WEIGHTS,), [SIZES, SIZES, {**SIZES, "cluster": eplb.Cluster(16, speed=[2] + [1] * 15)}, SIZES], "cluster"),
    ):
        error = same_error(
            ranks(jobs.solve, "solve", arguments, options), eplb.distributed.GroupError, word, "not on rank 2"
        )
        assert error.ranks == (2,)
    same_error(
        ranks(jobs.solve, "solve", (WEIGHTS,), [SIZES, SIZES, SIZES, {**SIZES, "policy": "hard"}]),
        eplb.InvalidArgument,
        "rank 3: policy is 'hard', must be one of",
    )


# ----------------------------------------------------------------------------------------------------------- agreement


def test_agreement(ranks, context):
    plan, other = (context.solve(weights, **SIZES) for weights in (WEIGHTS, WINDOWS[0]))
    assert ranks(jobs.check_agreement, [plan] * 4) == [None] * 4
    error = same_error(
        ranks(jobs.check_agreement, [plan, other, plan, other]),
        eplb.distributed.GroupError,
        f"{plan.fingerprint:016x} on ranks 0 and 2",
        f"{other.fingerprint:016x} on ranks 1 and 3",
    )
    assert error.ranks == (1, 3)
    third = context.solve(WINDOWS[1], **SIZES)
    assert same_error(ranks(jobs.check_agreement, [other, third, plan, plan]), eplb.distributed.GroupError).ranks == (
        0,
        1,
    )


def test_agreement_of_placements(ranks, context):
    placement = context.solve(WEIGHTS, **SIZES).physical_to_logical
    other = placement.copy()
    other[6, 0] = other[6, 79]
    assert ranks(jobs.check_agreement, [placement, placement.tolist(), placement.astype(np.int32), placement]) == (
        [None] * 4
    )
    error = same_error(
        ranks(jobs.check_agreement, [placement, placement, placement, other]), eplb.distributed.GroupError
    )
    assert error.ranks == (3,)
    plan = context.solve(WEIGHTS, **SIZES)
    same_error(ranks(jobs.check_agreement, [plan, placement, plan, plan]), eplb.distributed.GroupError, "kind of plan")
    same_error(ranks(jobs.check_agreement, [plan, plan, 3.5, plan]), eplb.InvalidArgument, "rank 2: plan is")


# --------------------------------------------------------------------------------------------------------------- alone


def test_without_a_process_group():
    for call in (
        lambda: eplb.distributed.all_reduce_loads([1]),
        lambda: eplb.distributed.solve(PAIRS, 16, 8),
        lambda: eplb.distributed.check_agreement([[1]]),
    ):
        with pytest.raises(eplb.InvalidState, match="init_process_group"):
            call()
