#include <algorithm>
#include <cmath>
#include <limits>

#include "draw.h"

namespace eplb::fuzz {
namespace {

constexpr int64_t kStrange[] = {-1,
                                0,
                                1,
                                kMostSlots,
                                kMostSlots + 1,
                                int64_t{1} << 40,
                                std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min()};

// Constants that this version knows, from 0 to `last`; sometimes one that it does not.
int32_t draw_constant(Bytes& bytes, int32_t last) {
  const uint8_t byte = bytes.byte();
  if (byte == 255) return -1;
  if (byte == 254) return last + 1;
  if (byte == 253) return std::numeric_limits<int32_t>::max();
  return byte % (last + 1);
}

double draw_imbalance(Bytes& bytes, double plain) {
  const double kinds[] = {plain, 1,    1.001, 1.01, 1.1,  1.5,
                          2,     1024, 0.999, 1025, -1.5, std::nan("")};
  const uint8_t byte = bytes.byte();
  if (byte < 128) return plain;
  return byte < 250 ? kinds[byte % 8] : kinds[byte % 12];
}

void draw_limits(Bytes& bytes, const Shape& shape, eplb_solve_options& options) {
  const int kinds = bytes.byte();
  const auto some = [&] { return draw_near(bytes, bytes.below(shape.slots + 2)); };
  if (kinds & 1) options.max_moves = some();
  if (kinds & 2) {
    const int64_t most = some(), more = bytes.below(3) * shape.slots;
    options.max_moves_total = most > INT64_MAX - more ? most : most + more;
  }
  if (kinds & 4) options.max_arrivals = draw_near(bytes, bytes.below(4));
  if (kinds & 8) options.target = bytes.one_in(4) ? 0 : draw_imbalance(bytes, 1.05);
  constexpr double kPrices[] = {0, 0.001, 0.01, 0.1, 1, 1024, -0.1, 1025};
  if (kinds & 16) options.move_price = bytes.pick(kPrices);
}

eplb_policy draw_policy(Bytes& bytes, const Shape& shape) {
  const eplb_policy policy = draw_constant(bytes, EPLB_POLICY_SOFT);
  const bool is_whole = shape.experts % shape.groups == 0 && shape.groups % shape.nodes == 0;
  const bool fits = policy != EPLB_POLICY_HIERARCHICAL || is_whole;
  return fits || bytes.one_in(8) ? policy : EPLB_POLICY_GLOBAL;
}

// One that knows what is asked for.
eplb_strategy draw_strategy(Bytes& bytes, const eplb_problem& problem, bool has_current) {
  const eplb_strategy any = draw_constant(bytes, EPLB_STRATEGY_REBALANCE);
  if (bytes.one_in(16)) return any;
  const bool by_excess =
      problem.policy == EPLB_POLICY_SOFT || problem.objective != EPLB_OBJECTIVE_SUM;
  if (has_current && bytes.one_in(2)) return EPLB_STRATEGY_REBALANCE;
  return by_excess || any == EPLB_STRATEGY_REBALANCE ? EPLB_STRATEGY_BEST : any;
}

void make_strange(Bytes& bytes, eplb_problem& problem) {
  problem.num_slots = draw_near(bytes, problem.num_slots);
  // Legal, but not in an instant.
  if (problem.num_slots == kMostSlots) problem.num_slots = kMostSlots + 1;
  problem.num_gpus = draw_near(bytes, problem.num_gpus);
  problem.num_nodes = draw_near(bytes, problem.num_nodes);
  problem.num_groups = draw_near(bytes, problem.num_groups);
  problem.bound_kind = draw_constant(bytes, EPLB_BOUND_NODE);
  problem.reserved = bytes.one_in(32) ? 1 : 0;
}

int64_t draw_cap(Bytes& bytes, const Shape& shape) {
  return draw_near(bytes, (shape.slots + shape.experts - 1) / shape.experts + bytes.from(0, 3));
}

}  // namespace

int64_t draw_near(Bytes& bytes, int64_t size) {
  const uint8_t byte = bytes.byte();
  if (byte < 240) return size;
  if (byte >= 248) return kStrange[byte % 8];
  constexpr int64_t kSteps[] = {-2, -1, 1, 2, 3, 8, -8, 16};
  return size + kSteps[byte % 8];
}

Shape draw_shape(Bytes& bytes) {
  Shape shape;
  const uint8_t kind = bytes.byte();
  const bool large = kind == 255;
  shape.nodes = bytes.from(1, 4);
  shape.gpus = shape.nodes * bytes.from(1, large ? 12 : 4);
  const int64_t places = bytes.from(1, large ? 12 : 5);
  shape.slots = shape.gpus * places;
  shape.groups = shape.nodes * bytes.from(1, 3);
  // Whole groups on nodes, which the hierarchical policy needs; or any number of experts, and one
  // of groups with which AUTO is not hierarchical.
  const int64_t most_each = shape.slots / shape.groups;
  const bool whole = kind % 4 != 3 && most_each > 0;
  shape.experts = whole ? shape.groups * bytes.from(1, most_each) : bytes.from(1, shape.slots);
  if (!whole) shape.groups = shape.nodes == 1 ? 1 : shape.groups + 1;
  constexpr int64_t kWindows[] = {1, 1, 1, 2, 3, 5, 1, 65};
  shape.windows = bytes.pick(kWindows);
  shape.layers = bytes.from(1, large ? 2 : 3);
  return shape;
}

eplb_problem problem_of(const Shape& shape, const eplb_problem& defaults) {
  eplb_problem problem = defaults;
  problem.num_slots = shape.slots;
  problem.num_gpus = shape.gpus;
  problem.num_nodes = shape.nodes;
  problem.num_groups = shape.groups;
  return problem;
}

eplb_problem draw_problem(Bytes& bytes, const Shape& shape, const eplb_problem& defaults) {
  eplb_problem problem = problem_of(shape, defaults);
  problem.policy = draw_policy(bytes, shape);
  const uint8_t kinds = bytes.byte();
  problem.bound_kind = kinds & 1;
  if (kinds & 2) problem.objective = draw_constant(bytes, EPLB_OBJECTIVE_SPLIT);
  if (kinds & 4) problem.off_home_target = draw_imbalance(bytes, 1.05);
  if (kinds & 8) problem.max_replicas = draw_cap(bytes, shape);
  if ((kinds & 48) == 48) make_strange(bytes, problem);
  return problem;
}

eplb_solve_options draw_options(Bytes& bytes, const Shape& shape, const eplb_problem& problem,
                                bool has_current, const eplb_solve_options& defaults) {
  eplb_solve_options options = defaults;
  options.strategy = draw_strategy(bytes, problem, has_current);
  // More effort takes longer than it is worth.
  const bool small = shape.slots * shape.layers * shape.windows <= 40;
  options.effort =
      bytes.one_in(small ? 12 : 200) ? draw_constant(bytes, EPLB_EFFORT_MAX) : EPLB_EFFORT_FAST;
  const uint8_t kinds = bytes.byte();
  if (kinds & 1) options.seed = bytes.random().next();
  if (kinds & 2) options.max_replicas = draw_cap(bytes, shape);
  if (kinds & 4) options.transfer_order = draw_constant(bytes, EPLB_TRANSFER_EXCLUSIVE);
  if (kinds & 8) options.allow_empty = draw_constant(bytes, 1);
  if (kinds & 16) draw_limits(bytes, shape, options);
  return options;
}

}  // namespace eplb::fuzz
