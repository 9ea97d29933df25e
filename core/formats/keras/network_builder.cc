#include "core/formats/keras/network_builder.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::formats {

NetworkBuilder::NetworkBuilder(const std::vector<TensorType>& types)
    : graph_(std::make_unique<Graph>(core_op_table())) {
  std::vector<Value> features;
  for (const TensorType& type : types) {
    features.push_back(
        ops::placeholder(*graph_, str_cat("input_", features.size()), type.dtype, type.shape));
  }
  context_ = std::make_unique<nn::BuildContext>(*graph_, registry_, std::move(features), false,
                                                Value(), 0);
}

NetworkBuilder::Source NetworkBuilder::call(nn::Layer& layer, std::vector<Source> inputs) {
  before_ = registry_.all().size();
  const nn::LayerCall call{.layer = calls_, .repeat = 0, .inputs = std::move(inputs)};
  context_->call(layer, call);
  return {.is_feature = false, .index = calls_++};
}

const TensorType& NetworkBuilder::type_of(const Source& source) const {
  return context_->value_of(source).type();
}

bool NetworkBuilder::is_masked(const Source& source) const {
  return context_->mask(context_->value_of(source)).defined();
}

std::span<const nn::VariableSpec> NetworkBuilder::new_variables() const {
  return std::span(registry_.all()).subspan(before_);
}

}  // namespace trireme::formats
