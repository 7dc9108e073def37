#include "harness.h"

#include <stdio.h>

#include "process.h"
#include "streams.h"

static void every_function_was_called(void) {
  int i;
  for (i = 0; i < API_FUNCTIONS; i++) {
    char what[64];
    snprintf(what, sizeof what, "%s was called", api_function_name((enum api_function)i));
    check_true(api_was_called((enum api_function)i), what, __FILE__, __LINE__);
  }
}

static void run_everything(const char *vectors) {
  library_facts();
  golden_vectors(vectors);
  rules_structs();
  rules_constants();
  rules_sizes();
  rules_weights();
  rules_maps();
  rules_moves();
  rules_transfers();
  rules_objective();
  rules_off_home();
  rules_prices();
  rules_soft();
  rules_split_objective();
  rules_order();
  rules_evaluation();
  rules_windows();
  rules_window_weights();
  rules_split();
  rules_split_calls();
  rules_dispatch();
  rules_answers();
  rules_cluster();
  rules_devices();
  rules_allocation();
  rules_out_of_memory();
  rules_limits();
  rules_locale();
  rules_floating_point();
  rules_signals();
  rules_interrupt();
  rules_threads();
  rules_fork();
  rules_process();
  RUN(every_function_was_called);
}

int main(int argc, char **argv) {
  const char *missing;
  if (argc != 3) {
    fprintf(stderr, "usage: %s LIBRARY VECTORS.json\n", argv[0]);
    return 2;
  }
  process_remember();
  missing = api_load(argv[1]);
  if (missing != NULL) {
    fprintf(stderr, "%s: %s\n", argv[1], missing);
    return 2;
  }
  streams_capture();
  run_everything(argv[2]);
  RUN(streams_were_silent);
  return test_print_counts();
}
