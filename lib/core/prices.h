// What load costs by the node that serves it, where callers know that better than groups say.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// The caller's array, untrusted.
struct PriceSource {
  const double* prices;  // [N,columns]; null: there are none any more
  int64_t length, nodes, columns;
};

struct PriceTable {
  int64_t nodes = 0, columns = 0;  // columns: of experts or of groups
  std::vector<int32_t> units;      // as PriceList::units
  std::vector<double> shares;      // as PriceList::shares

  bool exists() const { return nodes > 0; }
  int64_t bytes() const {
    return static_cast<int64_t>(units.capacity() * sizeof(int32_t) +
                                shares.capacity() * sizeof(double));
  }
};

// Throws InvalidArgument for a shape, length or price that cannot be.
PriceTable read_prices(const PriceSource& source);

// Points a problem of policy SOFT, checked but for this, to the prices. Throws InvalidArgument
// unless they fit it.
void set_prices(const PriceTable& table, Problem& problem);

}  // namespace eplb
