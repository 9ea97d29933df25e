#include "tests/core/formats/saved_model/judge.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

// A line "NAME KEY DTYPE SIZE…", and the bytes in FOLDER/NAME.raw.
void write_tensor(const std::filesystem::path& folder, const std::string& name,
                  const std::string& key, const Tensor& tensor, std::ostream& lines) {
  lines << name << ' ' << key << ' ' << trireme::name(tensor.dtype());
  for (const int64_t size : tensor.shape()) lines << ' ' << size;
  lines << '\n';
  std::ofstream(folder / (name + ".raw"), std::ios::binary)
      .write(static_cast<const char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
}

}  // namespace

void write_tensors(const std::string& folder, const std::vector<std::string>& input_keys,
                   const std::vector<Tensor>& inputs, const std::vector<std::string>& output_keys,
                   const std::vector<Tensor>& outputs) {
  std::ofstream lines(std::filesystem::path(folder) / "tensors.txt");
  for (size_t i = 0; i < inputs.size(); ++i) {
    write_tensor(folder, str_cat("input_", i), input_keys[i], inputs[i], lines);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    write_tensor(folder, str_cat("output_", i), output_keys[i], outputs[i], lines);
  }
}

void judge(const std::string& directory, const std::string& checks) {
  // TensorFlow alone takes seconds to be there, and on a busy machine much more.
  constexpr std::chrono::seconds kDeadline{280};
  const auto run =
      trireme::testing::Process({python(), TRIREME_JUDGE, directory, checks}).wait(kDeadline);
  if (run.exit_code == 77 || run.exit_code == 127) {
    GTEST_SKIP() << python()
                 << " lacks tensorflow, keras or ai_edge_litert; name a Python that has "
                 << "them in TRIREME_PEER_PYTHON";
  }
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_NE(run.out.find("\n0 checks failed\n"), std::string::npos) << run.out;
}

}  // namespace trireme::formats
