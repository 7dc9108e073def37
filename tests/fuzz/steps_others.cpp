#include <algorithm>
#include <cstring>
#include <limits>

#include "expect.h"
#include "failure.h"
#include "program.h"

extern "C" {
#include "tests/contract/c/harness.h"
}

namespace eplb::fuzz {
namespace {

// Of a call without a context: its error struct, and its outputs if it fails.
eplb_status call_without_context(Call function, std::initializer_list<Output> outputs,
                                 const std::function<eplb_status(eplb_error*)>& body) {
  std::vector<std::vector<std::byte>> before;
  for (const Output& output : outputs) {
    const auto* const data = static_cast<const std::byte*>(output.data);
    before.emplace_back(data, data + output.bytes);
  }
  const eplb_status status = body(check_fresh_error());
  note_answer(function, status);
  check_status(status, status, name_of(function), __FILE__, __LINE__, nullptr);
  REQUIRE(!test_has_failed() && may_return(function, status), "%s: %s", name_of(function),
          check_last_text());
  if (status == EPLB_OK) return status;
  const std::vector<std::byte>* at = before.data();
  for (const Output& output : outputs) {
    const std::vector<std::byte>& then = *at++;
    REQUIRE(then.empty() || std::memcmp(output.data, then.data(), then.size()) == 0);
  }
  return status;
}

template <class T, class Function>
void check_init(Bytes& bytes, Call call, Function init, const T* expected) {
  const int64_t size = bytes.one_in(2) ? draw_size<T>(bytes) : bytes.below(65536 + 64);
  Sized<T> given(size, T{}, 0xa5);
  const bool null = bytes.one_in(16);
  const bool legal = !null && size >= Least<T>::kSize && size <= kLargestStruct;
  const eplb_status status = call_without_context(
      call, {{given.data(), given.bytes()}},
      [&](eplb_error* err) { return init(null ? nullptr : given.get(), size, err); });
  REQUIRE((status == EPLB_OK) == legal);
  if (!legal) return;
  REQUIRE(given.is_legal() && given.get()->struct_size == size);
  if (expected)
    REQUIRE(std::memcmp(given.data() + 8, reinterpret_cast<const std::byte*>(expected) + 8,
                        std::min(given.bytes(), sizeof(T)) - 8) == 0);
}

}  // namespace

void initialise(Program& program) {
  Bytes& bytes = program.bytes;
  trace("an _init function");
  const uint8_t which = bytes.byte();
  if (which == 249)
    return check_init(bytes, Call::kStaticDispatchOptionsInit, eplb_static_dispatch_options_init,
                      &defaults().dispatch_options);
  if (which >= 250)
    return check_init(bytes, Call::kSplitOptionsInit, eplb_split_options_init,
                      &defaults().split_options);
  switch (which % 5) {
    case 0: return check_init(bytes, Call::kProblemInit, eplb_problem_init, &defaults().problem);
    case 1:
      return check_init(bytes, Call::kSolveOptionsInit, eplb_solve_options_init,
                        &defaults().options);
    case 2: return check_init(bytes, Call::kReportInit, eplb_report_init, &defaults().report);
    case 3:
      return check_init<eplb_context_options>(bytes, Call::kContextOptionsInit,
                                              eplb_context_options_init, nullptr);
    default: return check_init<eplb_backend>(bytes, Call::kBackendInit, eplb_backend_init, nullptr);
  }
}

namespace {

void check_constants(Bytes& bytes) {
  note(Call::kAbiVersion);
  note(Call::kVersionString);
  note(Call::kStatusName);
  REQUIRE(eplb_abi_version() >> 16 == 1 && eplb_version_string()[0] != 0);
  REQUIRE(eplb_status_name(static_cast<eplb_status>(bytes.byte() - 100))[0] != 0);
}

bool is_terminated(const std::vector<char>& text) {
  return text.empty() || std::find(text.begin(), text.end(), 0) != text.end();
}

}  // namespace

void information(Program& program) {
  Bytes& bytes = program.bytes;
  const eplb_device_kind kind = bytes.pick({0, 1, 2, -1, 0, 1, 0, 1});
  const auto index = static_cast<int32_t>(draw_near(bytes, 0));
  std::vector<char> text(static_cast<size_t>(bytes.below(200)), 'x');
  const auto length = static_cast<int64_t>(text.size());
  int32_t count = -7;
  Sized<eplb_backend> backend(draw_size<eplb_backend>(bytes), eplb_backend{});
  trace("information on kind %d", kind);
  check_constants(bytes);
  const eplb_status named = call_without_context(
      Call::kDeviceName, {output(text)},
      [&](eplb_error* err) { return eplb_device_name(kind, index, text.data(), length, err); });
  REQUIRE(named != EPLB_OK || is_terminated(text));
  const eplb_status informed = call_without_context(
      Call::kBackendInfo, {output(text), {backend.data(), backend.bytes()}}, [&](eplb_error* err) {
        return eplb_backend_info(kind, backend.get(), text.data(), length, err);
      });
  REQUIRE(informed != EPLB_OK || is_terminated(text));
  int32_t* const where = bytes.one_in(4) ? nullptr : &count;
  call_without_context(Call::kDeviceCount, {{&count, sizeof count}},
                       [&](eplb_error* err) { return eplb_device_count(kind, where, err); });
}

namespace {

void call_without_anything() {
  eplb_context_destroy(nullptr);
  eplb_context_interrupt(nullptr);
  note(Call::kContextDestroy);
  note(Call::kContextInterrupt);
  call_without_context(Call::kFingerprint, {}, [&](eplb_error* err) {
    uint64_t value;
    return eplb_fingerprint(nullptr, &value, err);
  });
}

}  // namespace

void strange_contexts(Program& program) {
  Bytes& bytes = program.bytes;
  eplb_context_options drawn{sizeof drawn, EPLB_DEVICE_CPU, 0, 1};
  drawn.device_kind = bytes.pick({0, 2, -1});
  drawn.device_index = static_cast<int32_t>(draw_near(bytes, 0));
  drawn.num_threads = draw_near(bytes, 1);
  Sized<eplb_context_options> options(draw_size<eplb_context_options>(bytes), drawn,
                                      bytes.one_in(16));
  eplb_context* context = nullptr;
  eplb_context** const where = bytes.one_in(16) ? nullptr : &context;
  const bool legal = where && options.is_legal() && drawn.device_kind == EPLB_DEVICE_CPU &&
                     drawn.device_index == 0 && drawn.num_threads >= 1;
  trace("create: kind %d, index %d, %lld threads", drawn.device_kind, drawn.device_index,
        static_cast<long long>(drawn.num_threads));
  const eplb_status status = call_without_context(
      Call::kContextCreate, {{&context, sizeof context}},
      [&](eplb_error* err) { return eplb_context_create(where, options.get(), err); });
  REQUIRE((status == EPLB_OK) == legal && (context != nullptr) == legal);
  eplb_context_destroy(context);
  note(Call::kContextDestroy);
  call_without_anything();
}

namespace {

KnownReserve draw_reserve(Program& program, const eplb_problem& problem,
                          const eplb_solve_options& options) {
  const Shape& shape = program.shape;
  return {draw_near(program.bytes, shape.windows), draw_near(program.bytes, shape.layers),
          draw_near(program.bytes, shape.experts), problem, options};
}

bool is_legal_shape(const KnownReserve& asked, eplb_dtype dtype) {
  int64_t product;
  return dtype >= EPLB_FLOAT32 && dtype <= EPLB_INT64 && asked.windows > 0 && asked.layers > 0 &&
         asked.experts > 0 && !__builtin_mul_overflow(asked.layers, asked.experts, &product) &&
         !__builtin_mul_overflow(product, asked.windows, &product) &&
         product <= std::numeric_limits<int64_t>::max() / 8;
}

}  // namespace

void reserve(Program& program) {
  Bytes& bytes = program.bytes;
  Known& known = program.subject().known;
  Sized<eplb_problem> problem = draw_sized_problem(program);
  const eplb_problem seen = problem.seen(defaults().problem);
  Sized<eplb_solve_options> options = draw_sized_options(program, seen);
  const bool has_options = !bytes.one_in(8);
  const KnownReserve asked = draw_reserve(
      program, seen, has_options ? options.seen(defaults().options) : defaults().options);
  const auto dtype = static_cast<eplb_dtype>(draw_near(bytes, bytes.below(4)));
  const bool legal =
      problem.is_legal() && (!has_options || options.is_legal()) && is_legal_shape(asked, dtype);
  trace("reserve: %lld windows, %lld layers, %lld experts", static_cast<long long>(asked.windows),
        static_cast<long long>(asked.layers), static_cast<long long>(asked.experts));
  const bool done = program.make(
      legal ? expect_reserve(known, asked) : Wanted::kRefusal, Call::kContextReserve, {},
      [&](eplb_context* context, eplb_error* err) {
        return eplb_context_reserve(context, dtype, asked.windows, asked.layers, asked.experts,
                                    problem.get(), has_options ? options.get() : nullptr, err);
      });
  if (!done) return;
  known.reserve = asked;
  known.weights.reset();
  known.forget_problems();
}

void synchronize(Program& program) {
  program.subject().disturb(draw_disturbance(program.bytes));
  program.subject().must(Call::kContextSynchronize, {}, eplb_context_synchronize);
}

void interrupt(Program& program) {
  program.subject().disturb({Disturbance::kBefore, 0});
  check_all(program);
}

// Refused on a CPU context, before anything is looked at.
void device_calls(Program& program) {
  if (program.subject().has_device_twin()) return;
  const Shape& shape = program.shape;
  const eplb_problem problem = draw_problem(program.bytes, shape, defaults().problem);
  const auto map = static_cast<eplb_map>(program.bytes.below(17));
  void* const nowhere = reinterpret_cast<void*>(uintptr_t{0x1000});
  const int64_t slots = shape.layers * shape.slots,
                weights = shape.windows * shape.layers * shape.experts;
  trace("device calls");
  const auto refused = [&](Call call, const Subject::Body& body) {
    program.subject().call_as(Wanted::kInvalidArgument, call, {}, body);
  };
  refused(Call::kUploadWeightsDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_weights_device(context, nowhere, weights, EPLB_FLOAT32, shape.windows,
                                      shape.layers, shape.experts, nowhere, err);
  });
  refused(Call::kUploadPlacementDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_placement_device(context, nowhere, slots, EPLB_INT32, shape.layers,
                                        shape.slots, nowhere, err);
  });
  refused(Call::kSolveDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_solve_device(context, &problem, nullptr, nowhere, err);
  });
  refused(Call::kSplitPrepareDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_split_prepare_device(context, &problem, nowhere, slots, EPLB_INT32, nowhere, err);
  });
  refused(Call::kSplitDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_split_device(context, nullptr, nullptr, 0, 0, nullptr, nowhere, err);
  });
  refused(Call::kFetchMapDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_fetch_map_device(context, map, EPLB_INT32, nowhere, slots, nowhere, err);
  });
}

}  // namespace eplb::fuzz
