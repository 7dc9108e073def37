// Runs the fuzzer's target without libFuzzer, in any build:
//
//   eplb_fuzz_replay FILE_OR_FOLDER...       each file once
//   eplb_fuzz_replay --random SECONDS SEED FOLDER    inputs drawn from SEED, half of them from the folder's files
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bytes.h"
#include "calls.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;
using Input = std::vector<uint8_t>;
using eplb::fuzz::Random;

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

Input read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
    std::exit(2);
  }
  return Input(std::istreambuf_iterator<char>(file), {});
}

Input random_bytes(Random& random) {
  Input input(static_cast<size_t>(random.from(16, 400)));
  for (uint8_t& byte : input) byte = static_cast<uint8_t>(random.next());
  return input;
}

// A file with some bytes changed, and another's end.
Input mutated(const std::vector<Input>& corpus, Random& random) {
  const auto any = [&]() -> const Input& {
    return corpus[static_cast<size_t>(random.below(static_cast<int64_t>(corpus.size())))];
  };
  Input input = any();
  const Input& other = any();
  input.resize(static_cast<size_t>(random.from(0, static_cast<int64_t>(input.size()))));
  const auto from = random.from(0, static_cast<int64_t>(other.size()));
  input.insert(input.end(), other.begin() + from, other.end());
  for (int64_t i = random.below(8); i > 0 && !input.empty(); --i)
    input[static_cast<size_t>(random.below(static_cast<int64_t>(input.size())))] =
        static_cast<uint8_t>(random.next());
  return input;
}

void run(const Input& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

int replay(int count, char** paths) {
  int64_t files = 0;
  for (int i = 0; i < count; ++i)
    for (const fs::path& file : files_of(paths[i])) {
      std::fprintf(stderr, "%s\n", file.c_str());  // the last one is the one that failed
      run(read(file));
      ++files;
    }
  std::fprintf(stderr, "%lld files\n", static_cast<long long>(files));
  return files > 0 ? 0 : 2;
}

// The input that runs is in a file that outlives a crash.
int run_random(double seconds, uint64_t seed, const fs::path& folder, const fs::path& now) {
  std::vector<Input> corpus;
  for (const fs::path& file : files_of(folder)) corpus.push_back(read(file));
  Random random(seed);
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  int64_t inputs = 0;
  std::FILE* const file = std::fopen(now.c_str(), "wb");
  for (; passed() < seconds; ++inputs) {
    const Input input = corpus.empty() || random.one_in(2) ? random_bytes(random)
                                                           : mutated(corpus, random);
    if (file) {
      std::rewind(file);
      std::fwrite(input.data(), 1, input.size(), file);
      std::fflush(file);
      if (ftruncate(fileno(file), static_cast<off_t>(input.size())) != 0) return 2;
    }
    run(input);
  }
  if (file) std::fclose(file);
  fs::remove(now);
  // Of its own time: others may run on this machine.
  const double own = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  std::fprintf(stderr, "%lld inputs, %.0f calls per second of CPU time\n",
               static_cast<long long>(inputs),
               static_cast<double>(eplb::fuzz::calls_so_far()) / own);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[1], "--random") == 0)
    return run_random(std::atof(argv[2]), std::strtoull(argv[3], nullptr, 10), argv[4], argv[5]);
  if (argc < 2 || argv[1][0] == '-') {
    std::fprintf(stderr, "usage: %s FILE_OR_FOLDER... | --random SECONDS SEED CORPUS NOW\n", argv[0]);
    return 2;
  }
  return replay(argc - 1, argv + 1);
}
