// glibc 2.35 brought _dl_find_object, and a static libgcc of such a machine asks for it when an
// exception is thrown. This is the same service from older means, so that the library loads where
// glibc is 2.34 (RHEL 9). Local to the library: the version script keeps it inside.
#include <dlfcn.h>
#include <link.h>

#include <cstdint>

#if defined(DLFO_STRUCT_HAS_EH_DBASE) && !DLFO_STRUCT_HAS_EH_DBASE && \
    defined(DLFO_STRUCT_HAS_EH_COUNT) && !DLFO_STRUCT_HAS_EH_COUNT

namespace {

struct Search {
  uintptr_t address;
  dl_find_object* result;
};

int look_into(dl_phdr_info* object, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  uintptr_t start = UINTPTR_MAX, end = 0, frames = 0;
  bool inside = false;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& part = object->dlpi_phdr[i];
    const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_GNU_EH_FRAME) frames = begin;
    if (part.p_type != PT_LOAD) continue;
    inside |= search.address >= begin && search.address < begin + part.p_memsz;
    start = begin < start ? begin : start;
    end = begin + part.p_memsz > end ? begin + part.p_memsz : end;
  }
  if (!inside || frames == 0) return 0;
  search.result->dlfo_flags = 0;
  search.result->dlfo_map_start = reinterpret_cast<void*>(start);
  search.result->dlfo_map_end = reinterpret_cast<void*>(end);
  search.result->dlfo_link_map = nullptr;
  search.result->dlfo_eh_frame = reinterpret_cast<void*>(frames);
  return 1;
}

}  // namespace

extern "C" __attribute__((visibility("hidden"))) int _dl_find_object(
    void* address, dl_find_object* result) noexcept {
  Search search{reinterpret_cast<uintptr_t>(address), result};
  return dl_iterate_phdr(look_into, &search) == 1 ? 0 : -1;
}

#endif
