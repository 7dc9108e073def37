// What a broken promise ends with: the sentence, the calls that led there, and abort.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

// A promise of eplb.h. Further arguments are a format and its values, which say more.
#define REQUIRE(condition, ...) \
  ((condition) ? void()         \
               : eplb::fuzz::broken(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__))

namespace eplb::fuzz {

[[noreturn]] void broken(const char* file, int line, const char* promise);
[[noreturn]] __attribute__((format(printf, 4, 5))) void broken(const char* file, int line,
                                                               const char* promise,
                                                               const char* format, ...);

// A line about a call, printed while an input runs again to show how it came to a broken promise,
// or from the start if EPLB_FUZZ_TRACE is set.
bool is_tracing();
__attribute__((format(printf, 1, 2))) void trace(const char* format, ...);

// The same for the numbers of a small array.
template <class Numbers> void trace_numbers(const char* name, const Numbers& numbers) {
  if (!is_tracing() || numbers.size() == 0 || numbers.size() > 400) return;
  std::string line = std::string("  ") + name;
  char text[32];
  for (const auto number : numbers) {
    std::snprintf(text, sizeof text, " %.17g", static_cast<double>(number));
    line += text;
  }
  trace("%s", line.c_str());
}

// The input that runs, to be run again.
void begin_input(const uint8_t* data, size_t size);

}  // namespace eplb::fuzz
