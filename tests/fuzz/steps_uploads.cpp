#include <algorithm>

#include "failure.h"
#include "program.h"

namespace eplb::fuzz {
namespace {

using ll = long long;

struct WeightArguments {
  const void* data;
  int64_t length;
  eplb_dtype dtype;
  int64_t layers;
};
struct PlacementArguments {
  const void* data;
  int64_t length;
  eplb_dtype dtype;
  int64_t slots;
};

// Mostly nothing. Is one of them wrong?
bool spoil(Bytes& bytes, WeightArguments& arguments) {
  const WeightArguments before = arguments;
  const uint8_t kind = bytes.byte();
  if (kind == 255) arguments.data = nullptr;
  if (kind == 254) arguments.length += bytes.pick({-1, 1, 1000, -1000000});
  if (kind == 253) arguments.dtype = bytes.pick({-1, 4, 1 << 30});
  if (kind == 252) arguments.layers = draw_near(bytes, arguments.layers);
  return kind >= 253 || arguments.layers != before.layers;
}
bool spoil(Bytes& bytes, PlacementArguments& arguments) {
  const PlacementArguments before = arguments;
  const uint8_t kind = bytes.byte();
  if (kind == 255) arguments.length += bytes.pick({-1, 1, 1000, -1000000});
  if (kind == 254) arguments.dtype = bytes.pick({-1, 0, 1, 4});
  if (kind == 253) arguments.slots = draw_near(bytes, arguments.slots);
  return kind >= 254 || arguments.slots != before.slots;
}

}  // namespace

void create(Program& program) {
  constexpr int64_t kThreads[] = {1, 1, 1, 1, 2, 3, 1000000, int64_t{1} << 62};
  const int64_t threads = program.bytes.pick(kThreads);
  const uint8_t twin = program.bytes.byte();
  const int64_t twin_threads = twin % 4 == 0 ? 0 : twin % 16 == 15 ? 1 + threads % 2 : 1;
  trace("create: %lld threads", ll{threads});
  program.subjects[program.chosen] =
      std::make_unique<Subject>(threads, twin_threads, static_cast<size_t>(twin / 16));
}

void upload_weights(Program& program) {
  DrawnWeights drawn = draw_weights(program.bytes, program.shape);
  const KnownWeights& known = drawn.known;
  WeightArguments arguments{drawn.bytes.data(), static_cast<int64_t>(known.each.size()),
                            known.dtype, known.layers};
  const bool fits = !spoil(program.bytes, arguments);
  trace("upload_weights: %lld windows, %lld layers, %lld experts, dtype %d", ll{known.windows},
        ll{arguments.layers}, ll{known.experts}, arguments.dtype);
  trace_numbers("weights", known.each);
  const bool done = program.make(
      fits ? success_if(drawn.is_legal, Wanted::kInvalidWeight) : Wanted::kInvalidArgument,
      Call::kUploadWeights, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_weights(context, arguments.data, arguments.length, arguments.dtype,
                                   known.windows, arguments.layers, known.experts, err);
      });
  if (!done) return;
  program.subject().known.weights = std::move(drawn.known);
  program.subject().known.forget_answers();
}

void upload_cluster(Program& program) {
  Bytes& bytes = program.bytes;
  bool legal = true;
  KnownCluster cluster;
  int64_t gpus = 0;
  if (!bytes.one_in(4)) {
    cluster = draw_cluster(bytes, program.shape, legal);
    gpus = cluster.gpus;
  } else if (bytes.one_in(8)) {
    gpus = bytes.pick({-1, -1000000, 1 << 18 | 1});
    legal = false;
  }
  trace("upload_cluster: %lld GPUs", ll{gpus});
  trace_numbers("slots", cluster.slots);
  trace_numbers("speeds", cluster.speeds);
  trace_numbers("nodes", cluster.nodes);
  const bool done = program.make(success_if(legal, Wanted::kInvalidArgument), Call::kUploadCluster,
                                 {}, [&](eplb_context* context, eplb_error* err) {
                                   return eplb_upload_cluster(context, or_null(cluster.slots),
                                                              or_null(cluster.speeds),
                                                              or_null(cluster.nodes), gpus, err);
                                 });
  if (!done) return;
  program.subject().known.cluster = std::move(cluster);
  program.subject().known.forget_problems();
}

void upload_prices(Program& program) {
  Bytes& bytes = program.bytes;
  bool legal = true;
  std::optional<KnownPrices> prices;
  if (!bytes.one_in(4)) prices = draw_prices(bytes, program.shape, legal);
  const KnownPrices given = prices.value_or(KnownPrices{});
  const auto length = static_cast<int64_t>(given.prices.size());
  const int64_t nodes = draw_near(bytes, given.nodes);
  legal &= !prices || nodes == given.nodes;
  trace("upload_prices: %lld nodes, %lld columns", ll{nodes}, ll{given.columns});
  trace_numbers("prices", given.prices);
  const bool done = program.make(success_if(legal, Wanted::kInvalidArgument), Call::kUploadPrices,
                                 {}, [&](eplb_context* context, eplb_error* err) {
                                   return eplb_upload_prices(context, or_null(given.prices), length,
                                                             nodes, given.columns, err);
                                 });
  if (!done) return;
  program.subject().known.prices = std::move(prices);
  program.subject().known.forget_problems();
}

void upload_window_weights(Program& program) {
  Bytes& bytes = program.bytes;
  bool legal = true;
  std::vector<double> weights;
  if (!bytes.one_in(4)) weights = draw_window_weights(bytes, program.shape.windows, legal);
  auto windows = static_cast<int64_t>(weights.size());
  if (!weights.empty() && bytes.one_in(16)) {
    windows = bytes.pick({0, -1, 65});
    legal = false;
  }
  trace("upload_window_weights: %lld", ll{windows});
  trace_numbers("weights", weights);
  const bool done =
      program.make(success_if(legal, Wanted::kInvalidArgument), Call::kUploadWindowWeights, {},
                   [&](eplb_context* context, eplb_error* err) {
                     return eplb_upload_window_weights(context, or_null(weights), windows, err);
                   });
  if (!done) return;
  program.subject().known.window_weights = std::move(weights);
  program.subject().known.forget_problems();
}

namespace {

// None stands for a placement that is to be forgotten.
std::optional<KnownCurrent> draw_current(Program& program) {
  if (program.bytes.one_in(8)) return std::nullopt;
  const std::optional<KnownPlan>& plan = program.subject().known.plan;
  const Shape& shape = program.shape;
  return KnownCurrent{shape.layers, shape.slots,
                      draw_placement(program.bytes, shape, program.gpus(),
                                     plan ? plan->placement : std::vector<int64_t>())};
}

}  // namespace

void upload_placement(Program& program) {
  Bytes& bytes = program.bytes;
  std::optional<KnownCurrent> current = draw_current(program);
  const eplb_dtype dtype = bytes.one_in(2) ? EPLB_INT32 : EPLB_INT64;
  std::vector<std::byte> data;
  if (current) data = as_dtype(current->expert, dtype);
  PlacementArguments arguments{current ? data.data() : nullptr,
                               program.shape.layers * program.shape.slots, dtype,
                               program.shape.slots};
  const bool fits = !spoil(bytes, arguments) || !current;
  const Wanted wanted =
      fits ? success_if(!current || are_ids(current->expert), Wanted::kInvalidPlacement)
           : Wanted::kInvalidArgument;
  trace("upload_placement: %lld slots", ll{arguments.slots});
  if (current) trace_numbers("current", current->expert);
  const bool done =
      program.make(wanted, Call::kUploadPlacement, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_placement(context, arguments.data, arguments.length, arguments.dtype,
                                     program.shape.layers, arguments.slots, err);
      });
  if (!done) return;
  program.subject().known.current = std::move(current);
  program.subject().known.plan.reset();
}

}  // namespace eplb::fuzz
