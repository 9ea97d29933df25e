// Convolutions: f32 with few channels by our own kernels (small_convolution.h), other f32 by
// oneDNN, f64 by plain loops; bf16 by our own where the processor multiplies it, else as f32.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/device/cpu/bf16_convolution.h"
#include "core/device/cpu/onednn.h"
#include "core/device/cpu/pieces.h"
#include "core/device/cpu/register.h"
#include "core/device/cpu/small_convolution.h"
#include "core/device/small_floats.h"
#include "core/ops/window.h"
#include "core/tensor/buffer.h"

namespace trireme {
namespace {

using dnnl::memory;
using onednn::OneDnnProgram;

// The sizes of a convolution as oneDNN wants them, and its three tensors as they lie in ours (NHWC,
// HWIO).
struct Sizes {
  memory::dims strides, dilations, before, after;
  memory::dims input, filter, output;
  memory::desc input_plain, filter_plain, output_plain;

  explicit Sizes(const Conv2dGeometry& g)
      : strides{g.h.stride, g.w.stride},
        dilations{g.h.dilation - 1, g.w.dilation - 1},
        before{g.h.before, g.w.before},
        after{g.h.after, g.w.after},
        input{g.batch, g.in_channels, g.h.input, g.w.input},
        output{g.batch, g.out_channels, g.h.output, g.w.output} {
    const int64_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
    const int64_t row = in * g.out_channels;
    memory::dims filter_strides = {1, g.out_channels, g.w.window * row, row};
    filter = {out, in, g.h.window, g.w.window};
    if (g.groups > 1) {
      filter.insert(filter.begin(), g.groups);
      filter_strides.insert(filter_strides.begin(), out);
    }
    filter_plain = onednn::strided(filter, filter_strides);
    const auto image = [](const memory::dims& d) {
      return onednn::strided(d, {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]});
    };
    input_plain = image(input);
    output_plain = image(output);
  }

  dnnl::convolution_forward::primitive_desc forward(bool bias, std::string_view activation) const {
    using Forward = dnnl::convolution_forward;
    const auto kind = dnnl::prop_kind::forward_training;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const auto weights = onednn::any_format(filter);
    const auto desc =
        bias ? Forward::desc(kind, algorithm, input_plain, weights, onednn::plain({output[1]}),
                             output_plain, strides, dilations, before, after)
             : Forward::desc(kind, algorithm, input_plain, weights, output_plain, strides,
                             dilations, before, after);
    return {desc, onednn::attributes_with_activation(activation), onednn::cpu_engine()};
  }
};

int64_t bytes_of(const memory::dims& sizes) {
  int64_t count = sizeof(float);
  for (const int64_t size : sizes) count *= size;
  return count;
}

// `g` for one of the pieces that the batch is cut into.
Conv2dGeometry piece_of(Conv2dGeometry g, int64_t pieces) {
  g.batch /= pieces;
  return g;
}

int64_t pieces_of_batch(const Conv2dGeometry& g) {
  const int64_t products = g.h.window * g.w.window * g.in_channels / g.groups;
  return pieces::count_for(g.batch,
                           2 * products * g.out_channels * g.batch * g.h.output * g.w.output);
}

// What the library is asked for: a piece gets one thread.
int threads_for(int64_t pieces) { return pieces > 1 ? 1 : 0; }

// `kernel`, of `count` inputs, which wants its input `index`, the filter, as `want`.
PreparedKernel with_filter(const memory::desc& want, const memory::desc& have, size_t index,
                           size_t count, PreparedKernel kernel) {
  if (want == have) return kernel;
  OneDnnProgram program;
  program.reorder(have, OneDnnProgram::input(0), want, OneDnnProgram::output(0));
  const PreparedKernel pack = std::move(program).finish();
  const size_t filter_bytes = align_up(want.get_size());
  auto run = [=, pack = pack.run, kernel = kernel.run](const KernelArgs& args) {
    char* const filter = static_cast<char*>(args.scratch);
    void* const packed = filter;
    pack({&args.inputs[index], &packed, filter + filter_bytes});
    std::array<void*, 3> inputs{};
    std::copy_n(args.inputs, count, inputs.begin());
    inputs[index] = packed;
    kernel({inputs.data(), args.outputs, filter + filter_bytes});
  };
  return {run, filter_bytes + std::max(pack.scratch_bytes, kernel.scratch_bytes)};
}

PreparedKernel onednn_forward(const Conv2dGeometry& g, bool bias, const std::string& activation) {
  const int64_t count = pieces_of_batch(g);
  const Sizes sizes(piece_of(g, count));
  std::vector<pieces::Piece> all;
  memory::desc weights;
  {
    const OpenMpRegions threads(threads_for(count));
    const auto description = sizes.forward(bias, activation);
    weights = description.weights_desc();
    for (int64_t i = 0; i < count; ++i) {
      std::vector<OneDnnProgram::Argument> arguments = {
          {DNNL_ARG_SRC, sizes.input_plain, OneDnnProgram::input(0)},
          {DNNL_ARG_WEIGHTS, weights, OneDnnProgram::input(1)},
          {DNNL_ARG_DST, sizes.output_plain, OneDnnProgram::output(0)},
      };
      if (bias) {
        arguments.push_back(
            {DNNL_ARG_BIAS, onednn::plain({sizes.output[1]}), OneDnnProgram::input(2)});
      }
      OneDnnProgram program;
      program.add(dnnl::convolution_forward(description), description.scratchpad_desc(),
                  std::move(arguments));
      std::vector<size_t> offsets = {static_cast<size_t>(i * bytes_of(sizes.input)), 0};
      if (bias) offsets.push_back(0);
      all.push_back({std::move(program).finish(), std::move(offsets),
                     static_cast<size_t>(i * bytes_of(sizes.output))});
    }
  }
  return with_filter(weights, sizes.filter_plain, 1, bias ? 3 : 2, pieces::run_all(std::move(all)));
}

PreparedKernel onednn_backward_input(const Conv2dGeometry& g) {
  const int64_t count = pieces_of_batch(g);
  const Sizes sizes(piece_of(g, count));
  std::vector<pieces::Piece> all;
  memory::desc weights;
  {
    const OpenMpRegions threads(threads_for(count));
    const dnnl::convolution_backward_data::primitive_desc description(
        {dnnl::algorithm::convolution_direct, sizes.input_plain, onednn::any_format(sizes.filter),
         sizes.output_plain, sizes.strides, sizes.dilations, sizes.before, sizes.after},
        onednn::attributes(), onednn::cpu_engine(), sizes.forward(false, "none"));
    weights = description.weights_desc();
    for (int64_t i = 0; i < count; ++i) {
      OneDnnProgram program;
      program.add(dnnl::convolution_backward_data(description), description.scratchpad_desc(),
                  {{DNNL_ARG_DIFF_DST, sizes.output_plain, OneDnnProgram::input(1)},
                   {DNNL_ARG_WEIGHTS, weights, OneDnnProgram::input(0)},
                   {DNNL_ARG_DIFF_SRC, sizes.input_plain, OneDnnProgram::output(0)}});
      all.push_back({std::move(program).finish(),
                     {0, static_cast<size_t>(i * bytes_of(sizes.output))},
                     static_cast<size_t>(i * bytes_of(sizes.input))});
    }
  }
  return with_filter(weights, sizes.filter_plain, 0, 2, pieces::run_all(std::move(all)));
}

// Each piece of the batch gives a sum of its own, and they are added in their order; so large
// filters, for which that would take long, are left to the library as a whole.
PreparedKernel onednn_backward_filter(const Conv2dGeometry& g) {
  constexpr int64_t kMaxPieceBytes = 512 << 10;
  const int64_t wanted = pieces_of_batch(g);
  const int64_t count = bytes_of(Sizes(g).filter) > kMaxPieceBytes ? 1 : wanted;
  const Sizes sizes(piece_of(g, count));
  std::vector<pieces::Piece> all;
  memory::desc weights;
  size_t sum_bytes = 0;
  {
    const OpenMpRegions threads(threads_for(count));
    const dnnl::convolution_backward_weights::primitive_desc description(
        {dnnl::algorithm::convolution_direct, sizes.input_plain, onednn::any_format(sizes.filter),
         sizes.output_plain, sizes.strides, sizes.dilations, sizes.before, sizes.after},
        onednn::attributes(), onednn::cpu_engine(), sizes.forward(false, "none"));
    weights = description.diff_weights_desc();
    sum_bytes = align_up(weights.get_size());
    for (int64_t i = 0; i < count; ++i) {
      OneDnnProgram program;
      program.add(dnnl::convolution_backward_weights(description), description.scratchpad_desc(),
                  {{DNNL_ARG_SRC, sizes.input_plain, OneDnnProgram::input(0)},
                   {DNNL_ARG_DIFF_DST, sizes.output_plain, OneDnnProgram::input(1)},
                   {DNNL_ARG_DIFF_WEIGHTS, weights, OneDnnProgram::output(0)}});
      all.push_back({std::move(program).finish(),
                     {static_cast<size_t>(i * bytes_of(sizes.input)),
                      static_cast<size_t>(i * bytes_of(sizes.output))},
                     static_cast<size_t>(i) * sum_bytes});
    }
  }
  const PreparedKernel sums = pieces::run_all(std::move(all));
  OneDnnProgram program;
  program.reorder(weights, OneDnnProgram::input(0), sizes.filter_plain, OneDnnProgram::output(0));
  const PreparedKernel unpack = std::move(program).finish();
  const auto numbers = static_cast<int64_t>(weights.get_size() / sizeof(float));
  const size_t sums_bytes = sum_bytes * static_cast<size_t>(count);
  auto run = [=, sums = sums.run, unpack = unpack.run](const KernelArgs& args) {
    char* const memory = static_cast<char*>(args.scratch);
    void* const first = memory;
    sums({args.inputs, &first, memory + sums_bytes});
    parallel_for(count > 1 ? numbers : 0, 8192, [&](int64_t begin, int64_t end) {
      float* const total = reinterpret_cast<float*>(memory);
      for (int64_t i = 1; i < count; ++i) {
        const auto* const part =
            reinterpret_cast<const float*>(memory + static_cast<size_t>(i) * sum_bytes);
        for (int64_t j = begin; j < end; ++j) total[j] += part[j];
      }
    });
    unpack({&first, args.outputs, memory + sums_bytes});
  };
  return {run, sums_bytes + std::max(sums.scratch_bytes, unpack.scratch_bytes)};
}

// --- plain loops, for f64

// Calls visit(image pixel, output pixel) for each pair that filter tap (fy, fx) connects in example
// n.
template <typename Visit>
void for_each_pair(const Conv2dGeometry& g, int64_t n, int64_t fy, int64_t fx, Visit visit) {
  for (int64_t oy = 0; oy < g.h.output; ++oy) {
    const int64_t y = g.h.start(oy) + fy * g.h.dilation;
    if (y < 0 || y >= g.h.input) continue;
    for (int64_t ox = 0; ox < g.w.output; ++ox) {
      const int64_t x = g.w.start(ox) + fx * g.w.dilation;
      if (x < 0 || x >= g.w.input) continue;
      visit((n * g.h.input + y) * g.w.input + x, (n * g.h.output + oy) * g.w.output + ox);
    }
  }
}

// Calls visit(tap, fy, fx) for each tap of the filter.
template <typename Visit>
void for_each_tap(const Conv2dGeometry& g, Visit visit) {
  for (int64_t tap = 0; tap < g.h.window * g.w.window; ++tap) {
    visit(tap, tap / g.w.window, tap % g.w.window);
  }
}

template <typename T>
PreparedKernel plain_forward(const Conv2dGeometry& g, bool bias, const std::string& activation) {
  const int64_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  const int64_t pixels = g.h.output * g.w.output;
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, 1, [&](int64_t begin, int64_t end) {
      T* const y = args.out<T>();
      for (int64_t i = begin * pixels * g.out_channels; i < end * pixels * g.out_channels; ++i) {
        y[i] = bias ? args.in<T>(2)[i % g.out_channels] : T{0};
      }
      for (int64_t n = begin; n < end; ++n) {
        for_each_tap(g, [&](int64_t tap, int64_t fy, int64_t fx) {
          const T* const filter = args.in<T>(1) + tap * in * g.out_channels;
          for_each_pair(g, n, fy, fx, [&](int64_t from, int64_t to) {
            for (int64_t i = 0; i < g.in_channels; ++i) {
              const T x = args.in<T>(0)[from * g.in_channels + i];
              const int64_t first = i / in * out;
              const T* const w = filter + i % in * g.out_channels + first;
              T* const target = y + to * g.out_channels + first;
              for (int64_t o = 0; o < out; ++o) target[o] += x * w[o];
            }
          });
        });
      }
      if (activation == "none") return;
      for (int64_t i = begin * pixels * g.out_channels; i < end * pixels * g.out_channels; ++i) {
        y[i] = activation == "relu"      ? std::max(y[i], T{0})
               : activation == "sigmoid" ? 1 / (1 + std::exp(-y[i]))
                                         : std::tanh(y[i]);
      }
    });
  }};
}

template <typename T>
PreparedKernel plain_backward_input(const Conv2dGeometry& g) {
  const int64_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  const int64_t image = g.h.input * g.w.input * g.in_channels;
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, 1, [&](int64_t begin, int64_t end) {
      T* const dx = args.out<T>();
      std::fill(dx + begin * image, dx + end * image, T{0});
      for (int64_t n = begin; n < end; ++n) {
        for_each_tap(g, [&](int64_t tap, int64_t fy, int64_t fx) {
          const T* const filter = args.in<T>(0) + tap * in * g.out_channels;
          for_each_pair(g, n, fy, fx, [&](int64_t to, int64_t from) {
            for (int64_t i = 0; i < g.in_channels; ++i) {
              const int64_t first = i / in * out;
              const T* const w = filter + i % in * g.out_channels + first;
              const T* const dy = args.in<T>(1) + from * g.out_channels + first;
              T sum = 0;
              for (int64_t o = 0; o < out; ++o) sum += dy[o] * w[o];
              dx[to * g.in_channels + i] += sum;
            }
          });
        });
      }
    });
  }};
}

template <typename T>
PreparedKernel plain_backward_filter(const Conv2dGeometry& g) {
  const int64_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  return {[=](const KernelArgs& args) {
    parallel_for(g.h.window * g.w.window, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tap = begin; tap < end; ++tap) {
        T* const dw = args.out<T>() + tap * in * g.out_channels;
        std::fill_n(dw, in * g.out_channels, T{0});
        for (int64_t n = 0; n < g.batch; ++n) {
          for_each_pair(g, n, tap / g.w.window, tap % g.w.window,
                        [&](int64_t image, int64_t output) {
                          for (int64_t i = 0; i < g.in_channels; ++i) {
                            const T x = args.in<T>(0)[image * g.in_channels + i];
                            const int64_t first = i / in * out;
                            const T* const dy = args.in<T>(1) + output * g.out_channels + first;
                            T* const target = dw + i % in * g.out_channels + first;
                            for (int64_t o = 0; o < out; ++o) target[o] += x * dy[o];
                          }
                        });
        }
      }
    });
  }};
}

// --- the choice between them

PreparedKernel forward(const KernelSpec& spec, bool fused) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.attributes);
  const std::string activation = fused ? spec.attribute<std::string>("activation") : "none";
  if (spec.inputs[0].dtype == DType::kFloat64 || g.batch == 0) {
    return plain_forward<double>(g, fused, activation);
  }
  if (small_convolution::suits_forward(g, activation)) {
    return small_convolution::forward(g, fused, activation == "relu");
  }
  return onednn::prepare_with_onednn(spec, [&] { return onednn_forward(g, fused, activation); });
}

PreparedKernel backward_input(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.output_shape(), spec.input_shape(0), spec.attributes);
  if (spec.inputs[0].dtype == DType::kFloat64 || g.batch == 0) {
    return plain_backward_input<double>(g);
  }
  if (small_convolution::suits_backward_input(g)) return small_convolution::backward_input(g);
  return onednn::prepare_with_onednn(spec, [&] { return onednn_backward_input(g); });
}

PreparedKernel backward_filter(const KernelSpec& spec) {
  const auto g =
      conv2d_geometry(spec.input_shape(0), spec.attribute<Shape>("filter_shape"), spec.attributes);
  if (spec.inputs[0].dtype == DType::kFloat64) return plain_backward_filter<double>(g);
  if (g.batch == 0) return plain_backward_filter<float>(g);
  if (small_convolution::suits_backward_filter(g)) return small_convolution::backward_filter(g);
  return onednn::prepare_with_onednn(spec, [&] { return onednn_backward_filter(g); });
}

// --- bf16

PreparedKernel forward_bf16(const KernelSpec& spec, bool fused) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.attributes);
  const std::string activation = fused ? spec.attribute<std::string>("activation") : "none";
  if (g.batch > 0 && bf16_convolution::suits_forward(g, activation)) {
    return bf16_convolution::forward(g, fused, activation == "relu");
  }
  return through_f32(spec, [fused](const KernelSpec& wide) { return forward(wide, fused); });
}

PreparedKernel backward_input_bf16(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.output_shape(), spec.input_shape(0), spec.attributes);
  // Channels in fill the lanes of the kernel for bf16, all of a filter row's those of the one for
  // f32.
  const bool few_channels = g.in_channels <= 8 && small_convolution::suits_backward_input(g);
  if (g.batch > 0 && !few_channels && bf16_convolution::suits_backward_input(g)) {
    return bf16_convolution::backward_input(g);
  }
  return through_f32(spec, backward_input);
}

PreparedKernel backward_filter_bf16(const KernelSpec& spec) {
  const auto g =
      conv2d_geometry(spec.input_shape(0), spec.attribute<Shape>("filter_shape"), spec.attributes);
  if (g.batch > 0 && bf16_convolution::suits_backward_filter(g)) {
    return bf16_convolution::backward_filter(g, spec.outputs[0].dtype == DType::kFloat32);
  }
  return through_f32(spec, backward_filter);
}

}  // namespace

void register_cpu_convolution(KernelTable& table) {
  constexpr DType kBFloat16 = DType::kBFloat16;
  add_kernel(table, "Conv2d", kCpuKind, kBFloat16,
             [](const KernelSpec& s) { return forward_bf16(s, false); });
  add_kernel(table, "FusedConv2d", kCpuKind, kBFloat16,
             [](const KernelSpec& s) { return forward_bf16(s, true); });
  add_kernel(table, "Conv2dBackwardInput", kCpuKind, kBFloat16, backward_input_bf16);
  add_kernel(table, "Conv2dBackwardFilter", kCpuKind, kBFloat16, backward_filter_bf16);
  add_kernel(table, "WideConv2dBackwardFilter", kCpuKind, kBFloat16, backward_filter_bf16);
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    add_kernel(table, "Conv2d", kCpuKind, dtype,
               [](const KernelSpec& s) { return forward(s, false); });
    add_kernel(table, "FusedConv2d", kCpuKind, dtype,
               [](const KernelSpec& s) { return forward(s, true); });
    add_kernel(table, "Conv2dBackwardInput", kCpuKind, dtype, backward_input);
    add_kernel(table, "Conv2dBackwardFilter", kCpuKind, dtype, backward_filter);
  }
}

}  // namespace trireme
