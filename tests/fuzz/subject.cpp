#include "subject.h"

#include <atomic>
#include <cfenv>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "api/context.h"
#include "failure.h"
#include "machines/cpu/cpu_machine.h"
#include "refusals.h"

extern "C" {
#include "tests/contract/c/harness.h"
}

namespace eplb::fuzz {
namespace {

bool has_device() {
  static const bool kHas = cuda::facts().backend.status == EPLB_OK;
  return kHas;
}

eplb_context* make_context(int64_t threads) {
  eplb_context_options options;
  note(Call::kContextOptionsInit);
  note(Call::kContextCreate);
  EXPECT(EPLB_OK, eplb_context_options_init(&options, sizeof options, ERR));
  options.num_threads = threads;
  eplb_context* context = nullptr;
  EXPECT(EPLB_OK, eplb_context_create(&context, &options, ERR));
  return context;
}

// What eplb_context_create makes, but for the instruction set. Where there is a device, as in
// eplb_fuzz_emulated, it is one of that.
eplb_context* make_twin(int64_t threads, size_t instruction_set) {
  if (has_device()) return new eplb_context(cuda::make_machine(0));
  std::vector<const cpu::InstructionSet*> here;
  for (const cpu::InstructionSet* set : cpu::instruction_sets())
    if (set->supported()) here.push_back(set);
  const cpu::InstructionSet& chosen = *here[instruction_set % here.size()];
  trace("twin: %lld threads, %s", static_cast<long long>(threads), chosen.name);
  return new eplb_context(std::make_unique<cpu::CpuMachine>(threads, chosen));
}

// Interrupts a context all the time from a thread of its own.
class Interruptions {
 public:
  explicit Interruptions(eplb_context* context)
      : thread_([this, context] {
          while (!done_) eplb_context_interrupt(context);
        }) {
    note(Call::kContextInterrupt);  // for all of them: nobody else would be seen in the count
  }
  ~Interruptions() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

// What a disturbance does while a call runs.
class Disturbed {
 public:
  Disturbed(const Disturbance& disturbance, eplb_context* context) : mode_(std::fegetround()) {
    if (disturbance.kind == Disturbance::kInterruptFromThread) interruptions_.emplace(context);
    if (disturbance.kind == Disturbance::kBefore) {
      eplb_context_interrupt(context);
      note(Call::kContextInterrupt);
    }
    if (disturbance.kind == Disturbance::kMode) std::fesetround(FE_UPWARD);
    own_mode_ = std::fegetround();
    arm_allocations(at_allocation(disturbance.kind), disturbance.after, context);
  }
  ~Disturbed() {
    REQUIRE(std::fegetround() == own_mode_);
    std::fesetround(mode_);
  }
  Disturbed(const Disturbed&) = delete;
  Disturbed& operator=(const Disturbed&) = delete;

 private:
  static AtAllocation at_allocation(Disturbance::Kind kind) {
    switch (kind) {
      case Disturbance::kRefuse: return AtAllocation::kRefuse;
      case Disturbance::kRefuseFromThere: return AtAllocation::kRefuseFromThere;
      case Disturbance::kInterrupt: return AtAllocation::kInterrupt;
      default: return AtAllocation::kNothing;
    }
  }

  int mode_, own_mode_;
  std::optional<Interruptions> interruptions_;
};

void copy_out(std::span<const Output> outputs, std::vector<std::byte>& bytes) {
  bytes.clear();
  for (const Output& output : outputs) {
    const auto* const data = static_cast<const std::byte*>(output.data);
    if (data) bytes.insert(bytes.end(), data, data + output.bytes);
  }
}

void copy_in(const std::vector<std::byte>& bytes, std::span<const Output> outputs) {
  const std::byte* at = bytes.data();
  for (const Output& output : outputs) {
    if (output.data == nullptr) continue;
    std::memcpy(output.data, at, output.bytes);
    at += output.bytes;
  }
}

bool are_same(const std::vector<std::byte>& bytes, std::span<const Output> outputs) {
  const std::byte* at = bytes.data();
  for (const Output& output : outputs) {
    if (output.data == nullptr) continue;
    if (std::memcmp(output.data, at, output.bytes) != 0) return false;
    at += output.bytes;
  }
  return true;
}

// Times and memory are a machine's own.
void forget_machine(std::span<const Output> outputs) {
  for (const Output& output : outputs) {
    if (!output.is_report || output.bytes < sizeof(int64_t) * 11) continue;
    auto* const report = static_cast<eplb_report*>(output.data);
    report->microseconds = 0;
    report->context_bytes = 0;
  }
}

}  // namespace

Disturbance draw_disturbance(Bytes& bytes) {
  const uint8_t byte = bytes.byte();
  const int64_t after = byte % 16;
  switch (byte / 16) {
    case 15: return {Disturbance::kRefuse, after};
    case 14: return {Disturbance::kRefuse, 16 + 4 * after};
    case 13: return {Disturbance::kRefuseFromThere, after};
    case 12: return {Disturbance::kInterrupt, after};
    case 11: return {after == 0 ? Disturbance::kInterruptFromThread : Disturbance::kBefore, 0};
    case 10: return {Disturbance::kMode, 0};
    default: return {};
  }
}

Subject::Subject(int64_t threads, int64_t twin_threads, size_t twin_instruction_set)
    : context_(make_context(threads)),
      twin_(twin_threads > 0 ? make_twin(twin_threads, twin_instruction_set) : nullptr) {
  REQUIRE(context_ != nullptr && !test_has_failed());
}

Subject::~Subject() {
  note(Call::kContextDestroy, 1 + (twin_ != nullptr));
  eplb_context_destroy(context_);
  eplb_context_destroy(twin_);
}

bool Subject::has_device_twin() const { return twin_ != nullptr && has_device(); }

eplb_status Subject::run(Call function, const Body& body) {
  eplb_status status;
  int64_t refused;
  eplb_error* const err = check_fresh_error();
  {
    const Disturbed disturbed(now_, context_);
    status = body(context_, err);
    refused = disarm_allocations();
  }
  note_answer(function, status);
  check_status(status, status, name_of(function), __FILE__, __LINE__, nullptr);
  REQUIRE(!test_has_failed());
  const bool interrupted =
      now_.kind == Disturbance::kInterrupt || now_.kind == Disturbance::kInterruptFromThread;
  was_cut_short_ =
      (status == EPLB_OUT_OF_MEMORY && refused > 0) || (status == EPLB_INTERRUPTED && interrupted);
  if (is_tracing())
    trace("  %s: %s %s%s", name_of(function), eplb_status_name(status), err->text,
          was_cut_short_ ? " (wanted)" : "");
  check_answer(function, status);
  return status;
}

void Subject::check_answer(Call function, eplb_status status) const {
  REQUIRE(was_cut_short_ || may_return(function, status), "%s returned %s: %s", name_of(function),
          eplb_status_name(status), check_last_text());
}

eplb_status Subject::call(Call function, std::initializer_list<Output> outputs, const Body& body) {
  const std::span<const Output> all(outputs.begin(), outputs.size());
  now_ = std::exchange(next_, {});
  copy_out(all, before_);
  const eplb_status status = run(function, body);
  if (status != EPLB_OK) REQUIRE(are_same(before_, all), "%s failed and wrote", name_of(function));
  if (twin_ && !was_cut_short_) compare_with_twin(function, all, status, body);
  if (status == EPLB_OK) return status;
  check_plan_is_there();
  check_split_is_there();
  return status;
}

void Subject::compare_with_twin(Call function, std::span<const Output> outputs, eplb_status status,
                                const Body& body) {
  text_ = check_last_text();
  forget_machine(outputs);
  copy_out(outputs, after_);
  copy_in(before_, outputs);
  eplb_error* const err = check_fresh_error();
  const eplb_status other = body(twin_, err);
  note_answer(function, other);
  REQUIRE(other == status, "%s: %s, its twin %s: %s", name_of(function), eplb_status_name(status),
          eplb_status_name(other), err->text);
  REQUIRE(text_ == err->text);
  forget_machine(outputs);
  REQUIRE(are_same(after_, outputs), "%s: the twin differs", name_of(function));
}

void Subject::must(Call function, std::initializer_list<Output> outputs, const Body& body) {
  REQUIRE(call(function, outputs, body) == EPLB_OK, "%s: %s", name_of(function), check_last_text());
}

bool Subject::call_as(Wanted wanted, Call function, std::initializer_list<Output> outputs,
                      const Body& body) {
  const eplb_status status = call(function, outputs, body);
  const bool done = status == EPLB_OK;
  const bool answered =
      wanted == Wanted::kEither ||
      (wanted == Wanted::kRefusal ? !done : static_cast<eplb_status>(wanted) == status);
  REQUIRE(
      was_cut_short_ || answered, "%s returned %s instead of %s: %s", name_of(function),
      eplb_status_name(status),
      wanted == Wanted::kRefusal ? "an error" : eplb_status_name(static_cast<eplb_status>(wanted)),
      check_last_text());
  return done;
}

// After a failure, so calls of its own would check it again.
void Subject::check_plan_is_there() {
  uint64_t value = 0;
  note(Call::kFingerprint);
  const eplb_status status = eplb_fingerprint(context_, &value, nullptr);
  REQUIRE(status == (known.plan ? EPLB_OK : EPLB_INVALID_STATE));
  if (known.plan) REQUIRE(value == known.plan->fingerprint);
}

void Subject::check_split_is_there() {
  int64_t dims[4];
  int32_t rank;
  note(Call::kMapShape);
  const eplb_status prepared =
      eplb_map_shape(context_, EPLB_MAP_SPLIT_TIGHT, &rank, dims, 4, nullptr);
  REQUIRE(prepared == (known.split ? EPLB_OK : EPLB_INVALID_STATE));
  if (!known.split) return;
  REQUIRE(dims[0] == known.split->layers && dims[1] == known.split->gpus.count());
  std::vector<int64_t> tight(static_cast<size_t>(dims[0] * dims[1]));
  note(Call::kFetchMap);
  const eplb_status fetched = eplb_fetch_map(context_, EPLB_MAP_SPLIT_TIGHT, EPLB_INT64,
                                             tight.data(), dims[0] * dims[1], nullptr);
  REQUIRE(fetched == (known.split->tolerance ? EPLB_OK : EPLB_INVALID_STATE));
  if (known.split->maps) REQUIRE(tight == known.split->maps->tight);
  check_dispatch_is_there();
}

void Subject::check_dispatch_is_there() {
  const std::optional<KnownDispatch>& dispatch = known.split->dispatch;
  std::vector<double> load(static_cast<size_t>(known.split->layers * known.split->gpus.count()));
  note(Call::kFetchMap);
  const eplb_status fetched =
      eplb_fetch_map(context_, EPLB_MAP_DISPATCH_LOAD, EPLB_FLOAT64, load.data(),
                     static_cast<int64_t>(load.size()), nullptr);
  REQUIRE(fetched == (dispatch ? EPLB_OK : EPLB_INVALID_STATE));
  if (dispatch && dispatch->maps) REQUIRE(load == dispatch->maps->load);
}

}  // namespace eplb::fuzz
