// What the stand-in for libcudnn keeps: descriptors and a convolution's sizes.
//
// It takes what Trireme may ask for and refuses, telling why, what the real library would refuse or
// leave undefined: unset or destroyed descriptors, sizes, types and layouts that do not fit,
// pointers not aligned to 16 bytes, too little workspace. Called from one thread at a time for a
// handle.
#pragma once

#include <cudnn.h>

#include <string>
#include <vector>

#include "tests/support/fake_cuda/elements.h"

namespace trireme::fake_cuda {

struct DnnRefusal {
  cudnnStatus_t status;
  std::string why;
};
[[noreturn]] inline void refuse(cudnnStatus_t status, std::string why) {
  throw DnnRefusal{status, std::move(why)};
}
[[noreturn]] inline void unsupported(std::string why) {
  refuse(CUDNN_STATUS_NOT_SUPPORTED, std::move(why));
}
[[noreturn]] inline void bad(std::string why) { refuse(CUDNN_STATUS_BAD_PARAM, std::move(why)); }

// `live` tells a descriptor from what was destroyed or never created; `set` from a fresh one.
constexpr uint64_t kLiveDnn = 0x63756466616b65;
struct DnnObject {
  uint64_t live = kLiveDnn;
  bool set = false;
};
struct DnnHandle : DnnObject {
  cudaStream_t stream = nullptr;
};
// Of an image, a bias or a filter: k is a filter's number of outputs, a tensor's n.
struct DnnTensor : DnnObject {
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  int64_t n = 0, c = 0, h = 0, w = 0;

  int64_t elements() const { return n * c * h * w; }
  int64_t at(int64_t in, int64_t ic, int64_t ih, int64_t iw) const {
    return format == CUDNN_TENSOR_NHWC ? ((in * h + ih) * w + iw) * c + ic
                                       : ((in * c + ic) * h + ih) * w + iw;
  }
  Element element() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(element()); }
};
struct DnnConvolution : DnnObject {
  int64_t pad_h = 0, pad_w = 0, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};
struct DnnActivation : DnnObject {
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_IDENTITY;
};

// One convolution: x, w and y are those of the forward direction, also where it goes backward.
struct DnnProblem {
  DnnTensor x, w, y;
  DnnConvolution convolution;

  // Throws when the library would not take it.
  void require_fit() const;
  size_t workspace() const { return 512 + static_cast<size_t>(w.n + x.c) * 8; }
  // y = conv(x, w), dx or dw, in double and in the order of the tensor that is returned.
  std::vector<double> forward(const void* px, const void* pw) const;
  std::vector<double> backward_data(const void* pw, const void* py) const;
  std::vector<double> backward_filter(const void* px, const void* py) const;

 private:
  template <typename Visit>
  void for_each_product(Visit visit) const;
};

}  // namespace trireme::fake_cuda
