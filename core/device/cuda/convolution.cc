// Convolutions: a matrix product where a filter is one pixel, cuDNN for the rest, and kernels of
// our own for what it does not take.
#include <algorithm>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/device/cuda/cudnn_convolution.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/matmul_plan.h"
#include "core/device/cuda/register.h"
#include "core/device/cuda/window_sizes.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};

// What a convolution is prepared for. Its inputs a and b and its output: image, filter, y; filter,
// grad, dx; image, grad, dw.
struct Work {
  Direction direction;
  Conv2dGeometry g;
  DType dtype;
  std::string activation;  // empty: no bias either
};

PreparedKernel nothing() {
  return {[](const KernelArgs&) {}};
}

// A filter of one pixel is a matrix [in, out], and so are all pixels of the images.
bool is_pointwise(const Conv2dGeometry& g) {
  const auto is_one = [](const WindowAxis& axis) {
    return axis.window == 1 && axis.stride == 1 && axis.before + axis.after == 0;
  };
  return g.groups == 1 && is_one(g.h) && is_one(g.w);
}

PreparedKernel pointwise(const KernelSpec& spec, const Work& work) {
  const Conv2dGeometry& g = work.g;
  const int64_t pixels = g.batch * g.h.output * g.w.output;
  MatmulSizes sizes;
  sizes.from = sizes.to = work.dtype;
  bool swapped = false;
  switch (work.direction) {
    case Direction::kForward:
      sizes.m = pixels, sizes.k = g.in_channels, sizes.n = g.out_channels;
      sizes.has_bias = !work.activation.empty();
      if (sizes.has_bias) sizes.activation = work.activation;
      break;
    case Direction::kBackwardInput:
      sizes.m = pixels, sizes.k = g.out_channels, sizes.n = g.in_channels;
      sizes.transpose_b = swapped = true;
      break;
    case Direction::kBackwardFilter:
      sizes.m = g.in_channels, sizes.k = pixels, sizes.n = g.out_channels;
      sizes.transpose_a = true;
      break;
  }
  auto plan = std::make_shared<MatmulPlan>(cuda_device(spec), sizes);
  return {[plan, swapped, has_bias = sizes.has_bias](const KernelArgs& args) {
            plan->run(cuda_stream(args), args.inputs[swapped ? 1 : 0], args.inputs[swapped ? 0 : 1],
                      has_bias ? args.inputs[2] : nullptr, args.outputs[0], args.scratch);
          },
          plan->scratch_bytes()};
}

// By definition, in a kernel of our own.
PreparedKernel direct(const KernelSpec& spec, const Work& work) {
  const WindowGeometry g = window_geometry(work.g);
  CudaDevice& device = cuda_device(spec);
  const char* base = nullptr;
  LaunchShape shape = spread(device, spec.output_shape().elements());
  switch (work.direction) {
    case Direction::kForward:
      base = "convolution_forward";
      break;
    case Direction::kBackwardInput:
      base = "convolution_backward_input";
      break;
    case Direction::kBackwardFilter:  // a block of 256 threads for 32 elements
      base = "convolution_backward_filter";
      shape = spread(device, spec.output_shape().elements() * 8);
      shape.block_x = 256;
      break;
  }
  const Kernel kernel(kernel_name(base, work.dtype));
  std::shared_ptr<BiasActivation> after;
  if (!work.activation.empty()) {
    after = std::make_shared<BiasActivation>(device, work.dtype, spec.output_shape().elements(),
                                             work.g.out_channels, work.activation);
  }
  return {[=](const KernelArgs& args) {
    CudaStream& stream = cuda_stream(args);
    kernel.launch(stream, shape, args.inputs[0], args.inputs[1], args.outputs[0], g);
    if (after) after->run(stream, args.outputs[0], args.inputs[2], args.outputs[0]);
  }};
}

// Filters from the graph's layout to cuDNN's, which is the transposed matrix, and back.
class FilterTransposition {
 public:
  FilterTransposition(const CudaDevice& device, const Conv2dGeometry& g, DType dtype)
      : kernel_(str_cat("transpose_filter_", size_of(dtype))),
        pixels_(g.h.window * g.w.window * (g.in_channels / g.groups)),
        out_(g.out_channels) {
    constexpr int64_t kTile = 32;  // of kernels/image_layout.cu, a block each
    const int64_t tiles = ((pixels_ + kTile - 1) / kTile) * ((out_ + kTile - 1) / kTile);
    shape_ = spread(device, tiles * 256);
    shape_.block_x = 256;
  }
  void to_cudnn(CudaStream& stream, const void* from, void* to) const {
    kernel_.launch(stream, shape_, from, to, pixels_, out_);
  }
  void from_cudnn(CudaStream& stream, const void* from, void* to) const {
    kernel_.launch(stream, shape_, from, to, out_, pixels_);
  }

 private:
  Kernel kernel_;
  LaunchShape shape_;
  int64_t pixels_, out_;
};

// Images with rows and columns of zeros added below and on the right, where SAME pads more on those
// sides: cuDNN pads alike on both. A copy is cheaper than any way around it that widens the filter.
class ImagePadding {
 public:
  ImagePadding(const CudaDevice& device, const Conv2dGeometry& g, DType dtype)
      : images_(g.batch), rows_(g.h.input), padded_rows_(rows_ + more(g.h)) {
    const int64_t pixel = g.in_channels * static_cast<int64_t>(size_of(dtype));
    const int64_t width = g.w.input * pixel, padded_width = width + more(g.w) * pixel;
    bytes_ = static_cast<size_t>(images_ * padded_rows_ * padded_width);
    int64_t unit = 16;
    while (width % unit != 0 || padded_width % unit != 0) unit /= 2;
    width_ = width / unit;
    padded_width_ = padded_width / unit;
    kernel_ = Kernel(str_cat("resize_images_", unit));
    pad_shape_ = spread(device, images_ * padded_rows_ * padded_width_);
    crop_shape_ = spread(device, images_ * rows_ * width_);
  }
  static bool is_needed(const Conv2dGeometry& g) { return more(g.h) + more(g.w) != 0; }
  static int64_t more(const WindowAxis& axis) { return axis.after - axis.before; }

  size_t bytes() const { return bytes_; }  // of the padded images
  void pad(CudaStream& stream, const void* from, void* to) const {
    kernel_.launch(stream, pad_shape_, from, to, images_, rows_, width_, padded_rows_,
                   padded_width_);
  }
  void crop(CudaStream& stream, const void* from, void* to) const {
    kernel_.launch(stream, crop_shape_, from, to, images_, padded_rows_, padded_width_, rows_,
                   width_);
  }

 private:
  Kernel kernel_;
  LaunchShape pad_shape_, crop_shape_;
  int64_t images_, rows_, padded_rows_, width_ = 0, padded_width_ = 0;
  size_t bytes_ = 0;
};

CudnnSizes cudnn_sizes(const Work& work) {
  const auto axis = [](const WindowAxis& a) {
    return CudnnSizes::Axis{
        a.input + ImagePadding::more(a), a.window, a.output, a.stride, a.dilation, a.before};
  };
  const Conv2dGeometry& g = work.g;
  return {g.batch, g.in_channels, g.out_channels, g.groups, axis(g.h), axis(g.w), work.dtype};
}

// cuDNN's convolution with what it takes to bring the operands into its layout: in scratch memory,
// the filter, the padded image and the library's workspace, one after another.
struct CudnnPlan {
  Direction direction;
  std::unique_ptr<CudnnConvolution> convolution;
  FilterTransposition transposition;
  std::unique_ptr<ImagePadding> padding;
  std::unique_ptr<BiasActivation> after;
  size_t filter_bytes = 0;

  size_t scratch_bytes() const {
    return filter_bytes + (padding ? align_up(padding->bytes()) : 0) +
           convolution->workspace_bytes();
  }

  void run(const KernelArgs& args) const {
    CudaStream& stream = cuda_stream(args);
    char* const filter = static_cast<char*>(args.scratch);
    char* const image = filter + filter_bytes;
    char* const workspace = image + (padding ? align_up(padding->bytes()) : 0);
    const void *a = args.inputs[0], *b = args.inputs[1];
    void* const out = args.outputs[0];
    if (direction != Direction::kBackwardInput && padding) {
      padding->pad(stream, a, image);
      a = image;
    }
    switch (direction) {
      case Direction::kForward: {
        const void* const bias = args.input_count > 2 ? args.inputs[2] : nullptr;
        transposition.to_cudnn(stream, b, filter);
        convolution->run(stream, a, filter, bias, out, workspace);
        if (after) after->run(stream, out, bias, out);
        break;
      }
      case Direction::kBackwardInput:
        transposition.to_cudnn(stream, a, filter);
        convolution->run(stream, filter, b, nullptr, padding ? image : out, workspace);
        if (padding) padding->crop(stream, image, out);
        break;
      case Direction::kBackwardFilter:
        convolution->run(stream, a, b, nullptr, filter, workspace);
        transposition.from_cudnn(stream, filter, out);
        break;
    }
  }
};

// A kernel without `run` where cuDNN has nothing.
PreparedKernel by_cudnn(const KernelSpec& spec, const Work& work) {
  CudaDevice& device = cuda_device(spec);
  const CudnnSizes sizes = cudnn_sizes(work);
  const bool fusible = work.activation == "none" || work.activation == "relu";
  std::unique_ptr<CudnnConvolution> convolution;
  std::unique_ptr<BiasActivation> after;
  if (fusible) convolution = CudnnConvolution::find(device, work.direction, sizes, work.activation);
  if (!convolution) {
    convolution = CudnnConvolution::find(device, work.direction, sizes, "");
    if (!convolution) return {};
    if (!work.activation.empty()) {
      after = std::make_unique<BiasActivation>(device, work.dtype, spec.output_shape().elements(),
                                               work.g.out_channels, work.activation);
    }
  }
  std::unique_ptr<ImagePadding> padding;
  if (ImagePadding::is_needed(work.g)) {
    padding = std::make_unique<ImagePadding>(device, work.g, work.dtype);
  }
  const auto filter_bytes = static_cast<size_t>(work.g.filter().elements()) * size_of(work.dtype);
  auto plan = std::make_shared<CudnnPlan>(CudnnPlan{
      work.direction, std::move(convolution), FilterTransposition(device, work.g, work.dtype),
      std::move(padding), std::move(after), align_up(filter_bytes)});
  return {[plan](const KernelArgs& args) { plan->run(args); }, plan->scratch_bytes()};
}

PreparedKernel convolution(const KernelSpec& spec, const Work& work) {
  if (spec.output_shape().elements() == 0) return nothing();
  if (work.g.batch * work.g.h.input * work.g.w.input == 0) {  // a filter's gradient of no images
    const size_t bytes = spec.outputs[0].bytes();
    return {[bytes](const KernelArgs& args) {
      const auto to = reinterpret_cast<CUdeviceptr>(args.outputs[0]);
      check(driver().cuMemsetD8Async(to, 0, bytes, cuda_stream(args).raw()), "cuMemsetD8Async");
    }};
  }
  if (is_pointwise(work.g)) return pointwise(spec, work);
  // cuDNN has no f64 with channels last.
  if (work.dtype == DType::kFloat64) return direct(spec, work);
  PreparedKernel kernel = by_cudnn(spec, work);
  if (kernel.run) return kernel;
  log_warning(str_cat("cuDNN does not take ", spec.where(), " (", spec.inputs[0], ", ",
                      spec.inputs[1], ") on ", spec.device->name(),
                      ": a slower kernel of Trireme's own computes it"));
  return direct(spec, work);
}

PreparedKernel forward(const KernelSpec& spec, const std::string& activation) {
  return convolution(spec,
                     {Direction::kForward,
                      conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.attributes),
                      spec.inputs[0].dtype, activation});
}

PreparedKernel backward_input(const KernelSpec& spec) {
  return convolution(spec,
                     {Direction::kBackwardInput,
                      conv2d_geometry(spec.output_shape(), spec.input_shape(0), spec.attributes),
                      spec.inputs[0].dtype, ""});
}

PreparedKernel backward_filter(const KernelSpec& spec) {
  return convolution(spec, {Direction::kBackwardFilter,
                            conv2d_geometry(spec.input_shape(0),
                                            spec.attribute<Shape>("filter_shape"), spec.attributes),
                            spec.inputs[0].dtype, ""});
}

}  // namespace

// WideConv2dBackwardFilter has no kernel here: cuDNN writes a filter's gradient in the type of the
// images, and the Cast behind it is fused with what follows.
void register_convolution(KernelTable& table) {
  for (DType dtype : kFloats) {
    add_kernel(table, "Conv2d", kCudaKind, dtype,
               [](const KernelSpec& spec) { return forward(spec, ""); });
    add_kernel(table, "FusedConv2d", kCudaKind, dtype, [](const KernelSpec& spec) {
      return forward(spec, spec.attribute<std::string>("activation"));
    });
    add_kernel(table, "Conv2dBackwardInput", kCudaKind, dtype, backward_input);
    add_kernel(table, "Conv2dBackwardFilter", kCudaKind, dtype, backward_filter);
  }
}

}  // namespace trireme::cuda
