"""The part of vectors.json that is about the policy SOFT: {"soft": [...]}, one strategy and all of its options a case.

A case is
  name, why, strategy, dtype, shape [T,L,E], weights (flat), objective,
  problem: as elsewhere, and off_home_target; options: fields of eplb_solve_options that are not the defaults,
  cluster: slots, speeds, nodes as eplb_upload_cluster takes them, those that there are,
  current [L,S], of rebalances; and
  answers: by effort; each physical_to_logical [L,S], imbalance [L], off_home [L].
"""

import dataclasses

from soft_figures import check_row, imbalance_of, off_home_of
from soft_layers import solve

DTYPE = "int64"


def flat(rows):
    return [value for row in rows for value in row]


def figures(question, placement):
    """imbalance and off_home by layer; the placement has passed all checks."""
    slots, _, node = question.gpus()
    speeds = question.cluster.get("speeds") or [1] * len(slots)
    for windows, row in zip(question.layers, placement, strict=True):
        weights = [sum(column) for column in zip(*windows, strict=True)]
        check_row(row, len(weights), slots, question.options.get("max_replicas", 0))
        share, _ = off_home_of(weights, row, slots, speeds, node, question.problem.groups, question.off_home_target)
        yield float(imbalance_of(weights, row, slots, speeds)), float(share)


def answer(question):
    placement = solve(question)
    found = list(figures(question, placement))
    return {
        "physical_to_logical": flat(placement),
        "imbalance": [imbalance for imbalance, _ in found],
        "off_home": [share for _, share in found],
    }


def problem_fields(question):
    return {**dataclasses.asdict(question.problem), "off_home_target": question.off_home_target}


def soft_entry(case, number):
    """number: makes a JSON value that every parser reads as this very number."""
    asked, first = case.question, case.question.weights[0]
    fields = {
        "name": case.name,
        "why": case.why,
        "strategy": asked.strategy,
        "dtype": DTYPE,
        "shape": [len(asked.weights), len(first), len(first[0])],
        "weights": flat(map(flat, asked.weights)),
        "objective": "windows" if asked.apart else "sum",
        "problem": problem_fields(asked),
    }
    if asked.options:
        fields["options"] = {name: number(int(v) if v is True else v) for name, v in asked.options.items()}
    if asked.cluster:
        fields["cluster"] = asked.cluster
    if asked.current:
        fields["current"] = flat(asked.current)
    answers = {effort: answer(dataclasses.replace(asked, effort=effort)) for effort in case.efforts}
    return {**fields, "answers": answers}
