#include "subject.h"

#include <stdexcept>

namespace bench {

const std::vector<Candidate>& all_candidates() {
  static const std::vector<Candidate> candidates = {
      {"GREEDY", EPLB_STRATEGY_GREEDY, EPLB_EFFORT_NORMAL},
      {"LPT_SWAP", EPLB_STRATEGY_LPT_SWAP, EPLB_EFFORT_NORMAL},
      {"L2_SWAP", EPLB_STRATEGY_L2_SWAP, EPLB_EFFORT_NORMAL},
      {"RANDOM_RESTARTS", EPLB_STRATEGY_RANDOM_RESTARTS, EPLB_EFFORT_NORMAL},
      {"NOISE_SPECTRUM", EPLB_STRATEGY_NOISE_SPECTRUM, EPLB_EFFORT_NORMAL},
      {"HYBRID_INIT", EPLB_STRATEGY_HYBRID_INIT, EPLB_EFFORT_NORMAL},
      {"BEST, FAST", EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST},
      {"BEST, NORMAL", EPLB_STRATEGY_BEST, EPLB_EFFORT_NORMAL},
      {"BEST, MAX", EPLB_STRATEGY_BEST, EPLB_EFFORT_MAX},
  };
  return candidates;
}

void ask(const Candidate& candidate, Shape shape, eplb_problem& problem,
         eplb_solve_options& options) {
  eplb_error err;
  if (eplb_problem_init(&problem, sizeof problem, &err) ||
      eplb_solve_options_init(&options, sizeof options, &err))
    throw std::runtime_error(err.text);
  problem.num_slots = shape.slots;
  problem.num_gpus = shape.gpus;
  problem.num_nodes = shape.nodes;
  problem.num_groups = shape.groups;
  options.strategy = candidate.strategy;
  options.effort = candidate.effort;
}

Subject::Subject(const Candidate& candidate, const Trace& trace, Shape shape,
                 const eplb_context_options* options)
    : trace_(trace), placement_(size_t(trace.layers) * shape.slots) {
  ask(candidate, shape, problem_, options_);
  eplb_error err;
  check(eplb_context_create(&context_, options, &err), err);
}

Subject::~Subject() { eplb_context_destroy(context_); }

void Subject::check(eplb_status status, const eplb_error& err) const {
  if (status != EPLB_OK)
    throw std::runtime_error(std::string(eplb_status_name(status)) + ": " + err.text);
}

bool Subject::available() {
  eplb_error err;
  check(eplb_upload_weights(context_, trace_.weights.data(), int64_t(trace_.weights.size()),
                            EPLB_FLOAT32, 1, trace_.layers, trace_.experts, &err),
        err);
  const eplb_status status = eplb_solve(context_, &problem_, &options_, &err);
  if (status == EPLB_UNAVAILABLE) return false;
  check(status, err);
  return true;
}

void Subject::run() {
  eplb_error err;
  check(eplb_upload_weights(context_, trace_.weights.data(), int64_t(trace_.weights.size()),
                            EPLB_FLOAT32, 1, trace_.layers, trace_.experts, &err),
        err);
  check(eplb_solve(context_, &problem_, &options_, &err), err);
  check(eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement_.data(),
                       int64_t(placement_.size()), &err),
        err);
}

void Subject::solve() {
  eplb_error err;
  check(eplb_solve(context_, &problem_, &options_, &err), err);
}

void Subject::fetch_logical_to_physical() {
  eplb_error err;
  if (slots_of_experts_.empty()) {
    int32_t rank = 0;
    int64_t dims[4];
    check(eplb_map_shape(context_, EPLB_MAP_LOGICAL_TO_PHYSICAL, &rank, dims, 4, &err), err);
    slots_of_experts_.resize(dims[0] * dims[1] * dims[2]);
  }
  check(eplb_fetch_map(context_, EPLB_MAP_LOGICAL_TO_PHYSICAL, EPLB_INT32, slots_of_experts_.data(),
                       int64_t(slots_of_experts_.size()), &err),
        err);
}

eplb_report Subject::report() {
  eplb_error err;
  eplb_report report;
  check(eplb_report_init(&report, sizeof report, &err), err);
  check(eplb_fetch_report(context_, &report, &err), err);
  return report;
}

}  // namespace bench
