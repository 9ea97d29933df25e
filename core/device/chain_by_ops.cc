#include "core/device/chain_by_ops.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/ops/elementwise_chain.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

constexpr size_t kNowhere = SIZE_MAX;

// The chain as a graph of its own, and where its values are in scratch memory.
class ChainRun {
 public:
  ChainRun(const KernelSpec& spec, const KernelTable& kernels, std::string_view kind)
      : graph_(spec.node.graph().ops()),
        chain_(parse_chain(spec.attribute<std::string>("chain"),
                           static_cast<int>(spec.inputs.size()))) {
    std::vector<Value> values;
    for (const TensorType& type : spec.inputs) {
      values.push_back(ops::placeholder(graph_, "input", type.dtype, type.shape));
    }
    for (const Chain::Step& step : chain_.steps) values.push_back(add(step, values));
    for (int output : chain_.outputs) {
      output_bytes_.push_back(values[static_cast<size_t>(output)].type().bytes());
    }
    offsets_.assign(values.size(), kNowhere);
    for (size_t i = spec.inputs.size(); i < values.size(); ++i) {
      const Node& node = *values[i].node;
      if (node.op().name == "Constant") continue;
      if (is_chain_view(node.op().name)) {
        steps_.push_back({.kernel = {}, .inputs = inputs_of(i), .value = i, .addresses = {}});
      } else {
        prepare(node, i, kernels, kind);
      }
    }
    addresses_.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].node->op().name == "Constant") {
        addresses_[i] = const_cast<void*>(values[i].node->attribute<Tensor>("value").raw());
      }
    }
    kernel_scratch_ = bytes_;
    bytes_ += scratch_of_kernels_;
  }

  size_t scratch_bytes() const { return bytes_; }

  void run(const KernelArgs& args) {
    char* const scratch = static_cast<char*>(args.scratch);
    for (size_t i = 0; i < addresses_.size(); ++i) {
      if (i < static_cast<size_t>(chain_.input_count)) {
        addresses_[i] = args.inputs[i];
      } else if (offsets_[i] != kNowhere) {
        addresses_[i] = scratch + offsets_[i];
      }
    }
    for (Step& step : steps_) {
      if (!step.kernel.run) {  // a view: the same elements
        addresses_[step.value] = addresses_[static_cast<size_t>(step.inputs[0])];
        continue;
      }
      for (size_t k = 0; k < step.inputs.size(); ++k) {
        step.addresses[k] = addresses_[static_cast<size_t>(step.inputs[k])];
      }
      step.kernel.run({.inputs = step.addresses.data(),
                       .outputs = &addresses_[step.value],
                       .scratch = scratch + kernel_scratch_,
                       .input_count = static_cast<int>(step.inputs.size()),
                       .output_count = 1});
    }
    // Only now: output 0 may be the memory of an input.
    for (size_t i = 0; i < chain_.outputs.size(); ++i) {
      if (output_bytes_[i] == 0) continue;
      std::memcpy(args.outputs[i], addresses_[static_cast<size_t>(chain_.outputs[i])],
                  output_bytes_[i]);
    }
  }

 private:
  struct Step {
    PreparedKernel kernel;
    std::vector<int> inputs;
    size_t value;
    std::vector<void*> addresses;
  };

  Value add(const Chain::Step& step, const std::vector<Value>& values) {
    if (step.op == "Constant") {
      return ops::scalar(graph_, step.attributes.get<DType>("dtype"),
                         step.attributes.get<double>("value"));
    }
    std::vector<Value> inputs;
    for (int input : step.inputs) inputs.push_back(values[static_cast<size_t>(input)]);
    return graph_.add(step.op, inputs, step.attributes).output();
  }

  const std::vector<int>& inputs_of(size_t value) const {
    return chain_.steps[value - static_cast<size_t>(chain_.input_count)].inputs;
  }

  void prepare(const Node& node, size_t value, const KernelTable& kernels, std::string_view kind) {
    const KernelFactory* factory = kernels.find(node.op().name, kind, kernel_dtype(node));
    if (factory == nullptr) {
      throw invalid_argument("no kernel of ", node.op().name, " for ", name(kernel_dtype(node)),
                             " on '", kind, "', which a fused chain has");
    }
    KernelSpec spec{node, {}, {node.output_type()}};
    for (const Value& input : node.inputs()) spec.inputs.push_back(input.type());
    const std::vector<int>& inputs = inputs_of(value);
    steps_.push_back({(*factory)(spec), inputs, value, std::vector<void*>(inputs.size())});
    offsets_[value] = bytes_;
    bytes_ += aligned(node.output_type().bytes());
    scratch_of_kernels_ = std::max(scratch_of_kernels_, steps_.back().kernel.scratch_bytes);
  }

  static size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  Graph graph_;
  Chain chain_;
  std::vector<Step> steps_;
  std::vector<size_t> offsets_, output_bytes_;
  std::vector<void*> addresses_;
  size_t bytes_ = 0, kernel_scratch_ = 0, scratch_of_kernels_ = 0;
};

}  // namespace

void add_chains_by_ops(KernelTable& table, std::string_view kind) {
  const auto kernels = std::make_shared<const KernelTable>(table);
  const KernelFactory factory = [kernels, kind = std::string(kind)](const KernelSpec& spec) {
    const auto run = std::make_shared<ChainRun>(spec, *kernels, kind);
    return PreparedKernel{[run](const KernelArgs& args) { run->run(args); }, run->scratch_bytes()};
  };
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    table.add("FusedElementwise", kind, dtype, factory);
  }
}

}  // namespace trireme
