#include "core/prices.h"

#include <algorithm>
#include <cmath>

#include "core/caller_array.h"
#include "core/error.h"

namespace eplb {
namespace {

void check_shape(const PriceSource& source) {
  constexpr const char* kWhy = "2^18, the most slots there can be";
  check_least("num_nodes", source.nodes, 1);
  check_least("num_columns", source.columns, 1);
  check_most("num_nodes", source.nodes, kMaxSlots, kWhy);
  check_most("num_columns", source.columns, kMaxSlots, kWhy);
  if (source.length != source.nodes * source.columns)
    fail(EPLB_INVALID_ARGUMENT,
         "prices_length is %lld, must be num_nodes * num_columns = %lld * %lld = %lld",
         ll(source.length), ll(source.nodes), ll(source.columns),
         ll(source.nodes * source.columns));
}

void check_prices(const PriceSource& source) {
  for (int64_t i = 0; i < source.length; ++i) {
    const double price = source.prices[i];
    if (price >= 0 && std::isfinite(price)) continue;
    fail(EPLB_INVALID_ARGUMENT,
         "prices[node %lld, column %lld] is %s, must be finite and at least 0",
         ll(i / source.columns), ll(i % source.columns),
         std::isnan(price) ? "NaN"
         : price < 0       ? "negative"
                           : "infinite");
  }
}

}  // namespace

PriceTable read_prices(const PriceSource& given) {
  if (given.prices == nullptr) return {};
  check_shape(given);
  const std::vector<double> copy = copy_of(given.prices, given.length);
  PriceSource source = given;
  source.prices = copy.data();
  check_prices(source);
  const double highest = *std::max_element(source.prices, source.prices + source.length);
  if (highest == 0)
    fail(EPLB_INVALID_ARGUMENT, "prices are 0 on all nodes: then nothing is away from home");
  PriceTable table;
  table.nodes = source.nodes;
  table.columns = source.columns;
  for (int64_t i = 0; i < source.length; ++i) {
    const double share = source.prices[i] / highest;
    table.shares.push_back(share);
    table.units.push_back((static_cast<int32_t>(share * (2 * kPriceUnits)) + 1) / 2);
  }
  return table;
}

void set_prices(const PriceTable& table, Problem& problem) {
  if (!table.exists() || problem.limits.policy != EPLB_POLICY_SOFT) return;
  if (table.nodes != problem.cluster.nodes)
    fail(EPLB_INVALID_ARGUMENT,
         "num_nodes is %d, but there are prices for %lld nodes: upload others with "
         "eplb_upload_prices, or none",
         problem.cluster.nodes, ll(table.nodes));
  if (table.columns != problem.experts && table.columns != problem.limits.groups)
    fail(EPLB_INVALID_ARGUMENT,
         "prices have %lld columns, must have %d, one for each expert, or %d, one for each group",
         ll(table.columns), problem.experts, problem.limits.groups);
  problem.prices = {.units = table.units.data(),
                    .shares = table.shares.data(),
                    .columns = static_cast<int>(table.columns)};
}

}  // namespace eplb
