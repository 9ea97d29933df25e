// Kernels: how an op is computed on one kind of device for one dtype.
//
// A kernel is *prepared* once for the shapes of a plan, and then run many times without allocating.
// Preparing is where a oneDNN primitive is made. A prepared kernel is run by one thread at a time.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

class Device;
class Stream;

// What a kernel is prepared for. Shapes are known. Types may differ in the node itself, where a
// batch is -1.
struct KernelSpec {
  const Node& node;
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
  // Where it will run. Null where the host computes without a plan (constant folding): kinds "cpu"
  // and "reference" do not need it.
  Device* device = nullptr;

  template <typename T>
  const T& attribute(std::string_view name) const {
    return node.attribute<T>(name);
  }
  const Shape& input_shape(int i) const { return inputs.at(static_cast<size_t>(i)).shape; }
  const Shape& output_shape(int i = 0) const { return outputs.at(static_cast<size_t>(i)).shape; }
};

// Addresses for one run; valid only during it. An input that the op mutates may be written through.
// `outputs[0]` may equal one of the inputs that OpTraits::in_place_inputs names.
struct KernelArgs {
  void* const* inputs;
  void* const* outputs;
  void* scratch;  // PreparedKernel::scratch_bytes, aligned to kAlignment, undefined content
  int input_count = 0;
  int output_count = 0;
  // On which stream it was launched, filled in by a stream that only enqueues; null where run()
  // computes.
  Stream* stream = nullptr;

  template <typename T>
  const T* in(int i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <typename T>
  T* mutable_in(int i) const {
    return static_cast<T*>(inputs[i]);
  }
  template <typename T>
  T* out(int i = 0) const {
    return static_cast<T*>(outputs[i]);
  }
};

struct PreparedKernel {
  std::function<void(const KernelArgs&)> run;
  size_t scratch_bytes = 0;
  // Of a kernel that others wait for: called in its place, on a stream that has a thread, when
  // `cause` has ended the stream before. Null: nobody waits. Does not throw.
  std::function<void(const std::exception_ptr& cause)> abandon = nullptr;
  // Of a kernel that only enqueues what other ranks take part in: waits until `stream` has come to
  // the end of it; throws when it failed or took too long. A plan calls it before it issues what
  // changes a variable. Null: run() knows all.
  std::function<void(Stream& stream)> settle = nullptr;
  // Changes when run() would enqueue something else than before for the same addresses: a recording
  // is then void. Null: never.
  std::function<int64_t()> version = nullptr;
};

using KernelFactory = std::function<PreparedKernel(const KernelSpec&)>;

// Kernels by (op, device kind, dtype); which dtype counts is OpTraits::kernel_dtype_input. Filled
// by the explicit lists register_reference_kernels() and register_cpu_kernels(); read-only after
// that.
class KernelTable {
 public:
  // Throws Error{kInternal} when there is one already.
  void add(std::string op, std::string_view device_kind, DType dtype, KernelFactory factory);
  const KernelFactory* find(std::string_view op, std::string_view device_kind, DType dtype) const;
  std::vector<DType> dtypes(std::string_view op, std::string_view device_kind) const;
  // Makes every kernel of `from` available under the device kind `to` as well, where `to` has none
  // of its own.
  void inherit(std::string_view from, std::string_view to);

 private:
  using Key = std::tuple<std::string, std::string, DType>;
  std::map<Key, KernelFactory> kernels_;
};

// The dtype that chooses the kernel of `node`.
DType kernel_dtype(const Node& node);

// Registers one generic factory for several element types: add_for<float, double>(table, "Add",
// "cpu", []<typename T>(…)).
template <typename... Ts, typename Make>
void add_for(KernelTable& table, const std::string& op, std::string_view device_kind, Make make) {
  (table.add(op, device_kind, dtype_of<Ts>,
             [make](const KernelSpec& spec) { return make.template operator()<Ts>(spec); }),
   ...);
}

}  // namespace trireme
