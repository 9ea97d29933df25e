// A signature of a SavedModel as a layer: what the file computes, with its variables as weights.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/formats/saved_model/saved_model_file.h"
#include "core/nn/layer.h"

namespace trireme::formats {

struct SavedModelOptions {
  std::string path = "";
  std::string signature = "";
  std::string output = "";
  std::vector<std::string> arguments = {};
  std::string weights_of = "";
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};

// Variables start with the file's values. Those that the file calls trainable are trained, the
// others stay. It computes the same in training as in inference.
class SavedModelLayer : public nn::LayerOf<SavedModelOptions> {
 public:
  using LayerOf::LayerOf;
  // `file`: what is at the options' path.
  SavedModelLayer(Options options, std::shared_ptr<const SavedModelFile> file)
      : LayerOf(std::move(options)), file_(std::move(file)) {}

  std::string type() const override { return "saved_model"; }
  Value call_inputs(nn::BuildContext& context, std::span<const Value> inputs) override;
  bool keeps_mask() const override { return false; }

 private:
  std::shared_ptr<const SavedModelFile> file_;  // null: not opened yet
};

void register_saved_model_layer(Catalog<nn::Layer>& catalog);

// In the signature's order. Throws Error{kInvalidArgument} naming the input that is not as the
// signature has it. `arguments`: which of the signature's inputs each is; empty: in its order.
std::vector<Value> signature_arguments(const SavedModelFile& file, const Signature& signature,
                                       std::span<const Value> inputs,
                                       const std::vector<std::string>& arguments);

}  // namespace trireme::formats
