/* Standard output and standard error are a file while the tests run, so that one word from the
 * library is found. */
#ifndef EPLB_TESTS_STREAMS_H
#define EPLB_TESTS_STREAMS_H

#include <stdio.h>

void streams_capture(void);
void streams_were_silent(void); /* a test; call it last */

/* Where the harness itself writes. */
FILE *report_stream(void);

#endif
