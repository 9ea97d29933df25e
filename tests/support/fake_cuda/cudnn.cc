// A stand-in for libcudnn: convolutions with channels last by plain loops, from their descriptors
// (cudnn_state.h). Its heuristics also name algorithms that Trireme must not take: fast ones that
// are not deterministic, or not supported.
#include <cudnn.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/fake_cuda/cudnn_state.h"
#include "tests/support/fake_cuda/enqueue.h"

namespace trireme::fake_cuda {
namespace {

template <typename T, typename Opaque>
T& of(Opaque* opaque, const char* what) {
  T* const object = reinterpret_cast<T*>(opaque);
  if (object == nullptr || object->live != kLiveDnn) {
    bad(std::string(what) + " was not created, or was destroyed");
  }
  return *object;
}
template <typename T, typename Opaque>
T& set(Opaque* opaque, const char* what) {
  T& object = of<T>(opaque, what);
  if (!object.set) bad(std::string(what) + " was created, but not set");
  return object;
}

thread_local std::string last_error;

// Turns a refusal into a status and tells of it, unless it only says that something is not
// supported.
template <typename Body>
cudnnStatus_t call(const char* function, Body body) {
  try {
    body();
    return CUDNN_STATUS_SUCCESS;
  } catch (const DnnRefusal& refusal) {
    last_error = std::string(function) + ": " + refusal.why;
    if (refusal.status != CUDNN_STATUS_NOT_SUPPORTED) complain(last_error);
    return refusal.status;
  }
}

template <typename T, typename Opaque>
cudnnStatus_t create(const char* function, Opaque** made) {
  return call(function, [&] {
    if (made == nullptr) bad("nowhere to put it");
    *made = reinterpret_cast<Opaque*>(new T);
  });
}
template <typename T, typename Opaque>
cudnnStatus_t destroy(const char* function, Opaque* object) {
  return call(function, [&] { delete &of<T>(object, "what is destroyed"); });
}

void set_tensor(DnnTensor& tensor, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c,
                int h, int w) {
  if (n < 1 || c < 1 || h < 1 || w < 1) bad("a tensor without elements");
  tensor.format = format, tensor.type = type;
  tensor.n = n, tensor.c = c, tensor.h = h, tensor.w = w;
  tensor.set = true;
}

DnnProblem problem(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                   cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y) {
  DnnProblem made = {set<DnnTensor>(x, "the images' descriptor"),
                     set<DnnTensor>(w, "the filter's descriptor"),
                     set<DnnTensor>(y, "the results' descriptor"),
                     set<DnnConvolution>(convolution, "the convolution's descriptor")};
  made.require_fit();
  return made;
}

// The algorithms that the heuristics answer, in their order.
struct Answer {
  int algorithm;
  cudnnStatus_t status;
  cudnnDeterminism_t determinism;
  bool needs_workspace;
};
template <typename Perf>
void answer(const std::vector<Answer>& answers, const DnnProblem& p, int wanted, int* count,
            Perf* found) {
  if (wanted < 1 || count == nullptr || found == nullptr) bad("nowhere to put an algorithm");
  *count = 0;
  for (const Answer& a : answers) {
    if (*count == wanted) return;
    Perf& perf = found[(*count)++];
    perf = {};
    perf.algo = static_cast<decltype(perf.algo)>(a.algorithm);
    perf.status = a.status;
    perf.time = -1;
    perf.memory = a.needs_workspace ? p.workspace() : 0;
    perf.determinism = a.determinism;
    perf.mathType = p.convolution.math;
  }
}

const std::vector<Answer> kForward = {
    {CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, CUDNN_STATUS_NOT_SUPPORTED, CUDNN_DETERMINISTIC,
     true},
    {CUDNN_CONVOLUTION_FWD_ALGO_FFT, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, true},
    {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, false},
    {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC,
     true}};
const std::vector<Answer> kBackwardData = {
    {CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC, false},
    {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, true}};
const std::vector<Answer> kBackwardFilter = {
    {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC, false},
    {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, true}};

// Throws where the algorithm is none of those that may be run: Trireme's promise is the same bits.
size_t workspace_of(const std::vector<Answer>& answers, int algorithm, const DnnProblem& p) {
  const auto found = std::ranges::find(answers, algorithm, &Answer::algorithm);
  if (found == answers.end() || found->status != CUDNN_STATUS_SUCCESS) {
    unsupported("algorithm " + std::to_string(algorithm));
  }
  if (found->determinism != CUDNN_DETERMINISTIC) {
    bad("algorithm " + std::to_string(algorithm) + " is not deterministic");
  }
  return found->needs_workspace ? p.workspace() : 0;
}

struct Operand {
  const void* address;
  const DnnTensor& tensor;
  const char* what;
};

void require_factors(const void* alpha, const void* beta) {
  if (alpha == nullptr || beta == nullptr) bad("alpha and beta are needed");
  if (*static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0) {
    unsupported("the stand-in knows factors of 1 and 0 only");
  }
}

// Enqueues `compute`, whose numbers are stored as those of `result`.
void launch(cudnnHandle_t handle, const char* name, const std::vector<Operand>& inputs,
            void* result, const DnnTensor& result_tensor, void* workspace, size_t workspace_bytes,
            size_t needed, std::function<std::vector<double>()> compute) {
  std::vector<MemoryRange> ranges;
  std::vector<Operand> all = inputs;
  all.push_back({result, result_tensor, "the result"});
  for (const Operand& operand : all) {
    if (operand.address == nullptr || reinterpret_cast<uintptr_t>(operand.address) % 16 != 0) {
      refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
             std::string(operand.what) + " is not aligned to 16 bytes");
    }
    ranges.push_back({operand.address, operand.tensor.bytes(), operand.what});
  }
  if (workspace_bytes < needed || (needed > 0 && workspace == nullptr)) {
    refuse(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "the workspace is too small");
  }
  if (workspace != nullptr) ranges.push_back({workspace, workspace_bytes, "the workspace"});
  auto run = [compute = std::move(compute), result, type = result_tensor.element(), workspace,
              workspace_bytes] {
    // Real algorithms use it: what it overlaps is lost.
    if (workspace != nullptr) std::memset(workspace, 0xcd, workspace_bytes);
    const std::vector<double> values = compute();
    for (size_t i = 0; i < values.size(); ++i) {
      write_element(result, type, static_cast<int64_t>(i), values[i]);
    }
  };
  const auto& h = set<DnnHandle>(handle, "the handle, by its stream,");
  if (enqueue(h.stream, name, std::move(ranges), std::move(run)) != CUDA_SUCCESS) {
    refuse(CUDNN_STATUS_EXECUTION_FAILED, "the driver refused it");
  }
}

}  // namespace
}  // namespace trireme::fake_cuda

using namespace trireme::fake_cuda;

#pragma GCC visibility push(default)
extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return create<DnnHandle>("cudnnCreate", handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return destroy<DnnHandle>("cudnnDestroy", handle);
}
size_t cudnnGetVersion() { return CUDNN_VERSION; }
const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    default:
      return "another status of the stand-in for cuDNN";
  }
}
void cudnnGetLastErrorString(char* message, size_t size) {
  if (message == nullptr || size == 0) return;
  std::strncpy(message, last_error.c_str(), size - 1);
  message[size - 1] = '\0';
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return call("cudnnSetStream", [&] {
    auto& h = of<DnnHandle>(handle, "the handle");
    h.stream = stream;
    h.set = true;
  });
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* made) {
  return create<DnnTensor>("cudnnCreateTensorDescriptor", made);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
  return destroy<DnnTensor>("cudnnDestroyTensorDescriptor", tensor);
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
  return call("cudnnSetTensor4dDescriptor", [&] {
    set_tensor(of<DnnTensor>(tensor, "the tensor's descriptor"), format, type, n, c, h, w);
  });
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* made) {
  return create<DnnTensor>("cudnnCreateFilterDescriptor", made);
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter) {
  return destroy<DnnTensor>("cudnnDestroyFilterDescriptor", filter);
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return call("cudnnSetFilter4dDescriptor", [&] {
    set_tensor(of<DnnTensor>(filter, "the filter's descriptor"), format, type, k, c, h, w);
  });
}
cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* made) {
  return create<DnnActivation>("cudnnCreateActivationDescriptor", made);
}
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t activation) {
  return destroy<DnnActivation>("cudnnDestroyActivationDescriptor", activation);
}
cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activation,
                                           cudnnActivationMode_t mode, cudnnNanPropagation_t,
                                           double) {
  return call("cudnnSetActivationDescriptor", [&] {
    auto& a = of<DnnActivation>(activation, "the activation's descriptor");
    a.mode = mode;
    a.set = true;
  });
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* made) {
  return create<DnnConvolution>("cudnnCreateConvolutionDescriptor", made);
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convolution) {
  return destroy<DnnConvolution>("cudnnDestroyConvolutionDescriptor", convolution);
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int pad_h,
                                              int pad_w, int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute) {
  return call("cudnnSetConvolution2dDescriptor", [&] {
    auto& c = of<DnnConvolution>(convolution, "the convolution's descriptor");
    if (pad_h < 0 || pad_w < 0 || std::min({stride_h, stride_w, dilation_h, dilation_w}) < 1) {
      bad("padding, strides or dilation");
    }
    if (mode != CUDNN_CROSS_CORRELATION || compute != CUDNN_DATA_FLOAT) {
      unsupported("the stand-in knows cross-correlation with f32 sums only");
    }
    c.pad_h = pad_h, c.pad_w = pad_w, c.stride_h = stride_h, c.stride_w = stride_w;
    c.dilation_h = dilation_h, c.dilation_w = dilation_w;
    c.set = true;
  });
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t convolution, int groups) {
  return call("cudnnSetConvolutionGroupCount", [&] {
    if (groups < 1) bad("groups");
    set<DnnConvolution>(convolution, "the convolution's descriptor").groups = groups;
  });
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution,
                                          cudnnMathType_t math) {
  return call("cudnnSetConvolutionMathType", [&] {
    set<DnnConvolution>(convolution, "the convolution's descriptor").math = math;
  });
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y, int wanted, int* count,
    cudnnConvolutionFwdAlgoPerf_t* found) {
  return call("cudnnGetConvolutionForwardAlgorithm_v7", [&] {
    of<DnnHandle>(handle, "the handle");
    answer(kForward, problem(x, w, convolution, y), wanted, count, found);
  });
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t dx, int wanted, int* count,
    cudnnConvolutionBwdDataAlgoPerf_t* found) {
  return call("cudnnGetConvolutionBackwardDataAlgorithm_v7", [&] {
    of<DnnHandle>(handle, "the handle");
    answer(kBackwardData, problem(dx, w, convolution, dy), wanted, count, found);
  });
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t dw, int wanted, int* count,
    cudnnConvolutionBwdFilterAlgoPerf_t* found) {
  return call("cudnnGetConvolutionBackwardFilterAlgorithm_v7", [&] {
    of<DnnHandle>(handle, "the handle");
    answer(kBackwardFilter, problem(x, dw, convolution, dy), wanted, count, found);
  });
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y,
    cudnnConvolutionFwdAlgo_t algorithm, size_t* bytes) {
  return call("cudnnGetConvolutionForwardWorkspaceSize", [&] {
    of<DnnHandle>(handle, "the handle");
    *bytes = workspace_of(kForward, algorithm, problem(x, w, convolution, y));
  });
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t dx,
    cudnnConvolutionBwdDataAlgo_t algorithm, size_t* bytes) {
  return call("cudnnGetConvolutionBackwardDataWorkspaceSize", [&] {
    of<DnnHandle>(handle, "the handle");
    *bytes = workspace_of(kBackwardData, algorithm, problem(dx, w, convolution, dy));
  });
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algorithm, size_t* bytes) {
  return call("cudnnGetConvolutionBackwardFilterWorkspaceSize", [&] {
    of<DnnHandle>(handle, "the handle");
    *bytes = workspace_of(kBackwardFilter, algorithm, problem(x, dw, convolution, dy));
  });
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha,
                                      cudnnTensorDescriptor_t x_tensor, const void* x,
                                      cudnnFilterDescriptor_t w_tensor, const void* w,
                                      cudnnConvolutionDescriptor_t convolution,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace,
                                      size_t workspace_bytes, const void* beta,
                                      cudnnTensorDescriptor_t y_tensor, void* y) {
  return call("cudnnConvolutionForward", [&] {
    require_factors(alpha, beta);
    const DnnProblem p = problem(x_tensor, w_tensor, convolution, y_tensor);
    launch(handle, "cudnnConvolutionForward", {{x, p.x, "x"}, {w, p.w, "w"}}, y, p.y, workspace,
           workspace_bytes, workspace_of(kForward, algorithm, p), [=] { return p.forward(x, w); });
  });
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void* alpha1, cudnnTensorDescriptor_t x_tensor, const void* x,
    cudnnFilterDescriptor_t w_tensor, const void* w, cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionFwdAlgo_t algorithm, void* workspace, size_t workspace_bytes,
    const void* alpha2, cudnnTensorDescriptor_t z_tensor, const void* z,
    cudnnTensorDescriptor_t bias_tensor, const void* bias, cudnnActivationDescriptor_t activation,
    cudnnTensorDescriptor_t y_tensor, void* y) {
  return call("cudnnConvolutionBiasActivationForward", [&] {
    require_factors(alpha1, alpha2);
    const DnnProblem p = problem(x_tensor, w_tensor, convolution, y_tensor);
    const auto& z_set = set<DnnTensor>(z_tensor, "z's descriptor");
    if (z_set.bytes() != p.y.bytes() || z_set.format != p.y.format || z == nullptr) {
      bad("z is not like y");
    }
    const DnnTensor b = set<DnnTensor>(bias_tensor, "the bias's descriptor");
    if (b.n != 1 || b.c != p.y.c || b.h != 1 || b.w != 1 || b.type != p.y.type) {
      bad("a bias that is not 1×k×1×1 of y's type");
    }
    const auto mode = set<DnnActivation>(activation, "the activation's descriptor").mode;
    if (mode != CUDNN_ACTIVATION_RELU && mode != CUDNN_ACTIVATION_IDENTITY) {
      unsupported("another activation than relu and identity");
    }
    if (mode == CUDNN_ACTIVATION_IDENTITY &&
        algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) {
      unsupported("identity with another algorithm than IMPLICIT_PRECOMP_GEMM");
    }
    // As above: something that must go another way.
    if (p.convolution.groups > 1) unsupported("bias and activation with groups");
    launch(handle, "cudnnConvolutionBiasActivationForward",
           {{x, p.x, "x"}, {w, p.w, "w"}, {bias, b, "the bias"}}, y, p.y, workspace,
           workspace_bytes, workspace_of(kForward, algorithm, p), [=] {
             std::vector<double> values = p.forward(x, w);
             for (size_t i = 0; i < values.size(); ++i) {
               values[i] += read_element(bias, b.element(), static_cast<int64_t>(i) % b.c);
               if (mode == CUDNN_ACTIVATION_RELU) values[i] = std::max(values[i], 0.0);
             }
             return values;
           });
  });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha,
                                           cudnnFilterDescriptor_t w_tensor, const void* w,
                                           cudnnTensorDescriptor_t dy_tensor, const void* dy,
                                           cudnnConvolutionDescriptor_t convolution,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace,
                                           size_t workspace_bytes, const void* beta,
                                           cudnnTensorDescriptor_t dx_tensor, void* dx) {
  return call("cudnnConvolutionBackwardData", [&] {
    require_factors(alpha, beta);
    const DnnProblem p = problem(dx_tensor, w_tensor, convolution, dy_tensor);
    launch(handle, "cudnnConvolutionBackwardData", {{w, p.w, "w"}, {dy, p.y, "dy"}}, dx, p.x,
           workspace, workspace_bytes, workspace_of(kBackwardData, algorithm, p),
           [=] { return p.backward_data(w, dy); });
  });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(
    cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x_tensor, const void* x,
    cudnnTensorDescriptor_t dy_tensor, const void* dy, cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, size_t workspace_bytes,
    const void* beta, cudnnFilterDescriptor_t dw_tensor, void* dw) {
  return call("cudnnConvolutionBackwardFilter", [&] {
    require_factors(alpha, beta);
    const DnnProblem p = problem(x_tensor, dw_tensor, convolution, dy_tensor);
    launch(handle, "cudnnConvolutionBackwardFilter", {{x, p.x, "x"}, {dy, p.y, "dy"}}, dw, p.w,
           workspace, workspace_bytes, workspace_of(kBackwardFilter, algorithm, p),
           [=] { return p.backward_filter(x, dy); });
  });
}

}  // extern "C"
#pragma GCC visibility pop
