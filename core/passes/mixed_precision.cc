#include "core/passes/mixed_precision.h"

#include <algorithm>
#include <string_view>

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"

namespace trireme {

namespace {

bool is_f32(Value value) { return value.dtype() == DType::kFloat32; }

bool is_leaf(Value value) {
  const Source source = value.node->op().traits.source;
  return source == Source::kVariable || source == Source::kConstant;
}

}  // namespace

MixedPrecision::MixedPrecision(const std::vector<Value>& results, DType small)
    : graph_(results.at(0).graph()), small_(small) {
  TRIREME_CHECK(small == DType::kFloat16 || small == DType::kBFloat16, "mixed precision in ",
                name(small));
  find_last(results);
  for (Node* node : nodes_) rebuild(*node);
}

// Also finds the nodes that the results need. Ids are a topological order.
void MixedPrecision::find_last(const std::vector<Value>& results) {
  const auto size = static_cast<size_t>(graph_.size());
  const std::vector<bool> needed = needed_nodes(graph_, results, true);
  std::vector<bool> before_product(size);
  is_last_.resize(size);
  for (size_t id = size; id-- > 0;) {
    if (!needed[id]) continue;
    Node& node = *graph_.nodes()[id];
    const PrecisionClass precision = node.op().traits.precision;
    const bool ends = before_product[id] || precision == PrecisionClass::kProduct ||
                      precision == PrecisionClass::kNormalise;
    is_last_[id] = !ends;
    if (ends) {
      for (const Value& input : node.inputs()) {
        before_product[static_cast<size_t>(input.node->id())] = true;
      }
    }
    nodes_.push_back(&node);
  }
  std::ranges::reverse(nodes_);
}

void MixedPrecision::rebuild(Node& node) {
  std::vector<Value> inputs = inputs_for(node);
  if (inputs == node.inputs()) return;
  // The scope that is open now is in the node's name already.
  std::string_view name = node.name();
  if (name.starts_with(graph_.scope())) name.remove_prefix(graph_.scope().size());
  Node& made = graph_.add(node.op().name, std::move(inputs), node.attributes(), std::string(name));
  made.set_device(node.device());
  for (Node* before : node.control_inputs()) made.add_control_input(before);
  for (int i = 0; i < node.output_count(); ++i) {
    const Value now = made.output(i);
    const bool narrow = now.dtype() == small_ && is_f32(node.output(i));
    twins_[node.output(i)] = narrow ? Twins{{}, now, true} : Twins{now, {}, false};
  }
}

std::vector<Value> MixedPrecision::inputs_for(const Node& node) {
  const PrecisionClass precision = node.op().traits.precision;
  const auto& old = node.inputs();
  const auto narrow_input = [&](Value x) { return is_narrow(x); };
  const auto small_or_leaf = [&](Value x) { return is_narrow(x) || !is_f32(x) || is_leaf(x); };
  bool small = false;
  if (precision == PrecisionClass::kProduct) {
    small = true;
  } else if (!is_last_[static_cast<size_t>(node.id())]) {
    small = (precision == PrecisionClass::kFollow || precision == PrecisionClass::kArithmetic) &&
            std::ranges::any_of(old, narrow_input);
    if (precision == PrecisionClass::kArithmetic)
      small = small && std::ranges::all_of(old, small_or_leaf);
  }
  std::vector<Value> inputs;
  for (size_t i = 0; i < old.size(); ++i) {
    const bool shape_only = precision == PrecisionClass::kFollow && lends_shape(node, i);
    if (shape_only || (precision == PrecisionClass::kNormalise && i == 0)) {
      inputs.push_back(as_is(old[i]));
    } else {
      inputs.push_back(small && is_f32(old[i]) ? narrow(old[i]) : wide(old[i]));
    }
  }
  return inputs;
}

bool MixedPrecision::is_narrow(Value old) const {
  const auto it = twins_.find(old);
  return it != twins_.end() && it->second.is_narrow;
}

Value MixedPrecision::narrow(Value old) {
  Twins& twins = twins_[old];
  if (!twins.narrow.defined()) {
    if (!twins.wide.defined()) twins.wide = old;
    // On the device of what it is a cast of.
    const Graph::Scope scope(graph_, "", twins.wide.node->device());
    twins.narrow = ops::cast(twins.wide, small_);
  }
  return twins.narrow;
}

Value MixedPrecision::wide(Value old) {
  const auto it = twins_.find(old);
  if (it == twins_.end()) return old;
  Twins& twins = it->second;
  if (!twins.wide.defined()) {
    const Graph::Scope scope(graph_, "", twins.narrow.node->device());
    twins.wide = ops::cast(twins.narrow, DType::kFloat32);
  }
  return twins.wide;
}

}  // namespace trireme
