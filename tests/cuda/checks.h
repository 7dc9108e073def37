// The C harness's checks, in C++: tests are counted, a failed check names file, line and values,
// and the test goes on. Checks are for the main thread; other threads leave what they saw to it.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "eplb.h"

extern "C" {
#include "tests/contract/c/harness.h"
#include "tests/contract/c/invariants.h"
#include "tests/contract/c/moves.h"
}

// A compound literal, which the harness's own macros are made of, has no address in C++.
#undef REFUSED
#undef INVALID
#define REFUSED(status, call, ...) \
  eplb::tests::check_refusal((status), (call), #call, __FILE__, __LINE__, {__VA_ARGS__})
#define CUDA(call) eplb::tests::check_cuda((call), #call, __FILE__, __LINE__)

namespace eplb::tests {

bool check_refusal(eplb_status want, eplb_status got, const char* call, const char* file, int line,
                   std::initializer_list<const char*> words);
bool check_cuda(int error, const char* call, const char* file, int line);

// One test with a name made at run time.
template <class Body> void test(const std::string& name, Body body) {
  test_begin(name.c_str());
  body();
  test_end();
}

const char* strategy_name(eplb_strategy strategy);

// One function for each group of tests.
void facts();
void golden();
void parity();
void traces();
void large();
void tiny();
void calls();
void late();
void graphs();
void worlds();
void threads();
void memory();
void broken();
void evaluation();
void moves();
void clusters();
void rebalances();
void windows();
void tables();
void splits();

struct Settings {
  std::string vectors, data;   // the golden vectors as text; a folder of traces
  int problems = 20;           // random ones
  uint64_t seed = 1;           // of the first; the others follow one by one
  int most_slots = 2000;       // of a random problem
  int trace_layers = 1 << 20;  // of each trace, at most
  int rounds = 20;             // of what is done again and again
};
const Settings& settings();

}  // namespace eplb::tests
