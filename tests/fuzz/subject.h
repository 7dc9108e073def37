// A context, what it must hold, and its twin: a context with another number of threads, another
// instruction set, or both, or on a CUDA device, which is given the same calls and must answer the
// same bits.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>

#include "bytes.h"
#include "calls.h"
#include "eplb.h"
#include "expect.h"
#include "known.h"
#include "sized.h"

namespace eplb::fuzz {

// Where a call writes. Of reports, what depends on the machine is not compared.
struct Output {
  void* data;
  size_t bytes;
  bool is_report = false;
};
template <class T> Output output(std::vector<T>& array) {
  return {array.data(), array.size() * sizeof(T)};
}
inline Output output(Sized<eplb_report>& report) { return {report.data(), report.bytes(), true}; }

// What comes between during a call.
struct Disturbance {
  enum Kind { kNone, kRefuse, kRefuseFromThere, kInterrupt, kInterruptFromThread, kBefore, kMode };
  Kind kind = kNone;
  int64_t after = 0;  // allocations
};
Disturbance draw_disturbance(Bytes& bytes);

class Subject {
 public:
  // threads 0: no twin.
  Subject(int64_t threads, int64_t twin_threads, size_t twin_instruction_set);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  bool has_device_twin() const;

  Known known;

  // Of the next call.
  void disturb(const Disturbance& disturbance) { next_ = disturbance; }

  using Body = std::function<eplb_status(eplb_context*, eplb_error*)>;
  // Makes a call and checks what holds of every call; the same on the twin, if it has finished.
  eplb_status call(Call function, std::initializer_list<Output> outputs, const Body& body);
  // One that must succeed.
  void must(Call function, std::initializer_list<Output> outputs, const Body& body);
  // One that must return what is wanted, unless it was disturbed. Did it succeed?
  bool call_as(Wanted wanted, Call function, std::initializer_list<Output> outputs,
               const Body& body);

  // Does the context hold the plan that it had?
  void check_plan_is_there();
  // And over what it splits, and whether it has?
  void check_split_is_there();
  void check_dispatch_is_there();
  template <class T> std::vector<T> fetch(eplb_map map, eplb_dtype dtype, int64_t length) {
    std::vector<T> values(static_cast<size_t>(length));
    must(Call::kFetchMap, {output(values)}, [&](eplb_context* context, eplb_error* err) {
      return eplb_fetch_map(context, map, dtype, values.data(), length, err);
    });
    return values;
  }
  std::vector<int64_t> fetch_whole(eplb_map map, int64_t length) {
    return fetch<int64_t>(map, EPLB_INT64, length);
  }
  std::vector<double> fetch_real(eplb_map map, int64_t length) {
    return fetch<double>(map, EPLB_FLOAT64, length);
  }

 private:
  eplb_status run(Call function, const Body& body);
  void check_answer(Call function, eplb_status status) const;
  void compare_with_twin(Call function, std::span<const Output> outputs, eplb_status status,
                         const Body& body);

  eplb_context* context_ = nullptr;
  eplb_context* twin_ = nullptr;
  Disturbance next_, now_;
  bool was_cut_short_ = false;  // the last call, by a disturbance
  std::vector<std::byte> before_, after_;
  std::string text_;
};

}  // namespace eplb::fuzz
