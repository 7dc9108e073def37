#include "machines/cpu/cpu_machine.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "targets.h"

namespace eplb::cpu {
namespace {

struct Layers {
  const std::function<void(int64_t, int)>& work;
  int64_t count;
  const Interrupt& interrupt;
  std::atomic<int64_t> next{0};

  void take(int worker) {
    for (int64_t layer; (layer = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      if (interrupt.asked()) return;
      work(layer, worker);
    }
  }
};

struct Worker {
  Layers& layers;
  int number;
  pthread_t thread;
};

void* start(void* argument) {
  const Worker& worker = *static_cast<Worker*>(argument);
  worker.layers.take(worker.number);
  return nullptr;
}

// Calls work(layer, worker) once for each layer, on `workers` threads, of which the calling one is
// worker 0: a free worker takes the next layer. Where a thread cannot be had, fewer of them do it
// all. They end with the work, and no signal of the process is handled on them. One worker
// allocates nothing.
void run_layers(int workers, Layers& layers) {
  if (workers <= 1) return layers.take(0);
  std::vector<Worker> others;
  others.reserve(workers - 1);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the new threads
  for (int w = 1; w < workers; ++w) {
    others.push_back({layers, w, {}});
    if (pthread_create(&others.back().thread, nullptr, start, &others.back()) != 0) {
      others.pop_back();
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  layers.take(0);
  for (const Worker& worker : others) pthread_join(worker.thread, nullptr);
}

// More threads than processors gain nothing. A few more are allowed on small machines: there they
// cost little, and processors may be added.
int64_t most_threads() {
  constexpr int64_t kFew = 16;
  return std::max<int64_t>(kFew, std::thread::hardware_concurrency());
}

}  // namespace

void CpuMachine::share_layers(int64_t count, int64_t bytes,
                              const std::function<void(int64_t, int)>& work) {
  Layers layers{work, count, *interrupt};
  run_layers(prepare_workers(count, bytes), layers);
  interrupt->check();
}

CpuMachine::CpuMachine(int64_t num_threads, const InstructionSet& instruction_set)
    : instruction_set_(instruction_set), num_threads_(std::min(num_threads, most_threads())) {}

int CpuMachine::prepare_workers(int64_t layers, int64_t bytes) {
  const auto workers = std::min(num_threads_, layers);
  const auto lines = static_cast<size_t>(lines_for(bytes));
  if (memory_.size() < static_cast<size_t>(workers)) memory_.resize(workers);
  for (int64_t w = 0; w < workers; ++w) {
    if (memory_[w].size() >= lines) continue;
    memory_[w] = Lines();  // given up first: the new one may need its memory
    memory_[w].resize(lines);
  }
  return static_cast<int>(workers);
}

void CpuMachine::reserve(const Problem& problem, const std::function<void()>& then) {
  then();
  prepare_workers(problem.layers, instruction_set_.workspace_bytes(problem));
}

bool CpuMachine::solve(const Weights& weights, bool, Plan& plan) {
  const Problem& problem = plan.problem;
  auto solve_layer = [&](int64_t layer, int worker) {
    const int64_t slot = layer * problem.cluster.slots;  // the layer's first
    const LayerTask task{.layer = layer,
                         .weights = weights.of_layer(layer),
                         .physical_to_logical = &plan.physical_to_logical[slot],
                         .replica_count = &plan.replica_count[layer * problem.experts],
                         .replica_slots = &plan.replica_slots[slot]};
    instruction_set_.solve(problem, task, workspace_of(worker));
  };
  share_layers(problem.layers, instruction_set_.workspace_bytes(problem), std::ref(solve_layer));
  return false;
}

void CpuMachine::evaluate(const Weights& weights, bool, const Problem& problem,
                          const int32_t* placement, EvaluationParts parts, Evaluation& evaluation) {
  auto evaluate_layer = [&](int64_t layer, int worker) {
    const EvaluationTask task{.wanted = parts,
                              .weights = weights.of_layer(layer),
                              .placement = placement + layer * problem.cluster.slots,
                              .gpu_load = &evaluation.gpu_load[layer * problem.cluster.gpus],
                              .figures = &evaluation.layers[layer]};
    instruction_set_.evaluate(problem, task, workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.evaluate_workspace_bytes(problem, parts);
  share_layers(weights.layers, bytes, std::ref(evaluate_layer));
  evaluation.known |= parts;
}

void CpuMachine::evaluate_windows(const Weights& weights, const Problem& problem,
                                  const int32_t* placement, EvaluationParts parts,
                                  WindowFigures& figures) {
  auto evaluate_layer = [&](int64_t layer, int worker) {
    for (int64_t window = 0; window < weights.windows; ++window) {
      const EvaluationTask task{.wanted = parts,
                                .weights = weights.of_window(window, layer),
                                .placement = placement + layer * problem.cluster.slots,
                                .gpu_load = nullptr,
                                .figures = &figures.at(window, layer)};
      instruction_set_.evaluate(problem, task, workspace_of(worker));
    }
  };
  const int64_t bytes = instruction_set_.evaluate_workspace_bytes(problem, parts);
  share_layers(weights.layers, bytes, std::ref(evaluate_layer));
  figures.known |= parts;
}

void CpuMachine::find_paths(const Weights& weights, bool, const Problem& problem,
                            MovePaths& paths) {
  auto find_path = [&](int64_t layer, int worker) {
    const PathTask task{.layer = layer,
                        .weights = weights.of_layer(layer),
                        .most = paths.most,
                        .time = paths.of_layer(layer),
                        .mean = &paths.mean[layer]};
    instruction_set_.find_path(problem, task, workspace_of(worker));
  };
  share_layers(problem.layers, instruction_set_.workspace_bytes(problem), std::ref(find_path));
}

void CpuMachine::plan_transfers(const Problem& problem, const int32_t* placement,
                                Transfers& transfers) {
  auto plan_layer = [&](int64_t layer, int worker) {
    const int64_t slot = layer * problem.cluster.slots;  // the layer's first
    const TransferTask task{.current = problem.current.expert + slot,
                            .placement = placement + slot,
                            .source = &transfers.source[slot],
                            .round = &transfers.round[slot],
                            .group = &transfers.group[slot],
                            .moves = &transfers.layers[layer]};
    instruction_set_.plan_transfers(problem, task, workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.transfer_workspace_bytes(problem);
  share_layers(problem.layers, bytes, std::ref(plan_layer));
  transfers.known = true;
}

void CpuMachine::prepare_split(SplitPlacement& over) {
  const Problem& problem = over.problem;
  over.lines_per_layer = lines_for(instruction_set_.graph_bytes(problem));
  over.graphs.resize(static_cast<size_t>(problem.layers * over.lines_per_layer));
  auto make_graph = [&](int64_t layer, int worker) {
    instruction_set_.make_graph(problem,
                                {&over.expert[layer * problem.cluster.slots], over.graph_of(layer)},
                                workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.graph_workspace_bytes(problem);
  share_layers(problem.layers, bytes, std::ref(make_graph));
}

void CpuMachine::split(const Weights& weights, SplitPlacement& over, int tolerance, Split& split) {
  const Problem& problem = over.problem;
  auto split_layer = [&](int64_t layer, int worker) {
    const SplitTask task{.weights = weights.of_layer(layer),
                         .graph = over.graph_of(layer),
                         .quota = &split.quota[layer * problem.cluster.slots],
                         .tight = &split.tight[layer * problem.cluster.gpus]};
    instruction_set_.split(problem, task, tolerance, workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.split_workspace_bytes(problem);
  share_layers(problem.layers, bytes, std::ref(split_layer));
}

void CpuMachine::evaluate_split(const Weights& weights, SplitPlacement& over, const Split& split,
                                SplitParts parts, SplitEvaluation& evaluation) {
  const Problem& problem = over.problem;
  auto evaluate_layer = [&](int64_t layer, int worker) {
    const int64_t slot = layer * problem.cluster.slots, gpu = layer * problem.cluster.gpus;
    const SplitTask task{.weights = weights.of_layer(layer),
                         .graph = over.graph_of(layer),
                         .quota = const_cast<int32_t*>(&split.quota[slot]),
                         .tight = const_cast<int32_t*>(&split.tight[gpu])};
    const SplitOutputs out = evaluation.of_layer(layer, slot, gpu, parts);
    instruction_set_.evaluate_split(problem, task, out, workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.split_workspace_bytes(problem);
  share_layers(problem.layers, bytes, std::ref(evaluate_layer));
  evaluation.known |= parts;
}

void CpuMachine::dispatch(const Weights& weights, SplitPlacement& over, StaticDispatch& dispatch) {
  const Problem& problem = dispatch.problem;
  auto dispatch_layer = [&](int64_t layer, int worker) {
    const DispatchTask task{.weights = weights.of_layer(layer),
                            .placement = &over.expert[layer * problem.cluster.slots],
                            .graph = over.graph_of(layer),
                            .out = dispatch.of_layer(layer)};
    instruction_set_.dispatch(problem, task, workspace_of(worker));
  };
  const int64_t bytes = instruction_set_.dispatch_workspace_bytes(problem);
  share_layers(problem.layers, bytes, std::ref(dispatch_layer));
}

int64_t CpuMachine::bytes() const {
  int64_t sum = sizeof *this;
  for (const Lines& memory : memory_) sum += bytes_of(memory);
  return sum;
}

#define EPLB_DECLARE(target) extern const InstructionSet instruction_set_##target;
EPLB_TARGETS(EPLB_DECLARE)

std::span<const InstructionSet* const> instruction_sets() {
#define EPLB_LIST(target) &instruction_set_##target,
  static constexpr const InstructionSet* kAll[] = {EPLB_TARGETS(EPLB_LIST)};
  return kAll;
}

const InstructionSet& fastest_instruction_set() {
  for (const InstructionSet* instruction_set : instruction_sets())
    if (instruction_set->supported()) return *instruction_set;
  return *instruction_sets().back();
}

MachineFacts facts() {
  MachineFacts facts;
  facts.backend.built = 1;
  facts.backend.status = EPLB_OK;
  facts.backend.num_devices = 1;
  facts.sentence = std::string("uses ") + fastest_instruction_set().name + ", built for";
  for (const InstructionSet* instruction_set : instruction_sets())
    facts.sentence += std::string(" ") + instruction_set->name;
  return facts;
}

std::string device_name() { return std::string("CPU (") + fastest_instruction_set().name + ")"; }

std::unique_ptr<Machine> make_machine(int64_t num_threads) {
  return std::make_unique<CpuMachine>(num_threads);
}

}  // namespace eplb::cpu
