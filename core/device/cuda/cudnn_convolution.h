// A convolution as cuDNN computes it: images [batch, h, w, channels], filters [out, h, w, in /
// groups], the same padding on both sides of an axis. Private to core/device/cuda.
//
// Uses the functions that cuDNN calls its legacy API. Of their algorithms only the matrix products
// take channels last; those are deterministic, so that a convolution has the same bits in every
// run. Winograd and Fourier transforms, where they would apply, cost f32 digits and are not used.
// f32 is computed in f32 (no TF32), f16 and bf16 on tensor cores with f32 sums.
#pragma once

#include <memory>
#include <string>

#include "core/device/cuda/cuda_device.h"

namespace trireme::cuda {

enum class Direction { kForward, kBackwardInput, kBackwardFilter };

struct CudnnSizes {
  struct Axis {
    int64_t input, window, output, stride, dilation, padding;
  };
  int64_t batch = 0, in_channels = 0, out_channels = 0, groups = 1;
  Axis h, w;
  DType dtype = DType::kFloat32;
};

class CudnnConvolution {
 public:
  // Null when cuDNN has nothing for it on this card. What is returned has run once, on memory that
  // is given back: heuristics do not answer for bias and activation, and the library loads its code
  // for a card at the first run, which must not be while work is recorded.
  // activation: "none" or "relu", added with a bias to what the forward direction computes; empty:
  // without bias.
  static std::unique_ptr<CudnnConvolution> find(CudaDevice& device, Direction direction,
                                                const CudnnSizes& sizes,
                                                const std::string& activation);
  ~CudnnConvolution();
  CudnnConvolution(const CudnnConvolution&) = delete;
  CudnnConvolution& operator=(const CudnnConvolution&) = delete;

  size_t workspace_bytes() const;
  // Enqueues. a, b, out: image, filter, y; filter, grad, dx; image, grad, dw.
  void run(CudaStream& stream, const void* a, const void* b, const void* bias, void* out,
           void* workspace) const;

 private:
  struct State;
  explicit CudnnConvolution(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trireme::cuda
