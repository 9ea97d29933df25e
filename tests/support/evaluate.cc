#include "tests/support/evaluate.h"

#include <cmath>
#include <functional>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/device/cpu/register.h"
#include "core/device/kernel.h"
#include "core/device/reference/register.h"
#include "core/graph/verify.h"

namespace trireme::testing {
namespace {

using Values = std::unordered_map<Value, Tensor, ValueHash>;

void run_node(Node& node, Values& values, std::string_view device_kind,
              const KernelTable& kernels) {
  const OpTraits& traits = node.op().traits;
  const std::vector<int> mutated = mutated_inputs(node);
  if (node.op().name == "Constant") {
    values[node.output()] = node.attribute<Tensor>("value");
    return;
  }
  std::vector<TensorType> input_types;
  std::vector<void*> inputs, outputs;
  for (const Value& input : node.inputs()) {
    input_types.push_back(values.at(input).type());
    inputs.push_back(values.at(input).raw());
  }
  if (node.inputs().empty())
    throw not_found("nothing was fed to ", node.op().name, " '", node.name(), "'");
  const std::vector<TensorType> types =
      InferenceContext(node.op(), node.name(), input_types, node.attributes()).infer();
  if (traits.is_view) {
    values[node.output()] = values.at(node.input(0)).reshaped(types[0].shape);
    return;
  }
  const KernelFactory* factory = kernels.find(node.op().name, device_kind, kernel_dtype(node));
  if (factory == nullptr) {
    throw not_found("no ", device_kind, " kernel of ", node.op().name, " '", node.name(), "' for ",
                    name(kernel_dtype(node)));
  }
  for (int i = 0; i < static_cast<int>(types.size()); ++i) {
    const bool is_variable = i < static_cast<int>(mutated.size());
    const Tensor memory = is_variable ? values.at(node.input(mutated[static_cast<size_t>(i)]))
                                      : Tensor(types[static_cast<size_t>(i)].dtype,
                                               types[static_cast<size_t>(i)].shape);
    outputs.push_back(values.insert_or_assign(node.output(i), memory).first->second.raw());
  }
  const PreparedKernel kernel = (*factory)(spec_of(node, kernels, input_types, types));
  const auto scratch = allocate_host(std::max<size_t>(kernel.scratch_bytes, 1));
  kernel.run({inputs.data(), outputs.data(), scratch->data()});
}

}  // namespace

std::vector<Tensor> evaluate(const std::vector<Value>& fetches, const Feeds& feeds,
                             std::string_view device_kind, const KernelTable& kernels) {
  Values values(feeds.begin(), feeds.end());
  const std::vector<bool> needed = needed_nodes(fetches.at(0).graph(), fetches);
  for (size_t id = 0; id < needed.size(); ++id) {
    Node& node = *fetches[0].graph().nodes()[id];
    if (needed[id] && !values.contains(node.output())) run_node(node, values, device_kind, kernels);
  }
  std::vector<Tensor> results;
  for (const Value& fetch : fetches) results.push_back(values.at(fetch));
  return results;
}

const KernelTable& test_kernels() {
  static const KernelTable kernels = [] {
    KernelTable table;
    register_reference_kernels(table);
    register_cpu_kernels(table);
    return table;
  }();
  return kernels;
}

std::vector<Tensor> evaluate(const std::vector<Value>& fetches, const Feeds& feeds,
                             std::string_view device_kind) {
  return evaluate(fetches, feeds, device_kind, test_kernels());
}

Tensor random_tensor(DType dtype, const Shape& shape, double low, double high, uint64_t seed) {
  Tensor tensor(dtype, shape);
  PhiloxGenerator generator(seed);
  const auto fill = [&]<typename T>(T) {
    for (T& x : tensor.flat<T>()) {
      // 48 bits, so that f64 tensors use more than a float's digits.
      const uint32_t high_bits = generator.next(), low_bits = generator.next() >> 16;
      const double u = (high_bits + low_bits * 0x1p-16) * 0x1p-32;
      const double value = low + (high - low) * u;
      if constexpr (std::is_same_v<T, bool>)
        x = u < 0.5;
      else if constexpr (std::is_integral_v<T>)
        x = static_cast<T>(std::floor(value));
      else
        x = T(static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(value));
    }
  };
  switch (dtype) {
    case DType::kFloat16:
      fill(Half());
      break;
    case DType::kBFloat16:
      fill(BFloat16());
      break;
    case DType::kFloat32:
      fill(float());
      break;
    case DType::kFloat64:
      fill(double());
      break;
    case DType::kInt32:
      fill(int32_t());
      break;
    case DType::kInt64:
      fill(int64_t());
      break;
    case DType::kUInt8:
      fill(uint8_t());
      break;
    case DType::kBool:
      fill(bool());
      break;
    case DType::kString:
      throw invalid_argument("random_tensor: strings cannot be drawn");
  }
  return tensor;
}

std::string difference(const Tensor& actual, const Tensor& expected, double tolerance) {
  if (actual.type() != expected.type()) {
    return str_cat("type ", actual.type(), " instead of ", expected.type());
  }
  const double allowed = is_floating(expected.dtype()) ? tolerance : 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double a = actual.as_double(i), e = expected.as_double(i);
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    if (!(std::fabs(a - e) <= allowed * (1 + std::fabs(e)))) {
      std::ostringstream text;
      text.precision(17);
      text << "element " << i << " of " << expected.type() << " is " << a << " instead of " << e;
      return text.str();
    }
  }
  return "";
}

}  // namespace trireme::testing
