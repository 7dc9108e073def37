#include "failure.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace eplb::fuzz {
namespace {

const uint8_t* input;
size_t input_size;
bool tracing = std::getenv("EPLB_FUZZ_TRACE") != nullptr;

// The same input once more, with its calls; it breaks the promise again.
[[noreturn]] void show_the_way() {
  if (tracing) std::abort();
  tracing = true;
  std::fprintf(stderr, "the calls of this input:\n");
  LLVMFuzzerTestOneInput(input, input_size);
  std::fprintf(stderr, "it kept all promises this time\n");
  std::abort();
}

void say(const char* file, int line, const char* promise) {
  std::fprintf(stderr, "%s:%d: %s does not hold", file, line, promise);
}

}  // namespace

void begin_input(const uint8_t* data, size_t size) {
  input = data;
  input_size = size;
}

bool is_tracing() { return tracing; }

void trace(const char* format, ...) {
  if (!tracing) return;
  va_list values;
  va_start(values, format);
  std::vfprintf(stderr, format, values);
  va_end(values);
  std::fputc('\n', stderr);
}

void broken(const char* file, int line, const char* promise) {
  say(file, line, promise);
  std::fputc('\n', stderr);
  show_the_way();
}

void broken(const char* file, int line, const char* promise, const char* format, ...) {
  say(file, line, promise);
  std::fprintf(stderr, ": ");
  va_list values;
  va_start(values, format);
  std::vfprintf(stderr, format, values);
  va_end(values);
  std::fputc('\n', stderr);
  show_the_way();
}

}  // namespace eplb::fuzz
