// Dense updates go through one kernel for many variables, be it one op for each or a group.
#include <algorithm>

#include "core/base/error.h"
#include "core/device/cuda/kernels/update_table.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/row_sums.h"
#include "core/device/grouped_update.h"

namespace trireme::cuda {
namespace {

const char* rule_name(const AssignRule&) { return "assign"; }
const char* rule_name(const AssignAddRule&) { return "assign_add"; }
const char* rule_name(const MovingAverageRule&) { return "moving_average"; }
const char* rule_name(const SgdRule&) { return "sgd"; }
const char* rule_name(const RmsPropRule&) { return "rms_prop"; }
const char* rule_name(const AdagradRule&) { return "adagrad"; }
const char* rule_name(const AdamRule&) { return "adam"; }

// Where the inputs of an update stand: of one op, or of one in a group.
UpdateShared shared_inputs(const UpdateLayout& layout, int lr, int guard, const KernelArgs& args) {
  return {layout.has_lr ? args.in<float>(lr) : nullptr,
          layout.has_step ? args.in<int64_t>(lr + layout.has_lr) : nullptr,
          guard >= 0 ? args.in<bool>(guard) : nullptr};
}

// The tensors of one op, whose addresses are read anew at each launch.
class DenseUpdate {
 public:
  DenseUpdate(const KernelSpec& spec, const GroupLayout& layout) : layout_(layout) {
    for (int i = 0; i < layout.tensors; ++i) {
      counts_.push_back(spec.output_shape(i).elements());
      const DType gradient = spec.inputs[static_cast<size_t>(layout.gradient_input(i))].dtype;
      kinds_.push_back(gradient == spec.inputs[0].dtype ? kOfVariable
                       : gradient == DType::kFloat16    ? kF16
                                                        : kBF16);
    }
  }

  // launch(table) for each kTensors of them.
  template <typename Launch>
  void run(const KernelArgs& args, Launch launch) const {
    UpdateTable table{};  // also what is not used: tools take it for addresses
    const int guard = layout_.has_guard ? layout_.guard_input() : -1;
    table.shared = shared_inputs(layout_.update, layout_.lr_input(), guard, args);
    table.chunks = 0;
    table.tensors = 0;
    for (int i = 0; i < layout_.tensors; ++i) {
      const int64_t count = counts_[static_cast<size_t>(i)];
      if (count == 0) continue;
      const int at = table.tensors++;
      table.variable[at] = args.inputs[layout_.variable_input(i)];
      for (int slot = 0; slot < 2; ++slot) {
        table.slots[slot][at] =
            slot < layout_.update.slots ? args.inputs[layout_.slot_input(slot, i)] : nullptr;
      }
      table.gradient[at] = args.inputs[layout_.gradient_input(i)];
      table.count[at] = count;
      table.first_chunk[at] = table.chunks;
      table.gradient_kind[at] = kinds_[static_cast<size_t>(i)];
      table.chunks +=
          static_cast<uint32_t>((count + UpdateTable::kChunk - 1) / UpdateTable::kChunk);
      if (table.tensors < UpdateTable::kTensors && i + 1 < layout_.tensors) continue;
      launch(table);
      table.chunks = 0;
      table.tensors = 0;
    }
    if (table.tensors > 0) launch(table);  // where the last ones were empty
  }

 private:
  GroupLayout layout_;
  std::vector<int64_t> counts_;
  std::vector<GradientKind> kinds_;
};

template <typename Rule>
PreparedKernel dense(const KernelSpec& spec, const GroupLayout& layout) {
  const Rule rule(spec.attributes);
  // As many blocks as run at once.
  const uint32_t most = static_cast<uint32_t>(cuda_device(spec).processors() * 8);
  return {[=, update = DenseUpdate(spec, layout),
           kernel = Kernel(kernel_name(str_cat("update_", rule_name(rule)), spec.inputs[0].dtype))](
              const KernelArgs& args) {
    update.run(args, [&](const UpdateTable& table) {
      LaunchShape shape;
      shape.grid_x = std::min(most, table.chunks);
      kernel.launch(cuda_stream(args), shape, table, rule);
    });
  }};
}

// Rows that repeat are added up first. In f32 and f64.
template <typename Rule>
PreparedKernel sparse(const KernelSpec& spec, const UpdateLayout& layout, bool has_guard) {
  const Rule rule(spec.attributes);
  const DType dtype = spec.inputs[0].dtype;
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const int input = layout.gradient_input(), guard = has_guard ? input + 2 : -1;
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
            SparseVariable table{args.inputs[0],
                                 {},
                                 args.inputs[input + 1],
                                 width,
                                 shared_inputs(layout, 1 + layout.slots, guard, args)};
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

}  // namespace

void register_update(KernelTable& table) {
  const DType floats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};
  const auto add_dense = [&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    for (const bool has_guard : {false, true}) {
      for (const DType dtype : floats) {
        add_kernel(table, op + (has_guard ? "If" : ""), kCudaKind, dtype,
                   [=](const KernelSpec& spec) {
                     return dense<Rule>(spec, GroupLayout(layout, 1, has_guard));
                   });
      }
    }
  };
  for_each_dense_update(add_dense);
  for_each_optimizer(add_dense);
  for_each_optimizer([&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    for (const bool has_guard : {false, true}) {
      for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
        add_kernel(table, op + (has_guard ? "SparseIf" : "Sparse"), kCudaKind, dtype,
                   [=](const KernelSpec& spec) { return sparse<Rule>(spec, layout, has_guard); });
      }
    }
  });
  for (const DType dtype : floats) {
    add_kernel(table, "GroupedUpdate", kCudaKind, dtype, [](const KernelSpec& spec) {
      PreparedKernel kernel;
      with_rule_of_group(spec, [&]<typename Rule>(const GroupLayout& layout) {
        kernel = dense<Rule>(spec, layout);
      });
      return kernel;
    });
  }
}

}  // namespace trireme::cuda
