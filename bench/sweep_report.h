// Tables of the sweep.
#pragma once

#include <string>
#include <vector>

#include "sweep_extremes.h"
#include "sweep_measure.h"

namespace bench {

// Machine, library, and what is measured.
std::string heading(const std::string& commit);

std::string table(const Sweep& sweep, double limit);
std::string extremes_header(double most_seconds);
std::string row(const Extreme& extreme, double most_seconds);

// Every time, tab-separated.
std::string all_times(const std::vector<Sweep>& sweeps);

}  // namespace bench
