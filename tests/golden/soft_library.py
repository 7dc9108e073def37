"""The library's answer to a question of soft.py, through its C API: not all of it has names in Python."""

import ctypes
import os

import eplb
import numpy as np
from eplb._library import ffi
from eplb._move_limits import MoveLimits
from eplb._session import Session

LIMITS = ("max_moves", "max_moves_total", "max_arrivals", "target", "move_price", "allow_empty")


def set_importance(session, importance):
    """Weights of windows, which the package has no name for."""
    function = ctypes.CDLL(os.environ["EPLB_LIBRARY"]).eplb_upload_window_weights
    address = int(ffi.cast("intptr_t", session.context))
    array = (ctypes.c_double * len(importance))(*importance)
    assert function(ctypes.c_void_p(address), array, ctypes.c_int64(len(importance)), None) == 0


def set_question(session, question):
    problem, options, cluster = question.problem, question.options, question.cluster
    sizes = problem.num_slots, problem.num_gpus, problem.num_nodes, problem.num_groups
    objective = "windows" if question.apart else "sum"
    session.set_problem(*sizes, "soft", "simple", objective, question.off_home_target)
    limits = MoveLimits(**{name: options.get(name) for name in LIMITS})
    cap = options.get("max_replicas")
    session.set_options(question.strategy, question.effort, options.get("seed", 0), cap, "buffered", limits)
    given = {"slots": cluster.get("slots"), "speed": cluster.get("speeds"), "node": cluster.get("nodes")}
    session.set_cluster(eplb.Cluster(problem.num_gpus, problem.num_nodes, **given))
    if question.importance:
        set_importance(session, question.importance)
    if question.current:
        session.set_current(np.array(question.current, np.int64))


class Solved:
    """weights of the question as an array, if they are no whole numbers."""

    def __init__(self, question, dtype=np.int64):
        session = Session()
        session.upload(np.array(question.weights, dtype))
        set_question(session, question)
        session.solve()
        self.placement = session.ints("physical_to_logical").tolist()
        self.replica_count = session.ints("replica_count").tolist()
        names = "imbalance", "off_home", "off_home_bound"
        self.imbalance, self.off_home, self.bound = (session.floats(name).tolist() for name in names)
        self.duplicates = session.ints("duplicates").tolist()
