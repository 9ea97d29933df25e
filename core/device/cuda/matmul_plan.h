// Matrix products by cuBLASLt, prepared once for their sizes. Private to core/device/cuda.
//
// A plan is owned by the prepared kernel that runs it, one run at a time: descriptors, the
// algorithm that cuBLASLt's heuristics prefer, and what is left to a kernel of our own (a bias or
// activation that the library does not fuse for a type).
//
// Sums are f32 for f32 (no TF32, as in PyTorch by default), f16 and bf16, and f64 for f64. Split
// products are added up in that type and in a fixed order, so that a product has the same bits in
// every run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/cuda/kernel.h"

namespace trireme::cuda {

// activation(x + bias) for rows of x of `columns`; y may be x. In a launch of its own.
class BiasActivation {
 public:
  // activation: none, relu, sigmoid or tanh.
  BiasActivation(const CudaDevice& device, DType dtype, int64_t count, int64_t columns,
                 const std::string& activation);
  void run(CudaStream& stream, const void* x, const void* bias, void* y) const;

 private:
  Kernel kernel_;
  LaunchShape shape_;
  int64_t count_, columns_;
  int32_t activation_;
};

// y = activation(a·b + bias), all row-major: a [m, k] ([k, m] when transposed), b [k, n] ([n, k]),
// bias [n]; or, accumulating, y += factor · a·b.
struct MatmulSizes {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType from = DType::kFloat32, to = DType::kFloat32;  // of a and b; of bias and y
  // Where the matrices of a and b start, in elements, one for each matrix of y, which lie one after
  // another.
  std::vector<int64_t> a_offsets = {0}, b_offsets = {0};
  bool has_bias = false;
  std::string activation = "none";
  bool accumulate = false;
};

class MatmulPlan {
 public:
  // Throws Error{kFailed} naming the sizes when cuBLASLt has no algorithm for them.
  MatmulPlan(CudaDevice& device, MatmulSizes sizes);
  ~MatmulPlan();
  MatmulPlan(const MatmulPlan&) = delete;
  MatmulPlan& operator=(const MatmulPlan&) = delete;

  size_t scratch_bytes() const { return workspace_bytes_; }
  // Enqueues. bias: null without one. factors: of an accumulating plan, {factor, 1} on the card, in
  // the type of the sums.
  void run(CudaStream& stream, const void* a, const void* b, const void* bias, void* y,
           void* scratch, const void* factors = nullptr);

 private:
  struct Descriptors;
  bool find_algorithm(CudaDevice& device, bool fused);
  void multiply(CudaStream& stream, const void* a, const void* b, const void* bias, void* y,
                void* scratch, const void* factors);

  MatmulSizes sizes_;
  // Products whose matrices are evenly spaced are one call; starts of such calls.
  int64_t calls_ = 0, batch_ = 1, a_stride_ = 0, b_stride_ = 0;
  bool fused_ = false;  // bias and activation by cuBLASLt
  size_t workspace_bytes_ = 0;
  std::unique_ptr<Descriptors> descriptors_;
  std::unique_ptr<BiasActivation> bias_activation_;
};

// "2×3×4 (f32, a transposed)" of a product, for messages.
std::string describe(const MatmulSizes& sizes);

}  // namespace trireme::cuda
