// What the tests of Keras's files share: a folder, Keras as the judge, and tensors in plain files
// for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/formats/keras/keras_formats.h"
#include "core/io/input_file.h"
#include "tests/support/process.h"

namespace trireme::testing {

namespace fs = std::filesystem;
using formats::Format;
using formats::ModelFile;
using nlohmann::json;

inline const nn::Catalogs& catalogs() {
  static const nn::Catalogs all = [] {
    nn::Catalogs made;
    nn::register_core(made);
    return made;
  }();
  return all;
}

inline Format format(const std::string& name) {
  for (const Format& each : formats::keras_formats()) {
    if (each.name == name) return each;
  }
  throw not_found("no format ", name);
}

inline std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

class KerasFilesTest : public ::testing::Test {
 protected:
  KerasFilesTest() {
    std::string pattern = (fs::temp_directory_path() / "keras_files_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~KerasFilesTest() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // False: there is no Keras.
  bool judge(const std::string& command) const {
    const testing::ProcessResult result =
        testing::run({"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", python(),
                      std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/keras/judge.py",
                      folder_.string(), command});
    if (result.exit_code == 77 || result.exit_code == 127) return false;
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return true;
  }

  static void write_tensors(const std::string& stem, const std::vector<Tensor>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      std::ofstream out(str_cat(stem, ".", i), std::ios::binary);
      const auto dims = tensors[i].shape().dims();
      out << json{{"dtype", name(tensors[i].dtype())},
                  {"shape", std::vector<int64_t>(dims.begin(), dims.end())}}
          << '\n';
      out.write(static_cast<const char*>(tensors[i].raw()),
                static_cast<std::streamsize>(tensors[i].bytes()));
    }
  }

  static std::vector<Tensor> read_tensors(const std::string& stem) {
    std::vector<Tensor> tensors;
    while (fs::exists(str_cat(stem, ".", tensors.size()))) {
      std::ifstream in(str_cat(stem, ".", tensors.size()), std::ios::binary);
      std::string line;
      std::getline(in, line);
      const json head = json::parse(line);
      Tensor tensor(*dtype_from_name(head["dtype"].get<std::string>()),
                    Shape(head["shape"].get<std::vector<int64_t>>()));
      in.read(static_cast<char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
      tensors.push_back(std::move(tensor));
    }
    return tensors;
  }

  fs::path folder_;
};

// Of features whose keys may be of another integer type.
inline std::vector<Tensor> predict(const ModelFile& file, std::vector<Tensor> features) {
  for (size_t i = 0; i < features.size(); ++i) {
    if (features[i].dtype() != DType::kInt64 || file.inputs[i].type.dtype != DType::kInt32)
      continue;
    Tensor narrow(DType::kInt32, features[i].shape());
    std::ranges::copy(features[i].flat<int64_t>(), narrow.flat<int32_t>().begin());
    features[i] = narrow;
  }
  return formats::make_model(file)->predict_all(features);
}

inline std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> all;
  const auto add = [&](const auto& values) { all.assign(values.begin(), values.end()); };
  if (tensor.dtype() == DType::kInt64) {
    add(tensor.flat<int64_t>());
  } else if (tensor.dtype() == DType::kInt32) {
    add(tensor.flat<int32_t>());
  } else {
    add(tensor.flat<float>());
  }
  return all;
}

inline double difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i].shape() != b[i].shape()) return INFINITY;
    const auto x = numbers(a[i]), y = numbers(b[i]);
    for (size_t j = 0; j < x.size(); ++j) {
      const double apart = std::abs(x[j] - y[j]);
      if (!(apart <= largest)) largest = apart;
    }
  }
  return largest;
}

}  // namespace trireme::testing
