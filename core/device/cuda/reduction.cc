// Reductions: every one is some passes over [outer, n, inner], along one run of reduced axes each.
#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;  // as kernels/reduction.cu has them
constexpr int kWarp = 32;
// Rows up to here are for a warp or less; a block takes at least as much of a longer one.
constexpr int64_t kShortRow = 1024;
constexpr int64_t kLeastChunk = 4096;
constexpr int64_t kLeastRowsOfAThread = 16;
constexpr int64_t kLeastRun = 64;  // bytes that neighbouring threads read of a row

DType accumulator(DType dtype) {
  if (dtype == DType::kFloat64) return dtype;
  return is_floating(dtype) ? DType::kFloat32 : DType::kInt64;
}

// As Types::kVector of kernels/reduction.cu.
int64_t vector_width(DType dtype) { return std::min<int64_t>(8, 16 / int64_t(size_of(dtype))); }

// Axes that are reduced, and axes that stay, in turn.
struct Run {
  int64_t size;
  bool is_reduced;
};

std::vector<Run> runs_of(const Shape& x, const std::vector<bool>& is_reduced) {
  std::vector<Run> runs;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] == 1) continue;
    const bool reduced = is_reduced[static_cast<size_t>(axis)];
    if (!runs.empty() && runs.back().is_reduced == reduced) {
      runs.back().size *= x[axis];
    } else {
      runs.push_back({x[axis], reduced});
    }
  }
  return runs;
}

// Where an address comes from: the tensor, or an offset in scratch memory.
struct Place {
  bool is_scratch = false;
  size_t offset = 0;

  void* resolve(void* tensor, void* scratch) const {
    return is_scratch ? static_cast<char*>(scratch) + offset : tensor;
  }
};

struct Launch {
  enum class Kind { kShortRows, kLongRows, kColumns } kind;
  Kernel kernel;
  LaunchShape shape;
  Place from, to;
  int64_t outer, n, inner;
  int64_t parts = 1, chunk = 0;
  int lanes = kWarp, vectors = 0;
  double divisor = 0;

  void enqueue(CudaStream& stream, const void* x, void* y) const {
    switch (kind) {
      case Kind::kShortRows:
        return kernel.launch(stream, shape, x, y, outer, n, lanes, vectors, divisor);
      case Kind::kLongRows:
        return kernel.launch(stream, shape, x, y, outer, n, parts, chunk, vectors, divisor);
      case Kind::kColumns:
        return kernel.launch(stream, shape, x, y, outer, n, inner, parts, chunk, lanes, vectors,
                             divisor);
    }
  }
};

class Reduction {
 public:
  // `name`: sum, prod, max or min. `divisor` of the result; 0: none.
  Reduction(const CudaDevice& device, std::string_view name, DType dtype, std::vector<Run> runs,
            double divisor)
      : device_(device), name_(name), dtype_(dtype), divisor_(divisor), runs_(std::move(runs)) {
    const bool is_empty = std::ranges::any_of(runs_, [](const Run& run) { return run.size == 0; });
    if (is_empty) {
      int64_t outputs = 1;
      for (const Run& run : runs_) outputs *= run.is_reduced ? 1 : run.size;
      runs_ = {{outputs, false}, {0, true}};
    }
    for (auto next = largest(); next != runs_.end(); next = largest()) {
      int64_t outer = 1, inner = 1;
      for (auto run = runs_.begin(); run != next; ++run) outer *= run->size;
      for (auto run = next + 1; run != runs_.end(); ++run) inner *= run->size;
      const int64_t n = next->size;
      runs_.erase(next);
      reduce(outer, n, inner, largest() == runs_.end());
    }
  }

  std::vector<Launch> launches() && { return std::move(launches_); }
  size_t scratch_bytes() const { return scratch_bytes_; }

 private:
  // The run to reduce next; what is left after it is less work.
  std::vector<Run>::iterator largest() {
    auto best = runs_.end();
    for (auto run = runs_.begin(); run != runs_.end(); ++run) {
      if (run->is_reduced && (best == runs_.end() || run->size > best->size)) best = run;
    }
    return best;
  }

  void reduce(int64_t outer, int64_t n, int64_t inner, bool is_last) {
    const Launch first = shape_of(outer, n, inner);
    const bool in_parts = first.parts > 1;
    add(first, is_last && !in_parts);
    if (in_parts) {
      add(shape_of(outer, first.parts, inner, false), is_last);
    }
  }

  // `may_split`: into parts that another launch reduces.
  Launch shape_of(int64_t outer, int64_t n, int64_t inner, bool may_split = true) {
    const int64_t width = vector_width(current_);
    const int64_t most_blocks = int64_t{device_.processors()} * 16;
    const int64_t wanted_blocks = int64_t{device_.processors()} * 4;
    Launch launch{.kind = Launch::Kind::kShortRows,
                  .kernel = {},
                  .shape = {},
                  .from = {},
                  .to = {},
                  .outer = outer,
                  .n = n,
                  .inner = inner,
                  .chunk = n};
    int64_t blocks = 0;
    if (inner > 1) {
      launch.kind = Launch::Kind::kColumns;
      launch.vectors = inner % width == 0;
      const int64_t columns = launch.vectors ? inner / width : inner;
      const int64_t bytes = (launch.vectors ? width : 1) * static_cast<int64_t>(size_of(current_));
      int64_t lanes = static_cast<int64_t>(
          std::bit_ceil(static_cast<uint64_t>(std::min<int64_t>(columns, kWarp))));
      // Narrower blocks rather than a second launch, as long as they read whole sectors.
      while (lanes * bytes > kLeastRun && outer * columns / lanes < int64_t{device_.processors()})
        lanes /= 2;
      launch.lanes = static_cast<int>(lanes);
      const int64_t tiles = (columns + lanes - 1) / lanes;
      const int64_t rows_at_once = kThreads / lanes;
      if (may_split)
        split(launch, wanted_blocks / (outer * tiles), rows_at_once * kLeastRowsOfAThread, 1);
      blocks = outer * tiles * launch.parts;
    } else {
      launch.vectors = n % width == 0;
      const int64_t step = launch.vectors ? width : 1;
      if (n > kShortRow) {
        launch.kind = Launch::Kind::kLongRows;
        if (may_split) split(launch, wanted_blocks / outer, kLeastChunk, step);
        blocks = outer * launch.parts;
      } else {
        const int64_t reads = std::clamp<int64_t>(n / step, 1, kWarp);
        launch.lanes = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(reads)));
        blocks = (outer * launch.lanes + kThreads - 1) / kThreads;
      }
    }
    launch.shape = {.grid_x = static_cast<uint32_t>(std::clamp<int64_t>(blocks, 1, most_blocks)),
                    .block_x = kThreads};
    return launch;
  }

  // Cuts n into about `wanted` parts of at least `least`, each a multiple of `step`.
  static void split(Launch& launch, int64_t wanted, int64_t least, int64_t step) {
    const int64_t parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, launch.n / least));
    const int64_t chunk = (launch.n + parts - 1) / parts;
    launch.chunk = std::max<int64_t>((chunk + step - 1) / step * step, 1);
    launch.parts = std::max<int64_t>((launch.n + launch.chunk - 1) / launch.chunk, 1);
  }

  void add(Launch launch, bool is_final) {
    const DType out = is_final ? dtype_ : accumulator(dtype_);
    static constexpr const char* kKinds[] = {"_short_rows_", "_long_rows_", "_columns_"};
    launch.kernel = Kernel(str_cat(name_, kKinds[static_cast<int>(launch.kind)],
                                   trireme::name(current_), "_", trireme::name(out)));
    launch.divisor = is_final ? divisor_ : 0;
    launch.from = at_;
    if (!is_final) {
      const size_t bytes =
          static_cast<size_t>(launch.outer * launch.parts * launch.inner) * size_of(out);
      at_ = {true, scratch_bytes_};
      scratch_bytes_ += align_up(bytes);
      launch.to = at_;
    }
    current_ = out;
    launches_.push_back(launch);
  }

  const CudaDevice& device_;
  std::string name_;
  DType dtype_;
  double divisor_;
  std::vector<Run> runs_;
  DType current_ = dtype_;  // of what the next launch reads, which is at at_
  Place at_;
  std::vector<Launch> launches_;
  size_t scratch_bytes_ = 0;
};

PreparedKernel prepare(const KernelSpec& spec, std::string_view name,
                       const std::vector<bool>& is_reduced, bool average) {
  const Shape& x = spec.input_shape(0);
  const int64_t outputs = spec.output_shape().elements();
  if (outputs == 0) return {[](const KernelArgs&) {}};
  const std::vector<Run> runs = runs_of(x, is_reduced);
  if (std::ranges::none_of(runs, &Run::is_reduced)) {
    return {[bytes = spec.outputs[0].bytes()](const KernelArgs& args) {
      if (args.outputs[0] == args.inputs[0]) return;
      cuda_stream(args).copy(args.outputs[0], args.inputs[0], bytes, CopyKind::kDeviceToDevice);
    }};
  }
  const double divisor =
      average ? static_cast<double>(x.elements()) / static_cast<double>(outputs) : 0;
  Reduction reduction(cuda_device(spec), name, spec.inputs[0].dtype, runs, divisor);
  const size_t scratch_bytes = reduction.scratch_bytes();
  return {[launches = std::move(reduction).launches()](const KernelArgs& args) {
            for (const Launch& launch : launches) {
              launch.enqueue(cuda_stream(args), launch.from.resolve(args.inputs[0], args.scratch),
                             launch.to.resolve(args.outputs[0], args.scratch));
            }
          },
          scratch_bytes};
}

KernelFactory over_axes(std::string name, bool average) {
  return [=](const KernelSpec& spec) {
    std::vector<bool> is_reduced(static_cast<size_t>(spec.input_shape(0).rank()));
    for (int64_t axis : spec.attribute<Ints>("axes")) is_reduced[static_cast<size_t>(axis)] = true;
    return prepare(spec, name, is_reduced, average);
  };
}

PreparedKernel sum_like(const KernelSpec& spec) {
  const Shape &x = spec.input_shape(0), &like = spec.input_shape(1);
  std::vector<bool> is_reduced(static_cast<size_t>(x.rank()));
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int own = axis - x.rank() + like.rank();
    is_reduced[static_cast<size_t>(axis)] = own < 0 || (like[own] == 1 && x[axis] != 1);
  }
  return prepare(spec, "sum", is_reduced, spec.attribute<bool>("average"));
}

// `name`: argmax or argmin.
PreparedKernel argument(const KernelSpec& spec, std::string_view name) {
  const Shape& x = spec.input_shape(0);
  if (spec.output_shape().elements() == 0) return {[](const KernelArgs&) {}};
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), n = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  const CudaDevice& device = cuda_device(spec);
  if (inner == 1) {
    const Kernel kernel(kernel_name(str_cat(name, "_rows"), spec.inputs[0].dtype));
    const LaunchShape shape = spread(device, outer * kWarp);
    return {[=](const KernelArgs& args) {
      kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], outer, n);
    }};
  }
  const Kernel kernel(kernel_name(str_cat(name, "_columns"), spec.inputs[0].dtype));
  const LaunchShape shape = spread(device, outer * inner);
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], outer, n, inner);
  }};
}

}  // namespace

void register_reduction(KernelTable& table) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8}) {
    add_kernel(table, "Sum", kCudaKind, dtype, over_axes("sum", false));
    add_kernel(table, "Max", kCudaKind, dtype, over_axes("max", false));
    add_kernel(table, "SumLike", kCudaKind, dtype, sum_like);
    add_kernel(table, "Min", kCudaKind, dtype, over_axes("min", false));
    add_kernel(table, "Prod", kCudaKind, dtype, over_axes("prod", false));
    add_kernel(table, "ArgMax", kCudaKind, dtype,
               [](const KernelSpec& spec) { return argument(spec, "argmax"); });
    add_kernel(table, "ArgMin", kCudaKind, dtype,
               [](const KernelSpec& spec) { return argument(spec, "argmin"); });
    if (is_floating(dtype)) add_kernel(table, "Mean", kCudaKind, dtype, over_axes("sum", true));
  }
}

}  // namespace trireme::cuda
