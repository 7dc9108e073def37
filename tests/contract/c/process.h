/* What the process was like before the library was loaded. */
#ifndef EPLB_TESTS_PROCESS_H
#define EPLB_TESTS_PROCESS_H

void process_remember(void); /* call it first */

/* Of a folder such as /proc/self/fd, "." and ".." included. */
int process_entries(const char *folder);

/* Whether a thread of this number was there before the library: an emulator of the processor and a
 * sanitizer have threads of their own. */
int process_had_thread(int id);

#endif
