/* What the process was like before the library was loaded. */
#ifndef EPLB_TESTS_PROCESS_H
#define EPLB_TESTS_PROCESS_H

void process_remember(void); /* call it first */

#endif
