// The fuzzer's target: what an input does to the library. Linked with libFuzzer, or with replay.cpp.
#include <cstdio>
#include <cstdlib>

#include "calls.h"
#include "failure.h"
#include "program.h"

extern "C" {
#include "tests/contract/c/harness.h"

FILE* report_stream(void) { return stderr; }
}

namespace {

// eplb_fuzz: CALLS calls in INPUTS inputs, and for EPLB_FUZZ_CALLS a table of them.
void print_calls() {
  std::fprintf(stderr, "eplb_fuzz: %lld calls\n",
               static_cast<long long>(eplb::fuzz::calls_so_far()));
  if (std::getenv("EPLB_FUZZ_TABLE")) std::fputs(eplb::fuzz::table_of_calls().c_str(), stderr);
}

void start_once() {
  static const bool kStarted = [] {
#define EPLB_POINT(name) api.name = eplb_##name;
    EPLB_FUNCTIONS(EPLB_POINT)
#undef EPLB_POINT
    std::atexit(print_calls);
    return true;
  }();
  (void)kStarted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  start_once();
  eplb::fuzz::begin_input(data, size);
  test_begin("eplb_fuzz");
  eplb::fuzz::Program program({data, size});
  eplb::fuzz::run(program);
  return 0;
}
