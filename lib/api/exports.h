// Makes what eplb.h declares visible outside the library: eplb.h itself knows no macros. Included
// before everything else.
#pragma once

#pragma GCC visibility push(default)
#include "eplb.h"
#pragma GCC visibility pop
