#include <string>

#include "core/device/cuda/kernel.h"
#include "core/device/cuda/kernels/recurrent_step.h"
#include "core/device/cuda/register.h"
#include "core/device/recurrent_layout.h"

namespace trireme::cuda {
namespace {

constexpr DType kFloats[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64};

// What the launches of all recurrences share.
class Steps {
 public:
  Steps(const KernelSpec& spec, const Shape& sequence)
      : s_{sequence[0], sequence[1], sequence[2], spec.attribute<bool>("reverse")},
        dtype_(spec.inputs[0].dtype),
        by_unit_(spread(cuda_device(spec), s_.batch * s_.units)),
        by_warp_(spread(cuda_device(spec), 32 * s_.batch * s_.units)),
        back_(kernel("recurrent_back")),
        store_(kernel("recurrent_store")) {}

  Kernel kernel(const char* name) const { return Kernel(kernel_name(name, dtype_)); }
  const LaunchShape& by_unit() const { return by_unit_; }
  int64_t time() const { return s_.time; }
  int64_t units() const { return s_.units; }
  bool is_empty() const { return s_.batch == 0; }
  // Bytes of a state [batch, units] in scratch memory, in the type that is computed in.
  size_t state_bytes() const {
    const size_t each = dtype_ == DType::kFloat64 ? sizeof(double) : sizeof(float);
    return align_up(static_cast<size_t>(s_.batch * s_.units) * each);
  }

  RecurrentStep at(int64_t step, bool is_first, int32_t activation = 0) const {
    return {s_.batch, s_.time,   s_.units, s_.at(step), step == 0 ? -1 : s_.at(step - 1),
            is_first, activation};
  }

  // state += d · kernelᵀ of one step; see recurrent_back().
  void back(const KernelArgs& args, const void* d, int64_t d_width, const void* kernel,
            int64_t width, int64_t count, const void* mask, void* state, int64_t step) const {
    back_.launch(cuda_stream(args), by_warp_, d, d_width, kernel, width, count, mask, state,
                 at(step, false));
  }
  void store(const KernelArgs& args, const void* state, void* to) const {
    store_.launch(cuda_stream(args), by_unit_, state, to, s_.batch * s_.units);
  }
  // Element `i` of an array of this dtype.
  const void* element(const void* array, int64_t i) const {
    return static_cast<const char*>(array) + static_cast<size_t>(i) * size_of(dtype_);
  }

 private:
  RecurrentSteps s_;
  DType dtype_;
  LaunchShape by_unit_, by_warp_;
  Kernel back_, store_;
};

const void* input_or_null(const KernelArgs& args, int position) {
  return position < 0 ? nullptr : args.inputs[position];
}

PreparedKernel lstm(const KernelSpec& spec) {
  const Steps steps(spec, spec.output_shape(1));
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), c_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  const Kernel kernel = steps.kernel("lstm_step");
  return {[=](const KernelArgs& args) {
    if (steps.is_empty()) return;
    const void *h0 = input_or_null(args, h_first), *c0 = input_or_null(args, c_first),
               *mask = input_or_null(args, masks);
    for (int64_t step = 0; step < steps.time(); ++step) {
      kernel.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1], h0, c0,
                    mask, args.outputs[0], args.outputs[1], args.outputs[2],
                    steps.at(step, step == 0));
    }
  }};
}

PreparedKernel lstm_grad(const KernelSpec& spec) {
  const Steps steps(spec, spec.input_shape(1));
  OptionalInputs optional(spec, 3);
  const int c_first = optional.take("has_state"), dh_at = optional.take(),
            dc_at = optional.take("has_dc"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  const Kernel kernel = steps.kernel("lstm_step_grad");
  const size_t bytes = steps.state_bytes();
  return {[=](const KernelArgs& args) {
            if (steps.is_empty()) return;
            const void *c0 = input_or_null(args, c_first), *mask = input_or_null(args, masks),
                       *dc = input_or_null(args, dc_at), *dgates = input_or_null(args, dgates_at);
            void* const dh_state = args.scratch;
            void* const dc_state = static_cast<char*>(args.scratch) + bytes;
            const int64_t width = 4 * steps.units();
            for (int64_t step = steps.time() - 1; step >= 0; --step) {
              kernel.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1], c0,
                            args.inputs[dh_at], dc, dgates, mask, args.outputs[0], dh_state,
                            dc_state, steps.at(step, step == steps.time() - 1));
              steps.back(args, args.outputs[0], width, args.inputs[2], width, width, mask, dh_state,
                         step);
            }
            if (c_first < 0) return;
            steps.store(args, dh_state, args.outputs[1]);
            steps.store(args, dc_state, args.outputs[2]);
          },
          2 * bytes};
}

PreparedKernel gru(const KernelSpec& spec) {
  const Steps steps(spec, spec.output_shape(1));
  const int reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 2);
  const int biases = optional.take("has_bias"), h_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  const Kernel gates = steps.kernel("gru_gates"), candidate = steps.kernel("gru_candidate");
  return {[=](const KernelArgs& args) {
    if (steps.is_empty()) return;
    const void *bias = input_or_null(args, biases), *h0 = input_or_null(args, h_first),
               *mask = input_or_null(args, masks);
    for (int64_t step = 0; step < steps.time(); ++step) {
      const RecurrentStep s = steps.at(step, step == 0);
      gates.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1], bias, h0,
                   mask, args.outputs[0], args.outputs[1], args.outputs[2], reset_after, s);
      if (reset_after) continue;
      candidate.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1], bias, h0,
                       mask, args.outputs[0], args.outputs[1], args.outputs[2], s);
    }
  }};
}

PreparedKernel gru_grad(const KernelSpec& spec) {
  const Steps steps(spec, spec.input_shape(1));
  const int reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 4);
  const int h_first = optional.take("has_state"), dh_at = optional.take(),
            dinner_at = optional.take("has_dinner"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  const Kernel first = steps.kernel("gru_step_grad"), second = steps.kernel("gru_reset_grad");
  const size_t bytes = steps.state_bytes();
  return {[=](const KernelArgs& args) {
            if (steps.is_empty()) return;
            const void *h0 = input_or_null(args, h_first), *mask = input_or_null(args, masks),
                       *dinner_given = input_or_null(args, dinner_at),
                       *dgates = input_or_null(args, dgates_at);
            void* const dh_state = args.scratch;
            void* const dinner_state = static_cast<char*>(args.scratch) + bytes;
            void *const dx = args.outputs[0], *const dinner = args.outputs[1];
            const int64_t n = steps.units();
            const void* const of_candidate = steps.element(args.inputs[3], 2 * n);
            for (int64_t step = steps.time() - 1; step >= 0; --step) {
              const RecurrentStep s = steps.at(step, step == steps.time() - 1);
              first.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1],
                           args.inputs[2], h0, args.inputs[dh_at], dinner_given, dgates, mask, dx,
                           dinner, dh_state, dinner_state, reset_after, s);
              if (reset_after) {
                steps.back(args, dinner, n, of_candidate, 3 * n, n, mask, dh_state, step);
              } else {
                steps.back(args, steps.element(dx, 2 * n), 3 * n, of_candidate, 3 * n, n, mask,
                           dinner_state, step);
                second.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1],
                              args.inputs[2], h0, args.inputs[dh_at], dinner_given, dgates, mask,
                              dx, dinner, dh_state, dinner_state, s);
              }
              steps.back(args, dx, 3 * n, args.inputs[3], 3 * n, 2 * n, mask, dh_state, step);
            }
            if (h_first >= 0) steps.store(args, dh_state, args.outputs[2]);
          },
          2 * bytes};
}

int32_t activation_of(const KernelSpec& spec) {
  const auto name = spec.attribute<std::string>("activation");
  return name == "relu" ? 1 : name == "sigmoid" ? 2 : name == "tanh" ? 3 : 0;
}

PreparedKernel simple_rnn(const KernelSpec& spec) {
  const Steps steps(spec, spec.output_shape());
  const int32_t activation = activation_of(spec);
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), masks = optional.take("has_mask");
  const Kernel kernel = steps.kernel("simple_rnn_step");
  return {[=](const KernelArgs& args) {
    if (steps.is_empty()) return;
    const void *h0 = input_or_null(args, h_first), *mask = input_or_null(args, masks);
    for (int64_t step = 0; step < steps.time(); ++step) {
      kernel.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1], h0, mask,
                    args.outputs[0], steps.at(step, step == 0, activation));
    }
  }};
}

PreparedKernel simple_rnn_grad(const KernelSpec& spec) {
  const Steps steps(spec, spec.input_shape(1));
  const int32_t activation = activation_of(spec);
  OptionalInputs optional(spec, 3);
  const int masks = optional.take("has_mask");
  const bool has_state = spec.attribute<bool>("has_state");
  const Kernel kernel = steps.kernel("simple_rnn_step_grad");
  return {[=](const KernelArgs& args) {
            if (steps.is_empty()) return;
            const void* mask = input_or_null(args, masks);
            const int64_t n = steps.units();
            for (int64_t step = steps.time() - 1; step >= 0; --step) {
              kernel.launch(cuda_stream(args), steps.by_unit(), args.inputs[0], args.inputs[1],
                            mask, args.outputs[0], args.scratch,
                            steps.at(step, step == steps.time() - 1, activation));
              steps.back(args, args.outputs[0], n, args.inputs[2], n, n, mask, args.scratch, step);
            }
            if (has_state) steps.store(args, args.scratch, args.outputs[1]);
          },
          steps.state_bytes()};
}

}  // namespace

void register_recurrent(KernelTable& table) {
  for (const DType dtype : kFloats) {
    add_kernel(table, "Lstm", kCudaKind, dtype, lstm);
    add_kernel(table, "LstmGrad", kCudaKind, dtype, lstm_grad);
    add_kernel(table, "Gru", kCudaKind, dtype, gru);
    add_kernel(table, "GruGrad", kCudaKind, dtype, gru_grad);
    add_kernel(table, "SimpleRnn", kCudaKind, dtype, simple_rnn);
    add_kernel(table, "SimpleRnnGrad", kCudaKind, dtype, simple_rnn_grad);
  }
}

}  // namespace trireme::cuda
