// A stand-in for libcublasLt: products by plain loops, from the descriptors as the library
// documents them. It takes what Trireme may ask for and refuses, telling why, what the real one
// would refuse or leave undefined: unset or destroyed descriptors, sizes that do not fit, pointers
// less aligned than was promised to the heuristics, an algorithm of another product, too little
// workspace.
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fake_cuda/elements.h"
#include "tests/support/fake_cuda/enqueue.h"

namespace trireme::fake_cuda {
namespace {

struct Refusal {
  cublasStatus_t status;
  std::string why;
};
[[noreturn]] void refuse(cublasStatus_t status, std::string why) {
  throw Refusal{status, std::move(why)};
}

// What a handle of the library points to; `live` tells it from one that was destroyed.
constexpr uint64_t kLive = 0x7472697265'6d65;
struct Tagged {
  uint64_t live = kLive;
  ~Tagged() { live = 0; }
};
struct Handle : Tagged {};
struct Product : Tagged {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct Layout : Tagged {
  cudaDataType_t type = CUDA_R_32F;
  uint64_t rows = 0, columns = 0;
  int64_t leading = 0, stride = 0;
  int32_t batch = 1;

  int64_t elements() const {
    return (batch - 1) * stride + (static_cast<int64_t>(columns) - 1) * leading +
           static_cast<int64_t>(rows);
  }
};
struct Preference : Tagged {
  uint64_t workspace = 0;
  uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::map<int, uint32_t> alignment = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 256},
                                       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 256},
                                       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 256},
                                       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 256}};
};
// The content of a cublasLtMatmulAlgo_t.
struct Algorithm {
  uint64_t live, problem, workspace;
  uint32_t alignment[4];  // of a, b, c, d
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

template <typename T, typename Opaque>
T& of(Opaque* opaque, const char* what) {
  T* const object = reinterpret_cast<T*>(opaque);
  if (object == nullptr || object->live != kLive) {
    refuse(CUBLAS_STATUS_INVALID_VALUE, std::string(what) + " was not created, or was destroyed");
  }
  return *object;
}

// Turns a refusal into a status and tells of it, unless it only says that something is not
// supported.
template <typename Body>
cublasStatus_t call(const char* function, Body body) {
  try {
    body();
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    if (refusal.status != CUBLAS_STATUS_NOT_SUPPORTED) {
      complain(std::string(function) + ": " + refusal.why);
    }
    return refusal.status;
  }
}

template <typename T, typename Opaque, typename... Args>
cublasStatus_t create(const char* function, Opaque** made, Args... args) {
  return call(function, [&] {
    if (made == nullptr) refuse(CUBLAS_STATUS_INVALID_VALUE, "nowhere to put it");
    *made = reinterpret_cast<Opaque*>(new T{{}, args...});
  });
}
template <typename T, typename Opaque>
cublasStatus_t destroy(const char* function, Opaque* object) {
  return call(function, [&] { delete &of<T>(object, "what is destroyed"); });
}

template <typename T>
void take(T& to, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) {
    refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of " + std::to_string(sizeof(T)) +
                                            " bytes was set to one of " + std::to_string(bytes));
  }
  std::memcpy(&to, value, bytes);
}

std::optional<Element> element(cudaDataType_t type) {
  switch (type) {
    case CUDA_R_16F:
      return Element::kF16;
    case CUDA_R_16BF:
      return Element::kBf16;
    case CUDA_R_32F:
      return Element::kF32;
    case CUDA_R_64F:
      return Element::kF64;
    default:
      return std::nullopt;
  }
}
Element element_of(const Layout& layout) { return *element(layout.type); }

bool has_bias(const Product& product) {
  return product.epilogue == CUBLASLT_EPILOGUE_BIAS ||
         product.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

struct Sizes {
  int64_t m, n, k;
};

// What both the heuristics and the product require of the descriptors.
Sizes require_fit(const Product& p, const Layout& a, const Layout& b, const Layout& c,
                  const Layout& d) {
  const auto unsupported = [](const char* why) { refuse(CUBLAS_STATUS_NOT_SUPPORTED, why); };
  const bool is_double = p.compute == CUBLAS_COMPUTE_64F;
  if (p.scale != (is_double ? CUDA_R_64F : CUDA_R_32F)) unsupported("a scale of another type");
  if (!is_double && p.compute != CUBLAS_COMPUTE_32F) unsupported("this type of sums");
  if (a.type != b.type || c.type != d.type) unsupported("mixed types");
  if (!element(a.type) || !element(d.type)) unsupported("this type of elements");
  if (is_double ? a.type != CUDA_R_64F || d.type != CUDA_R_64F
                : a.type == CUDA_R_64F || (d.type != a.type && d.type != CUDA_R_32F)) {
    unsupported("these types together");
  }
  if (p.epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
      (is_double || (!has_bias(p) && p.epilogue != CUBLASLT_EPILOGUE_RELU))) {
    unsupported("this epilogue");
  }
  if (p.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE && p.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    unsupported("an epilogue with factors on the device");
  }
  const auto rows = [](const Layout& l, bool t) {
    return static_cast<int64_t>(t ? l.columns : l.rows);
  };
  const bool ta = p.transpose_a == CUBLAS_OP_T, tb = p.transpose_b == CUBLAS_OP_T;
  const Sizes sizes = {rows(a, ta), rows(b, !tb), rows(a, !ta)};
  const auto text = [](const Layout& l) {
    return std::to_string(l.rows) + "×" + std::to_string(l.columns);
  };
  for (const Layout* l : {&a, &b, &c, &d}) {
    if (l->rows == 0 || l->columns == 0 || l->leading < static_cast<int64_t>(l->rows)) {
      refuse(CUBLAS_STATUS_INVALID_VALUE,
             "a layout " + text(*l) + " with leading dimension " + std::to_string(l->leading));
    }
    if (l->batch != d.batch) refuse(CUBLAS_STATUS_INVALID_VALUE, "batches of different sizes");
  }
  if (rows(b, tb) != sizes.k || rows(c, false) != sizes.m || rows(c, true) != sizes.n ||
      rows(d, false) != sizes.m || rows(d, true) != sizes.n) {
    refuse(CUBLAS_STATUS_INVALID_VALUE, "matrices " + text(a) + (ta ? "ᵀ" : "") + ", " + text(b) +
                                            (tb ? "ᵀ" : "") + " and " + text(d) + " do not fit");
  }
  if (d.batch > 1 && d.stride < (static_cast<int64_t>(d.columns) - 1) * d.leading + sizes.m) {
    refuse(CUBLAS_STATUS_INVALID_VALUE, "results of a batch that overlap");
  }
  return sizes;
}

uint64_t mix(uint64_t hash, uint64_t value) {
  return (std::rotl(hash, 23) ^ value) * 0x9e3779b97f4a7c15;
}
uint64_t problem_of(const Product& p, const Layout& a, const Layout& b, const Layout& c,
                    const Layout& d) {
  uint64_t hash = kLive;
  for (const auto value :
       {static_cast<uint64_t>(p.compute), uint64_t{p.epilogue},
        static_cast<uint64_t>(p.transpose_a), static_cast<uint64_t>(p.transpose_b),
        static_cast<uint64_t>(p.pointer_mode)}) {
    hash = mix(hash, value);
  }
  for (const Layout* l : {&a, &b, &c, &d}) {
    for (const uint64_t value :
         {static_cast<uint64_t>(l->type), l->rows, l->columns, static_cast<uint64_t>(l->leading),
          static_cast<uint64_t>(l->stride), static_cast<uint64_t>(l->batch)}) {
      hash = mix(hash, value);
    }
  }
  return hash;
}

// op(matrix) of one of a batch, as rows of numbers.
std::vector<double> unpack(const void* from, const Layout& layout, bool transposed, int batch) {
  const auto rows = static_cast<int64_t>(layout.rows),
             columns = static_cast<int64_t>(layout.columns);
  std::vector<double> values(static_cast<size_t>(rows * columns));
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t row = 0; row < rows; ++row) {
      values[static_cast<size_t>(transposed ? column * rows + row : row * columns + column)] =
          read_element(from, element_of(layout),
                       batch * layout.stride + column * layout.leading + row);
    }
  }
  return values;
}

struct Job {
  Product product;
  Layout a, b, c, d;
  Sizes sizes;
  const void *pa, *pb, *pc;
  void *pd, *workspace;
  size_t workspace_bytes;
  double alpha, beta;                      // of host pointers
  const void *device_alpha, *device_beta;  // null: those

  void run() const {
    // Real products use it: what it overlaps is lost.
    if (workspace != nullptr) std::memset(workspace, 0xcd, workspace_bytes);
    const Element scale = *element(product.scale);
    const double by = device_alpha == nullptr ? alpha : read_element(device_alpha, scale, 0);
    const double plus = device_beta == nullptr ? beta : read_element(device_beta, scale, 0);
    const auto [m, n, k] = sizes;
    for (int i = 0; i < d.batch; ++i) {
      const std::vector<double> left = unpack(pa, a, product.transpose_a == CUBLAS_OP_T, i);
      const std::vector<double> right = unpack(pb, b, product.transpose_b == CUBLAS_OP_N, i);
      for (int64_t column = 0; column < n; ++column) {
        for (int64_t row = 0; row < m; ++row) {
          const double* const x = &left[static_cast<size_t>(row * k)];
          const double* const y = &right[static_cast<size_t>(column * k)];
          double sum = 0;
          for (int64_t q = 0; q < k; ++q) sum += x[q] * y[q];
          sum *= by;
          if (plus != 0) {
            sum += plus * read_element(pc, element_of(c), i * c.stride + column * c.leading + row);
          }
          if (has_bias(product)) sum += read_element(product.bias, element_of(d), row);
          const bool relu = product.epilogue == CUBLASLT_EPILOGUE_RELU ||
                            product.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
          if (relu) sum = std::max(sum, 0.0);
          write_element(pd, element_of(d), i * d.stride + column * d.leading + row, sum);
        }
      }
    }
  }
};

// Enough that it matters where it is, and another for each product.
uint64_t workspace_for(const Sizes& sizes) {
  return 256 + static_cast<uint64_t>(sizes.m + sizes.n) * 4;
}

}  // namespace
}  // namespace trireme::fake_cuda

using namespace trireme::fake_cuda;

#pragma GCC visibility push(default)
extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return create<Handle>("cublasLtCreate", handle);
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return destroy<Handle>("cublasLtDestroy", handle);
}
size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    default:
      return "another status of the stand-in for cuBLASLt";
  }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return create<Product>("cublasLtMatmulDescCreate", made, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  return destroy<Product>("cublasLtMatmulDescDestroy", product);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  return call("cublasLtMatmulDescSetAttribute", [&] {
    auto& p = of<Product>(product, "the product's descriptor");
    switch (attribute) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(p.transpose_a, value, bytes);
      case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(p.transpose_b, value, bytes);
      case CUBLASLT_MATMUL_DESC_POINTER_MODE:
        return take(p.pointer_mode, value, bytes);
      case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(p.epilogue, value, bytes);
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(p.bias, value, bytes);
      default:
        refuse(CUBLAS_STATUS_INVALID_VALUE,
               "the stand-in has no attribute " + std::to_string(attribute));
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  return create<Layout>("cublasLtMatrixLayoutCreate", made, type, rows, columns, leading);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy<Layout>("cublasLtMatrixLayoutDestroy", layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t bytes) {
  return call("cublasLtMatrixLayoutSetAttribute", [&] {
    auto& l = of<Layout>(layout, "the layout");
    switch (attribute) {
      case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return take(l.batch, value, bytes);
      case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return take(l.stride, value, bytes);
      default:
        refuse(CUBLAS_STATUS_INVALID_VALUE,
               "the stand-in has no attribute " + std::to_string(attribute));
    }
  });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  return create<Preference>("cublasLtMatmulPreferenceCreate", made);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy<Preference>("cublasLtMatmulPreferenceDestroy", preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  return call("cublasLtMatmulPreferenceSetAttribute", [&] {
    auto& p = of<Preference>(preference, "the preference");
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
      return take(p.workspace, value, bytes);
    }
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
      return take(p.reduction, value, bytes);
    }
    const auto found = p.alignment.find(attribute);
    if (found == p.alignment.end()) {
      refuse(CUBLAS_STATUS_INVALID_VALUE,
             "the stand-in has no attribute " + std::to_string(attribute));
    }
    take(found->second, value, bytes);
    if (!std::has_single_bit(found->second)) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "an alignment that is no power of 2");
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* found, int* count) {
  return call("cublasLtMatmulAlgoGetHeuristic", [&] {
    if (wanted < 1 || found == nullptr || count == nullptr) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "nowhere to put an algorithm");
    }
    *count = 0;
    of<Handle>(handle, "the handle");
    const auto& p = of<Product>(product, "the product's descriptor");
    const auto &la = of<Layout>(a, "a's layout"), &lb = of<Layout>(b, "b's layout");
    const auto &lc = of<Layout>(c, "c's layout"), &ld = of<Layout>(d, "d's layout");
    const auto& prefer = of<Preference>(preference, "the preference");
    const Sizes sizes = require_fit(p, la, lb, lc, ld);
    if (has_bias(p) && p.bias == nullptr) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "no pointer to a bias, whose alignment matters");
    }
    Algorithm algorithm = {kLive, problem_of(p, la, lb, lc, ld), workspace_for(sizes), {}};
    if (algorithm.workspace > prefer.workspace) {
      refuse(CUBLAS_STATUS_NOT_SUPPORTED, "too small a workspace is allowed");
    }
    int i = 0;
    for (const auto& [attribute, bytes] : prefer.alignment) algorithm.alignment[i++] = bytes;
    *found = {};
    std::memcpy(&found->algo, &algorithm, sizeof algorithm);
    found->workspaceSize = algorithm.workspace;
    found->state = CUBLAS_STATUS_SUCCESS;
    found->wavesCount = 1;
    *count = 1;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  return call("cublasLtMatmul", [&] {
    of<Handle>(handle, "the handle");
    Job job = {};
    job.product = of<Product>(product, "the product's descriptor");
    job.a = of<Layout>(a_layout, "a's layout");
    job.b = of<Layout>(b_layout, "b's layout");
    job.c = of<Layout>(c_layout, "c's layout");
    job.d = of<Layout>(d_layout, "d's layout");
    job.sizes = require_fit(job.product, job.a, job.b, job.c, job.d);
    job.pa = a, job.pb = b, job.pc = c, job.pd = d, job.workspace = workspace;
    job.workspace_bytes = workspace_bytes;
    if (alpha == nullptr || beta == nullptr || algo == nullptr) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "alpha, beta and an algorithm are needed");
    }
    Algorithm algorithm;
    std::memcpy(&algorithm, algo, sizeof algorithm);
    if (algorithm.live != kLive ||
        algorithm.problem != problem_of(job.product, job.a, job.b, job.c, job.d)) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm is of another product");
    }
    if (workspace_bytes < algorithm.workspace || workspace == nullptr) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm needs a larger workspace");
    }
    if (reinterpret_cast<uintptr_t>(workspace) % 16 != 0) {
      refuse(CUBLAS_STATUS_INVALID_VALUE, "the workspace is not aligned to 16 bytes");
    }
    const void* const pointers[] = {a, b, c, d};
    for (int i = 0; i < 4; ++i) {
      if (pointers[i] == nullptr ||
          reinterpret_cast<uintptr_t>(pointers[i]) % algorithm.alignment[i] != 0) {
        refuse(CUBLAS_STATUS_INVALID_VALUE, std::string("matrix ") + "abcd"[i] +
                                                " is less aligned than was promised, to " +
                                                std::to_string(algorithm.alignment[i]) + " bytes");
      }
    }
    const Element scale = *element(job.product.scale);
    std::vector<MemoryRange> ranges;
    const auto add = [&](const void* address, const Layout& l, const char* what) {
      ranges.push_back({address, static_cast<size_t>(l.elements()) * size_of(element_of(l)), what});
    };
    add(a, job.a, "a"), add(b, job.b, "b"), add(c, job.c, "c"), add(d, job.d, "d");
    ranges.push_back({workspace, workspace_bytes, "the workspace"});
    if (has_bias(job.product)) {
      const size_t bytes = static_cast<size_t>(job.sizes.m) * size_of(element_of(job.d));
      ranges.push_back({job.product.bias, bytes, "the bias"});
    }
    if (job.product.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE) {
      job.device_alpha = alpha, job.device_beta = beta;
      ranges.push_back({alpha, size_of(scale), "alpha"});
      ranges.push_back({beta, size_of(scale), "beta"});
    } else {
      job.alpha = read_element(alpha, scale, 0);
      job.beta = read_element(beta, scale, 0);
    }
    if (enqueue(stream, "cublasLtMatmul", std::move(ranges), [job] { job.run(); }) !=
        CUDA_SUCCESS) {
      refuse(CUBLAS_STATUS_EXECUTION_FAILED, "the driver refused it");
    }
  });
}

}  // extern "C"
#pragma GCC visibility pop
