// Races between the lanes of a warp, as compute-sanitizer's racecheck looks for them, but in every
// kind of memory: two lanes use the same word without a barrier between, and one of them writes.
// Lanes take turns here, so nothing breaks by it; on a GPU it may. Shuffles, votes and reductions
// are no barriers: they order no memory.
//
// The compiler calls the functions below for each access of what was compiled with
// -fsanitize=thread.
#include "races.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using emulated::race_watch;

// Who used a word last. Words that share a cell forget each other: a race may be missed, none is
// made up.
struct Cell {
  uintptr_t address;
  unsigned written, read;  // epochs
  unsigned readers;        // bit for bit, of the epoch `read`
  int writer;
  void *writer_code, *reader_code;
};
constexpr size_t kCells = size_t{1} << 20;
Cell cells[kCells];

void name_place(const char* what, int lane, void* code) {
  Dl_info info{};
  dladdr(code, &info);
  const auto offset =
      reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  std::fprintf(stderr, "  lane %d %s: addr2line -Cfipe %s 0x%zx\n", lane, what, info.dli_fname,
               size_t{offset - 1});
}

[[noreturn]] void fail(const char* first, int lane, void* code, const char* second, void* here) {
  std::fprintf(stderr, "emulated CUDA: a race, no barrier between\n");
  name_place(first, lane, code);
  name_place(second, race_watch.lane, here);
  std::abort();
}

void use(void* where, size_t bytes, bool writes, void* code) {
  if (!race_watch.on) return;
  const uintptr_t from = reinterpret_cast<uintptr_t>(where);
  const unsigned epoch = race_watch.epoch, mine = 1u << race_watch.lane;
  for (uintptr_t address = from & ~uintptr_t{3}; address < from + bytes; address += 4) {
    Cell& cell = cells[address / 4 % kCells];
    if (cell.address != address) cell = {address, 0, 0, 0, 0, nullptr, nullptr};
    if (cell.written == epoch && cell.writer != race_watch.lane)
      fail("writes", cell.writer, cell.writer_code, writes ? "writes" : "reads", code);
    const unsigned others = cell.read == epoch ? cell.readers & ~mine : 0;
    if (writes && others) fail("reads", __builtin_ctz(others), cell.reader_code, "writes", code);
    if (writes) {
      cell.written = epoch;
      cell.writer = race_watch.lane;
      cell.writer_code = code;
    } else {
      cell.readers = mine | (cell.read == epoch ? cell.readers : 0);
      cell.read = epoch;
      cell.reader_code = code;
    }
  }
}

}  // namespace

#define WATCH(bytes)                                                                      \
  void __tsan_read##bytes(void* p) { use(p, bytes, false, __builtin_return_address(0)); } \
  void __tsan_write##bytes(void* p) { use(p, bytes, true, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##bytes(void* p) {                                            \
    use(p, bytes, false, __builtin_return_address(0));                                    \
  }                                                                                       \
  void __tsan_unaligned_write##bytes(void* p) { use(p, bytes, true, __builtin_return_address(0)); }

extern "C" {
WATCH(1);
WATCH(2);
WATCH(4);
WATCH(8);
WATCH(16);
void __tsan_read_range(void* p, size_t bytes) { use(p, bytes, false, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { use(p, bytes, true, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
