#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};

// How a [rows, channels] matrix is given out to blocks; see kernels/normalization.cu.
struct Columns {
  struct Cut {
    int64_t rows_per_part;
    LaunchShape shape;
  };

  int64_t rows, channels;
  int per_lane;  // channels that a thread loads at once
  int lanes;
  Cut sums, apply;
  size_t statistic_bytes;

  Columns(const KernelSpec& spec, int input) {
    const Shape& shape = spec.input_shape(input);
    const DType dtype = spec.inputs[static_cast<size_t>(input)].dtype;
    channels = shape.dim(-1);
    rows = channels == 0 ? 0 : shape.elements() / channels;
    const int widest = static_cast<int>(16 / size_of(dtype));
    per_lane = channels % widest == 0 ? widest : 1;
    const int64_t groups = std::max<int64_t>(1, channels / per_lane);
    lanes = static_cast<int>(std::min<uint64_t>(32, std::bit_ceil(static_cast<uint64_t>(groups))));
    statistic_bytes = std::max<size_t>(4, size_of(dtype));
    const CudaDevice& device = cuda_device(spec);
    // Few parts, because one block adds them up: just enough to keep memory busy.
    sums = cut(groups, 2 * device.processors());
    apply = cut(groups, 16 * device.processors());
  }

  Cut cut(int64_t groups, int64_t blocks) const {
    constexpr int64_t kThreads = 256, kMostParts = 65535;
    const int64_t tiles = (groups + lanes - 1) / lanes;
    const int64_t least = kThreads / lanes * 8;  // rows that are worth a block
    const int64_t parts = std::clamp<int64_t>(
        blocks / tiles, 1, std::clamp<int64_t>((rows + least - 1) / least, 1, kMostParts));
    const int64_t rows_per_part = std::max<int64_t>(1, (rows + parts - 1) / parts);
    Cut cut{rows_per_part, {}};
    cut.shape.grid_x = static_cast<uint32_t>(tiles);
    cut.shape.grid_y =
        static_cast<uint32_t>(std::max<int64_t>(1, (rows + rows_per_part - 1) / rows_per_part));
    cut.shape.block_x = kThreads;
    return cut;
  }

  Kernel kernel(const char* name, DType dtype) const {
    return Kernel(kernel_name(str_cat(name, "_by_", per_lane), dtype));
  }
  // `factors` numbers a channel, then what the parts gather.
  size_t scratch_bytes(int factors) const {
    return static_cast<size_t>(channels * (factors + 2 * int64_t{sums.shape.grid_y})) *
           statistic_bytes;
  }
  void* partials(void* scratch, int factors) const {
    return static_cast<char*>(scratch) + static_cast<size_t>(channels * factors) * statistic_bytes;
  }
  // A counter for each tile of channels; a kernel leaves it at zero.
  std::shared_ptr<Buffer> counters(Device& device) const {
    const Tensor zeros = Tensor::zeros(DType::kInt32, {int64_t{sums.shape.grid_x}});
    Tensor on_device(zeros.dtype(), zeros.shape(), device.allocate(zeros.bytes()));
    device.copy_from_host(on_device, zeros);
    return on_device.buffer();
  }
};

PreparedKernel batch_norm(const KernelSpec& spec) {
  const Columns columns(spec, 0);
  const DType dtype = spec.inputs[0].dtype;
  return {
      [=, epsilon = spec.attribute<double>("epsilon"), counters = columns.counters(*spec.device),
       statistics = columns.kernel("batch_norm_statistics", dtype),
       apply = columns.kernel("batch_norm_apply", dtype)](const KernelArgs& args) {
        if (columns.channels == 0) return;
        CudaStream& stream = cuda_stream(args);
        void* const factors = args.scratch;
        statistics.launch(stream, columns.sums.shape, args.inputs[0], args.inputs[1],
                          args.outputs[1], args.outputs[2], factors,
                          columns.partials(args.scratch, 1), counters->data(), columns.lanes,
                          columns.rows, columns.channels, columns.sums.rows_per_part, epsilon);
        apply.launch(stream, columns.apply.shape, args.inputs[0], args.outputs[1], factors,
                     args.inputs[2], args.outputs[0], columns.lanes, columns.rows, columns.channels,
                     columns.apply.rows_per_part);
      },
      columns.scratch_bytes(1)};
}

PreparedKernel batch_norm_statistics(const KernelSpec& spec) {
  const Columns columns(spec, 0);
  return {
      [=, epsilon = spec.attribute<double>("epsilon"), counters = columns.counters(*spec.device),
       statistics =
           columns.kernel("batch_norm_statistics", spec.inputs[0].dtype)](const KernelArgs& args) {
        if (columns.channels == 0) return;
        statistics.launch(cuda_stream(args), columns.sums.shape, args.inputs[0], args.inputs[1],
                          args.outputs[0], args.outputs[1], args.outputs[2],
                          columns.partials(args.scratch, 0), counters->data(), columns.lanes,
                          columns.rows, columns.channels, columns.sums.rows_per_part, epsilon);
      },
      columns.scratch_bytes(0)};
}

PreparedKernel batch_norm_grad(const KernelSpec& spec) {
  const Columns columns(spec, 1);
  const DType dtype = spec.inputs[1].dtype;
  return {
      [=, epsilon = spec.attribute<double>("epsilon"), counters = columns.counters(*spec.device),
       sums = columns.kernel("batch_norm_grad_sums", dtype),
       apply = columns.kernel("batch_norm_grad_apply", dtype)](const KernelArgs& args) {
        if (columns.channels == 0) return;
        CudaStream& stream = cuda_stream(args);
        void* const factors = args.scratch;
        void *const dy = args.inputs[0], *const x = args.inputs[1];
        sums.launch(stream, columns.sums.shape, dy, x, args.inputs[2], args.inputs[3],
                    args.inputs[4], args.outputs[1], args.outputs[2], factors,
                    columns.partials(args.scratch, 3), counters->data(), columns.lanes,
                    columns.rows, columns.channels, columns.sums.rows_per_part, epsilon);
        apply.launch(stream, columns.apply.shape, dy, x, args.inputs[3], factors, args.outputs[0],
                     columns.lanes, columns.rows, columns.channels, columns.apply.rows_per_part);
      },
      columns.scratch_bytes(3)};
}

}  // namespace

void register_normalization(KernelTable& table) {
  for (const DType dtype : kFloats) {
    add_kernel(table, "BatchNorm", kCudaKind, dtype, batch_norm);
    add_kernel(table, "BatchNormStatistics", kCudaKind, dtype, batch_norm_statistics);
    add_kernel(table, "BatchNormGrad", kCudaKind, dtype, batch_norm_grad);
  }
}

}  // namespace trireme::cuda
