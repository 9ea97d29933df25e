#include "core/device/chain_by_ops.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/ops/elementwise_chain.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

constexpr size_t kNowhere = SIZE_MAX;

// The kernels of the steps, and where the values are in scratch memory.
class ChainRun {
 public:
  ChainRun(const KernelSpec& spec, std::string_view kind)
      : chain_(parse_chain(spec.attribute<std::string>("chain"),
                           static_cast<int>(spec.inputs.size()))) {
    const std::vector<TensorType> types = chain_types(chain_, spec.inputs, spec.ops);
    for (int output : chain_.outputs) {
      output_bytes_.push_back(types[static_cast<size_t>(output)].bytes());
    }
    offsets_.assign(types.size(), kNowhere);
    addresses_.resize(types.size());
    constants_.resize(types.size());
    for (size_t i = spec.inputs.size(); i < types.size(); ++i) {
      const Chain::Step& step = step_of(i);
      if (step.op == "Constant") {
        constants_[i] = ops::scalar_tensor(types[i].dtype, step.attributes.get<double>("value"));
        addresses_[i] = constants_[i].raw();
      } else if (is_chain_view(step.op, spec.ops)) {
        steps_.push_back({.kernel = {}, .inputs = step.inputs, .value = i, .addresses = {}});
      } else {
        prepare(spec, i, types, kind);
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

  const Chain::Step& step_of(size_t value) const {
    return chain_.steps[value - static_cast<size_t>(chain_.input_count)];
  }

  void prepare(const KernelSpec& whole, size_t value, const std::vector<TensorType>& types,
               std::string_view kind) {
    const Chain::Step& step = step_of(value);
    KernelSpec spec{.op = whole.ops.find(step.op),
                    .attributes = step.attributes,
                    .inputs = {},
                    .outputs = {types[value]},
                    .ops = whole.ops,
                    .kernels = whole.kernels,
                    .node_name = whole.node_name,
                    .device = whole.device};
    for (int input : step.inputs) spec.inputs.push_back(types[static_cast<size_t>(input)]);
    const DType dtype = kernel_dtype(spec);
    const KernelFactory* factory = whole.kernels.find(step.op, kind, dtype);
    if (factory == nullptr) {
      throw invalid_argument("no kernel of ", step.op, " for ", name(dtype), " on '", kind,
                             "', which a fused chain has");
    }
    steps_.push_back(
        {(*factory)(spec), step.inputs, value, std::vector<void*>(step.inputs.size())});
    offsets_[value] = bytes_;
    bytes_ += align_up(types[value].bytes());
    scratch_of_kernels_ = std::max(scratch_of_kernels_, steps_.back().kernel.scratch_bytes);
  }

  Chain chain_;
  std::vector<Step> steps_;
  std::vector<size_t> offsets_, output_bytes_;
  std::vector<Tensor> constants_;  // by value; empty where it is none
  std::vector<void*> addresses_;
  size_t bytes_ = 0, kernel_scratch_ = 0, scratch_of_kernels_ = 0;
};

}  // namespace

void add_chains_by_ops(KernelTable& table, std::string_view kind) {
  const KernelFactory factory = [kind = std::string(kind)](const KernelSpec& spec) {
    const auto run = std::make_shared<ChainRun>(spec, kind);
    return PreparedKernel{[run](const KernelArgs& args) { run->run(args); }, run->scratch_bytes()};
  };
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    table.add("FusedElementwise", kind, dtype, factory);
  }
}

}  // namespace trireme
