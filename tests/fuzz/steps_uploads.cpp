#include <algorithm>

#include "failure.h"
#include "program.h"

namespace eplb::fuzz {
namespace {

const double* data_or_null(const std::vector<double>& values) {
  return values.empty() ? nullptr : values.data();
}
const int64_t* data_or_null(const std::vector<int64_t>& values) {
  return values.empty() ? nullptr : values.data();
}

// How a call with arrays is spoiled: not at all, mostly.
enum class Wrong { kNothing, kNull, kLength, kDtype, kSize };
Wrong draw_wrong(Bytes& bytes) {
  const uint8_t byte = bytes.byte();
  return byte < 240 ? Wrong::kNothing : static_cast<Wrong>(1 + byte % 4);
}

}  // namespace

void create(Program& program) {
  constexpr int64_t kThreads[] = {1, 1, 1, 1, 2, 3, 1000000, int64_t{1} << 62};
  Bytes& bytes = program.bytes;
  const int64_t threads = bytes.pick(kThreads);
  const uint8_t twin = bytes.byte();
  const int64_t twin_threads = twin % 4 == 0 ? 0 : twin % 16 == 15 ? 1 + threads % 2 : 1;
  program.subjects[program.chosen] =
      std::make_unique<Subject>(threads, twin_threads, static_cast<size_t>(twin / 16));
  trace("create: %lld threads, twin of %lld", static_cast<long long>(threads),
        static_cast<long long>(twin_threads));
}

void upload_weights(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  DrawnWeights drawn = draw_weights(bytes, program.shape);
  const KnownWeights& known = drawn.known;
  const Wrong wrong = draw_wrong(bytes);
  int64_t length = static_cast<int64_t>(known.each.size()), layers = known.layers;
  if (wrong == Wrong::kLength) length += bytes.pick({-1, 1, 1000, -1000000});
  if (wrong == Wrong::kSize) layers = draw_near(bytes, layers);
  const eplb_dtype dtype = wrong == Wrong::kDtype ? 4 + known.dtype : known.dtype;
  const void* const data = wrong == Wrong::kNull ? nullptr : drawn.bytes.data();
  const bool fits = wrong == Wrong::kNothing || (wrong == Wrong::kSize && layers == known.layers) ;
  trace("upload_weights: %lld windows, %lld layers, %lld experts, dtype %d",
        static_cast<long long>(known.windows), static_cast<long long>(layers),
        static_cast<long long>(known.experts), dtype);
  trace_numbers("weights", known.each);
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      fits ? success_if(drawn.is_legal, Wanted::kInvalidWeight) : Wanted::kInvalidArgument,
      Call::kUploadWeights, {},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_weights(context, data, length, dtype, known.windows, layers,
                                   known.experts, err);
      });
  if (!done) return;
  subject.known.weights = std::move(drawn.known);
  subject.known.plan.reset();
}

void upload_cluster(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
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
  trace("upload_cluster: %lld GPUs%s%s%s", static_cast<long long>(gpus),
        cluster.slots.empty() ? "" : ", slots", cluster.speeds.empty() ? "" : ", speeds",
        cluster.nodes.empty() ? "" : ", nodes");
  trace_numbers("slots", cluster.slots);
  trace_numbers("speeds", cluster.speeds);
  trace_numbers("nodes", cluster.nodes);
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      success_if(legal, Wanted::kInvalidArgument), Call::kUploadCluster, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_cluster(context, data_or_null(cluster.slots),
                                   data_or_null(cluster.speeds), data_or_null(cluster.nodes), gpus,
                                   err);
      });
  if (!done) return;
  subject.known.cluster = std::move(cluster);
  subject.known.plan.reset();
}

void upload_prices(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  bool legal = true;
  std::optional<KnownPrices> prices;
  int64_t nodes = 0, columns = 0, length = 0;
  if (!bytes.one_in(4)) {
    prices = draw_prices(bytes, program.shape, legal);
    nodes = draw_near(bytes, prices->nodes);
    columns = prices->columns;
    length = prices->nodes * columns;
    legal &= nodes == prices->nodes;
  }
  trace("upload_prices: %lld nodes, %lld columns", static_cast<long long>(nodes),
        static_cast<long long>(columns));
  if (prices) trace_numbers("prices", prices->prices);
  subject.disturb(draw_disturbance(bytes));
  const double* const data = prices ? prices->prices.data() : nullptr;
  const bool done = subject.call_as(
      success_if(legal, Wanted::kInvalidArgument), Call::kUploadPrices, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_prices(context, data, length, nodes, columns, err);
      });
  if (!done) return;
  subject.known.prices = std::move(prices);
  subject.known.plan.reset();
}

void upload_window_weights(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  bool legal = true;
  std::vector<double> weights;
  int64_t windows = 0;
  if (!bytes.one_in(4)) {
    weights = draw_window_weights(bytes, program.shape.windows, legal);
    windows = static_cast<int64_t>(weights.size());
    if (bytes.one_in(16)) {
      windows = bytes.pick({0, -1, 65});
      legal = false;
    }
  }
  trace("upload_window_weights: %lld", static_cast<long long>(windows));
  trace_numbers("weights", weights);
  subject.disturb(draw_disturbance(bytes));
  const double* const data = data_or_null(weights);
  const bool done = subject.call_as(
      success_if(legal, Wanted::kInvalidArgument), Call::kUploadWindowWeights, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_window_weights(context, data, windows, err);
      });
  if (!done) return;
  subject.known.window_weights = std::move(weights);
  subject.known.plan.reset();
}

void upload_placement(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Shape& shape = program.shape;
  const bool forgets = bytes.one_in(8);
  const std::vector<int64_t> near =
      subject.known.plan ? subject.known.plan->placement : std::vector<int64_t>();
  KnownCurrent current{shape.layers, shape.slots, {}};
  if (!forgets) current.expert = draw_placement(bytes, shape, program.gpus(), near);
  const eplb_dtype dtype = bytes.one_in(2) ? EPLB_INT32 : EPLB_INT64;
  const Wrong wrong = draw_wrong(bytes);
  const std::vector<std::byte> data = as_dtype(current.expert, dtype);
  int64_t length = shape.layers * shape.slots, slots = shape.slots;
  if (wrong == Wrong::kLength) length += bytes.pick({-1, 1, 1000, -1000000});
  if (wrong == Wrong::kSize) slots = draw_near(bytes, slots);
  const bool fits = forgets || (slots == shape.slots && wrong != Wrong::kLength &&
                                wrong != Wrong::kDtype);
  const bool legal =
      forgets || std::all_of(current.expert.begin(), current.expert.end(), [](int64_t expert) {
        return expert >= -1 && expert < kMostSlots;
      });
  trace("upload_placement: %lld layers, %lld slots%s", static_cast<long long>(shape.layers),
        static_cast<long long>(slots), forgets ? ", none" : "");
  trace_numbers("current", current.expert);
  subject.disturb(draw_disturbance(bytes));
  const eplb_dtype given = wrong == Wrong::kDtype ? EPLB_FLOAT32 : dtype;
  const bool done = subject.call_as(
      fits ? success_if(legal, Wanted::kInvalidPlacement) : Wanted::kInvalidArgument,
      Call::kUploadPlacement, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_upload_placement(context, forgets ? nullptr : data.data(), length, given,
                                     shape.layers, slots, err);
      });
  if (!done) return;
  subject.known.current = forgets ? std::nullopt : std::optional(std::move(current));
  subject.known.plan.reset();
}

}  // namespace eplb::fuzz
