"""EPLB_ENGINE, which is read strictly: at the start, not at the first rebalance."""

import logging

import eplb
import pytest
from eplb.engines import Options, from_environment, parse
from eplb.engines._counters import say


def test_as_documented():
    assert parse("rebalance,max_moves=16,target=1.02") == Options("rebalance", max_moves=16, target=1.02)
    assert parse("best") == Options("best")
    assert parse("greedy, policy=global") == Options("greedy", policy="global")


def test_all_options_of_rebalance():
    text = (
        "rebalance,policy=soft,off_home_target=1.05,effort=fast,seed=7,max_replicas=9,max_moves=1,max_moves_total=2,"
        "max_arrivals=3,target=1.5,move_price=0.25"
    )
    expected = Options("rebalance", "soft", 1.05, "fast", 7, 9, 1, 2, 3, 1.5, 0.25)
    assert parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["best", "rebalance,max_moves=0", "greedy,policy=hierarchical"])
def test_text_is_the_same_again(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("fastest", "^EPLB_ENGINE is 'fastest': 'fastest' is no strategy, must be one of best, rebalance, greedy$"),
        ("Rebalance", "is no strategy"),
        ("rebalance,", "'' is no option of rebalance, which has policy, "),
        ("rebalance,max_move=3", "'max_move=3' is no option of rebalance, which has .*max_moves, max_moves_total"),
        ("rebalance,max_moves", "'max_moves' is no option of rebalance, which has .*each =VALUE"),
        ("best,max_moves=3", "'max_moves=3' is no option of best, which has policy"),
        ("greedy,effort=fast", "'effort=fast' is no option of greedy, which has policy, each"),
        ("rebalance,max_moves=3,max_moves=4", "max_moves is given twice"),
        ("rebalance,max_moves=many", "max_moves is 'many', must be an integer"),
        ("rebalance,max_moves=1.5", "must be an integer"),
        ("rebalance,max_moves=-1", "max_moves is -1, must be None for any number, or at least 0"),
        ("rebalance,max_arrivals=0", "max_arrivals is 0"),
        ("rebalance,target=0.5", "target is 0.5"),
        ("rebalance,target=nan", "target is 'nan', must be a finite number"),
        ("rebalance,target=low", "target is 'low', must be a number"),
        ("rebalance,effort=huge", "effort is 'huge', must be one of fast, normal, max"),
        ("best,policy=none", "policy is 'none', must be one of"),
        ("best,seed=-1", "seed is -1"),
        ("best,max_replicas=0", "max_replicas is 0"),
        ("greedy,policy=soft", "greedy has no policy soft"),
    ],
)
def test_mistakes(text, error):
    with pytest.raises(eplb.InvalidArgument, match=error):
        parse(text)


def test_inert_unless_it_is_set():
    assert from_environment({}) is None
    assert from_environment({"EPLB_ENGINE": ""}) is None
    assert from_environment({"EPLB_ENGINE": "best"}) == Options("best")


def test_lines_are_seen_before_an_engine_has_a_log(monkeypatch, capsys):
    """Plug-ins are loaded early."""
    monkeypatch.setattr(logging.getLogger("some_engine.eplb"), "hasHandlers", lambda: False)
    say("some_engine", "eplb plans")
    assert capsys.readouterr().err == "eplb plans\n"
