"""Every error has a class of its own and a sentence that names what is wrong."""

import pickle

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb import _library
from eplb._errors import error_for
from eplb.sample import sample_weights

SIZES = {"num_slots": 16, "num_gpus": 8}


@pytest.mark.parametrize(
    ("status", "kind", "builtin"),
    [
        ("invalid_argument", eplb.InvalidArgument, ValueError),
        ("invalid_state", eplb.InvalidState, RuntimeError),
        ("invalid_weight", eplb.InvalidWeight, ValueError),
        ("invalid_placement", eplb.InvalidPlacement, ValueError),
        ("unavailable", eplb.Unavailable, RuntimeError),
        ("not_built", eplb.Unavailable, RuntimeError),
        ("no_driver", eplb.Unavailable, RuntimeError),
        ("no_device", eplb.Unavailable, RuntimeError),
        ("out_of_memory", eplb.OutOfMemory, MemoryError),
        ("device_out_of_memory", eplb.OutOfMemory, MemoryError),
        ("device_error", eplb.DeviceError, RuntimeError),
        ("interrupted", eplb.Interrupted, RuntimeError),
        ("internal_error", eplb.InternalError, RuntimeError),
    ],
)
def test_class_of_status(status, kind, builtin):
    error = error_for(_library.STATUSES[status], "EPLB_" + status.upper(), "text")
    assert type(error) is kind
    assert isinstance(error, eplb.Error)
    assert isinstance(error, builtin)
    assert (error.text, str(error), error.code) == ("text", "text", _library.STATUSES[status])
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.text, copy.code, copy.status) == (kind, "text", error.code, error.status)


def test_every_status_has_a_class():
    errors = {name for name in _library.STATUSES if name != "ok"}
    assert all(type(error_for(1, "EPLB_" + name.upper(), "")) is not eplb.Error for name in errors)


def test_status_of_a_later_library():
    assert type(error_for(99, "unknown status", "text")) is eplb.Error


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"strategy": "gredy"}, f"strategy is 'gredy', must be one of {', '.join(eplb.strategies())}"),
        ({"strategy": 1}, "strategy is 1, must be one of"),
        ({"strategy": ["greedy"]}, "strategy is ['greedy'], must be one of"),
        ({"policy": "local"}, f"policy is 'local', must be one of {', '.join(eplb.policies())}"),
        ({"effort": "much"}, f"effort is 'much', must be one of {', '.join(eplb.efforts())}"),
        ({"bound": "tight"}, f"bound is 'tight', must be one of {', '.join(eplb.bounds())}"),
        ({"num_slots": 16.0}, "num_slots is 16.0, must be an integer"),
        ({"num_slots": "16"}, "num_slots is '16', must be an integer"),
        ({"num_gpus": 2**63}, "num_gpus is 9223372036854775808, must be -9223372036854775808 to 9223372036854775807"),
        ({"num_nodes": 1.5}, "num_nodes is 1.5, must be an integer"),
        ({"num_slots": 17}, "num_slots is 17, must be a multiple of num_gpus = 8 (16 or 24)"),
        ({"seed": -1}, "seed is -1, must be 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed is 18446744073709551616, must be 0 to 18446744073709551615"),
        ({"max_replicas": 1.5}, "max_replicas is 1.5, must be an integer"),
    ],
)
def test_bad_argument(context, change, text):
    with pytest.raises(eplb.InvalidArgument) as raised:
        context.solve(PAIRS, **{**SIZES, **change})
    assert raised.value.text.startswith(text)
    assert raised.value.status == "EPLB_INVALID_ARGUMENT"
    # A refused call leaves nothing behind.
    assert context.solve(PAIRS, **SIZES).physical_to_logical.shape == (1, 16)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda context: context.solve(PAIRS, 16, 8, 1, 1),
            "5 arguments are given by position: after weights, num_slots, num_gpus, "
            "give num_nodes and num_groups by name",
        ),
        (
            lambda context: context.rebalance(PAIRS, [[*range(8)] * 2], 8, 1),
            "4 arguments are given by position: after weights, current, num_gpus, "
            "give num_nodes and num_groups by name",
        ),
        (
            lambda context: context.reserve((1, 8), 16, 8, 1),
            "4 arguments are given by position: after shape, num_slots, num_gpus, "
            "give num_nodes and num_groups by name",
        ),
        (
            lambda context: context.evaluate([[*range(8)] * 2], PAIRS, 8, 1, 1),
            "5 arguments are given by position: after physical_to_logical, weights, "
            "give num_gpus, num_nodes and num_groups by name",
        ),
        (
            lambda context: eplb.Cluster(8, 2),
            "2 arguments are given by position: after num_gpus, give num_nodes by name",
        ),
    ],
)
def test_sizes_are_given_by_name(context, call, text):
    """Another order of nodes and groups can be a legal problem."""
    with pytest.raises(TypeError) as raised:
        call(context)
    assert str(raised.value) == text


def test_no_groups_are_one(context):
    weights = sample_weights(2, 64)
    sizes = {"num_slots": 80, "num_gpus": 16, "num_nodes": 4}
    expected = context.solve(weights, **sizes)
    for num_groups in (None, 0, 1):
        plan = context.solve(weights, **sizes, num_groups=num_groups)
        assert (plan.fingerprint, plan.report.policy) == (expected.fingerprint, "global")
        context.reserve(weights.shape, **sizes, num_groups=num_groups)
        changed = context.rebalance(weights, plan, num_nodes=4, num_groups=num_groups)
        assert changed.fingerprint == context.rebalance(weights, plan, num_nodes=4).fingerprint
        sizes_of_call = {"num_nodes": 4, "num_gpus": 16}
        maps = eplb.rebalance_experts(weights, 80, num_groups, **sizes_of_call)
        assert np.array_equal(maps[0], expected.physical_to_logical)
        assert np.array_equal(eplb.place(weights, 80, num_groups, **sizes_of_call), expected.physical_to_logical)
        found = context.evaluate(plan, weights, num_gpus=16, num_nodes=4, num_groups=num_groups)
        assert found.off_home_mean == expected.report.off_home_mean
        assert eplb.modelled_sends(weights, plan, num_nodes=4, num_groups=num_groups).sends.shape == (2,)
    with pytest.raises(eplb.InvalidArgument, match="num_groups is -1, must be"):
        context.solve(weights, **sizes, num_groups=-1)


@pytest.mark.parametrize(
    "call",
    [
        lambda context: context.solve(PAIRS, True, 1),
        lambda context: context.solve(PAIRS, **SIZES, num_groups=True),
        lambda context: context.solve(PAIRS, **SIZES, seed=True),
        lambda context: context.solve(PAIRS, **SIZES, max_replicas=True),
        lambda context: context.solve(PAIRS, **SIZES, off_home_target=True),
        lambda context: context.rebalance(PAIRS, [[*range(8)] * 2], 8, max_moves=True),
        lambda context: context.rebalance(PAIRS, [[*range(8)] * 2], 8, target=True),
        lambda context: eplb.rebalance_experts(PAIRS, 16, True, 1, 8),
        lambda context: eplb.Cluster(True),
        lambda context: eplb.Cluster(slots=[2, True]),
        lambda context: eplb.Cluster(speed=[2, True]),
        lambda context: eplb.Context(num_threads=True),
    ],
)
def test_true_is_no_number(context, call):
    with pytest.raises(eplb.InvalidArgument, match="is True, must be "):
        call(context)


def test_names_in_capitals_and_numpy_integers(context):
    plan = context.solve(PAIRS, num_slots=np.int32(16), num_gpus=np.uint8(8), strategy="GREEDY", policy="Global")
    assert (plan.report.strategy, plan.report.policy) == ("greedy", "global")


@pytest.mark.parametrize(
    ("device", "kind", "text"),
    [
        ("gpu", eplb.InvalidArgument, "device is 'gpu', must be one of cpu, cuda, or like 'cuda:1'"),
        ("cuda:", eplb.InvalidArgument, "device is 'cuda:'"),
        ("cuda:-1", eplb.InvalidArgument, "device is 'cuda:-1'"),
        (None, eplb.InvalidArgument, "device is 'None'"),
        ("cpu:1", eplb.Unavailable, ""),
    ],
)
def test_bad_device(device, kind, text):
    with pytest.raises(kind) as raised:
        eplb.Context(device)
    assert raised.value.text.startswith(text)


def test_cuda_says_why_not():
    try:
        eplb.Context("cuda:0").close()
    except eplb.Unavailable as error:
        assert error.status in ("EPLB_NOT_BUILT", "EPLB_NO_DRIVER", "EPLB_NO_DEVICE")
        assert error.text


@pytest.mark.parametrize("num_threads", [0, -1, "two", 1.0])
def test_bad_threads(num_threads):
    with pytest.raises(eplb.InvalidArgument, match="num_threads"):
        eplb.Context(num_threads=num_threads)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_bad_weight_is_named(value):
    weights = np.ones((4, 18))
    weights[3, 17] = value
    with pytest.raises(eplb.InvalidWeight, match=r"weight\[layer 3, expert 17\]") as raised:
        eplb.rebalance_experts(weights, 20, 1, 1, 4)
    assert raised.value.status == "EPLB_INVALID_WEIGHT"
    assert eplb.rebalance_experts(np.ones((4, 18)), 20, 1, 1, 4)[0].shape == (4, 20)
