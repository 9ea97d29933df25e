// A model of ONNX as a layer: what the file computes, with its initializers as weights.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/formats/onnx/onnx_file.h"
#include "core/nn/layer.h"

namespace trireme::formats {

struct OnnxOptions {
  std::string path = "";
  std::string output = "";
  std::string weights_of = "";
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};

// Weights are the initializers of floating-point numbers of one dimension at least; they start with
// the file's values. All are trained but for the statistics of batch normalisations. It computes
// the same in training as in inference. Its inputs are those of the file, in their order.
class OnnxLayer : public nn::LayerOf<OnnxOptions> {
 public:
  using LayerOf::LayerOf;
  // `file`: what is at the options' path.
  OnnxLayer(Options options, std::shared_ptr<const OnnxFile> file)
      : LayerOf(std::move(options)), file_(std::move(file)) {}

  std::string type() const override { return "onnx"; }
  Value call_inputs(nn::BuildContext& context, std::span<const Value> inputs) override;
  bool keeps_mask() const override { return false; }

 private:
  std::shared_ptr<const OnnxFile> file_;  // null: not opened yet
};

void register_onnx_layer(Catalog<nn::Layer>& catalog);

// An input of the file that is no initializer; its type has a -1 in front, for the batch.
struct OnnxInput {
  std::string name;
  TensorType type;
};
// Throws Error{kInvalidArgument} for inputs of other types, or without a batch of any size in
// front.
std::vector<OnnxInput> inputs_of(const OnnxFile& file);
std::vector<std::string> outputs_of(const OnnxFile& file);

}  // namespace trireme::formats
