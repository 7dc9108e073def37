// Runs the fuzzer's target without libFuzzer, in any build:
//
//   eplb_fuzz_replay FILE_OR_FOLDER...       each file once
//   eplb_fuzz_replay --random SECONDS SEED CORPUS FILE
//                                            inputs drawn from SEED, half of them from those of the
//                                            folder CORPUS; the one that fails stays in FILE
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

[[noreturn]] void stop(const fs::path& path, const char* why) {
  std::fprintf(stderr, "%s: %s\n", path.c_str(), why);
  std::exit(2);
}

Input read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) stop(path, "cannot be read");
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

// The file that has the input that runs, and still has it after a crash.
class Running {
 public:
  explicit Running(fs::path path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {
    if (file_ == nullptr) stop(path_, "cannot be written");
  }
  ~Running() {
    std::fclose(file_);
    fs::remove(path_);
  }
  void write(const Input& input) {
    std::rewind(file_);
    std::fwrite(input.data(), 1, input.size(), file_);
    if (std::fflush(file_) != 0 || ftruncate(fileno(file_), static_cast<off_t>(input.size())) != 0)
      stop(path_, "cannot be written");
  }

 private:
  fs::path path_;
  std::FILE* file_;
};

int run_random(double seconds, uint64_t seed, const fs::path& folder, const fs::path& path) {
  std::vector<Input> corpus;
  for (const fs::path& file : files_of(folder)) corpus.push_back(read(file));
  Random random(seed);
  Running running(path);
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  int64_t inputs = 0;
  for (; Clock::now() < end; ++inputs) {
    const Input input =
        corpus.empty() || random.one_in(2) ? random_bytes(random) : mutated(corpus, random);
    running.write(input);
    run(input);
  }
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
    std::fprintf(stderr, "usage: %s FILE_OR_FOLDER... | --random SECONDS SEED CORPUS FILE\n",
                 argv[0]);
    return 2;
  }
  return replay(argc - 1, argv + 1);
}
