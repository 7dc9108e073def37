"""The reference against the torch programs that it stands for, on real weights. Skipped where torch or data is absent.

Torch's sorts are unstable; they are made stable here, as that is all in which GREEDY may differ from what is published,
and torch's chance is replaced by ours. The programs then differ only where float32 and 29-bit integers round
differently.
"""

import importlib.util
import pathlib

import pytest
from philox import Chance
from placement import gpu_loads
from reference import Layer, Problem, solve

torch = pytest.importorskip("torch")

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
PROGRAM_OF = {
    "lpt_swap": "vectorized_lpt_and_swap",
    "l2_swap": "l2_opt_packing_gpu",
    "random_restarts": "gpu_parallel_randomized_greedy_refinement",
    "noise_spectrum": "parallel_candidates_and_gpu_fix",
    "hybrid_init": "hybrid_init_packing",
}
PROBLEMS = [Problem(80, 16, 4, 8), Problem(72, 8), Problem(96, 32)]


def reference_programs():
    """The module that makes the reference programs runnable."""
    path = SHARED / "seeds" / "seed_programs.py"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    spec = importlib.util.spec_from_file_location("seed_programs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def traces():
    """Layers of 64 real expert weights, as ints: windows summed."""
    numpy = pytest.importorskip("numpy")
    layers = []
    for name in ("olmoe-1b-7b_7domains_T7xL16xE64.npz", "deepseek-moe-16b-chat_7domains_T7xL27xE64.npz"):
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"{path} is not there")
        with numpy.load(path) as file:
            windows = next(file[key] for key in file.files if file[key].ndim == 3)
        layers += windows.astype(numpy.int64).sum(0).tolist()
    return layers


@pytest.fixture
def stable_sorts(monkeypatch):
    """Tensor.sort and Tensor.argsort that keep equal elements in order."""
    sort = torch.Tensor.sort

    def stable(self, dim=-1, descending=False, **_):
        return sort(self, stable=True, dim=dim, descending=descending)

    monkeypatch.setattr(torch.Tensor, "sort", stable)
    monkeypatch.setattr(torch.Tensor, "argsort", lambda self, *args, **named: stable(self, *args, **named).indices)
    torch.set_num_threads(1)


def greedy_packing(weight, num_packs):
    """The published packing, written as its contract says: float32, heaviest first, lightest pack with room."""
    rows, items = weight.shape
    each = items // num_packs
    pack_of, rank_of = torch.zeros(rows, items, dtype=torch.int64), torch.zeros(rows, items, dtype=torch.int64)
    if each == 1:
        return torch.arange(items).expand(rows, items), rank_of
    for row, order in enumerate(weight.sort(-1, descending=True).indices.tolist()):
        load, used = torch.zeros(num_packs), [0] * num_packs
        for item in order:
            pack = min((p for p in range(num_packs) if used[p] < each), key=load.tolist().__getitem__)
            pack_of[row, item], rank_of[row, item] = pack, used[pack]
            used[pack] += 1
            load[pack] += weight[row, item]
    return pack_of, rank_of


def torch_answer(program, rows, problem):
    """(physical_to_logical, counts) of a torch program, as lists."""
    answer = program(torch.tensor(rows), problem.num_slots, problem.num_groups, problem.num_nodes, problem.num_gpus)
    return answer[0].tolist(), answer[2].tolist()


def layers_that_agree(strategy, rows, problem):
    """In how many layers the strategy and its program put the same experts on every GPU. All counts must agree."""
    program = reference_programs().all_seeds(str(SHARED / "seeds"))[PROGRAM_OF[strategy]]
    placed, counts = torch_answer(program, rows, problem)
    layers = solve(strategy, rows, problem)
    assert [layer.replica_count for layer in layers] == counts
    pairs = [
        (experts_per_gpu(layer.physical_to_logical, problem), slots)
        for layer, slots in zip(layers, placed, strict=False)
    ]
    return sum(ours == experts_per_gpu(slots, problem) for ours, slots in pairs)


def experts_per_gpu(row, problem):
    each = problem.num_slots // problem.num_gpus
    return [sorted(row[g * each : (g + 1) * each]) for g in range(problem.num_gpus)]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.num_slots}on{p.num_gpus}")
def test_greedy_is_the_published_program(problem, stable_sorts):
    """With its sorts made stable: the same bits. Group sums are exact (below 2^24), so their order cannot matter."""
    rows = [[w % 2**17 for w in row] for row in traces()][::3]
    placed, counts = torch_answer(reference_programs().program(greedy_packing), rows, problem)
    for row, layer, slots, count in zip(rows, solve("greedy", rows, problem), placed, counts, strict=False):
        assert layer.replica_count == count
        assert layer.physical_to_logical == slots
        assert sum(gpu_loads(row, layer, problem)) == sum(row)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.num_slots}on{p.num_gpus}")
def test_greedy_against_unstable_sorts(problem):
    """The published program as it is: docs/algorithms.md promises equal counts and equal sorted GPU loads."""
    rows = [[w % 2**17 for w in row] for row in traces()][1::3]
    placed, counts = torch_answer(reference_programs().program(greedy_packing), rows, problem)
    for row, layer, slots, count in zip(rows, solve("greedy", rows, problem), placed, counts, strict=False):
        assert layer.replica_count == count
        theirs = Layer(slots, count, [])
        assert sorted(gpu_loads(row, layer, problem)) == sorted(gpu_loads(row, theirs, problem))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.num_slots}on{p.num_gpus}")
@pytest.mark.parametrize("strategy", ["lpt_swap", "l2_swap"])
def test_swaps_are_the_programs(strategy, problem, stable_sorts):
    """The same experts on each GPU in 19 of 20 layers: a float32 tie that integers resolve, or the reverse, is rare."""
    rows = traces()
    assert layers_that_agree(strategy, rows, problem) >= 0.95 * len(rows)


def our_chance(calls):
    """A rand_like that gives what the reference draws. The rows of a call are (layer, chain); `calls` has the first
    chain and the number of chains of each. For a global problem, whose only packing is that of replicas on GPUs.
    """
    chance, calls = Chance(0, Chance.REPLICAS_ON_GPUS, 0), iter(calls)

    def rand_like(tensor):
        first, chains = next(calls)
        words = [[chance.word(first + c, item) >> 8 for item in range(tensor.shape[-1])] for c in range(chains)]
        layers = tensor.numel() // (chains * tensor.shape[-1])
        return (torch.tensor(words, dtype=torch.float64) / 2**24).float().repeat(layers, 1).view(tensor.shape)

    return rand_like


@pytest.mark.parametrize(
    ("strategy", "calls"),
    [("random_restarts", [(1, 3)]), ("noise_spectrum", [(0, 64)]), ("hybrid_init", [(0, 64), (64, 32)])],
)
def test_chains_are_the_programs(strategy, calls, stable_sorts, monkeypatch):
    """With our chance the programs' chains choose as ours do. Two chains of nearly equal merit may tie in float32."""
    rows = traces()[::6]
    monkeypatch.setattr(torch, "rand_like", our_chance(calls))
    assert layers_that_agree(strategy, rows, Problem(72, 8)) >= len(rows) - 1
