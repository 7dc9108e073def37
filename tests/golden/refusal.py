"""What is refused, in which order and in which words: the argument, the numbers, the nearest legal value."""

import math

from arithmetic import float32

INT64_LARGEST = 2**63 - 1


class Refusal(Exception):
    """A call that answers an error: the name of the eplb_status and the text of the eplb_error."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


def refuse_argument(text):
    raise Refusal("EPLB_INVALID_ARGUMENT", text)


def refuse_weight(text):
    raise Refusal("EPLB_INVALID_WEIGHT", text)


def check_values(weights, shape):
    """Names the lowest (layer, expert) with a bad value, and its lowest such window if there are several windows.

    Minus infinity is negative.
    """
    windows, layers, experts = shape
    for layer in range(layers):
        for expert in range(experts):
            for window in range(windows):
                value = weights[(window * layers + layer) * experts + expert]
                if value >= 0 and value != math.inf:
                    continue
                where = (
                    f"layer {layer}, expert {expert}"
                    if windows == 1
                    else (f"window {window}, layer {layer}, expert {expert}")
                )
                kind = "negative" if value < 0 else "infinite" if value == math.inf else "NaN"
                refuse_weight(f"weights[{where}] is {kind}")


def check_sums(rows, whole):
    """Of each layer in order: its experts' sums over windows, then their sum, in double and in order (not of ints)."""
    for layer, row in enumerate(rows):
        for expert, weight in enumerate(row):
            if whole and weight > INT64_LARGEST:
                refuse_weight(f"weights[layer {layer}, expert {expert}] sum over windows to more than 2^63 - 1")
            if not whole and weight == math.inf:
                refuse_weight(f"weights[layer {layer}, expert {expert}] sum over windows to more than a float64 holds")
        if not whole and total(row) == math.inf:
            refuse_weight(f"weights[layer {layer}] sum to more than a float64 holds")


def total(row):
    """Sequential sum in double. Not sum(): newer Pythons compensate in it."""
    result = 0.0
    for value in row:
        result += value
    return result


def sum_windows(weights, dtype, shape):
    """Flat [T,L,E] to [L][E]: window 0, then the others added in order; -0.0 becomes 0."""
    check_values(weights, shape)
    windows, layers, experts = shape
    whole = dtype.startswith("int")
    plane = layers * experts
    summed = [weights[i] + (0 if whole else 0.0) for i in range(plane)]
    for window in range(1, windows):
        for i in range(plane):
            summed[i] += weights[window * plane + i]
    rows = [summed[layer * experts : (layer + 1) * experts] for layer in range(layers)]
    check_sums(rows, whole)
    return rows


def check_multiple(name, value, of, divisor, least=1):
    """Names the multiples below and above; only the one above if the one below is less than `least`."""
    if value % divisor == 0:
        return
    below = value // divisor * divisor
    above = -(-max(value, least) // divisor) * divisor
    nearest = f"{below} or {above}" if below >= least else f"{above}"
    refuse_argument(f"{name} is {value}, must be a multiple of {of} = {divisor} ({nearest})")


def check_problem(problem, experts):
    """Sizes first, then what a hierarchical policy asks for, then the slots."""
    for name, least in (("num_slots", 1), ("num_gpus", 1), ("num_nodes", 1), ("num_groups", 0)):
        value = getattr(problem, name)
        if value < least:
            refuse_argument(f"{name} is {value}, must be at least {least}")
    slots, gpus = problem.num_slots, problem.num_gpus
    if problem.policy_used == "hierarchical":
        check_multiple("num_groups", problem.groups, "num_nodes", problem.num_nodes)
        check_multiple("num_experts", experts, "num_groups", problem.groups)
        check_multiple("num_gpus", gpus, "num_nodes", problem.num_nodes)
    check_multiple("num_slots", slots, "num_gpus", gpus, experts)
    if slots < experts:
        refuse_argument(
            f"num_slots is {slots}, must be at least num_experts = {experts} ({-(-experts // gpus) * gpus})"
        )


def check_options(options, problem, experts):
    """Nodes have equal shares of slots and experts, so one test of the cap serves both policies."""
    cap, slots = options.max_replicas, problem.num_slots
    if cap < 0:
        refuse_argument(f"max_replicas is {cap}, must be at least 0")
    least = -(-slots // experts)
    if 0 < cap < least:
        refuse_argument(f"max_replicas is {cap}, too few: {slots} slots of {experts} experts need at least {least}")


def check_float32_range(rows):
    """What GREEDY cannot hold. The sum is that of the float32 weights, in double, in order, rounded to float32."""
    for layer, row in enumerate(rows):
        read = [float32(weight) for weight in row]
        if math.inf in read:
            expert = read.index(math.inf)
            refuse_weight(f"weights[layer {layer}, expert {expert}] is above what the float32 of greedy holds")
        if float32(total(read)) == math.inf:
            refuse_weight(f"weights[layer {layer}] sum to more than the float32 of greedy holds")


def check_greedy_cap(counts, cap):
    for layer, row in enumerate(counts):
        for expert, count in enumerate(row):
            if count > cap:
                refuse_argument(
                    f"max_replicas is {cap}, but greedy gives expert {expert} of layer {layer} {count} replicas"
                )
