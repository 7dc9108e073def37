/* The header needs nothing before it, and may come twice: a compiler option includes it
 * before this file, too. C99 and later. */
#include "eplb.h"

#ifdef EPLB_VERSION
#error "the header defines no macros but its guard"
#endif

/* A frozen size, in a language without static assertions. */
typedef char error_is_256_bytes[sizeof(eplb_error) == 256 ? 1 : -1];

int32_t eplb_header_alone(const eplb_error *err);
int32_t eplb_header_alone(const eplb_error *err) {
  return err->code + (int32_t)sizeof(error_is_256_bytes);
}
