// What the kernels over oneDNN share: one engine, and a way to run primitives over addresses known
// only at each run.
//
// Private to this folder. A OneDnnProgram is made while a kernel is prepared; what finish() returns
// owns all it needs and, as every prepared kernel, is run by one thread at a time. Its own stream
// makes it independent of other kernels.
#pragma once

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <vector>

#include "core/base/openmp_regions.h"
#include "core/device/kernel_spec.h"

namespace trireme::onednn {

const dnnl::engine& cpu_engine();

// Attributes for every primitive: its scratch memory comes from the plan's arena.
dnnl::primitive_attr attributes();
// The same, with an activation ("none", "relu", "sigmoid", "tanh") applied to the result.
dnnl::primitive_attr attributes_with_activation(std::string_view activation);

// f32 memory with the given strides, or dense in row-major order.
dnnl::memory::desc plain(const dnnl::memory::dims& dims);
dnnl::memory::desc strided(const dnnl::memory::dims& dims, const dnnl::memory::dims& strides);
dnnl::memory::desc any_format(const dnnl::memory::dims& dims);

// Primitives that run one after another. Describe all of them, then finish().
class OneDnnProgram {
 public:
  // Where the bytes of an argument are.
  struct Place {
    enum Kind { kInput, kOutput, kScratch } kind;
    size_t at;  // index of the input or output, or byte offset into the scratch memory
  };
  static Place input(size_t index) { return {Place::kInput, index}; }
  static Place output(size_t index) { return {Place::kOutput, index}; }
  Place scratch(const dnnl::memory::desc& desc);  // a new block

  struct Argument {
    int id;  // DNNL_ARG_…
    dnnl::memory::desc desc;
    Place place;
  };
  // The primitive's own scratchpad is added by itself.
  void add(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
           std::vector<Argument> arguments);
  // `place` holds `have`; returns where the same values are as `want`, adding a reorder when the
  // two differ.
  Place as(const dnnl::memory::desc& want, const dnnl::memory::desc& have, Place place);
  // Moves what the primitives left at `from` as `have` to `place` as `want`.
  void reorder(const dnnl::memory::desc& have, Place from, const dnnl::memory::desc& want,
               Place to);

  PreparedKernel finish() &&;

 private:
  struct Step;
  struct State;
  std::shared_ptr<State> state();
  std::shared_ptr<State> state_;
};

// Runs `prepare` and turns what oneDNN throws into an Error that names the node.
template <typename Prepare>
PreparedKernel prepare_with_onednn(const KernelSpec& spec, Prepare prepare);

[[noreturn]] void throw_onednn_error(const KernelSpec& spec, const dnnl::error& error);

template <typename Prepare>
PreparedKernel prepare_with_onednn(const KernelSpec& spec, Prepare prepare) {
  const OpenMpRegions on_pool;
  try {
    return prepare();
  } catch (const dnnl::error& error) {
    throw_onednn_error(spec, error);
  }
}

}  // namespace trireme::onednn
