#include "session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace eplb::tests {
namespace {

constexpr const char* kStrategies[] = {
    "GREEDY", "LPT_SWAP", "L2_SWAP", "RANDOM_RESTARTS", "NOISE_SPECTRUM", "HYBRID_INIT", "BEST"};

// "GPU_LOAD[layer 2, 17]"
std::string place(eplb_map map, int64_t index, int64_t row) {
  return std::string(map_name(map)) + "[layer " + std::to_string(index / row) + ", " +
         std::to_string(index % row) + "]";
}

bool is_same(int64_t want, int64_t got, const std::string& what) {
  return want == got || check_equal(want, got, what.c_str(), __FILE__, __LINE__);
}

bool is_same(double want, double got, const std::string& what) {
  if (std::memcmp(&want, &got, sizeof want) == 0) return true;
  check_close(want, got, 0, what.c_str(), __FILE__, __LINE__);
  return check_true(0, (what + ", every bit of it").c_str(), __FILE__, __LINE__);
}

// Stops at the first difference. Names are made there only: there are millions of places.
template <class T, class Got>
bool same_elements(eplb_map map, const T* want, const Got& got, int64_t length, int64_t row) {
  for (int64_t i = 0; i < length; i++)
    if (std::memcmp(&want[i], &got[static_cast<size_t>(i)], sizeof want[i]) != 0)
      return is_same(want[i], got[static_cast<size_t>(i)], place(map, i, row));
  return true;
}

bool same_map(eplb_map map, const plan* want, const plan* got) {
  const int64_t length = want->lengths[map], row = length / want->layers;
  if (!EQUAL(length, got->lengths[map])) return false;
  if (map_is_int(map)) return same_elements(map, want->ints[map], got->ints[map], length, row);
  return same_elements(map, want->doubles[map], got->doubles[map], length, row);
}

bool is_compared(eplb_map map, Maps maps) { return maps == Maps::kAll || map_is_int(map); }

}  // namespace

const char* strategy_name(eplb_strategy strategy) { return kStrategies[strategy]; }

bool check_refusal(eplb_status want, eplb_status got, const char* call, const char* file, int line,
                   std::initializer_list<const char*> words) {
  std::vector<const char*> list(words);
  list.push_back(nullptr);
  return check_status(want, got, call, file, line, list.data()) != 0;
}

bool check_cuda(int error, const char* call, const char* file, int line) {
  if (error == cudaSuccess) return true;
  const std::string what =
      std::string(call) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error));
  return check_true(0, what.c_str(), file, line) != 0;
}

Context::Context(eplb_device_kind kind, int32_t index) {
  eplb_context_options options;
  EXPECT(EPLB_OK, CALL(context_options_init)(&options, sizeof options, ERR));
  options.device_kind = kind;
  options.device_index = index;
  if (kind == EPLB_DEVICE_CPU)
    options.num_threads = std::max(1u, std::thread::hardware_concurrency());
  EXPECT(EPLB_OK, CALL(context_create)(&context_, &options, ERR));
}

// -------------------------------------------------------------------------------- inputs and plans

Input Input::copy() const {
  const auto copied = [](const auto* from, int64_t length) {
    auto* const to = static_cast<char*>(std::malloc(static_cast<size_t>(length)));
    std::memcpy(to, from, static_cast<size_t>(length));
    return static_cast<void*>(to);
  };
  input other = in_;
  other.weights = copied(in_.weights, bytes());
  if (in_.prices != nullptr)
    other.prices =
        static_cast<double*>(copied(in_.prices, 8 * in_.problem.num_nodes * in_.price_columns));
  if (in_.window_weights != nullptr)
    other.window_weights = static_cast<double*>(copied(in_.window_weights, 8 * in_.windows));
  return Input(other);
}

int64_t Input::width() const {
  return in_.options.max_replicas > 0 ? in_.options.max_replicas
                                      : in_.problem.num_slots - in_.experts + 1;
}

void Input::zero_layer(int64_t layer) {
  const size_t row = static_cast<size_t>(in_.experts) * input_element_size(in_.dtype);
  for (int64_t t = 0; t < in_.windows; t++)
    std::memset(weights<char>() + static_cast<size_t>(t * in_.layers + layer) * row, 0, row);
}

bool Plan::fetch(eplb_context* context, const Input& in) {
  plan_free(&plan_);
  return plan_fetch(&plan_, context, in) != 0;
}

bool same_plan(const plan* want, const plan* got, Maps maps) {
  for (const eplb_map map : plan_maps)
    if (is_compared(map, maps) && !same_map(map, want, got)) return false;
  return true;
}

bool solve_on_cpu(const Input& in, Plan& out, eplb_status* status) {
  const Context context(EPLB_DEVICE_CPU);
  if (context == nullptr || !input_upload(context, in)) return false;
  const eplb_status answer = CALL(solve)(context, &in->problem, &in->options, ERR);
  if (status != nullptr) *status = answer;
  if (status != nullptr && answer != EPLB_OK) return EXPECT(answer, answer), false;
  return EXPECT(EPLB_OK, answer) && out.fetch(context, in);
}

// ------------------------------------------------------------------------------------ device calls

DeviceCalls::DeviceCalls(eplb_context* context, const Input& in, cudaStream_t stream)
    : context_(context), in_(in), stream_(stream), weights_(in.bytes()) {
  set_weights(in);
}

bool DeviceCalls::reserve() {
  return EXPECT(EPLB_OK, CALL(context_reserve)(context_, in_->dtype, in_->windows, in_->layers,
                                               in_->experts, &in_->problem, &in_->options, ERR)) !=
         0;
}

void DeviceCalls::set_weights(const Input& in) { weights_.write(in->weights, in.bytes(), stream_); }

bool DeviceCalls::upload() {
  return EXPECT(EPLB_OK, CALL(upload_weights_device)(context_, weights_.data(), in_.length(),
                                                     in_->dtype, in_->windows, in_->layers,
                                                     in_->experts, stream_, ERR)) != 0;
}

bool DeviceCalls::solve() {
  return EXPECT(EPLB_OK,
                CALL(solve_device)(context_, &in_->problem, &in_->options, stream_, ERR)) != 0;
}

eplb_status DeviceCalls::fetch(eplb_map map, eplb_dtype dtype, const Buffer& buffer) {
  return CALL(fetch_map_device)(context_, map, dtype, buffer.data(), map_length(map), stream_, ERR);
}

int64_t DeviceCalls::map_length(eplb_map map) const {
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL:
    case EPLB_MAP_REPLICA_SLOTS: return in_->layers * in_->problem.num_slots;
    case EPLB_MAP_LOGICAL_TO_PHYSICAL: return in_->layers * in_->experts * in_.width();
    case EPLB_MAP_REPLICA_COUNT: return in_->layers * in_->experts;
    case EPLB_MAP_GPU_LOAD: return in_->layers * in_->problem.num_gpus;
    default: return in_->layers;
  }
}

int64_t DeviceCalls::largest_map_bytes() const {
  int64_t most = 0;
  for (const eplb_map map : plan_maps) most = std::max(most, map_length(map));
  return 8 * most;
}

bool DeviceCalls::map_is(const plan* want, eplb_map map, eplb_dtype dtype, const Buffer& buffer) {
  const int64_t length = map_length(map), row = length / in_->layers;
  const eplb_status status = fetch(map, dtype, buffer);
  if (!EXPECT(EPLB_OK, status) || !EQUAL(length, want->lengths[map])) return false;
  if (dtype == EPLB_FLOAT64)
    return same_elements(map, want->doubles[map], buffer.read<double>(length, stream_), length,
                         row);
  if (dtype == EPLB_INT64)
    return same_elements(map, want->ints[map], buffer.read<int64_t>(length, stream_), length, row);
  const std::vector<int32_t> narrow = buffer.read<int32_t>(length, stream_);
  return same_elements(map, want->ints[map], std::vector<int64_t>(narrow.begin(), narrow.end()),
                       length, row);
}

bool DeviceCalls::is_refused(eplb_map map, const Buffer& buffer) {
  return REFUSED(EPLB_UNAVAILABLE, fetch(map, EPLB_FLOAT64, buffer), map_name(map),
                 "eplb_fetch_map");
}

bool DeviceCalls::maps_are(const plan* want, Maps maps) {
  const Buffer buffer(largest_map_bytes());
  bool same = true;
  for (const eplb_map map : plan_maps) {
    if (!is_compared(map, maps)) continue;
    if (is_host_only(map))
      same = is_refused(map, buffer) && same;
    else if (map_is_int(map))
      same = map_is(want, map, EPLB_INT32, buffer) && map_is(want, map, EPLB_INT64, buffer) && same;
    else
      same = map_is(want, map, EPLB_FLOAT64, buffer) && same;
  }
  return same;
}

}  // namespace eplb::tests
