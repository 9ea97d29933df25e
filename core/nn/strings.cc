#include "core/nn/strings.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

struct StringFeature {
  size_t feature;
  StringLayer* layer;
};

// Of each feature that is texts by `dtypes` the layer that is called on it.
std::vector<StringFeature> string_features(const Network& network,
                                           const std::vector<DType>& dtypes) {
  std::vector<StringFeature> found;
  const auto is_text = [&](const ValueSource& source) {
    return source.is_feature && source.index < dtypes.size() &&
           dtypes[source.index] == DType::kString;
  };
  for (const LayerCall& call : network.calls()) {
    Layer& layer = *network.layers()[call.layer];
    const auto first = std::ranges::find_if(call.inputs, is_text);
    if (first == call.inputs.end()) continue;
    auto* const strings = dynamic_cast<StringLayer*>(&layer);
    const bool is_only = std::ranges::none_of(
        found, [&](const StringFeature& other) { return other.feature == first->index; });
    if (strings == nullptr || call.inputs.size() != 1 || call.repeat > 0 || !is_only) {
      throw LayerError(
          str_cat("layer ", call.layer + 1, " (", layer.type(), " \"", layer.name(),
                  "\"): the data's feature_", first->index,
                  " is texts: expected one layer that is called on it, which makes numbers of "
                  "them, such as text_vectorization, string_lookup or hashing"),
          static_cast<int>(call.layer) + 1);
    }
    found.push_back({first->index, strings});
  }
  return found;
}

std::vector<DType> feature_dtypes(const data::ElementSpec& spec) {
  std::vector<DType> dtypes;
  for (size_t i = 0; i + 1 < spec.size(); ++i) dtypes.push_back(spec[i].dtype);
  return dtypes;
}

Shape joined(const Shape& texts, const Shape& row) {
  Shape shape = texts;
  // A column of texts, as a table gives it, is a text each.
  if (row.rank() > 0 && shape.rank() > 0 && shape.dim(-1) == 1)
    shape = shape.first(shape.rank() - 1);
  for (const int64_t size : row) shape.push_back(size);
  return shape;
}

Tensor converted(const StringLayer& layer, const Tensor& texts) {
  Tensor made = Tensor::zeros(layer.row_dtype(), joined(texts.shape(), layer.row_shape()));
  const auto strings = texts.flat<std::string>();
  if (strings.empty()) return made;
  const int64_t row = layer.row_shape().elements();
  const auto bytes = static_cast<size_t>(row) * size_of(layer.row_dtype());
  char* at = static_cast<char*>(made.raw());
  for (const std::string& text : strings) {
    layer.write_row(text, {layer.row_dtype(), at, row});
    at += bytes;
  }
  return made;
}

}  // namespace

void require_converted(Value x) {
  if (x.dtype() != DType::kString) return;
  throw invalid_argument(
      "it is called on texts, which a graph does not have; let the data go through "
      "convert_strings() first");
}

const std::vector<std::string>& StringLayer::vocabulary() const {
  static const std::vector<std::string> kNone;
  return kNone;
}

std::vector<std::pair<std::string, StringLayer*>> vocabulary_layers(const Network& network) {
  std::vector<std::pair<std::string, StringLayer*>> found;
  for (const auto& layer : network.layers()) {
    auto* const strings = dynamic_cast<StringLayer*>(layer.get());
    if (strings != nullptr && strings->wants_vocabulary())
      found.emplace_back(layer->name(), strings);
  }
  return found;
}

void adapt_strings(const Network& network, const data::Dataset& examples) {
  std::vector<StringFeature> wanted =
      string_features(network, feature_dtypes(examples.element_spec()));
  std::erase_if(wanted, [](const StringFeature& f) { return !f.layer->wants_vocabulary(); });
  if (wanted.empty()) return;
  if (examples.cardinality() == data::kInfinite) {
    throw invalid_argument(
        "layers that take a vocabulary from the training data need one that "
        "ends; call take() on it");
  }
  data::Iterator iterator = examples.iterator();
  for (data::Element element; iterator.next(element);) {
    for (const StringFeature& feature : wanted) {
      for (const std::string& text : element[feature.feature].flat<std::string>()) {
        feature.layer->see(text);
      }
    }
  }
  for (const StringFeature& feature : wanted) feature.layer->finish();
}

data::Dataset convert_strings(const Network& network, const data::Dataset& examples) {
  data::ElementSpec spec = examples.element_spec();
  const std::vector<StringFeature> layers = string_features(network, feature_dtypes(spec));
  if (layers.empty()) return examples;
  for (const StringFeature& feature : layers) {
    data::ComponentSpec& component = spec[feature.feature];
    component.dtype = feature.layer->row_dtype();
    component.shape = joined(component.shape, feature.layer->row_shape());
  }
  return examples.map(
      [layers](data::Element& element, const data::MapContext&) {
        for (const StringFeature& feature : layers) {
          element[feature.feature] = converted(*feature.layer, element[feature.feature]);
        }
      },
      {.threads = 0, .output = std::move(spec)});
}

void convert_strings(const Network& network, std::vector<Tensor>& features) {
  std::vector<DType> dtypes;
  for (const Tensor& feature : features) dtypes.push_back(feature.dtype());
  for (const StringFeature& feature : string_features(network, dtypes)) {
    features[feature.feature] = converted(*feature.layer, features[feature.feature]);
  }
}

}  // namespace trireme::nn
