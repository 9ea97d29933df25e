#include "core/device/cuda/cudnn_convolution.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

// Scratch memory is shared by all kernels of a plan; for images with few channels the library makes
// padded copies.
constexpr size_t kWorkspaceLimit = size_t{1} << 30;
constexpr int kMaxCandidates = 8;

cudnnDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return CUDNN_DATA_HALF;
    case DType::kBFloat16:
      return CUDNN_DATA_BFLOAT16;
    case DType::kFloat32:
      return CUDNN_DATA_FLOAT;
    default:
      throw Error(ErrorCode::kInternal, str_cat("no cuDNN convolution of ", name(dtype)));
  }
}

int narrow(int64_t size) { return static_cast<int>(size); }

struct Candidate {
  int algorithm;
  cudnnMathType_t math;
};

// Those of `found` that may be used, the fastest first.
template <typename Perf>
std::vector<Candidate> usable(const std::array<Perf, kMaxCandidates>& found, int count,
                              std::initializer_list<int> algorithms) {
  std::vector<Candidate> candidates;
  for (int i = 0; i < count; ++i) {
    const Perf& perf = found[static_cast<size_t>(i)];
    const int algorithm = static_cast<int>(perf.algo);
    if (perf.status != CUDNN_STATUS_SUCCESS || perf.determinism != CUDNN_DETERMINISTIC) continue;
    if (std::ranges::find(algorithms, algorithm) == algorithms.end()) continue;
    candidates.push_back({algorithm, perf.mathType});
  }
  return candidates;
}

// What cuDNN says of something that it cannot do, rather than of a fault.
bool is_refusal(cudnnStatus_t status) {
  return status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000 ||
         status / 1000 == CUDNN_STATUS_BAD_PARAM / 1000;
}

}  // namespace

struct CudnnConvolution::State {
  Direction direction = Direction::kForward;
  CudnnSizes sizes;
  cudnnTensorDescriptor_t image = nullptr, output = nullptr, bias = nullptr;
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  cudnnActivationDescriptor_t activation = nullptr;  // null: no bias either
  bool is_relu = false;
  int algorithm = 0;
  size_t workspace_bytes = 0;

  State(Direction direction_, const CudnnSizes& sizes_, const std::string& activation_name)
      : direction(direction_), sizes(sizes_), is_relu(activation_name == "relu") {
    const Cudnn& dnn = cudnn();
    const cudnnDataType_t dtype = data_type(sizes.dtype);
    const CudnnSizes::Axis &h = sizes.h, &w = sizes.w;
    image = tensor(CUDNN_TENSOR_NHWC, sizes.batch, sizes.in_channels, h.input, w.input);
    output = tensor(CUDNN_TENSOR_NHWC, sizes.batch, sizes.out_channels, h.output, w.output);
    check(dnn.cudnnCreateFilterDescriptor(&filter), "cudnnCreateFilterDescriptor");
    check(dnn.cudnnSetFilter4dDescriptor(
              filter, dtype, CUDNN_TENSOR_NHWC, narrow(sizes.out_channels),
              narrow(sizes.in_channels / sizes.groups), narrow(h.window), narrow(w.window)),
          "cudnnSetFilter4dDescriptor");
    check(dnn.cudnnCreateConvolutionDescriptor(&convolution), "cudnnCreateConvolutionDescriptor");
    check(dnn.cudnnSetConvolution2dDescriptor(
              convolution, narrow(h.padding), narrow(w.padding), narrow(h.stride), narrow(w.stride),
              narrow(h.dilation), narrow(w.dilation), CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
          "cudnnSetConvolution2dDescriptor");
    check(dnn.cudnnSetConvolutionGroupCount(convolution, narrow(sizes.groups)),
          "cudnnSetConvolutionGroupCount");
    check(dnn.cudnnSetConvolutionMathType(
              convolution, sizes.dtype == DType::kFloat32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH),
          "cudnnSetConvolutionMathType");
    if (activation_name.empty()) return;
    bias = tensor(CUDNN_TENSOR_NCHW, 1, sizes.out_channels, 1, 1);
    check(dnn.cudnnCreateActivationDescriptor(&activation), "cudnnCreateActivationDescriptor");
    check(dnn.cudnnSetActivationDescriptor(
              activation, is_relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY,
              CUDNN_NOT_PROPAGATE_NAN, 0),
          "cudnnSetActivationDescriptor");
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    const Cudnn& dnn = cudnn();
    for (cudnnTensorDescriptor_t descriptor : {image, output, bias}) {
      if (descriptor != nullptr) dnn.cudnnDestroyTensorDescriptor(descriptor);
    }
    if (filter != nullptr) dnn.cudnnDestroyFilterDescriptor(filter);
    if (convolution != nullptr) dnn.cudnnDestroyConvolutionDescriptor(convolution);
    if (activation != nullptr) dnn.cudnnDestroyActivationDescriptor(activation);
  }

  cudnnTensorDescriptor_t tensor(cudnnTensorFormat_t format, int64_t n, int64_t c, int64_t h,
                                 int64_t w) const {
    cudnnTensorDescriptor_t made = nullptr;
    check(cudnn().cudnnCreateTensorDescriptor(&made), "cudnnCreateTensorDescriptor");
    check(cudnn().cudnnSetTensor4dDescriptor(made, format, data_type(sizes.dtype), narrow(n),
                                             narrow(c), narrow(h), narrow(w)),
          "cudnnSetTensor4dDescriptor");
    return made;
  }

  std::vector<Candidate> candidates(cudnnHandle_t handle) const {
    const Cudnn& dnn = cudnn();
    int count = 0;
    switch (direction) {
      case Direction::kForward: {
        std::array<cudnnConvolutionFwdAlgoPerf_t, kMaxCandidates> found = {};
        if (dnn.cudnnGetConvolutionForwardAlgorithm_v7(handle, image, filter, convolution, output,
                                                       kMaxCandidates, &count,
                                                       found.data()) != CUDNN_STATUS_SUCCESS) {
          return {};
        }
        // An identity as activation is for one algorithm only.
        if (activation != nullptr && !is_relu) {
          return usable(found, count, {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM});
        }
        return usable(found, count,
                      {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                       CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_GEMM});
      }
      case Direction::kBackwardInput: {
        std::array<cudnnConvolutionBwdDataAlgoPerf_t, kMaxCandidates> found = {};
        if (dnn.cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, filter, output, convolution,
                                                            image, kMaxCandidates, &count,
                                                            found.data()) != CUDNN_STATUS_SUCCESS) {
          return {};
        }
        return usable(found, count, {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1});
      }
      case Direction::kBackwardFilter: {
        std::array<cudnnConvolutionBwdFilterAlgoPerf_t, kMaxCandidates> found = {};
        if (dnn.cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                handle, image, output, convolution, filter, kMaxCandidates, &count, found.data()) !=
            CUDNN_STATUS_SUCCESS) {
          return {};
        }
        return usable(found, count, {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1});
      }
    }
    return {};
  }

  // Takes up `candidate`; false when the library does not tell how much memory it needs, or it is
  // too much.
  bool use(cudnnHandle_t handle, const Candidate& candidate) {
    const Cudnn& dnn = cudnn();
    // Without this an f32 algorithm could be one of TF32.
    const bool is_wide = sizes.dtype == DType::kFloat32;
    check(dnn.cudnnSetConvolutionMathType(convolution, is_wide ? CUDNN_FMA_MATH : candidate.math),
          "cudnnSetConvolutionMathType");
    algorithm = candidate.algorithm;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (direction) {
      case Direction::kForward:
        status = dnn.cudnnGetConvolutionForwardWorkspaceSize(
            handle, image, filter, convolution, output,
            static_cast<cudnnConvolutionFwdAlgo_t>(algorithm), &workspace_bytes);
        break;
      case Direction::kBackwardInput:
        status = dnn.cudnnGetConvolutionBackwardDataWorkspaceSize(
            handle, filter, output, convolution, image,
            static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm), &workspace_bytes);
        break;
      case Direction::kBackwardFilter:
        status = dnn.cudnnGetConvolutionBackwardFilterWorkspaceSize(
            handle, image, output, convolution, filter,
            static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm), &workspace_bytes);
        break;
    }
    return status == CUDNN_STATUS_SUCCESS && workspace_bytes <= kWorkspaceLimit;
  }

  cudnnStatus_t enqueue(cudnnHandle_t handle, const void* a, const void* b, const void* bias_values,
                        void* out, void* workspace) const {
    static constexpr float kOne = 1, kZero = 0;
    const Cudnn& dnn = cudnn();
    if (workspace_bytes == 0) workspace = nullptr;
    switch (direction) {
      case Direction::kForward: {
        const auto forward = static_cast<cudnnConvolutionFwdAlgo_t>(algorithm);
        if (activation == nullptr) {
          return dnn.cudnnConvolutionForward(handle, &kOne, image, a, filter, b, convolution,
                                             forward, workspace, workspace_bytes, &kZero, output,
                                             out);
        }
        // Something else can be added as well; a factor of 0 leaves it out.
        return dnn.cudnnConvolutionBiasActivationForward(
            handle, &kOne, image, a, filter, b, convolution, forward, workspace, workspace_bytes,
            &kZero, output, out, bias, bias_values, activation, output, out);
      }
      case Direction::kBackwardInput:
        return dnn.cudnnConvolutionBackwardData(
            handle, &kOne, filter, a, output, b, convolution,
            static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm), workspace, workspace_bytes,
            &kZero, image, out);
      case Direction::kBackwardFilter:
        return dnn.cudnnConvolutionBackwardFilter(
            handle, &kOne, image, a, output, b, convolution,
            static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm), workspace, workspace_bytes,
            &kZero, filter, out);
    }
    return CUDNN_STATUS_NOT_SUPPORTED;
  }

  // Whether the library runs what it was asked for. Where there is no memory to try it in, yes.
  bool works(CudaDevice& device, CudaStream& stream) const {
    const size_t element = size_of(sizes.dtype);
    const auto bytes = [&](int64_t elements) {
      return align_up(static_cast<size_t>(elements) * element);
    };
    const size_t image_bytes =
        bytes(sizes.batch * sizes.h.input * sizes.w.input * sizes.in_channels);
    const size_t output_bytes =
        bytes(sizes.batch * sizes.h.output * sizes.w.output * sizes.out_channels);
    const size_t filter_bytes = bytes(sizes.h.window * sizes.w.window * sizes.in_channels /
                                      sizes.groups * sizes.out_channels);
    const size_t total =
        image_bytes + output_bytes + filter_bytes + bytes(sizes.out_channels) + workspace_bytes;
    std::shared_ptr<Buffer> memory;
    try {
      memory = device.allocate(total);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResourceExhausted) throw;
      return true;
    }
    char* const x = static_cast<char*>(memory->data());
    char *const y = x + image_bytes, *const w = y + output_bytes, *const b = w + filter_bytes;
    char* const workspace = b + bytes(sizes.out_channels);
    check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(x), 0, total, stream.raw()),
          "cuMemsetD8Async");
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (direction) {
      case Direction::kForward:
        status = enqueue(stream.cudnn(), x, w, b, y, workspace);
        break;
      case Direction::kBackwardInput:
        status = enqueue(stream.cudnn(), w, y, nullptr, x, workspace);
        break;
      case Direction::kBackwardFilter:
        status = enqueue(stream.cudnn(), x, y, nullptr, w, workspace);
        break;
    }
    stream.synchronize();  // before the memory goes back
    if (status != CUDNN_STATUS_SUCCESS && !is_refusal(status)) check(status, "a convolution");
    return status == CUDNN_STATUS_SUCCESS;
  }
};

std::unique_ptr<CudnnConvolution> CudnnConvolution::find(CudaDevice& device, Direction direction,
                                                         const CudnnSizes& sizes,
                                                         const std::string& activation) {
  device.make_current();
  auto& stream = static_cast<CudaStream&>(device.stream(kComputeStream));
  auto state = std::make_unique<State>(direction, sizes, activation);
  for (const Candidate& candidate : state->candidates(stream.cudnn())) {
    if (state->use(stream.cudnn(), candidate) && state->works(device, stream)) {
      return std::unique_ptr<CudnnConvolution>(new CudnnConvolution(std::move(state)));
    }
  }
  return nullptr;
}

CudnnConvolution::CudnnConvolution(std::unique_ptr<State> state) : state_(std::move(state)) {}
CudnnConvolution::~CudnnConvolution() = default;

size_t CudnnConvolution::workspace_bytes() const { return state_->workspace_bytes; }

void CudnnConvolution::run(CudaStream& stream, const void* a, const void* b, const void* bias,
                           void* out, void* workspace) const {
  const cudnnStatus_t status = state_->enqueue(stream.cudnn(), a, b, bias, out, workspace);
  if (status != CUDNN_STATUS_SUCCESS) check(status, "a convolution by cuDNN");
}

}  // namespace trireme::cuda
