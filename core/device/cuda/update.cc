// Dense updates go through one kernel for many variables, be it one op for each or a group.
#include <algorithm>

#include "core/base/error.h"
#include "core/device/cuda/kernels/update_table.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/row_sums.h"
#include "core/device/update_layout.h"
#include "core/rules/core_rules.h"

namespace trireme::cuda {
namespace {

// As the kernels are named.
#define TRIREME_NAME(Rule) \
  const char* rule_name(const rules::Rule&) { return #Rule; }
TRIREME_ASSIGNMENTS(TRIREME_NAME)
TRIREME_OPTIMIZERS(TRIREME_NAME)
#undef TRIREME_NAME

UpdateShared shared_inputs(const UpdateLayout& layout, const KernelArgs& args) {
  return {layout.learning_rate >= 0 ? args.in<float>(layout.learning_rate) : nullptr,
          layout.step >= 0 ? args.in<int64_t>(layout.step) : nullptr,
          layout.guard >= 0 ? args.in<bool>(layout.guard) : nullptr};
}

// The tensors of one op, whose addresses are read anew at each launch.
template <typename Table>
class DenseUpdate {
 public:
  explicit DenseUpdate(const KernelSpec& spec) : layout_(spec) {
    for (int i = 0; i < layout_.tensors; ++i) {
      counts_.push_back(spec.output_shape(i).elements());
      const DType gradient = spec.inputs[static_cast<size_t>(layout_.gradient_input(i))].dtype;
      kinds_.push_back(gradient == spec.inputs[0].dtype ? kOfVariable
                       : gradient == DType::kFloat16    ? kF16
                                                        : kBF16);
    }
  }

  // launch(table) for each kTensors of them.
  template <typename Launch>
  void run(const KernelArgs& args, Launch launch) const {
    Table table{};  // also what is not used: tools take it for addresses
    table.shared = shared_inputs(layout_, args);
    table.chunks = 0;
    table.tensors = 0;
    for (int i = 0; i < layout_.tensors; ++i) {
      const int64_t count = counts_[static_cast<size_t>(i)];
      if (count == 0) continue;
      const int at = table.tensors++;
      table.variable[at] = args.inputs[layout_.variable_input(i)];
      for (int slot = 0; slot < layout_.slots; ++slot) {
        table.slots[slot][at] = args.inputs[layout_.slot_input(slot, i)];
      }
      table.gradient[at] = args.inputs[layout_.gradient_input(i)];
      table.count[at] = count;
      table.first_chunk[at] = table.chunks;
      table.gradient_kind[at] = kinds_[static_cast<size_t>(i)];
      table.chunks += static_cast<uint32_t>((count + Table::kChunk - 1) / Table::kChunk);
      if (table.tensors < Table::kTensors && i + 1 < layout_.tensors) continue;
      launch(table);
      table.chunks = 0;
      table.tensors = 0;
    }
    if (table.tensors > 0) launch(table);  // where the last ones were empty
  }

 private:
  UpdateLayout layout_;
  std::vector<int64_t> counts_;
  std::vector<GradientKind> kinds_;
};

// The rule with the options of the spec, checked.
template <typename Rule>
Rule rule_of_spec(const KernelSpec& spec) {
  const UpdateFacts& facts = *update_of(spec).update;
  (void)facts.rule->f32(facts.form, spec.attributes);
  return rule_from<Rule>(spec.attributes);
}

template <typename Rule>
PreparedKernel dense(const KernelSpec& spec) {
  using Table = UpdateTable<MostSlots<Rule>::kValue>;
  const Rule rule = rule_of_spec<Rule>(spec);
  // As many blocks as run at once.
  const uint32_t most = static_cast<uint32_t>(cuda_device(spec).processors() * 8);
  return {[=, update = DenseUpdate<Table>(spec),
           kernel = Kernel(kernel_name(str_cat("update_", rule_name(rule)), spec.inputs[0].dtype))](
              const KernelArgs& args) {
    update.run(args, [&](const Table& table) {
      LaunchShape shape;
      shape.grid_x = std::min(most, table.chunks);
      kernel.launch(cuda_stream(args), shape, table, rule);
    });
  }};
}

// Rows that repeat are added up first. In f32 and f64.
template <typename Rule>
PreparedKernel sparse(const KernelSpec& spec) {
  const Rule rule = rule_of_spec<Rule>(spec);
  const DType dtype = spec.inputs[0].dtype;
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const UpdateLayout layout(spec);
  const int input = layout.gradient;
  const RowSums sums(spec, input, variable[0], width, size_of(dtype));
  const int widest = static_cast<int>(16 / size_of(dtype));
  const int by = width % widest == 0 ? widest : 1;
  const std::string suffix = str_cat(rule_name(rule), "_by_", by);
  const bool is_empty = width == 0 || spec.input_shape(input).elements() == 0;
  return {[=, compared = Kernel(kernel_name("sparse_compared_" + suffix, dtype)),
           runs = Kernel(kernel_name(str_cat("scatter_runs_by_", by), dtype)),
           sorted = Kernel(kernel_name("sparse_sorted_" + suffix, dtype))](const KernelArgs& args) {
            if (is_empty) return;
            CudaStream& stream = cuda_stream(args);
            SparseVariable<MostSlots<Rule>::kValue> table{
                args.inputs[0], {}, args.inputs[input + 1], width, shared_inputs(layout, args)};
            for (int slot = 0; slot < layout.slots; ++slot) {
              table.slots[slot] = args.inputs[1 + slot];
            }
            if (sums.is_compared()) {
              compared.launch(stream, sums.compared_shape(by), sums.indices(args), table, rule);
              return;
            }
            const SortedRows order = sums.sort(args);
            runs.launch(stream, sums.runs_shape(by), order, table.given, sums.runs(args), width);
            sorted.launch(stream, sums.sorted_shape(by), order, sums.runs(args), table, rule);
          },
          sums.scratch_bytes()};
}

PreparedKernel grouped(const KernelSpec& spec) {
  const OpDef& op = update_of(spec);
  PreparedKernel kernel;
  for_each_rule([&]<typename Rule>() {
    if (op.update->rule->type == typeid(Rule)) kernel = dense<Rule>(spec);
  });
  if (!kernel.run) {
    throw invalid_argument("no kernel of ", op.name,
                           " for a GPU: its rule is not Trireme's; place ",
                           "its variables on a CPU, or allow soft placement, which does");
  }
  return kernel;
}

}  // namespace

void register_update(KernelTable& table) {
  const DType floats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};
  for_each_rule([&]<typename Rule>() {
    for (const UpdateRule::Op& op : rule_ops<Rule>()) {
      for (const std::string guard : {"", "If"}) {
        for (const DType dtype : floats)
          add_kernel(table, op.name + guard, kCudaKind, dtype, dense<Rule>);
        if constexpr (Rule::kInfo.is_optimizer) {
          for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
            add_kernel(table, op.name + "Sparse" + guard, kCudaKind, dtype, sparse<Rule>);
          }
        }
      }
    }
  });
  for (const DType dtype : floats) add_kernel(table, "GroupedUpdate", kCudaKind, dtype, grouped);
}

}  // namespace trireme::cuda
