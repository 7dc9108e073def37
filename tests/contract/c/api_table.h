/* Every function of the library, found with dlsym: what a Go or Rust client does, done in C. */
#ifndef EPLB_TESTS_API_TABLE_H
#define EPLB_TESTS_API_TABLE_H

#include "eplb.h"

/* tests/contract/abi/test_symbols.py compares this list with the header: a new function cannot be
 * forgotten here. */
#define EPLB_FUNCTIONS(F)         \
  F(abi_version)                  \
  F(version_string)               \
  F(status_name)                  \
  F(backend_init)                 \
  F(backend_info)                 \
  F(device_count)                 \
  F(device_name)                  \
  F(context_options_init)         \
  F(context_create)               \
  F(context_destroy)              \
  F(context_interrupt)            \
  F(context_synchronize)          \
  F(context_reserve)              \
  F(upload_weights)               \
  F(upload_weights_device)        \
  F(upload_cluster)               \
  F(upload_prices)                \
  F(upload_window_weights)        \
  F(upload_placement)             \
  F(upload_placement_device)      \
  F(problem_init)                 \
  F(solve_options_init)           \
  F(solve)                        \
  F(solve_device)                 \
  F(map_shape)                    \
  F(fetch_map)                    \
  F(fetch_map_device)             \
  F(fingerprint)                  \
  F(report_init)                  \
  F(fetch_report)                 \
  F(evaluate)                     \
  F(evaluate_windows)             \
  F(plan_transfers)               \
  F(split_options_init)           \
  F(split_prepare)                \
  F(split_prepare_device)         \
  F(split)                        \
  F(split_device)                 \
  F(static_dispatch_options_init) \
  F(static_dispatch)

/* The types are the header's own declarations, so a changed signature cannot go unnoticed. */
struct api {
#define EPLB_FIELD(name) __typeof__(eplb_##name) *name;
  EPLB_FUNCTIONS(EPLB_FIELD)
#undef EPLB_FIELD
};

enum api_function {
#define EPLB_INDEX(name) API_##name,
  EPLB_FUNCTIONS(EPLB_INDEX)
#undef EPLB_INDEX
      API_FUNCTIONS
};

extern struct api api;

/* CALL(solve)(context, ...) calls eplb_solve and remembers that the harness did. */
#define CALL(name) (api_note(API_##name), api.name)

void api_note(enum api_function function);
int api_was_called(enum api_function function);
const char *api_function_name(enum api_function function);

/* Loads the library and looks up every function. Returns what could not be had, or NULL. */
const char *api_load(const char *path);

/* The file that was loaded, for tests that load it once more. */
const char *api_path(void);

#endif
