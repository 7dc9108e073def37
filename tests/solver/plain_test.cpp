// What the library answers against the plain definition of BEST, slot for slot. Windows, vectors,
// prices, thresholds and whatever else the library spares itself must not be seen in an answer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "eplb.h"
#include "tests/solver/plain_best.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

constexpr eplb_effort kEfforts[] = {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX};

struct Case {
  std::vector<double> weights;
  int slots, gpus, max_replicas;
  uint64_t seed;
  std::string name;
};

class Library {
 public:
  Library() { EXPECT_EQ(eplb_context_create(&context_, nullptr, &error_), EPLB_OK); }
  ~Library() { eplb_context_destroy(context_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  std::vector<int> solve(const Case& c, eplb_effort effort) {
    eplb_problem problem;
    eplb_problem_init(&problem, sizeof problem, nullptr);
    problem.num_slots = c.slots;
    problem.num_gpus = c.gpus;
    eplb_solve_options options;
    eplb_solve_options_init(&options, sizeof options, nullptr);
    options.strategy = EPLB_STRATEGY_BEST;
    options.effort = effort;
    options.seed = c.seed;
    options.max_replicas = c.max_replicas;
    const int64_t experts = static_cast<int64_t>(c.weights.size());
    EXPECT_EQ(eplb_upload_weights(context_, c.weights.data(), experts, EPLB_FLOAT64, 1, 1, experts,
                                  &error_),
              EPLB_OK);
    EXPECT_EQ(eplb_solve(context_, &problem, &options, &error_), EPLB_OK) << error_.text;
    std::vector<int> placement(c.slots);
    eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement.data(), c.slots,
                   &error_);
    return placement;
  }

 private:
  eplb_context* context_ = nullptr;
  eplb_error error_;
};

std::vector<int> plainly(const Case& c, eplb_effort effort) {
  const plain::Layer layer(c.weights, c.slots, c.gpus, c.max_replicas, c.seed);
  return plain::Best(layer, effort - EPLB_EFFORT_FAST).solve();
}

std::string text_of(const Case& c) {
  std::ostringstream text;
  text << c.name << ": " << c.weights.size() << " experts, " << c.slots << " slots, " << c.gpus
       << " GPUs, cap " << c.max_replicas << ", seed " << c.seed;
  return text.str();
}

void expect_the_definition(Library& library, const Case& c, eplb_effort effort) {
  EXPECT_EQ(library.solve(c, effort), plainly(c, effort)) << text_of(c) << ", effort " << effort;
}

// Weights of a family. Ties are where definitions part, so most families have many.
constexpr const char* kFamilies[] = {"lognormal",     "Zipf",       "few integers",
                                     "coarse counts", "with zeros", "one hot"};
std::vector<double> weights_of(std::mt19937& random, int family, int experts) {
  std::vector<double> weights(experts);
  auto lognormal = [&](double mean, double deviation) {
    return std::lognormal_distribution<double>(mean, deviation)(random);
  };
  for (int e = 0; e < experts; ++e) switch (family) {
      case 0: weights[e] = lognormal(9, 0.7); break;
      case 1: weights[e] = std::floor(1e6 / std::pow(e + 1, 1.1)); break;
      case 2: weights[e] = 1 + static_cast<double>(random() % 5); break;
      case 3: weights[e] = std::floor(lognormal(3, 0.8)); break;
      case 4: weights[e] = random() % 3 == 0 ? 0 : std::floor(lognormal(8, 1.2)); break;
      default: weights[e] = e == 3 % experts ? 1e6 : 0;
    }
  if (family == 1) std::shuffle(weights.begin(), weights.end(), random);
  return weights;
}

Case random_case(uint32_t number, int places, int gpus, int extra_experts) {
  std::mt19937 random(number);
  const int slots = places * gpus, family = static_cast<int>(number % std::size(kFamilies));
  Case c{{}, slots, gpus, 0, uint64_t{random()} << (number % 40), kFamilies[family]};
  const int experts = std::clamp(slots - extra_experts, 1, slots);
  c.weights = weights_of(random, family, experts);
  if (random() % 5 == 0)
    c.max_replicas = (slots + experts - 1) / experts + static_cast<int>(random() % 3);
  c.name.append(1, ' ').append(std::to_string(number));
  return c;
}

// From none to half of the slots are extras, and sometimes nearly all.
int random_extras(std::mt19937& random, int slots) {
  const int kind = static_cast<int>(random() % 8);
  if (kind == 0) return 0;
  if (kind == 1) return static_cast<int>(random() % slots);
  return 1 + static_cast<int>(random() % (kind < 5 ? slots / 6 + 1 : slots / 2 + 1));
}

TEST(Plain, OneSlotPerGpu) {
  Library library;
  std::mt19937 random(1);
  for (uint32_t t = 0; t < 40; ++t) {
    const int gpus = 1 + static_cast<int>(random() % 60);
    expect_the_definition(library, random_case(t, 1, gpus, random_extras(random, gpus)),
                          kEfforts[t % 3]);
  }
}

TEST(Plain, TwoSlotsPerGpu) {
  Library library;
  std::mt19937 random(2);
  for (uint32_t t = 0; t < trials(180); ++t) {
    const int gpus = 1 + static_cast<int>(random() % (t % 3 == 0 ? 12 : 70));
    const Case c = random_case(t, 2, gpus, t % 9 == 0 ? 0 : random_extras(random, 2 * gpus));
    expect_the_definition(library, c, kEfforts[t / 6 % 3]);
  }
}

// Enough proposals for the search to be kicked.
TEST(Plain, TwoSlotsPerGpuWithKicks) {
  Library library;
  std::mt19937 random(9);
  for (uint32_t t = 0; t < trials(120); ++t) {
    const int gpus = 31 + static_cast<int>(random() % 40);
    const Case c = random_case(t, 2, gpus, 1 + static_cast<int>(random() % (2 * gpus - 2)));
    expect_the_definition(library, c, EPLB_EFFORT_MAX);
  }
}

TEST(Plain, ThreeAndMoreSlotsPerGpu) {
  Library library;
  std::mt19937 random(3);
  for (uint32_t t = 0; t < trials(600); ++t) {
    const int places = 3 + static_cast<int>(t / 6 % 10), gpus = 2 + static_cast<int>(random() % 24);
    const Case c = random_case(t, places, gpus, random_extras(random, places * gpus));
    expect_the_definition(library, c, kEfforts[random() % 3]);
  }
}

// Fewer experts than slots of a GPU, or hardly more: copies share GPUs, because they must or
// because the start left them so.
TEST(Plain, FewExperts) {
  Library library;
  std::mt19937 random(4);
  for (uint32_t t = 0; t < trials(900); ++t) {
    const int places = 2 + static_cast<int>(random() % 12),
              gpus = 1 + static_cast<int>(random() % 14);
    const int slots = places * gpus, experts = 1 + static_cast<int>(random() % (2 * places + 2));
    const Case c = random_case(t, places, gpus, std::max(0, slots - experts));
    expect_the_definition(library, c, kEfforts[t / 6 % 2]);
  }
}

// More than 64 GPUs: pairs are looked for from a random block on. More than 16 slots per GPU: no
// pairs.
TEST(Plain, ManyGpusAndManySlots) {
  Library library;
  const int shapes[][3] = {{5, 66, 40},  {4, 100, 30}, {6, 90, 0},
                           {16, 12, 20}, {17, 12, 20}, {20, 5, 40}};
  for (uint32_t t = 0; t < 36; ++t) {
    const auto& [places, gpus, extras] = shapes[t / 6];
    expect_the_definition(library, random_case(t, places, gpus, extras), kEfforts[t % 2]);
  }
}

// More than 64 slots per GPU: nothing is repaired. Caps just below the number of GPUs leave
// something to repair.
TEST(Plain, RepairsUpTo64Slots) {
  Library library;
  std::mt19937 random(6);
  for (uint32_t t = 0; t < trials(300); ++t) {
    const int places = 63 + static_cast<int>(t % 4), gpus = 3 + static_cast<int>(random() % 5),
              slots = places * gpus;
    Case c = random_case(t, places, gpus, slots - places - static_cast<int>(random() % places));
    c.max_replicas = std::max(gpus - 1, (slots + static_cast<int>(c.weights.size()) - 1) /
                                            static_cast<int>(c.weights.size()));
    expect_the_definition(library, c, EPLB_EFFORT_FAST);
  }
}

// 62 to 66 times as many heavy experts as GPUs, and one more: two of a GPU's slots too many for the
// mean, which the bound of counts sees up to a depth of 64.
TEST(Plain, BoundsUpToADepthOf64) {
  Library library;
  for (const int gpus : {2, 3, 5})
    for (int depth = 62; depth <= 66; ++depth) {
      Case c{std::vector<double>(70 * gpus, 1), 70 * gpus, gpus, 0, 1,
             "depth " + std::to_string(depth)};
      for (int e = 0; e <= depth * gpus; ++e) c.weights[e] = 1000 + e % 7;
      expect_the_definition(library, c, EPLB_EFFORT_FAST);
    }
}

TEST(Plain, TinyProblems) {
  Library library;
  std::mt19937 random(5);
  for (uint32_t t = 0; t < trials(150); ++t) {
    const int places = 2 + static_cast<int>(random() % 4),
              gpus = 2 + static_cast<int>(random() % (24 / places - 1));
    const Case c = random_case(t, places, gpus, random_extras(random, places * gpus));
    expect_the_definition(library, c, kEfforts[t / 6 % 3]);
  }
}

// Every line of comma-separated counts is a layer.
std::vector<std::vector<double>> trace(const std::string& name) {
  std::vector<std::vector<double>> layers;
  std::ifstream file(std::string(EPLB_TRACES "/") + name);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    layers.emplace_back();
    for (std::string field; std::getline(fields, field, ',');)
      layers.back().push_back(std::stod(field));
  }
  return layers;
}

TEST(Plain, RealTraces) {
  constexpr const char* kTraces[] = {
      "deepseek-v3_decode-in1000out1000_L58xE256.csv", "deepseek-v3_prefill-in1024_L58xE256.csv",
      "deepseek-v3_prefill-in512_L58xE256.csv", "qwen3-30b-a3b_batch1024-layer16_L1xE128.csv"};
  const int shapes[][2] = {{32, 288},  {32, 320},  {64, 320}, {72, 288},
                           {128, 384}, {144, 288}, {32, 256}};
  Library library;
  int compared = 0, absent = 0;
  uint64_t seed = 0;
  for (const char* name : kTraces) {
    const auto layers = trace(name);
    if (layers.empty()) ++absent;
    for (size_t l = 0; l < layers.size(); l += 12)
      for (const auto& [gpus, slots] : shapes) {
        const Case c{layers[l], slots,
                     gpus,      0,
                     ++seed,    std::string(name).append(" layer ").append(std::to_string(l))};
        expect_the_definition(library, c, kEfforts[seed % 3]);
        ++compared;
      }
  }
  RecordProperty("compared", compared);
  if (absent > 0) GTEST_SKIP() << absent << " of " << std::size(kTraces) << " traces are not here";
}

}  // namespace
}  // namespace eplb::tests
