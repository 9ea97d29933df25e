// Convolutions: f32 with few channels by our own kernels (small_convolution.h), other f32 by
// oneDNN, f64 by plain loops; bf16 by our own where the processor multiplies it, else as f32.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/parallel.h"
#include "core/device/cpu/bf16_convolution.h"
#include "core/device/cpu/onednn.h"
#include "core/device/cpu/register.h"
#include "core/device/cpu/small_convolution.h"
#include "core/device/small_floats.h"
#include "core/ops/window.h"

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

PreparedKernel onednn_forward(const Conv2dGeometry& g, bool bias, const std::string& activation) {
  const Sizes sizes(g);
  const auto description = sizes.forward(bias, activation);
  OneDnnProgram program;
  const auto weights = description.weights_desc();
  const auto place = program.as(weights, sizes.filter_plain, OneDnnProgram::input(1));
  std::vector<OneDnnProgram::Argument> arguments = {
      {DNNL_ARG_SRC, sizes.input_plain, OneDnnProgram::input(0)},
      {DNNL_ARG_WEIGHTS, weights, place},
      {DNNL_ARG_DST, sizes.output_plain, OneDnnProgram::output(0)},
  };
  if (bias) {
    arguments.push_back({DNNL_ARG_BIAS, onednn::plain({sizes.output[1]}), OneDnnProgram::input(2)});
  }
  program.add(dnnl::convolution_forward(description), description.scratchpad_desc(),
              std::move(arguments));
  return std::move(program).finish();
}

PreparedKernel onednn_backward_input(const Conv2dGeometry& g) {
  const Sizes sizes(g);
  const dnnl::convolution_backward_data::primitive_desc description(
      {dnnl::algorithm::convolution_direct, sizes.input_plain, onednn::any_format(sizes.filter),
       sizes.output_plain, sizes.strides, sizes.dilations, sizes.before, sizes.after},
      onednn::attributes(), onednn::cpu_engine(), sizes.forward(false, "none"));
  OneDnnProgram program;
  const auto weights = description.weights_desc();
  const auto place = program.as(weights, sizes.filter_plain, OneDnnProgram::input(0));
  program.add(dnnl::convolution_backward_data(description), description.scratchpad_desc(),
              {{DNNL_ARG_DIFF_DST, sizes.output_plain, OneDnnProgram::input(1)},
               {DNNL_ARG_WEIGHTS, weights, place},
               {DNNL_ARG_DIFF_SRC, sizes.input_plain, OneDnnProgram::output(0)}});
  return std::move(program).finish();
}

PreparedKernel onednn_backward_filter(const Conv2dGeometry& g) {
  const Sizes sizes(g);
  const dnnl::convolution_backward_weights::primitive_desc description(
      {dnnl::algorithm::convolution_direct, sizes.input_plain, onednn::any_format(sizes.filter),
       sizes.output_plain, sizes.strides, sizes.dilations, sizes.before, sizes.after},
      onednn::attributes(), onednn::cpu_engine(), sizes.forward(false, "none"));
  OneDnnProgram program;
  const auto weights = description.diff_weights_desc();
  const bool same = weights == sizes.filter_plain;
  const auto place = same ? OneDnnProgram::output(0) : program.scratch(weights);
  program.add(dnnl::convolution_backward_weights(description), description.scratchpad_desc(),
              {{DNNL_ARG_SRC, sizes.input_plain, OneDnnProgram::input(0)},
               {DNNL_ARG_DIFF_DST, sizes.output_plain, OneDnnProgram::input(1)},
               {DNNL_ARG_DIFF_WEIGHTS, weights, place}});
  if (!same) program.reorder(weights, place, sizes.filter_plain, OneDnnProgram::output(0));
  return std::move(program).finish();
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
  const auto g = conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.node.attributes());
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
  const auto g = conv2d_geometry(spec.input_shape(2), spec.input_shape(0), spec.node.attributes());
  if (spec.inputs[0].dtype == DType::kFloat64 || g.batch == 0) {
    return plain_backward_input<double>(g);
  }
  if (small_convolution::suits_backward_input(g)) return small_convolution::backward_input(g);
  return onednn::prepare_with_onednn(spec, [&] { return onednn_backward_input(g); });
}

PreparedKernel backward_filter(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.attribute<Shape>("filter_shape"),
                                 spec.node.attributes());
  if (spec.inputs[0].dtype == DType::kFloat64) return plain_backward_filter<double>(g);
  if (g.batch == 0) return plain_backward_filter<float>(g);
  if (small_convolution::suits_backward_filter(g)) return small_convolution::backward_filter(g);
  return onednn::prepare_with_onednn(spec, [&] { return onednn_backward_filter(g); });
}

// --- bf16

PreparedKernel forward_bf16(const KernelSpec& spec, bool fused) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.node.attributes());
  const std::string activation = fused ? spec.attribute<std::string>("activation") : "none";
  if (g.batch > 0 && bf16_convolution::suits_forward(g, activation)) {
    return bf16_convolution::forward(g, fused, activation == "relu");
  }
  return through_f32(spec, [fused](const KernelSpec& wide) { return forward(wide, fused); });
}

PreparedKernel backward_input_bf16(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.input_shape(2), spec.input_shape(0), spec.node.attributes());
  // Channels in fill the lanes of the kernel for bf16, all of a filter row's those of the one for
  // f32.
  const bool few_channels = g.in_channels <= 8 && small_convolution::suits_backward_input(g);
  if (g.batch > 0 && !few_channels && bf16_convolution::suits_backward_input(g)) {
    return bf16_convolution::backward_input(g);
  }
  return through_f32(spec, backward_input);
}

PreparedKernel backward_filter_bf16(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.attribute<Shape>("filter_shape"),
                                 spec.node.attributes());
  if (g.batch > 0 && bf16_convolution::suits_backward_filter(g)) {
    return bf16_convolution::backward_filter(g, spec.outputs[0].dtype == DType::kFloat32);
  }
  return through_f32(spec, backward_filter);
}

}  // namespace

void register_cpu_convolution(KernelTable& table) {
  constexpr DType kBFloat16 = DType::kBFloat16;
  table.add("Conv2d", kCpuKind, kBFloat16,
            [](const KernelSpec& s) { return forward_bf16(s, false); });
  table.add("FusedConv2d", kCpuKind, kBFloat16,
            [](const KernelSpec& s) { return forward_bf16(s, true); });
  table.add("Conv2dBackwardInput", kCpuKind, kBFloat16, backward_input_bf16);
  table.add("Conv2dBackwardFilter", kCpuKind, kBFloat16, backward_filter_bf16);
  table.add("WideConv2dBackwardFilter", kCpuKind, kBFloat16, backward_filter_bf16);
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    table.add("Conv2d", kCpuKind, dtype, [](const KernelSpec& s) { return forward(s, false); });
    table.add("FusedConv2d", kCpuKind, dtype, [](const KernelSpec& s) { return forward(s, true); });
    table.add("Conv2dBackwardInput", kCpuKind, dtype, backward_input);
    table.add("Conv2dBackwardFilter", kCpuKind, dtype, backward_filter);
  }
}

}  // namespace trireme
