// What the file of a kernel needs: what a kernel is prepared for, what it becomes, and how it is
// made known to a table. The table itself, which few read, stands in core/device/kernel.h.
//
// A kernel is *prepared* once for the shapes of a plan, and then run many times without allocating.
// Preparing is where a oneDNN primitive is made. A prepared kernel is run by one thread at a time.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/attributes.h"
#include "core/tensor/tensor.h"

namespace trireme {

class Device;
class KernelTable;
class OpTable;
class Stream;
struct OpDef;

// What a kernel is prepared for: an op, its attributes, and types whose shapes are known. The
// references are valid while the kernel is prepared, not after.
struct KernelSpec {
  const OpDef& op;
  const Attributes& attributes;
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
  // Where `op` and its kernel stand; a kernel that is made of others finds them there.
  const OpTable& ops;
  const KernelTable& kernels;
  // Of the node, for messages.
  std::string_view node_name;
  // Where it will run. Null where the host computes without a plan (constant folding): kinds "cpu"
  // and "reference" do not need it.
  Device* device = nullptr;

  template <typename T>
  const T& attribute(std::string_view name) const {
    return attributes.get<T>(name);
  }
  const Shape& input_shape(int i) const { return inputs.at(static_cast<size_t>(i)).shape; }
  const Shape& output_shape(int i = 0) const { return outputs.at(static_cast<size_t>(i)).shape; }
  // "MatMul 'dense/matmul'", the beginning of a message.
  std::string where() const;
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

// As KernelTable::add().
void add_kernel(KernelTable& table, std::string op, std::string_view device_kind, DType dtype,
                KernelFactory factory);

// Registers one generic factory for several element types: add_for<float, double>(table, "Add",
// "cpu", []<typename T>(…)).
template <typename... Ts, typename Make>
void add_for(KernelTable& table, const std::string& op, std::string_view device_kind, Make make) {
  (add_kernel(table, op, device_kind, dtype_of<Ts>,
              [make](const KernelSpec& spec) { return make.template operator()<Ts>(spec); }),
   ...);
}

}  // namespace trireme
