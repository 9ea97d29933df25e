// Files of ONNX beside onnxruntime and ONNX's own checker. Skipped, which it says, where no Python
// with these is named by TRIREME_PEER_PYTHON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/formats/onnx/write_onnx.h"
#include "core/io/safetensors.h"
#include "tests/core/formats/models/model_texts.h"
#include "tests/core/formats/onnx/layer_cases.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

class OnnxPeerTest : public ::testing::Test {
 protected:
  // Features and our predictions, for the script.
  void write_case(nn::Model& model, const ModelFile& file, const std::vector<Tensor>& features,
                  const std::string& name) {
    std::map<std::string, Tensor> tensors;
    for (size_t i = 0; i < features.size(); ++i) {
      tensors["in/" + file.inputs[i].name] = features[i];
    }
    const std::vector<Tensor> outputs = model.predict_all(features);
    for (size_t i = 0; i < outputs.size(); ++i) {
      tensors["out/" + (file.outputs.empty() ? file.layers.back()->name() : file.outputs[i])] =
          outputs[i];
    }
    io::write_safetensors(folder_ / (name + ".safetensors"), tensors);
  }

  // The lines that the script prints; nothing: there is no such Python.
  std::optional<std::string> run() {
    const auto result = ::trireme::testing::run(
        {"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", python(),
         std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/onnx/onnx_peer.py",
         folder_.path()});
    if (result.exit_code == 77 || result.exit_code == 127) return {};
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  ::trireme::testing::TemporaryDirectory folder_;
};

// Names of the lines, each of a difference of at most `most`.
std::vector<std::string> near(const std::string& lines, double most) {
  std::vector<std::string> names;
  std::istringstream in(lines);
  std::string name, file, output;
  double difference = 0;
  while (in >> name >> file >> output >> difference) {
    EXPECT_LE(difference, most) << file << " " << output;
    names.push_back(file.substr(0, file.rfind(".safetensors")) + " " + output);
  }
  return names;
}

TEST_F(OnnxPeerTest, OnnxruntimePredictsWhatWePredict) {
  std::vector<std::string> expected;
  for (const std::string& name : ::trireme::testing::model_names()) {
    const ModelFile file = ::trireme::testing::model_file(name);
    write_onnx(file, folder_ / (name + ".onnx"));
    const auto model = make_model(file);
    for (int64_t batch : {1, 7}) {
      write_case(*model, file, ::trireme::testing::random_features(name, batch),
                 str_cat(name, ".", batch));
    }
  }
  const auto lines = run();
  if (!lines) GTEST_SKIP() << "no onnxruntime, onnx and safetensors in " << python();

  EXPECT_EQ(near(*lines, 1e-5).size(), 2u * 9) << *lines;  // one model has two outputs
}

TEST_F(OnnxPeerTest, OnnxruntimeComputesEveryLayerThatIsWritten) {
  size_t expected = 0;
  for (const auto& layers : ::trireme::testing::layer_cases()) {
    SCOPED_TRACE(layers.name);
    try {
      const ModelFile file = ::trireme::testing::model_of_case(layers);
      write_onnx(file, folder_ / (layers.name + ".onnx"));
      const auto model = make_model(file);
      for (int64_t batch : {1, 3}) {
        write_case(*model, file, ::trireme::testing::features_of_case(layers, batch),
                   str_cat(layers.name, ".", batch));
        ++expected;
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  const auto lines = run();
  if (!lines) GTEST_SKIP() << "no onnxruntime, onnx and safetensors in " << python();
  EXPECT_EQ(near(*lines, 1e-5).size(), expected) << *lines;
}

}  // namespace
}  // namespace trireme::formats
