#define _POSIX_C_SOURCE 200809L
#include "streams.h"

#include <stdlib.h>
#include <unistd.h>

#include "harness.h"

#if HARNESS_SANITIZED
/* A sanitizer must reach the terminal: its report is no word of the library, and it may be the last
 * one. */
void __sanitizer_set_report_fd(void *fd);
#endif

static FILE *report, *captured;

FILE *report_stream(void) { return report ? report : stderr; }

void streams_capture(void) {
  int fd = dup(STDOUT_FILENO);
  captured = tmpfile();
  report = fd < 0 ? NULL : fdopen(fd, "w");
  if (captured == NULL || report == NULL) {
    fprintf(stderr, "no temporary file to catch the library's output in\n");
    exit(2);
  }
  setvbuf(report, NULL, _IOLBF, BUFSIZ);
  fflush(NULL);
  dup2(fileno(captured), STDOUT_FILENO);
  dup2(fileno(captured), STDERR_FILENO);
#if HARNESS_SANITIZED
  __sanitizer_set_report_fd((void *)(ptrdiff_t)fd);
#endif
}

void streams_were_silent(void) {
  char line[256];
  fflush(stdout);
  fflush(stderr);
  EQUAL(0, lseek(fileno(captured), 0, SEEK_END));
  rewind(captured);
  while (fgets(line, sizeof line, captured) != NULL)
    fprintf(report, "  written by the library: %s", line);
}
