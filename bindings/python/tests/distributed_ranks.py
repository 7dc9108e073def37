"""Processes that form a group of torch.distributed with gloo on the loopback, and what they do for tests."""

import multiprocessing
import os
import time
from datetime import timedelta

import numpy as np

# For a job, or for a process to begin or end; far more than is needed.
PATIENCE = 120


class Ranks:
    """Processes that serve until they are closed. A job is a function of this module, called with the rank first."""

    def __init__(self, folder, size=4, timeout=60.0):
        spawning = multiprocessing.get_context("spawn")
        store = str(folder / f"store-{time.monotonic_ns()}")
        self.size = size
        self._pipes, self._processes = [], []
        for rank in range(size):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=serve, args=(rank, size, store, timeout, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        # The timeout is for the group, not for the import of torch on a busy machine.
        assert self._answers() == ["torch is there"] * size
        assert self("begin") == ["ready"] * size

    def __call__(self, job, *arguments, without=None):
        """What the job returned or raised on each rank; None where the process is gone, and of one not waited for."""
        for pipe in self._pipes:
            pipe.send((job, arguments))
        return self._answers(without)

    def _answers(self, without=None):
        deadline = time.monotonic() + PATIENCE
        return [None if rank == without else self._answer(pipe, deadline) for rank, pipe in enumerate(self._pipes)]

    def _answer(self, pipe, deadline):
        assert pipe.poll(max(0, deadline - time.monotonic())), "a rank hangs"
        try:
            return pipe.recv()
        except EOFError:
            return None

    def close(self):
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue
        for process in self._processes:
            process.join(2)
            process.kill()
            process.join()


def serve(rank, size, store, timeout, pipe):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch

    torch.set_num_threads(1)
    pipe.send("torch is there")
    pipe.recv()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=timeout)
    )
    pipe.send("ready")
    for job, arguments in iter(pipe.recv, None):
        try:
            answer = job(rank, *arguments)
        except Exception as error:
            answer = error
        pipe.send(answer)


def group_of(members):
    import torch.distributed

    return None if members is None else torch.distributed.new_group(members)


def same_error(answers, kind, *words):
    """Every rank has raised it."""
    assert [type(each) for each in answers] == [kind] * len(answers), answers
    assert len({str(each) for each in answers}) == 1
    for word in words:
        assert word in str(answers[0])
    return answers[0]


# ---------------------------------------------------------------------------------------------------------------- jobs


def reduce_loads(rank, counts, as_tensor=None):
    """counts has an array for each rank, which becomes a tensor of that type."""
    import eplb.distributed
    import torch

    local = counts[rank]
    if as_tensor is not None:
        local = torch.tensor(local, dtype=getattr(torch, as_tensor))
    total = eplb.distributed.all_reduce_loads(local)
    return type(total).__name__, str(total.dtype), np.asarray(total)


def solve(rank, call, arguments, options):
    """Arguments and options may be given by rank, in a list."""
    import eplb.distributed

    given = arguments[rank] if isinstance(arguments, list) else arguments
    more = options[rank] if isinstance(options, list) else options
    return answers_of(getattr(eplb.distributed, call)(*given, **more))


def answers_of(plan):
    """All that a plan says."""
    report = plan.report.to_dict()
    # Of this process alone.
    del report["microseconds"], report["context_bytes"]
    answers = {
        name: getattr(plan, name)
        for name in ("physical_to_logical", "logical_to_physical", "replica_count", "replica_slots", "gpu_load")
    }
    answers |= {name: getattr(plan, name) for name in ("window_imbalance", "window_bound", "off_home")}
    answers |= {"off_home_bound": plan.off_home_bound, "fingerprint": plan.fingerprint, "report": report}
    if report["layers_changed"] or report["moves_bound"]:
        answers |= {"changed": plan.changed, "moves": plan.moves.table(), "count": plan.moves.count}
    return answers


def pickled_plan(rank, arguments, options):
    """A plan whose report was not read."""
    import eplb.distributed

    return eplb.distributed.solve(*arguments, **options)


def solve_without_memory(rank, arguments, options, poor):
    """One rank runs out of memory in its share."""
    import eplb.distributed
    from eplb._session import Session

    kept = Session.solve

    def failing(session):
        raise eplb.OutOfMemory("no more host memory", 20, "EPLB_OUT_OF_MEMORY")

    Session.solve = failing if rank == poor else kept
    try:
        return answers_of(eplb.distributed.solve(*arguments, **options))
    finally:
        Session.solve = kept


def check_agreement(rank, plans):
    import eplb.distributed

    return eplb.distributed.check_agreement(plans[rank])


def call_different_functions(rank):
    import eplb.distributed

    if rank == 1:
        return eplb.distributed.check_agreement(np.zeros((1, 4), int))
    return eplb.distributed.all_reduce_loads([1, 2])


def move(rank, change, moves, options, members=None):
    """Moves parameters from the current placement of a change, and returns what the slots then hold."""
    import eplb.distributed

    gpus = options.get("gpus")
    group = group_of(members)
    if members is not None and rank not in members:
        return None
    gpu = rank if gpus is None else gpus[members.index(rank)]
    parameters = change.parameters(gpu)
    load = change.loader(parameters) if options.get("load") is not False else None
    given = moves[rank] if isinstance(moves, list) else moves
    eplb.distributed.move_experts(parameters, given, group, **{**options, "load": load})
    return change.read(parameters)


def move_and_fail(rank, change, moves, options, how, culprit, exchanges):
    """The same, but one rank fails at one of its exchanges. Returns the error and how long it took."""
    from eplb.distributed._wire import Wire

    exchange, count = Wire.exchange, [0]

    def failing(*arguments):
        count[0] += 1
        if rank == culprit and count[0] == exchanges:
            if how == "killed":
                os._exit(3)
            time.sleep(PATIENCE)
        return exchange(*arguments)

    Wire.exchange = failing
    try:
        return move(rank, change, moves, options)
    finally:
        Wire.exchange = exchange


def fail_before(rank, how, culprit):
    """One rank does not come to the call at all."""
    import eplb.distributed

    if rank == culprit:
        if how == "killed":
            os._exit(3)
        time.sleep(PATIENCE)
        return None
    return eplb.distributed.all_reduce_loads([1, 2, 3])


# ---------------------------------------------------------------------------------------------------------- parameters


class Change:
    """Two placements, and parameters in which every number says which expert of which layer it belongs to.

    Layers have lists and dicts, of whole and real numbers, scales, tensors without elements, and some that are not
    contiguous.
    """

    def __init__(self, current, placement, num_gpus):
        self.current, self.placement, self.num_gpus = current, placement, num_gpus

    def parameters(self, gpu):
        slots = range(*self._slots(gpu))
        return [self._layer(layer, [self.current[layer, slot] for slot in slots]) for layer in range(len(self.current))]

    def _slots(self, gpu):
        places = self.current.shape[1] // self.num_gpus
        return gpu * places, (gpu + 1) * places

    def _layer(self, layer, experts):
        import torch

        rows = [[_numbers(layer, expert, part) for expert in experts] for part in range(4)]
        whole = torch.tensor(rows[0], dtype=torch.int64).reshape(-1, 3, 2)
        real = torch.tensor(rows[1], dtype=torch.float32).reshape(-1, 2, 3).transpose(1, 2)
        half = torch.nn.Parameter(torch.tensor(rows[2], dtype=torch.bfloat16))
        scale = torch.tensor([row[0] for row in rows[3]], dtype=torch.float64)
        nothing = torch.empty(len(experts), 0, 7)
        if layer % 2:
            return {"whole": whole, "real": real, "scale": scale, "nothing": nothing}
        return [half, whole, scale]

    def loader(self, parameters):
        import torch

        def load(layer, expert, slot):
            source = self._layer(layer, [expert])
            with torch.no_grad():
                for into, stored in zip(_tensors(parameters[layer]), _tensors(source), strict=True):
                    into[slot] = stored[0]

        return load

    def read(self, parameters):
        return [[each.detach().double().numpy().copy() for each in _tensors(layer)] for layer in parameters]

    def expected(self, gpu):
        """By the placements alone: what each slot must hold; what nothing goes to keeps its bytes."""
        layers = []
        for layer in range(len(self.placement)):
            new = [
                self.placement[layer, slot] if self.placement[layer, slot] >= 0 else self.current[layer, slot]
                for slot in range(*self._slots(gpu))
            ]
            layers.append(self._layer(layer, new))
        return self.read(layers)


class FailingChange(Change):
    """The first reload fails."""

    def loader(self, parameters):
        def load(layer, expert, slot):
            raise FileNotFoundError("no such checkpoint")

        return load


class NoChange(Change):
    """Without parameters."""

    def parameters(self, gpu):
        return None


def _numbers(layer, expert, part):
    """Six numbers that bfloat16 can hold."""
    first = (layer * 31 + int(expert)) % 128 + 128 * (part % 2)
    return [first, *(int(expert) % 64 + each for each in range(5))]


def _tensors(layer):
    return [layer[name] for name in sorted(layer)] if isinstance(layer, dict) else layer
