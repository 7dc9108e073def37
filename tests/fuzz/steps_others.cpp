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
  for (const Output& output : outputs)
    REQUIRE(std::memcmp(output.data, (at++)->data(), output.bytes) == 0);
  return status;
}

template <class T, class Function>
void check_init(Bytes& bytes, Call call, Function init, const T* expected) {
  const int64_t size = bytes.one_in(2) ? draw_size<T>(bytes) : bytes.below(65536 + 64);
  Sized<T> given(size, T{}, 0xa5);
  const bool null = bytes.one_in(16);
  const bool legal = !null && size >= Least<T>::kSize && size <= kLargestStruct;
  const eplb_status status =
      call_without_context(call, {{given.data(), given.bytes()}}, [&](eplb_error* err) {
        return init(null ? nullptr : given.get(), size, err);
      });
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
  switch (bytes.below(5)) {
    case 0:
      return check_init(bytes, Call::kProblemInit, eplb_problem_init, &defaults().problem);
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

void information(Program& program) {
  Bytes& bytes = program.bytes;
  const eplb_device_kind kind = bytes.pick({0, 1, 2, -1, 0, 1, 0, 1});
  const auto index = static_cast<int32_t>(draw_near(bytes, 0));
  std::vector<char> text(static_cast<size_t>(bytes.below(200)), 'x');
  const auto length = static_cast<int64_t>(text.size());
  int32_t count = -7;
  Sized<eplb_backend> backend(draw_size<eplb_backend>(bytes), eplb_backend{});
  trace("information on kind %d", kind);
  note(Call::kAbiVersion);
  note(Call::kVersionString);
  note(Call::kStatusName);
  REQUIRE(eplb_abi_version() >> 16 == 1 && eplb_version_string()[0] != 0);
  REQUIRE(eplb_status_name(static_cast<eplb_status>(bytes.byte() - 100))[0] != 0);
  const auto is_cut = [&] {
    REQUIRE(text.empty() || std::find(text.begin(), text.end(), 0) != text.end());
  };
  if (call_without_context(Call::kDeviceName, {output(text)}, [&](eplb_error* err) {
        return eplb_device_name(kind, index, text.data(), length, err);
      }) == EPLB_OK)
    is_cut();
  if (call_without_context(
          Call::kBackendInfo, {output(text), {backend.data(), backend.bytes()}},
          [&](eplb_error* err) {
            return eplb_backend_info(kind, backend.get(), text.data(), length, err);
          }) == EPLB_OK)
    is_cut();
  call_without_context(Call::kDeviceCount, {{&count, sizeof count}}, [&](eplb_error* err) {
    return eplb_device_count(kind, bytes.one_in(4) ? nullptr : &count, err);
  });
}

// Contexts that cannot be had.
void null_context(Program& program) {
  Bytes& bytes = program.bytes;
  eplb_context_options drawn{sizeof drawn, EPLB_DEVICE_CPU, 0, 1};
  drawn.device_kind = bytes.pick({0, 1, 2, -1});
  drawn.device_index = static_cast<int32_t>(draw_near(bytes, 0));
  drawn.num_threads = draw_near(bytes, 1);
  Sized<eplb_context_options> options(draw_size<eplb_context_options>(bytes), drawn,
                                      bytes.one_in(16));
  eplb_context* context = nullptr;
  const bool null = bytes.one_in(16);
  const bool legal = !null && options.is_legal() && drawn.device_kind == EPLB_DEVICE_CPU &&
                     drawn.device_index == 0 && drawn.num_threads >= 1;
  trace("create: kind %d, index %d, %lld threads", drawn.device_kind, drawn.device_index,
        static_cast<long long>(drawn.num_threads));
  const eplb_status status =
      call_without_context(Call::kContextCreate, {{&context, sizeof context}},
                           [&](eplb_error* err) {
                             return eplb_context_create(null ? nullptr : &context, options.get(), err);
                           });
  REQUIRE((status == EPLB_OK) == legal && (context != nullptr) == legal);
  eplb_context_destroy(context);
  eplb_context_destroy(nullptr);
  eplb_context_interrupt(nullptr);
  note(Call::kContextDestroy, 2);
  note(Call::kContextInterrupt, 1);
  call_without_context(Call::kFingerprint, {}, [&](eplb_error* err) {
    uint64_t value;
    return eplb_fingerprint(nullptr, &value, err);
  });
}

void reserve(Program& program) {
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Shape& shape = program.shape;
  Sized<eplb_problem> problem(draw_size<eplb_problem>(bytes),
                              draw_problem(bytes, shape, defaults().problem));
  Sized<eplb_solve_options> options(
      draw_size<eplb_solve_options>(bytes),
      draw_options(bytes, shape, problem.seen(defaults().problem), subject.known.current.has_value(),
                   defaults().options));
  const bool has_options = !bytes.one_in(8);
  const KnownReserve asked{draw_near(bytes, shape.windows), draw_near(bytes, shape.layers),
                           draw_near(bytes, shape.experts), problem.seen(defaults().problem),
                           has_options ? options.seen(defaults().options) : defaults().options};
  const auto dtype = static_cast<eplb_dtype>(draw_near(bytes, bytes.below(4)));
  int64_t product;
  const bool legal =
      problem.is_legal() && (!has_options || options.is_legal()) && dtype >= 0 &&
      dtype <= EPLB_INT64 && asked.windows > 0 && asked.layers > 0 && asked.experts > 0 &&
      !__builtin_mul_overflow(asked.layers, asked.experts, &product) &&
      !__builtin_mul_overflow(product, asked.windows, &product) &&
      product <= std::numeric_limits<int64_t>::max() / 8 &&
      expect_reserve(subject.known, asked) == Wanted::kSuccess;
  trace("reserve: %lld windows, %lld layers, %lld experts",
        static_cast<long long>(asked.windows), static_cast<long long>(asked.layers),
        static_cast<long long>(asked.experts));
  subject.disturb(draw_disturbance(bytes));
  const bool done = subject.call_as(
      success_if(legal, Wanted::kRefusal), Call::kContextReserve, {}, [&](eplb_context* context, eplb_error* err) {
        return eplb_context_reserve(context, dtype, asked.windows, asked.layers, asked.experts,
                                    problem.get(), has_options ? options.get() : nullptr, err);
      });
  if (!done) return;
  subject.known.reserve = asked;
  subject.known.weights.reset();
  subject.known.plan.reset();
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
  Bytes& bytes = program.bytes;
  Subject& subject = program.subject();
  const Shape& shape = program.shape;
  eplb_problem problem = draw_problem(bytes, shape, defaults().problem);
  void* const nowhere = reinterpret_cast<void*>(uintptr_t{0x1000});
  trace("device calls");
  const auto refused = [&](Call call, const Subject::Body& body) {
    subject.call_as(Wanted::kInvalidArgument, call, {}, body);
  };
  const int64_t slots = shape.layers * shape.slots;
  refused(Call::kUploadWeightsDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_weights_device(context, nowhere,
                                      shape.windows * shape.layers * shape.experts, EPLB_FLOAT32,
                                      shape.windows, shape.layers, shape.experts, nowhere, err);
  });
  refused(Call::kUploadPlacementDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_upload_placement_device(context, nowhere, slots, EPLB_INT32, shape.layers,
                                        shape.slots, nowhere, err);
  });
  refused(Call::kSolveDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_solve_device(context, &problem, nullptr, nowhere, err);
  });
  refused(Call::kFetchMapDevice, [&](eplb_context* context, eplb_error* err) {
    return eplb_fetch_map_device(context, static_cast<eplb_map>(bytes.below(17)), EPLB_INT32,
                                 nowhere, slots, nowhere, err);
  });
}

}  // namespace eplb::fuzz
