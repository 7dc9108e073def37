#include "problems.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>

namespace eplb::tests {
namespace {

using Random = std::mt19937_64;

int below(Random& random, int n) { return static_cast<int>(random() % static_cast<uint64_t>(n)); }

constexpr eplb_dtype kDtypes[] = {EPLB_FLOAT32, EPLB_FLOAT64, EPLB_INT32, EPLB_INT64};
constexpr const char* kDtypeNames[] = {"float32", "float64", "int32", "int64"};

void set_problem(input& in, Random& random, uint64_t seed) {
  const int nodes = 1 + below(random, 4) % 3,
            gpus = nodes * (1 + below(random, seed % 10 == 0 ? 80 : 20));
  const int groups = nodes * (1 + below(random, 3));
  const int experts = groups * (1 + below(random, seed % 7 == 0 ? 60 : 12));
  const int per_gpu = (experts + gpus - 1) / gpus + below(random, 4);
  in.experts = experts;
  EXPECT(EPLB_OK, CALL(problem_init)(&in.problem, sizeof in.problem, ERR));
  EXPECT(EPLB_OK, CALL(solve_options_init)(&in.options, sizeof in.options, ERR));
  in.problem.num_slots = per_gpu * gpus;
  in.problem.num_gpus = gpus;
  in.problem.num_nodes = nodes;
  in.problem.num_groups = groups;
  in.problem.policy = below(random, 3);
  in.problem.bound_kind = below(random, 2);
  if (below(random, 4) == 0)
    in.options.max_replicas = (per_gpu * gpus + experts - 1) / experts + below(random, 3);
  in.options.seed = seed << 30;
}

void make_soft(input& in, Random& random) {
  in.problem.policy = EPLB_POLICY_SOFT;
  in.problem.num_nodes = 1 + below(random, 5);
  in.problem.num_groups = below(random, static_cast<int>(in.experts) + 2);
  in.problem.off_home_target = std::array{1.0, 1.01, 1.1, 2.0}[below(random, 4)];
  in.options.allow_empty = below(random, 4) == 0;
  if (below(random, 2) == 0) return;
  const int64_t groups = std::max<int64_t>(in.problem.num_groups, 1);
  input_set_prices(&in, below(random, 2) ? in.experts : groups, random());
}

// They count for the objective of windows only.
void weigh_windows(input& in, Random& random) {
  if (in.windows == 1 || below(random, 2)) return;
  in.window_weights = static_cast<double*>(std::calloc(static_cast<size_t>(in.windows), 8));
  for (int64_t t = 0; t < in.windows; t++)
    in.window_weights[t] = std::array{0.0, 0.3, 1.0, 2.0, 1e-3}[below(random, 5)];
  in.window_weights[below(random, static_cast<int>(in.windows))] = 2;
}

// Ties everywhere, whole numbers, skewed as measured ones are, tiny ones, and some zeros among
// outliers.
double any_weight(Random& random, int kind) {
  std::lognormal_distribution<double> lognormal(10, 1.2);
  switch (kind) {
    case 0: return below(random, 6);
    case 1: return below(random, 1000000);
    case 2: return std::floor(lognormal(random));
    case 3: return lognormal(random) * 1e-3;
    default:
      return below(random, 8) == 0 ? 0.0 : lognormal(random) * (below(random, 9) == 0 ? 30 : 1);
  }
}

void fill(Input& in, Random& random) {
  const int64_t row = in->experts;
  int kind = 0;
  for (int64_t i = 0; i < in.length(); i++) {
    if (i % row == 0) kind = below(random, 12) == 0 ? 5 : below(random, 5);  // 5: a layer of zeros
    const double weight = kind == 5 ? 0 : any_weight(random, kind);
    switch (in->dtype) {
      case EPLB_FLOAT32: in.weights<float>()[i] = static_cast<float>(weight); break;
      case EPLB_FLOAT64: in.weights<double>()[i] = weight; break;
      case EPLB_INT32: in.weights<int32_t>()[i] = static_cast<int32_t>(weight); break;
      // Some sums need more bits than a double has.
      default: in.weights<int64_t>()[i] = static_cast<int64_t>(weight) << (kind == 1 ? 36 : 0);
    }
  }
}

}  // namespace

std::string Method::name() const {
  constexpr const char* kEfforts[] = {" FAST", " NORMAL", " MAX"};
  std::string name = strategy_name(strategy);
  if (strategy == EPLB_STRATEGY_BEST) name += kEfforts[effort];
  return name;
}

void Method::choose(Input& in, eplb_policy policy) const {
  const bool knows_homes = strategy >= EPLB_STRATEGY_BEST || policy != EPLB_POLICY_SOFT;
  in->options.strategy = strategy;
  in->options.effort = effort;
  in->problem.policy = knows_homes ? policy : EPLB_POLICY_GLOBAL;
}

const std::vector<Method>& all_methods() {
  static const std::vector<Method> methods = [] {
    std::vector<Method> list;
    for (eplb_strategy strategy = EPLB_STRATEGY_GREEDY; strategy < EPLB_STRATEGY_BEST; strategy++)
      list.push_back({strategy, EPLB_EFFORT_NORMAL});
    for (eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX})
      list.push_back({EPLB_STRATEGY_BEST, effort});
    return list;
  }();
  return methods;
}

Input random_input(uint64_t seed, int64_t least_windows) {
  Random random(seed);
  input in{};
  do set_problem(in, random, seed);
  while (in.problem.num_slots > settings().most_slots);
  in.dtype = kDtypes[below(random, 4)];
  in.windows = std::max<int64_t>(below(random, 3) == 0 ? 2 + below(random, 3) : 1, least_windows);
  in.layers = 1 + below(random, 5);
  in.weights = std::calloc(static_cast<size_t>(input_length(&in)), input_element_size(in.dtype));
  if (below(random, 4) == 0) make_soft(in, random);
  weigh_windows(in, random);
  Input owner(in);
  fill(owner, random);
  return owner;
}

std::string describe(const Input& in) {
  constexpr const char* kPolicies[] = {"auto", "hierarchical", "global", "soft"};
  const eplb_problem& p = in->problem;
  const auto number = [](int64_t n) { return std::to_string(n); };
  return number(in->windows) + "x" + number(in->layers) + "x" + number(in->experts) + " " +
         kDtypeNames[in->dtype] + " on " + number(p.num_slots) + "/" + number(p.num_gpus) + ", " +
         number(p.num_groups) + " groups, " + number(p.num_nodes) + " nodes, " +
         kPolicies[p.policy] + (in->prices ? ", prices by " + number(in->price_columns) : "") +
         (in->window_weights ? ", windows weighted" : "") + ", cap " +
         number(in->options.max_replicas);
}

Input small_input(int64_t layers, uint64_t seed, eplb_dtype dtype) {
  Input in(input_make(dtype, layers, 16, 24, 4, seed));
  in->options.strategy = EPLB_STRATEGY_LPT_SWAP;
  return in;
}

}  // namespace eplb::tests
