#include "tests/support/fake_cuda/cudnn_state.h"

namespace trireme::fake_cuda {
namespace {

std::vector<double> unpack(const void* from, const DnnTensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = read_element(from, tensor.element(), static_cast<int64_t>(i));
  }
  return values;
}

int64_t outputs(int64_t input, int64_t pad, int64_t window, int64_t dilation, int64_t stride) {
  return (input + 2 * pad - ((window - 1) * dilation + 1)) / stride + 1;
}

std::string text(const DnnTensor& t) {
  return std::to_string(t.n) + "×" + std::to_string(t.h) + "×" + std::to_string(t.w) + "×" +
         std::to_string(t.c);
}

}  // namespace

Element DnnTensor::element() const {
  switch (type) {
    case CUDNN_DATA_HALF:
      return Element::kF16;
    case CUDNN_DATA_BFLOAT16:
      return Element::kBf16;
    case CUDNN_DATA_FLOAT:
      return Element::kF32;
    case CUDNN_DATA_DOUBLE:
      return Element::kF64;
    default:
      unsupported("elements of type " + std::to_string(type));
  }
}

void DnnProblem::require_fit() const {
  for (const DnnTensor* tensor : {&x, &w, &y}) {
    if (tensor->type != x.type) bad("tensors of different types");
    if (tensor->elements() <= 0) bad("a tensor without elements");
  }
  if (x.format != CUDNN_TENSOR_NHWC || y.format != x.format || w.format != x.format) {
    unsupported("another layout than channels last");
  }
  if (x.type == CUDNN_DATA_DOUBLE) unsupported("f64 with channels last");
  const DnnConvolution& c = convolution;
  if (x.type != CUDNN_DATA_FLOAT && c.math == CUDNN_FMA_MATH) {
    unsupported("16-bit floats without tensor cores");
  }
  if (w.c * c.groups != x.c || w.n % c.groups != 0 || y.c != w.n || y.n != x.n) {
    bad("images " + text(x) + ", filters " + text(w) + " and results " + text(y) +
        " do not fit in " + std::to_string(c.groups) + " groups");
  }
  if (y.h != outputs(x.h, c.pad_h, w.h, c.dilation_h, c.stride_h) ||
      y.w != outputs(x.w, c.pad_w, w.w, c.dilation_w, c.stride_w)) {
    bad("results of " + text(y) + " where images are " + text(x) + " and filters " + text(w));
  }
  // The real library's limits differ from card to card: something that must go another way.
  if (c.groups > 1 && c.dilation_h * c.dilation_w > 1) unsupported("dilated groups");
}

template <typename Visit>
void DnnProblem::for_each_product(Visit visit) const {
  const DnnConvolution& p = convolution;
  const int64_t per_group = w.n / p.groups;
  for (int64_t n = 0; n < y.n; ++n) {
    for (int64_t oy = 0; oy < y.h; ++oy) {
      for (int64_t ox = 0; ox < y.w; ++ox) {
        for (int64_t fy = 0; fy < w.h; ++fy) {
          const int64_t iy = oy * p.stride_h - p.pad_h + fy * p.dilation_h;
          if (iy < 0 || iy >= x.h) continue;
          for (int64_t fx = 0; fx < w.w; ++fx) {
            const int64_t ix = ox * p.stride_w - p.pad_w + fx * p.dilation_w;
            if (ix < 0 || ix >= x.w) continue;
            for (int64_t k = 0; k < w.n; ++k) {
              const int64_t image = x.at(n, k / per_group * w.c, iy, ix),
                            filter = w.at(k, 0, fy, fx);
              const int64_t output = y.at(n, k, oy, ox);
              for (int64_t c = 0; c < w.c; ++c) {
                visit(static_cast<size_t>(image + c), static_cast<size_t>(filter + c),
                      static_cast<size_t>(output));
              }
            }
          }
        }
      }
    }
  }
}

std::vector<double> DnnProblem::forward(const void* px, const void* pw) const {
  const std::vector<double> image = unpack(px, x), filter = unpack(pw, w);
  std::vector<double> sums(static_cast<size_t>(y.elements()), 0);
  for_each_product([&](size_t i, size_t f, size_t o) { sums[o] += image[i] * filter[f]; });
  return sums;
}

std::vector<double> DnnProblem::backward_data(const void* pw, const void* py) const {
  const std::vector<double> filter = unpack(pw, w), grad = unpack(py, y);
  std::vector<double> sums(static_cast<size_t>(x.elements()), 0);
  for_each_product([&](size_t i, size_t f, size_t o) { sums[i] += grad[o] * filter[f]; });
  return sums;
}

std::vector<double> DnnProblem::backward_filter(const void* px, const void* py) const {
  const std::vector<double> image = unpack(px, x), grad = unpack(py, y);
  std::vector<double> sums(static_cast<size_t>(w.elements()), 0);
  for_each_product([&](size_t i, size_t f, size_t o) { sums[f] += image[i] * grad[o]; });
  return sums;
}

}  // namespace trireme::fake_cuda
