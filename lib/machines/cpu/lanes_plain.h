// Vectors of one lane: for instruction sets without vectors, or with none that Highway supports.
#pragma once

#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

inline constexpr int kLanes = 1;
using Index = int;
using Accumulator = int;

inline Index index_at(int i) { return i; }
inline int reduce_min(int v) { return v; }
inline int reduce_max(int v) { return v; }
inline int reduce_sum(int v) { return v; }
inline int keep_first(int, int v, int) { return v; }
inline int first_true(bool m) { return m ? 0 : -1; }
inline int count_true(int count, bool m) { return count + (m ? 1 : 0); }
inline int indices_from(int i) { return i; }
void for_each_true(bool, int tag, int index, auto visit) { visit(tag, index); }

EPLB_STAGE_END
