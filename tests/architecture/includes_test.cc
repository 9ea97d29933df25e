// The arrows between folders, read from the includes: a wrong one fails with a sentence.
// docs/architecture.md draws them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

namespace {

namespace fs = std::filesystem;

// For each folder, the folders of ours that its files may include besides itself.
const std::map<std::string, std::set<std::string>> kAllowed = [] {
  std::map<std::string, std::set<std::string>> allowed = {
      {"core/base", {}},
      {"core/catalog", {"core/base"}},
      {"core/tensor", {"core/base"}},
      {"core/graph", {"core/tensor", "core/catalog", "proto"}},
      {"core/rules", {"core/catalog", "core/graph"}},
      {"core/ops", {"core/graph", "core/rules"}},
      {"core/autodiff", {"core/ops"}},
      {"core/device", {"core/ops"}},
      {"core/device/reference", {"core/device"}},
      {"core/device/cpu", {"core/device", "core/device/reference"}},
      {"core/device/cuda/kernels", {"core/device"}},
      {"core/device/cuda", {"core/device", "core/device/cuda/kernels"}},
      {"core/passes", {"core/device"}},
      {"core/runtime",
       {"core/passes", "core/autodiff", "core/device/cpu", "core/device/reference",
        "core/device/cuda"}},
      {"core/eager", {"core/runtime"}},
      {"core/data", {"core/catalog", "core/io", "proto"}},
      {"core/io", {"core/tensor", "proto", "proto/tf"}},
      {"core/nn", {"core/catalog", "core/runtime", "core/data", "core/io"}},
      {"core/formats", {"core/nn"}},
      {"core/formats/translation", {"core/nn", "proto/onnx", "proto/tf"}},
      {"core/formats/saved_model", {"core/formats", "core/formats/translation", "proto/tf"}},
      {"core/formats/onnx", {"core/formats", "core/formats/translation", "proto/onnx"}},
      {"core/formats/keras", {"core/formats", "proto/tf"}},
      {"distributed/cluster", {"core/base", "distributed/connection"}},
      {"distributed/connection", {"core/base"}},
      {"distributed/rpc", {"distributed/connection"}},
      {"distributed/metrics", {"distributed/cluster"}},
      {"distributed/collective", {"core/tensor", "distributed/cluster", "distributed/rpc"}},
      {"distributed/collective/nccl", {"distributed/collective", "core/device/cuda"}},
      {"distributed/coordination", {"distributed/collective", "proto"}},
      {"distributed/strategy", {"core/nn", "distributed/collective/nccl"}},
      {"ps/table", {"core/ops"}},
      {"ps/protocol", {"ps/table", "distributed/rpc", "proto"}},
      {"ps/server",
       {"ps/protocol", "distributed/coordination", "distributed/metrics", "core/io", "proto"}},
      {"ps/client", {"ps/protocol", "distributed/coordination", "core/io", "proto"}},
      {"ps/ops", {"ps/client", "core/nn"}},
      {"worker",
       {"core/nn", "core/formats/keras", "core/formats/onnx", "core/formats/saved_model",
        "distributed/coordination", "distributed/strategy", "ps/ops", "ps/server", "proto"}},
      {"benchmarks", {"worker", "core/eager"}},
      {"launcher/supervisor", {"distributed/cluster"}},
      {"launcher/sweep", {"worker", "launcher/supervisor", "proto"}},
      {"launcher", {"worker", "benchmarks", "launcher/supervisor", "launcher/sweep", "proto"}},
  };
  // What a folder's own dependencies may use, it may use too.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& [folder, direct] : allowed) {
      for (const std::string& next : std::set<std::string>(direct)) {
        // Messages stay with who asks for them by name.
        if (next.starts_with("proto")) continue;
        for (const std::string& further : allowed[next]) {
          if (!further.starts_with("proto")) changed |= direct.insert(further).second;
        }
      }
    }
  }
  return allowed;
}();

// Libraries that stay in .cc files, so that no other folder is compiled against them.
const std::regex kPrivateLibrary(
    "<(dnnl|grpc|mpi|nccl|cuda|cudnn|glog|leveldb|google/"
    "protobuf|nlohmann|CLI|Eigen|jpeglib|png|hdf5)[./a-zA-Z]");

bool is_source(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh";
}

// A folder without a rule would be one that nobody looks at.
TEST(ArchitectureTest, EveryFolderWithSourcesHasItsArrows) {
  const fs::path root = TRIREME_SOURCE_DIR;
  std::set<std::string> folders;
  for (const char* top : {"core", "distributed", "ps", "worker", "launcher", "benchmarks"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      if (entry.is_regular_file() && is_source(entry.path())) {
        folders.insert(fs::relative(entry.path().parent_path(), root).string());
      }
    }
  }
  for (const std::string& folder : folders) {
    EXPECT_TRUE(kAllowed.contains(folder)) << folder << ": say in this test what it may include";
  }
  for (const auto& [folder, allowed] : kAllowed) {
    EXPECT_TRUE(folders.contains(folder)) << folder << " is not there any more";
  }
}

TEST(ArchitectureTest, FoldersIncludeOnlyWhatTheirArrowsAllow) {
  const fs::path root = TRIREME_SOURCE_DIR;
  const std::regex include("^#include \"([^\"]+)/[^/\"]+\"");
  int files = 0;
  for (const auto& [folder, allowed] : kAllowed) {
    for (const auto& entry : fs::directory_iterator(root / folder)) {
      if (!is_source(entry.path())) continue;
      ++files;
      std::ifstream in(entry.path());
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        ++number;
        std::smatch match;
        if (!std::regex_search(line, match, include)) continue;
        const std::string target = match[1];
        EXPECT_TRUE(target == folder || allowed.contains(target))
            << fs::relative(entry.path(), root).string() << ":" << number << ": " << folder
            << " may not include " << target << "; see docs/architecture.md for the arrows";
      }
    }
  }
  EXPECT_GT(files, 100);
}

TEST(ArchitectureTest, LibrariesStayOutOfHeadersThatOthersInclude) {
  const fs::path root = TRIREME_SOURCE_DIR;
  // Private to their folder: no other folder may include them, which the build sees to by their
  // missing include paths.
  const std::set<std::string> private_headers = {"core/device/cpu/onednn.h",
                                                 "core/device/cpu/block_forms.h",
                                                 "core/device/cuda/libraries.h",
                                                 "core/formats/keras/component_config.h",
                                                 "core/formats/keras/json.h",
                                                 "core/formats/keras/keras_graph.h",
                                                 "distributed/collective/nccl/nccl_library.h",
                                                 "worker/result_line.h"};
  for (const auto& [folder, allowed] : kAllowed) {
    for (const auto& entry : fs::directory_iterator(root / folder)) {
      const std::string name = fs::relative(entry.path(), root).string();
      if (entry.path().extension() != ".h" || private_headers.contains(name)) continue;
      std::ifstream in(entry.path());
      const std::string text(std::istreambuf_iterator<char>(in), {});
      EXPECT_FALSE(std::regex_search(text, kPrivateLibrary))
          << name << " shows a third-party header to whoever includes it";
    }
  }
}

}  // namespace
