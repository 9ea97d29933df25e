#include "core/nn/network.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace trireme::nn {
namespace {

constexpr std::string_view kFeature = "feature_";

// The component of the data's features that the name is of.
std::optional<size_t> feature_of(std::string_view name) {
  if (!name.starts_with(kFeature)) return std::nullopt;
  const std::string_view digits = name.substr(kFeature.size());
  size_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return index;
}

}  // namespace

struct LayerOutput::Call {
  std::shared_ptr<Layer> layer;  // null: an input of the model
  std::vector<LayerOutput> inputs;
  TensorType type;  // of an input
};

LayerOutput::LayerOutput(TensorType type)
    : call_(std::make_shared<const Call>(Call{nullptr, {}, std::move(type)})) {}

LayerOutput::LayerOutput(std::shared_ptr<Layer> layer, std::vector<LayerOutput> inputs)
    : call_(std::make_shared<const Call>(Call{std::move(layer), std::move(inputs), {}})) {}

Network::Network(const std::vector<LayerOutput>& inputs, const std::vector<LayerOutput>& outputs) {
  if (outputs.empty()) throw invalid_argument("the model has no outputs");
  std::unordered_map<const LayerOutput::Call*, ValueSource> sources;
  input_types_.emplace();
  for (const LayerOutput& input : inputs) {
    if (input.call_->layer != nullptr) {
      throw invalid_argument("input ", input_types_->size() + 1,
                             " of the model: expected an nn::input(), found what a layer gives (",
                             input.call_->layer->type(), ")");
    }
    if (!sources.emplace(input.call_.get(), ValueSource{true, input_types_->size()}).second) {
      throw invalid_argument("input ", input_types_->size() + 1, " of the model is an earlier one");
    }
    input_types_->push_back(input.call_->type);
  }
  std::unordered_map<const Layer*, std::pair<size_t, size_t>> known;  // index, times called
  // Depth first, inputs in their order: what is called twice is built where it is needed first.
  std::vector<const LayerOutput::Call*> pending;
  for (const LayerOutput& output : outputs) pending.push_back(output.call_.get());
  std::ranges::reverse(pending);
  while (!pending.empty()) {
    const LayerOutput::Call* const call = pending.back();
    if (sources.contains(call)) {
      pending.pop_back();
      continue;
    }
    if (call->layer == nullptr) {
      throw invalid_argument("the model's outputs depend on an input ", call->type,
                             " that is not among the model's inputs");
    }
    const size_t waiting = pending.size();
    for (const LayerOutput& input : call->inputs) {
      if (!sources.contains(input.call_.get())) pending.push_back(input.call_.get());
    }
    std::reverse(pending.begin() + static_cast<std::ptrdiff_t>(waiting), pending.end());
    if (pending.size() > waiting) continue;
    pending.pop_back();
    if (!known.contains(call->layer.get())) {
      known[call->layer.get()] = {add_layer(call->layer), 0};
    }
    auto& [layer, repeat] = known.at(call->layer.get());
    LayerCall made{.layer = layer, .repeat = repeat++};
    for (const LayerOutput& input : call->inputs) {
      made.inputs.push_back(sources.at(input.call_.get()));
    }
    sources.emplace(call, ValueSource{false, calls_.size()});
    calls_.push_back(std::move(made));
  }
  for (const LayerOutput& output : outputs) outputs_.push_back(sources.at(output.call_.get()));
}

size_t Network::add_layer(std::shared_ptr<Layer> layer) {
  check_options(*layer, layer->type());
  if (layer->name().empty()) {
    layer->set_name(names_.make(layer->type()));
  } else if (!names_.take(layer->name())) {
    throw invalid_argument("layer ", layers_.size() + 1, " (", layer->type(), "): the name \"",
                           layer->name(), "\" is taken; names of layers must differ");
  }
  layers_.push_back(std::move(layer));
  return layers_.size() - 1;
}

void Network::add(std::shared_ptr<Layer> layer) {
  if (input_types_) {
    throw invalid_argument("a model that was built by functions takes no further layers");
  }
  LayerCall call;
  for (const std::string& name : layer->inputs()) call.inputs.push_back(find_source(name));
  if (call.inputs.empty()) {
    call.inputs.push_back(calls_.empty() ? ValueSource{true, 0}
                                         : ValueSource{false, calls_.size() - 1});
  }
  call.layer = add_layer(std::move(layer));
  calls_.push_back(std::move(call));
  outputs_ = {{false, calls_.size() - 1}};
}

void Network::set_outputs(const std::vector<std::string>& names) {
  TRIREME_CHECK(!input_types_ && !names.empty(), "the outputs of a model of functions");
  std::vector<ValueSource> found;
  for (const std::string& name : names) {
    const auto layer = std::ranges::find(layers_, name, [](const auto& l) { return l->name(); });
    if (layer == layers_.end()) {
      std::vector<std::string> known;
      for (const auto& l : layers_) known.push_back(l->name());
      throw invalid_argument("outputs: there is no layer \"", printable(name), "\"",
                             did_you_mean(name, known));
    }
    found.push_back({false, static_cast<size_t>(layer - layers_.begin())});
  }
  outputs_ = std::move(found);
}

size_t Network::output_index(const std::string& name) const {
  if (name.empty()) return 0;
  std::string known;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (name_of(outputs_[i]) == name) return i;
    known += (known.empty() ? "\"" : ", \"") + name_of(outputs_[i]) + "\"";
  }
  throw invalid_argument("outputs: the model gives no \"", printable(name), "\", only ", known);
}

ValueSource Network::find_source(const std::string& name) const {
  const auto found =
      std::ranges::find(layers_, name, [](const auto& layer) { return layer->name(); });
  const std::optional<size_t> feature = feature_of(name);
  if (found != layers_.end()) {
    if (feature) {
      throw invalid_argument("inputs: \"", name,
                             "\" is the name of a layer and of the data's features; give the "
                             "layer another");
    }
    return {false, static_cast<size_t>(found - layers_.begin())};
  }
  if (feature) return {true, *feature};
  std::vector<std::string> names = {"feature_0", "feature_1"};
  for (const auto& layer : layers_) names.push_back(layer->name());
  throw invalid_argument("inputs: there is no layer \"", printable(name),
                         "\" above this one; expected the name of one, or feature_0, feature_1, … "
                         "for what the data give",
                         did_you_mean(name, names));
}

bool Network::is_row() const {
  for (size_t i = 0; i < calls_.size(); ++i) {
    const ValueSource above = i == 0 ? ValueSource{true, 0} : ValueSource{false, i - 1};
    if (calls_[i].layer != i || calls_[i].inputs != std::vector{above}) return false;
  }
  return outputs_.size() == 1 && outputs_[0] == ValueSource{false, calls_.size() - 1};
}

void Network::require_used() const {
  std::vector<bool> used(calls_.size());
  const auto use = [&](const ValueSource& source) {
    if (!source.is_feature) used[source.index] = true;
  };
  for (const LayerCall& call : calls_) std::ranges::for_each(call.inputs, use);
  std::ranges::for_each(outputs_, use);
  const auto unused = std::ranges::find(used, false);
  if (unused == used.end()) return;
  const size_t index = calls_[static_cast<size_t>(unused - used.begin())].layer;
  throw LayerError(
      str_cat("layer ", index + 1, " (", layers_[index]->type(), " \"", layers_[index]->name(),
              "\"): nothing uses what it gives; name it among the `inputs` of another "
              "layer, or remove it"),
      static_cast<int>(index) + 1);
}

std::string Network::name_of(const ValueSource& source) const {
  if (source.is_feature) return str_cat(kFeature, source.index);
  return layers_[calls_[source.index].layer]->name();
}

}  // namespace trireme::nn
