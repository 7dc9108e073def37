"""Every status that the comment of a function names is produced by a call of that function.

The header is the list: a status that a comment gains needs an entry in CALLS, and one that it loses must go. Statuses
of devices are produced by the library over the emulated driver, each in a process of its own.
"""

import ctypes
import os
import re
import subprocess
import sys
from functools import partial

import header
import library

HEADER = header.read()
NUMBERS = {name: int(value) for name, value in HEADER.constants.items() if value and value.isdigit()}
C_TYPES = {"int64_t": ctypes.c_int64, "int32_t": ctypes.c_int32, "uint64_t": ctypes.c_uint64, "double": ctypes.c_double}
NULL = None


def struct_of(name):
    fields = []
    for variable in HEADER.structs[name]:
        kind = C_TYPES.get(HEADER.typedefs.get(variable.type, variable.type), ctypes.c_char)
        fields.append((variable.name, kind * int(variable.count) if variable.count else kind))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


ERROR, CONTEXT_OPTIONS, PROBLEM, OPTIONS, REPORT = map(
    struct_of, ["eplb_error", "eplb_context_options", "eplb_problem", "eplb_solve_options", "eplb_report"]
)


def documented():
    """{(function, status)}: what comments name after "Errors:", or inherit with "as eplb_other_function"."""
    texts = {function.name: HEADER.docs.get(function.name, "").partition("Errors:")[2] for function in HEADER.functions}

    def statuses(name):
        # Up to the first sentence that speaks of what holds after an error.
        text = texts[name].partition("After an error")[0]
        found = set(re.findall(r"\bEPLB_[A-Z_]+\b", text)) & set(HEADER.enums["eplb_status"])
        if only := re.search(r"(EPLB_\w+) as (eplb_\w+)", text):
            return found | ({only[1]} & statuses(only[2]))
        for other in re.findall(r"\bas (eplb_\w+)", text):
            found |= statuses(other)
        return found

    return {(name, status) for name in texts for status in statuses(name)}


class Caller:
    """A context with weights [2,4] and the structs of a problem that can be solved: 6 slots on 2 GPUs."""

    layers, experts, slots = 2, 4, 6

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.error = ERROR()
        self.problem, self.options = self.new(PROBLEM, "problem"), self.new(OPTIONS, "solve_options")
        self.context_options, self.report = self.new(CONTEXT_OPTIONS, "context_options"), self.new(REPORT, "report")
        self.problem.num_slots, self.problem.num_gpus = self.slots, 2
        self.context = ctypes.c_void_p()
        self.weights = (ctypes.c_double * 8)(*range(1, 9))
        self.buffer = (ctypes.c_int64 * 64)()

    def call(self, function, *arguments):
        """The status."""
        passed = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in arguments]
        return getattr(self.library, function)(*passed, ctypes.byref(self.error))

    def new(self, struct, name):
        value = struct()
        self.call(f"eplb_{name}_init", value, ctypes.c_int64(ctypes.sizeof(struct)))
        return value

    def create(self, kind="CPU", index=0):
        self.context_options.device_kind = NUMBERS[f"EPLB_DEVICE_{kind}"]
        self.context_options.device_index = index
        return self.call("eplb_context_create", ctypes.byref(self.context), self.context_options)

    def sizes(self, windows=1, layers=layers):
        return [ctypes.c_int64(n) for n in (windows, layers, self.experts)]

    def upload(self, first=None, device=False):
        if first is not None:
            self.weights[0] = first
        stream = [NULL] if device else []
        function = "eplb_upload_weights_device" if device else "eplb_upload_weights"
        length = ctypes.c_int64(8)
        return self.call(function, self.context, self.weights, length, NUMBERS["EPLB_FLOAT64"], *self.sizes(), *stream)

    def reserve(self, layers=layers):
        sizes = self.sizes(layers=layers)
        return self.call(
            "eplb_context_reserve", self.context, NUMBERS["EPLB_FLOAT64"], *sizes, self.problem, self.options
        )

    def solve(self, device=False):
        if device:
            return self.call("eplb_solve_device", self.context, self.problem, self.options, NULL)
        return self.call("eplb_solve", self.context, self.problem, self.options)

    def shape(self, which=0):
        rank = ctypes.c_int32()
        return self.call(
            "eplb_map_shape", self.context, which, ctypes.byref(rank), self.buffer, ctypes.c_int64(len(self.buffer))
        )

    def fetch(self, which=0, device=False):
        stream = [NULL] if device else []
        function = "eplb_fetch_map_device" if device else "eplb_fetch_map"
        return self.call(function, self.context, which, NUMBERS["EPLB_INT64"], self.buffer, ctypes.c_int64(12), *stream)

    def evaluate(self, expert=0, windows=False):
        placement = (ctypes.c_int64 * 12)(*([0, 1, 2, 3, 0, 1] * 2))
        placement[0] = expert
        outputs = [NULL, NULL] if windows else [self.report, NULL, NULL, NULL]
        function, kind = f"eplb_evaluate{'_windows' * windows}", NUMBERS["EPLB_INT64"]
        given = [placement, ctypes.c_int64(12), kind, *outputs, ctypes.c_int64(0)]
        return self.call(function, self.context, self.problem, *given)


def split(caller, name="split", expert=0, device=False, of_plan=False):
    """eplb_split, or another call that takes what it takes."""
    placement = (ctypes.c_int64 * 12)(*([0, 1, 2, 3, 0, 1] * 2))
    placement[0] = expert
    given = [NULL if of_plan else placement, ctypes.c_int64(12), NUMBERS["EPLB_INT64"]]
    given += [NULL] * (("prepare" not in name) + device)  # options, a stream
    return caller.call(f"eplb_{name}{'_device' * device}", caller.context, caller.problem, *given)


def more_slots(caller):
    """Than the plan has."""
    caller.problem.num_slots = 8


def stale_current(caller, expert=9):
    """A current placement of experts that the weights do not have; the status of its upload."""
    placement = (ctypes.c_int64 * 12)(*[expert] * 12)
    sizes = [ctypes.c_int64(n) for n in (caller.layers, caller.slots)]
    kind = NUMBERS["EPLB_INT64"]
    return caller.call("eplb_upload_placement", caller.context, placement, ctypes.c_int64(12), kind, *sizes)


def stale_current_device(caller):
    sizes = [ctypes.c_int64(n) for n in (caller.layers, caller.slots)]
    kind = NUMBERS["EPLB_INT64"]
    return caller.call(
        "eplb_upload_placement_device", caller.context, caller.buffer, ctypes.c_int64(12), kind, *sizes, NULL
    )


def transfers(caller, expert=0, order=0):
    """Transfers from one placement to another with a certain expert; their status."""
    current, placement = ((ctypes.c_int64 * 12)(*[each] * 12) for each in (0, expert))
    arrays = [current, placement, NULL, NULL, NULL, ctypes.c_int64(12), NUMBERS["EPLB_INT64"]]
    return caller.call("eplb_plan_transfers", caller.context, caller.problem, order, *arrays, caller.report)


def later(struct, field):
    """A constant that a later version may know."""

    def prepare(caller):
        setattr(getattr(caller, struct), field, 1000)

    return prepare


def ready(caller):
    return caller.create() or caller.upload() or caller.solve()


def too_heavy_for_float32(caller):
    caller.options.strategy = NUMBERS["EPLB_STRATEGY_GREEDY"]
    caller.create()
    caller.upload(first=1e300)
    return caller.solve()


def after(*steps):
    """The last step's status; those before are as they are."""

    def run(caller):
        return [step(caller) for step in steps][-1]

    return run


def unfit(caller):
    caller.problem.num_slots = 7


def upload_many_windows(caller):
    """One more than are kept."""
    weights = (ctypes.c_double * 520)(*[1.0] * 520)
    length, kind = ctypes.c_int64(520), NUMBERS["EPLB_FLOAT64"]
    sizes = caller.sizes(windows=65)
    return caller.call("eplb_upload_weights", caller.context, weights, length, kind, *sizes)


def limit_in_total(caller):
    caller.options.strategy = NUMBERS["EPLB_STRATEGY_REBALANCE"]
    caller.options.max_moves_total = 1000


def many_layers(caller):
    return caller.reserve(layers=1 << 40)


def on_cuda(caller):
    return caller.create("CUDA")


def on_stream(name):
    return lambda caller: getattr(caller, name)(device=True)


def device_count(caller):
    return caller.call("eplb_device_count", NUMBERS["EPLB_DEVICE_CUDA"], caller.buffer)


def device_name(caller):
    return caller.call("eplb_device_name", NUMBERS["EPLB_DEVICE_CUDA"], 9, caller.buffer, ctypes.c_int64(256))


create, upload, solve = Caller.create, Caller.upload, Caller.solve
# Where a call is made: the library without CUDA, or over the emulated driver, which may be none.
ON_CPU, ON_EMULATED, NO_DRIVER = "cpu", "emulated", "no_driver"

# (function, status): where, and the call.
CALLS = {
    ("eplb_context_create", "EPLB_NOT_BUILT"): (ON_CPU, on_cuda),
    ("eplb_context_create", "EPLB_NO_DRIVER"): (NO_DRIVER, on_cuda),
    ("eplb_context_create", "EPLB_NO_DEVICE"): (ON_EMULATED, lambda caller: caller.create("CUDA", 9)),
    ("eplb_context_reserve", "EPLB_UNAVAILABLE"): (
        ON_CPU,
        after(create, later("options", "strategy"), Caller.reserve),
    ),
    ("eplb_context_reserve", "EPLB_DEVICE_OUT_OF_MEMORY"): (ON_EMULATED, after(on_cuda, many_layers)),
    ("eplb_upload_weights", "EPLB_INVALID_WEIGHT"): (ON_CPU, after(create, lambda caller: caller.upload(-1.0))),
    ("eplb_solve", "EPLB_INVALID_ARGUMENT"): (ON_CPU, after(create, upload, unfit, solve)),
    ("eplb_solve", "EPLB_INVALID_STATE"): (ON_CPU, after(create, solve)),
    ("eplb_solve", "EPLB_UNAVAILABLE"): (ON_CPU, after(create, upload, later("problem", "policy"), solve)),
    ("eplb_solve", "EPLB_INVALID_WEIGHT"): (ON_CPU, too_heavy_for_float32),
    ("eplb_solve", "EPLB_INVALID_PLACEMENT"): (ON_CPU, after(create, upload, stale_current, solve)),
    ("eplb_upload_placement", "EPLB_INVALID_PLACEMENT"): (ON_CPU, after(create, partial(stale_current, expert=-2))),
    ("eplb_map_shape", "EPLB_INVALID_STATE"): (ON_CPU, after(create, Caller.shape)),
    ("eplb_map_shape", "EPLB_UNAVAILABLE"): (ON_CPU, after(ready, lambda caller: caller.shape(1000))),
    ("eplb_fetch_map", "EPLB_INVALID_STATE"): (ON_CPU, after(create, Caller.fetch)),
    ("eplb_fetch_map", "EPLB_UNAVAILABLE"): (ON_CPU, after(ready, lambda caller: caller.fetch(1000))),
    ("eplb_fetch_report", "EPLB_INVALID_STATE"): (
        ON_CPU,
        after(create, lambda caller: caller.call("eplb_fetch_report", caller.context, caller.report)),
    ),
    ("eplb_fingerprint", "EPLB_INVALID_STATE"): (
        ON_CPU,
        after(create, lambda caller: caller.call("eplb_fingerprint", caller.context, ctypes.byref(ctypes.c_uint64()))),
    ),
    ("eplb_plan_transfers", "EPLB_INVALID_PLACEMENT"): (ON_CPU, after(create, partial(transfers, expert=-2))),
    ("eplb_plan_transfers", "EPLB_UNAVAILABLE"): (ON_CPU, after(create, partial(transfers, order=1000))),
    ("eplb_evaluate_windows", "EPLB_INVALID_STATE"): (ON_CPU, after(create, partial(Caller.evaluate, windows=True))),
    ("eplb_evaluate_windows", "EPLB_INVALID_PLACEMENT"): (
        ON_CPU,
        after(create, upload, partial(Caller.evaluate, expert=9, windows=True)),
    ),
    ("eplb_evaluate_windows", "EPLB_UNAVAILABLE"): (
        ON_CPU,
        after(create, upload_many_windows, partial(Caller.evaluate, windows=True)),
    ),
    ("eplb_evaluate", "EPLB_INVALID_STATE"): (ON_CPU, after(create, Caller.evaluate)),
    ("eplb_evaluate", "EPLB_INVALID_PLACEMENT"): (
        ON_CPU,
        after(create, upload, lambda caller: caller.evaluate(expert=9)),
    ),
}
for count in (device_count, device_name):
    CALLS[f"eplb_{count.__name__}", "EPLB_NOT_BUILT"] = (ON_CPU, count)
    CALLS[f"eplb_{count.__name__}", "EPLB_NO_DRIVER"] = (NO_DRIVER, count)
CALLS["eplb_solve_device", "EPLB_INVALID_PLACEMENT"] = (
    ON_EMULATED,
    after(on_cuda, Caller.reserve, on_stream("upload"), stale_current, on_stream("solve")),
)
CALLS["eplb_solve_device", "EPLB_UNAVAILABLE"] = (
    ON_EMULATED,
    after(
        on_cuda,
        partial(stale_current, expert=1),
        limit_in_total,
        Caller.reserve,
        on_stream("upload"),
        on_stream("solve"),
    ),
)
CALLS["eplb_upload_placement_device", "EPLB_INVALID_ARGUMENT"] = (ON_CPU, after(create, stale_current_device))
CALLS["eplb_upload_placement_device", "EPLB_INVALID_STATE"] = (ON_EMULATED, after(on_cuda, stale_current_device))
CALLS["eplb_device_name", "EPLB_NO_DEVICE"] = (ON_EMULATED, device_name)
CALLS["eplb_fetch_map_device", "EPLB_UNAVAILABLE"] = (
    ON_EMULATED,
    after(
        on_cuda,
        Caller.reserve,
        on_stream("upload"),
        on_stream("solve"),
        lambda caller: caller.fetch(NUMBERS["EPLB_MAP_WINDOW_BOUND"], device=True),
    ),
)
for name in ("split", "split_prepare", "static_dispatch"):
    CALLS[f"eplb_{name}", "EPLB_INVALID_STATE"] = (ON_CPU, after(create, partial(split, name=name)))
    CALLS[f"eplb_{name}", "EPLB_INVALID_PLACEMENT"] = (
        ON_CPU,
        after(create, upload, partial(split, name=name, expert=9)),
    )
    CALLS[f"eplb_{name}", "EPLB_INVALID_ARGUMENT"] = (
        ON_CPU,
        after(ready, more_slots, partial(split, name=name, of_plan=True)),
    )
for name in ("split", "split_prepare"):
    CALLS[f"eplb_{name}_device", "EPLB_INVALID_ARGUMENT"] = (
        ON_CPU,
        after(create, upload, partial(split, name=name, device=True)),
    )
    CALLS[f"eplb_{name}_device", "EPLB_INVALID_STATE"] = (
        ON_EMULATED,
        after(on_cuda, Caller.reserve, on_stream("upload"), partial(split, name=name, device=True)),
    )
for name, function in (("upload", "upload_weights"), ("solve", "solve"), ("fetch", "fetch_map")):
    CALLS[f"eplb_{function}_device", "EPLB_INVALID_ARGUMENT"] = (ON_CPU, after(create, on_stream(name)))
    CALLS[f"eplb_{function}_device", "EPLB_INVALID_STATE"] = (ON_EMULATED, after(on_cuda, on_stream(name)))


class Statuses(library.LibraryTest):
    def test_each_that_is_named_has_a_call(self):
        self.assertEqual(documented(), set(CALLS))

    def test_each_call_produces_its_status(self):
        for (function, status), (where, _) in CALLS.items():
            with self.subTest(function=function, status=status):
                if where == ON_CPU:
                    path = library.path()
                    if library.has_cuda() and status == "EPLB_NOT_BUILT":
                        self.skipTest("the library was built with CUDA")
                else:
                    path = os.path.join(os.path.dirname(library.path()), "libeplb_emulated.so")
                    if not os.path.exists(path):
                        self.skipTest("the emulated driver was not built")
                environment = dict(os.environ, EMULATED_CUDA="no_driver") if where == NO_DRIVER else None
                command = [sys.executable, __file__, path, function, status]
                answer = subprocess.run(command, capture_output=True, text=True, env=environment)
                self.assertEqual(answer.stdout.strip(), str(NUMBERS[status]), answer.stderr)


if __name__ == "__main__":
    print(CALLS[sys.argv[2], sys.argv[3]][1](Caller(sys.argv[1])))
