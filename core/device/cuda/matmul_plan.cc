#include "core/device/cuda/matmul_plan.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

// What PyTorch gives cuBLASLt on these cards; scratch memory is shared by all kernels of a plan.
constexpr size_t kWorkspaceLimit = size_t{32} << 20;

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kBFloat16:
      return CUDA_R_16BF;
    case DType::kFloat32:
      return CUDA_R_32F;
    case DType::kFloat64:
      return CUDA_R_64F;
    default:
      throw Error(ErrorCode::kInternal, str_cat("no matrix products of ", name(dtype)));
  }
}

// Whether `offsets` are groups of `size` matrices, evenly spaced within each.
bool evenly_spaced(const std::vector<int64_t>& offsets, size_t size) {
  if (size == 1) return true;
  const int64_t stride = offsets[1] - offsets[0];
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (i % size != 0 && offsets[i] - offsets[i - 1] != stride) return false;
  }
  return stride >= 0;
}

// To how many bytes all of `offsets`, in elements, are aligned in memory that is to kAlignment.
uint32_t alignment_of(const std::vector<int64_t>& offsets, size_t step, size_t element) {
  int64_t common = static_cast<int64_t>(kAlignment);
  for (size_t i = 0; i < offsets.size(); i += step) {
    common = std::gcd(common, offsets[i] * static_cast<int64_t>(element));
  }
  return static_cast<uint32_t>(common);
}

int32_t activation_number(const std::string& name) {
  static constexpr std::array<std::string_view, 4> kNames = {"none", "relu", "sigmoid", "tanh"};
  const auto* const found = std::ranges::find(kNames, name);
  TRIREME_CHECK(found != kNames.end(), "no activation ", name);
  return static_cast<int32_t>(found - kNames.begin());
}

CUdeviceptr address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

const void* advance(const void* pointer, int64_t elements, DType dtype) {
  return static_cast<const char*>(pointer) + elements * static_cast<int64_t>(size_of(dtype));
}

}  // namespace

BiasActivation::BiasActivation(const CudaDevice& device, DType dtype, int64_t count,
                               int64_t columns, const std::string& activation)
    : kernel_(kernel_name("bias_activation", dtype)),
      shape_(spread(device, count, static_cast<int>(16 / size_of(dtype)))),
      count_(count),
      columns_(columns),
      activation_(activation_number(activation)) {}

void BiasActivation::run(CudaStream& stream, const void* x, const void* bias, void* y) const {
  if (count_ != 0) kernel_.launch(stream, shape_, x, bias, y, count_, columns_, activation_);
}

// A row-major matrix is, to cuBLASLt, a column-major one of swapped sizes: the product is computed
// as yᵀ = bᵀ·aᵀ, where a bias along y's rows is along the columns of yᵀ, as the library wants it.
struct MatmulPlan::Descriptors {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, y = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};

  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    const CublasLt& lt = cublas_lt();
    if (preference != nullptr) lt.cublasLtMatmulPreferenceDestroy(preference);
    for (cublasLtMatrixLayout_t layout : {a, b, y}) {
      if (layout != nullptr) lt.cublasLtMatrixLayoutDestroy(layout);
    }
    if (product != nullptr) lt.cublasLtMatmulDescDestroy(product);
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublas_lt().cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
  }
  template <typename T>
  static void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                  T value) {
    check(cublas_lt().cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value),
          "cublasLtMatrixLayoutSetAttribute");
  }
  template <typename T>
  void prefer(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check(cublas_lt().cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value,
                                                           sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  }

  // Of a row-major matrix.
  static cublasLtMatrixLayout_t layout(DType dtype, int64_t rows, int64_t columns, int64_t batch,
                                       int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublas_lt().cublasLtMatrixLayoutCreate(&made, data_type(dtype),
                                                 static_cast<uint64_t>(columns),
                                                 static_cast<uint64_t>(rows), columns),
          "cublasLtMatrixLayoutCreate");
    if (batch > 1) {
      set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
      set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
    }
    return made;
  }
};

MatmulPlan::MatmulPlan(CudaDevice& device, MatmulSizes sizes) : sizes_(std::move(sizes)) {
  const MatmulSizes& s = sizes_;
  const auto matrices = static_cast<int64_t>(s.a_offsets.size());
  if (s.m * s.n * matrices == 0) return;
  if (s.has_bias) {
    bias_activation_ =
        std::make_unique<BiasActivation>(device, s.to, s.m * s.n * matrices, s.n, s.activation);
  }
  if (s.k == 0) return;  // run() fills with zeros
  for (batch_ = matrices; batch_ > 1; --batch_) {
    const auto size = static_cast<size_t>(batch_);
    if (matrices % batch_ == 0 && evenly_spaced(s.a_offsets, size) &&
        evenly_spaced(s.b_offsets, size)) {
      a_stride_ = s.a_offsets[1] - s.a_offsets[0];
      b_stride_ = s.b_offsets[1] - s.b_offsets[0];
      break;
    }
  }
  calls_ = matrices / batch_;
  // Sigmoid and tanh are no epilogues; f64 has none at all.
  const bool fusible =
      s.has_bias && s.to != DType::kFloat64 && (s.activation == "none" || s.activation == "relu");
  fused_ = fusible && find_algorithm(device, true);
  if (!fused_ && !find_algorithm(device, false)) {
    throw Error(ErrorCode::kFailed,
                str_cat("cuBLASLt has no algorithm for the matrix product ", describe(s), " on ",
                        device.name(), "; use --device cpu, or a newer cuBLAS"));
  }
}

MatmulPlan::~MatmulPlan() = default;

bool MatmulPlan::find_algorithm(CudaDevice& device, bool fused) {
  const MatmulSizes& s = sizes_;
  const CublasLt& lt = cublas_lt();
  descriptors_ = std::make_unique<Descriptors>();
  Descriptors& d = *descriptors_;
  const bool is_double = s.from == DType::kFloat64;
  check(lt.cublasLtMatmulDescCreate(&d.product, is_double ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                    is_double ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  d.set(CUBLASLT_MATMUL_DESC_TRANSA, s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  d.set(CUBLASLT_MATMUL_DESC_TRANSB, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (s.accumulate) d.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
  if (fused) {
    d.set(CUBLASLT_MATMUL_DESC_EPILOGUE,
          s.activation == "relu" ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
    // Not read before run() sets the true one, but heuristics take the alignment from it.
    d.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, reinterpret_cast<const void*>(kAlignment));
  }
  const int64_t m = s.m, n = s.n, k = s.k;
  d.a =
      Descriptors::layout(s.from, s.transpose_a ? k : m, s.transpose_a ? m : k, batch_, a_stride_);
  d.b =
      Descriptors::layout(s.from, s.transpose_b ? n : k, s.transpose_b ? k : n, batch_, b_stride_);
  d.y = Descriptors::layout(s.to, m, n, batch_, m * n);

  check(lt.cublasLtMatmulPreferenceCreate(&d.preference), "cublasLtMatmulPreferenceCreate");
  d.prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceLimit});
  d.prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  // The library thinks that addresses are aligned to 256 bytes unless told otherwise.
  const auto step = static_cast<size_t>(batch_);
  std::vector<int64_t> y_offsets;
  for (int64_t call = 0; call < calls_; ++call) y_offsets.push_back(call * batch_ * m * n);
  const uint32_t y_alignment = alignment_of(y_offsets, 1, size_of(s.to));
  d.prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
           alignment_of(s.b_offsets, step, size_of(s.from)));
  d.prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
           alignment_of(s.a_offsets, step, size_of(s.from)));
  d.prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y_alignment);
  d.prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y_alignment);

  device.make_current();
  auto& stream = static_cast<CudaStream&>(device.stream(kComputeStream));
  cublasLtMatmulHeuristicResult_t found = {};
  int count = 0;
  const cublasStatus_t status = lt.cublasLtMatmulAlgoGetHeuristic(
      stream.cublas_lt(), d.product, d.b, d.a, d.y, d.y, d.preference, 1, &found, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && count == 0)) {
    return false;
  }
  check(status, str_cat("cublasLtMatmulAlgoGetHeuristic for ", describe(s)));
  if (found.state != CUBLAS_STATUS_SUCCESS) return false;
  d.algorithm = found.algo;
  workspace_bytes_ = found.workspaceSize;
  return true;
}

void MatmulPlan::run(CudaStream& stream, const void* a, const void* b, const void* bias, void* y,
                     void* scratch, const void* factors) {
  const auto matrices = static_cast<int64_t>(sizes_.a_offsets.size());
  if (sizes_.m * sizes_.n * matrices == 0) return;
  if (sizes_.k > 0) {
    multiply(stream, a, b, bias, y, scratch, factors);
  } else if (!sizes_.accumulate) {  // a sum of nothing
    const size_t bytes = static_cast<size_t>(sizes_.m * sizes_.n * matrices) * size_of(sizes_.to);
    check(driver().cuMemsetD8Async(address(y), 0, bytes, stream.raw()), "cuMemsetD8Async");
  }
  if (bias_activation_ && !fused_) bias_activation_->run(stream, y, bias, y);
}

void MatmulPlan::multiply(CudaStream& stream, const void* a, const void* b, const void* bias,
                          void* y, void* scratch, const void* factors) {
  const MatmulSizes& s = sizes_;
  Descriptors& d = *descriptors_;
  static constexpr double kDouble[] = {1, 0};
  static constexpr float kFloat[] = {1, 0};
  const bool is_double = s.from == DType::kFloat64;
  const void* const scales = factors != nullptr ? factors
                             : is_double        ? static_cast<const void*>(kDouble)
                                                : kFloat;
  const void* const beta = advance(scales, 1, is_double ? DType::kFloat64 : DType::kFloat32);
  if (fused_) d.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  for (int64_t call = 0; call < calls_; ++call) {
    const auto first = static_cast<size_t>(call * batch_);
    const void* const left = advance(a, s.a_offsets[first], s.from);
    const void* const right = advance(b, s.b_offsets[first], s.from);
    void* const to = const_cast<void*>(advance(y, call * batch_ * s.m * s.n, s.to));
    const cublasStatus_t status = cublas_lt().cublasLtMatmul(
        stream.cublas_lt(), d.product, scales, right, d.b, left, d.a, beta, to, d.y, to, d.y,
        &d.algorithm, scratch, workspace_bytes_, stream.raw());
    if (status != CUBLAS_STATUS_SUCCESS) {
      check(status, str_cat("cublasLtMatmul for ", describe(s)));
    }
  }
}

std::string describe(const MatmulSizes& s) {
  std::string text = str_cat(s.m, "×", s.k, "×", s.n, " (", name(s.from));
  if (s.to != s.from) text += str_cat(" to ", name(s.to));
  if (s.transpose_a) text += ", a transposed";
  if (s.transpose_b) text += ", b transposed";
  if (s.a_offsets.size() != 1) text += str_cat(", ", s.a_offsets.size(), " times");
  return text + ")";
}

}  // namespace trireme::cuda
