#include "vectors.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace eplb::tests {
namespace {

int64_t as_int(const std::string& word) { return std::strtoll(word.c_str(), nullptr, 10); }

std::vector<std::string> rest_of(std::istringstream& words) {
  std::vector<std::string> list;
  for (std::string word; words >> word;) list.push_back(word);
  return list;
}

input weights_of(std::istringstream& words) {
  input in{};
  words >> in.dtype >> in.windows >> in.layers >> in.experts;
  const std::vector<std::string> list = rest_of(words);
  EQUAL(input_length(&in), list.size());
  in.weights = std::calloc(list.size() + 1, input_element_size(in.dtype));
  for (size_t i = 0; i < list.size(); i++) {
    switch (in.dtype) {
      case EPLB_FLOAT32:
        static_cast<float*>(in.weights)[i] =
            static_cast<float>(std::strtod(list[i].c_str(), nullptr));
        break;
      case EPLB_FLOAT64:
        static_cast<double*>(in.weights)[i] = std::strtod(list[i].c_str(), nullptr);
        break;
      case EPLB_INT32:
        static_cast<int32_t*>(in.weights)[i] = static_cast<int32_t>(as_int(list[i]));
        break;
      default: static_cast<int64_t*>(in.weights)[i] = as_int(list[i]);
    }
  }
  return in;
}

void read_problem(std::istringstream& words, Input& in) {
  EXPECT(EPLB_OK, CALL(problem_init)(&in->problem, sizeof in->problem, ERR));
  EXPECT(EPLB_OK, CALL(solve_options_init)(&in->options, sizeof in->options, ERR));
  words >> in->problem.num_slots >> in->problem.num_gpus >> in->problem.num_nodes >>
      in->problem.num_groups >> in->problem.policy >> in->options.seed >> in->options.max_replicas;
  CHECK(!words.fail());
}

Vector read_vector(std::ifstream& file, const std::string& name) {
  Vector vector{name, Input(input{}), {}, {}, {}};
  Answer* answer = nullptr;
  for (std::string line, first; std::getline(file, line) && line != "end";) {
    std::istringstream words(line);
    words >> first;
    if (first == "weights") {
      vector.in = Input(weights_of(words));
    } else if (first == "problem") {
      read_problem(words, vector.in);
    } else if (first == "refused") {
      words >> vector.refused >> vector.refused_strategy >> std::ws;
      std::getline(words, vector.refusal);
    } else if (first == "answer") {
      eplb_strategy strategy = -1;
      eplb_effort effort = -1;
      words >> strategy >> effort;
      answer = &vector.answers[{strategy, effort}];
    } else {
      (*answer)[static_cast<eplb_map>(as_int(first))] = rest_of(words);
    }
  }
  return vector;
}

}  // namespace

std::vector<Vector> read_vectors(const std::string& path) {
  std::vector<Vector> vectors;
  std::ifstream file(path);
  for (std::string word, name; file >> word >> name && file.ignore();)
    vectors.push_back(read_vector(file, name));
  return vectors;
}

bool answer_agrees(const Answer& answer, const plan* got) {
  for (const auto& [map, words] : answer) {
    if (!EQUAL(words.size(), got->lengths[map])) return false;
    for (size_t i = 0; i < words.size(); i++) {
      const std::string place = std::string(map_name(map)) + "[" + std::to_string(i) + "]";
      const bool same =
          map_is_int(map)
              ? check_equal(as_int(words[i]), got->ints[map][i], place.c_str(), __FILE__, __LINE__)
              : check_close(std::strtod(words[i].c_str(), nullptr), got->doubles[map][i], 1e-12,
                            place.c_str(), __FILE__, __LINE__);
      if (!same) return false;
    }
  }
  return true;
}

}  // namespace eplb::tests
