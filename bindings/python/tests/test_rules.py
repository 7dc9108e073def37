"""Rules of a Rebalancer, which are read strictly, and what they ask of the library."""

import dataclasses

import eplb
import pytest
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.floats(1e-9, 1e9)
COMMON = {
    "every": st.integers(1, 99),
    "memory": st.integers(1, 64),
    "objective": st.sampled_from(["sum", "windows"]),
    "policy": st.sampled_from(eplb.policies()),
    "off_home_target": st.floats(1, 9),
    "effort": st.sampled_from(eplb.efforts()),
    "seed": st.integers(0, 2**64 - 1),
    "max_replicas": st.integers(1, 99),
}
LIMITS = {
    "max_moves": st.integers(0, 99),
    "max_moves_total": st.integers(0, 999),
    "max_arrivals": st.integers(1, 9),
}
OPTIONS = {
    "never": {},
    "fresh": COMMON,
    "rebalance": {**COMMON, **LIMITS, "target": st.floats(1, 3), "move_price": st.floats(0, 3)},
    "pays": {**COMMON, **LIMITS, "move_ms": NUMBERS, "layer_ms": NUMBERS, "horizon": NUMBERS},
}
RULES = st.sampled_from(list(OPTIONS)).flatmap(
    lambda name: st.fixed_dictionaries({}, optional=OPTIONS[name]).map(lambda values: eplb.Rule(name, **values))
)


@given(RULES)
def test_the_text_is_the_same_rule(rule):
    assert eplb.Rule.parse(str(rule)) == rule


def test_as_documented():
    assert eplb.Rule.parse("never") == eplb.Rule("never")
    parsed = eplb.Rule.parse("rebalance, every=4,max_moves=8,memory=1,objective=sum")
    assert parsed == eplb.Rule("rebalance", every=4, max_moves=8, memory=1, objective="sum")
    assert eplb.Rule.parse("fresh,strategy=greedy,objective=sum").strategy == "greedy"
    assert str(eplb.Rule("pays", move_ms=1.0, layer_ms=50.0)) == "pays,move_ms=1,layer_ms=50"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sometimes", "^rule is 'sometimes': 'sometimes' is no rule, must be one of never, fresh, rebalance, pays$"),
        ("never,every=2", "'every=2' is no option of never, which has none"),
        ("fresh,max_moves=2", "'max_moves=2' is no option of fresh, which has every, "),
        ("fresh,strategy=rebalance", "strategy is 'rebalance', must be one of"),
        ("fresh,strategy=greedy", "strategy is 'greedy', which knows sums only: give objective=sum"),
        ("rebalance,every=0", "every is 0, must be 1 to"),
        ("rebalance,memory=65", "memory is 65, must be 1 to 64"),
        ("rebalance,memory=all", "memory is 'all', must be an integer"),
        ("rebalance,objective=mean", "objective is 'mean', must be one of sum, windows"),
        ("rebalance,max_moves=-1", "max_moves is -1"),
        ("pays,move_ms=0", "move_ms is 0.0, must be a number above 0"),
        ("pays,layer_ms=nan", "layer_ms is 'nan', must be a finite number"),
        ("pays,horizon=-1", "horizon is -1.0, must be a number above 0"),
        ("pays,target=1.02", "'target=1.02' is no option of pays"),
        ("pays,memory=8,memory=8", "memory is given twice"),
    ],
)
def test_mistakes(text, error):
    with pytest.raises(eplb.InvalidArgument, match=error):
        eplb.Rule.parse(text)


def test_mistakes_in_python():
    with pytest.raises(eplb.InvalidArgument, match="^max_moves is 3, but the rule never has no such option$"):
        eplb.Rule("never", max_moves=3)
    with pytest.raises(eplb.InvalidArgument, match="^move_ms is 'much', must be a number above 0$"):
        eplb.Rule("pays", move_ms="much")
    with pytest.raises(dataclasses.FrozenInstanceError):
        eplb.Rule("never").memory = 3


def test_the_price():
    rule = eplb.Rule.parse("pays,move_ms=1,layer_ms=50")
    assert rule.price == 0.02
    # A quarter of the memory: what move_price says a move must gain in the imbalance of one window.
    assert rule.rebalance_options(8)["move_price"] == 0.02 / 2
    assert rule.rebalance_options(16)["move_price"] == 0.02 / 4
    assert dataclasses.replace(rule, horizon=1.0).rebalance_options(16)["move_price"] == 0.02
    with pytest.raises(eplb.InvalidArgument, match="^rule is 'pays,move_ms=1': layer_ms is missing"):
        _ = eplb.Rule.parse("pays,move_ms=1").price
