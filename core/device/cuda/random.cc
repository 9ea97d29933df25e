#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"
#include "core/device/random_rows.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};

// What every kernel of this file is told.
struct Draw {
  RandomRows rows;
  uint64_t seed;
  // Rows are whole blocks, so their elements can be read and written by four: every address is
  // aligned to kAlignment.
  int is_vector;
  LaunchShape shape;

  explicit Draw(const KernelSpec& spec)
      : rows(spec.output_shape()),
        seed(static_cast<uint64_t>(spec.attribute<int64_t>("seed"))),
        is_vector(rows.row_elements % 4 == 0),
        shape(spread(cuda_device(spec), rows.rows * rows.blocks_per_row)) {}

  bool is_empty() const { return rows.rows * rows.row_elements == 0; }
};

PreparedKernel random(const KernelSpec& spec, std::string_view kernel) {
  return {[draw = Draw(spec),
           kernel = Kernel(kernel_name(kernel, spec.outputs[0].dtype))](const KernelArgs& args) {
    if (draw.is_empty()) return;
    kernel.launch(cuda_stream(args), draw.shape, args.outputs[0], args.in<int64_t>(0), draw.rows,
                  draw.seed, draw.is_vector);
  }};
}

PreparedKernel dropout(const KernelSpec& spec) {
  const double rate = spec.attribute<double>("rate");
  // rate < 1 keeps the threshold within 32 bits.
  return {[draw = Draw(spec), kernel = Kernel(kernel_name("dropout", spec.outputs[0].dtype)),
           threshold = static_cast<uint32_t>(dropout_threshold(rate)),
           scale = 1 / (1 - rate)](const KernelArgs& args) {
    if (draw.is_empty()) return;
    kernel.launch(cuda_stream(args), draw.shape, args.outputs[0], args.inputs[0],
                  args.in<int64_t>(1), draw.rows, draw.seed, threshold, scale, draw.is_vector);
  }};
}

}  // namespace

void register_random(KernelTable& table) {
  for (const DType dtype : kFloats) {
    add_kernel(table, "RandomUniform", kCudaKind, dtype,
               [](const KernelSpec& spec) { return random(spec, "random_uniform"); });
    add_kernel(table, "RandomNormal", kCudaKind, dtype,
               [](const KernelSpec& spec) { return random(spec, "random_normal"); });
    add_kernel(table, "RandomTruncatedNormal", kCudaKind, dtype,
               [](const KernelSpec& spec) { return random(spec, "random_truncated_normal"); });
    add_kernel(table, "Dropout", kCudaKind, dtype, dropout);
  }
}

}  // namespace trireme::cuda
