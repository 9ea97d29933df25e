#include "core/autodiff/gradients.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

// The sweep goes over node ids from the loss down: ids are a topological order.
class Sweep {
 public:
  Sweep(Value loss, std::span<const Value> wrt) : graph_(loss.graph()) {
    mark_useful(loss.node->id(), wrt);
  }

  void run(Value loss, Value seed) {
    if (!is_useful(loss)) return;
    pending_[loss].push_back({seed, std::nullopt, {}});
    for (int id = loss.node->id(); id >= 0; --id) {
      // By position: rules append nodes and the vector may move.
      if (useful_[static_cast<size_t>(id)]) visit(*graph_.nodes()[static_cast<size_t>(id)]);
    }
  }

  Gradient gradient_of(Value x) {
    auto it = results_.find(x);
    if (it != results_.end()) return it->second;
    return results_[x] = total(x);
  }

 private:
  // A node is useful when one of `wrt` reaches it; only through such nodes must gradients flow.
  void mark_useful(int last_id, std::span<const Value> wrt) {
    useful_.assign(static_cast<size_t>(last_id) + 1, false);
    for (const Value& x : wrt) {
      if (x.node->id() <= last_id) useful_[static_cast<size_t>(x.node->id())] = true;
    }
    for (int id = 0; id <= last_id; ++id) {
      const Node& node = *graph_.nodes()[static_cast<size_t>(id)];
      if (!node.op().gradient) continue;
      for (const Value& input : node.inputs()) {
        if (is_useful(input)) useful_[static_cast<size_t>(id)] = true;
      }
    }
  }

  bool is_useful(Value x) const {
    const size_t id = static_cast<size_t>(x.node->id());
    return id < useful_.size() && useful_[id] && is_floating(x.dtype());
  }

  void visit(Node& node) {
    std::vector<Value> output_gradients(static_cast<size_t>(node.output_count()));
    bool any = false;
    for (int i = 0; i < node.output_count(); ++i) {
      const Value output = node.output(i);
      Gradient gradient = gradient_of(output);
      if (!gradient.defined()) continue;
      if (!node.op().gradient || !leads_further(node))
        continue;  // a leaf keeps its gradient sparse
      output_gradients[static_cast<size_t>(i)] = densify(gradient, output);
      any = true;
    }
    if (!any) return;
    GradientContext context(node, std::move(output_gradients));
    node.op().gradient(context);
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      const Gradient& gradient = context.input_gradients()[i];
      const Value input = node.inputs()[i];
      if (!gradient.defined() || !is_useful(input)) continue;
      TRIREME_CHECK(gradient.is_sparse() || compatible(gradient.values.shape(), input.shape()),
                    "gradient rule of ", node.op().name, " gives ", gradient.values.type(),
                    " for input ", i, " of ", input.type());
      pending_[input].push_back(gradient);
    }
  }

  bool leads_further(const Node& node) const {
    return std::ranges::any_of(node.inputs(), [&](Value input) { return is_useful(input); });
  }

  // Everything that arrived at x, added.
  Gradient total(Value x) {
    auto it = pending_.find(x);
    if (it == pending_.end()) return {};
    const std::vector<Gradient>& parts = it->second;
    if (parts.size() == 1) return parts[0];
    if (std::ranges::all_of(parts, &Gradient::is_sparse)) {
      // Indices may be i32 in one place and i64 in another.
      const DType index_type =
          std::ranges::all_of(
              parts, [](const Gradient& part) { return part.indices->dtype() == DType::kInt32; })
              ? DType::kInt32
              : DType::kInt64;
      std::vector<Value> indices, rows;
      for (const Gradient& part : parts) {
        indices.push_back(ops::cast(*part.indices, index_type));
        rows.push_back(part.values);
      }
      return {ops::concat(rows, 0), ops::concat(indices, 0), parts[0].dense_shape};
    }
    Value sum;
    for (const Gradient& part : parts) {
      const Value dense = densify(part, x);
      sum = sum.defined() ? ops::add(sum, dense) : dense;
    }
    return {sum, std::nullopt, {}};
  }

  Graph& graph_;
  std::vector<bool> useful_;  // by node id, for the nodes that were there before the sweep
  std::unordered_map<Value, std::vector<Gradient>, ValueHash> pending_;
  std::unordered_map<Value, Gradient, ValueHash> results_;
};

}  // namespace

Value densify(const Gradient& gradient, Value like) {
  TRIREME_CHECK(gradient.defined(), "an undefined gradient has no dense form");
  if (!gradient.is_sparse()) return gradient.values;
  return ops::scatter_add(*gradient.indices, gradient.values, like);
}

std::vector<Gradient> gradients(Value loss, std::span<const Value> wrt,
                                std::span<const Value> output_seeds) {
  if (!loss.defined() || !is_floating(loss.dtype())) {
    throw invalid_argument("gradients: expected a floating-point loss, found ",
                           loss.defined() ? loss.type().to_string() : "an undefined value");
  }
  for (const Value& x : wrt) {
    if (!x.defined() || &x.graph() != &loss.graph()) {
      throw invalid_argument("gradients: a value to differentiate by is not in the graph of loss '",
                             loss.node->name(), "'");
    }
  }
  const Graph::Scope scope(loss.graph(), "gradients");
  Value seed;
  if (output_seeds.empty()) {
    seed = ops::ones_like(loss);
  } else {
    seed = output_seeds[0];
    if (output_seeds.size() != 1 || seed.dtype() != loss.dtype() ||
        !compatible(seed.shape(), loss.shape())) {
      throw invalid_argument("gradients: expected one seed of ", loss.type(), " for loss '",
                             loss.node->name(), "', found ", output_seeds.size(), ", the first of ",
                             seed.type());
    }
  }
  Sweep sweep(loss, wrt);
  sweep.run(loss, seed);
  std::vector<Gradient> result;
  for (const Value& x : wrt) result.push_back(sweep.gradient_of(x));
  return result;
}

}  // namespace trireme
