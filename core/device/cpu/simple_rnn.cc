// The simple recurrence, as the LSTM (lstm.cc).
#include <string>

#include "core/device/cpu/recurrent_product.h"
#include "core/device/cpu/recurrent_rows.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

using namespace recurrent;

enum class Kind { kNone, kRelu, kSigmoid, kTanh };

Kind kind_of(const std::string& activation) {
  if (activation == "relu") return Kind::kRelu;
  if (activation == "sigmoid") return Kind::kSigmoid;
  return activation == "tanh" ? Kind::kTanh : Kind::kNone;
}

template <typename T>
T activated(Kind kind, T x) {
  if (kind == Kind::kTanh) return hyperbolic_tangent(x);
  if (kind == Kind::kSigmoid) return sigmoid(x);
  return kind == Kind::kRelu && x < 0 ? 0 : x;
}

// The derivative, of the value that the activation gave.
template <typename T>
T slope(Kind kind, T y) {
  if (kind == Kind::kTanh) return 1 - y * y;
  if (kind == Kind::kSigmoid) return y * (1 - y);
  return kind == Kind::kRelu && y <= 0 ? 0 : 1;
}

template <typename T>
PreparedKernel simple_rnn(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 0);
  const Kind kind = kind_of(spec.attribute<std::string>("activation"));
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), masks = optional.take("has_mask");
  const Packing packing = Packing::plain(s.units, s.units);
  const int64_t h_step = state_step(s.units);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(packing.elements());
  const size_t states_at[2] = {scratch.add<T>(s.batch * h_step), scratch.add<T>(s.batch * h_step)};
  auto run = [=](const KernelArgs& args) {
    const T* const x = args.in<T>(0);
    const bool* const mask = optional_input<bool>(args, masks);
    T* const h = args.out<T>();
    T* const packed = scratch_at<T>(args, packed_at);
    T* const states[2] = {scratch_at<T>(args, states_at[0]), scratch_at<T>(args, states_at[1])};
    packing.pack(args.in<T>(1), s.units, 1, packed);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      load_states(optional_input<T>(args, h_first), s.units, states[0], h_step, begin, end);
      for (int64_t step = 0; step < s.time; ++step) {
        const T* const now = states[step % 2];
        T* const next = states[(step + 1) % 2];
        const auto is_padding = [&](int64_t row) {
          return mask != nullptr && !mask[s.place(row, step)];
        };
        for (int64_t row = begin; row < end; ++row) {
          const T* const from =
              is_padding(row) ? now + row * h_step : x + s.place(row, step) * s.units;
          std::copy_n(from, s.units, next + row * h_step);
        }
        add_product(packing, packed, now, h_step, next, h_step, begin, end, is_padding);
        for (int64_t row = begin; row < end; ++row) {
          T* const state = next + row * h_step;
          if (!is_padding(row)) {
            for (int64_t j = 0; j < s.units; ++j) state[j] = activated(kind, state[j]);
          }
          std::copy_n(state, s.units, h + s.place(row, step) * s.units);
        }
      }
    });
  };
  return {run, scratch.bytes()};
}

template <typename T>
PreparedKernel simple_rnn_grad(const KernelSpec& spec) {
  const Shape& shape = spec.input_shape(1);
  const RecurrentSteps s{shape[0], shape[1], shape[2], spec.attribute<bool>("reverse")};
  const Kind kind = kind_of(spec.attribute<std::string>("activation"));
  OptionalInputs optional(spec, 3);
  const int masks = optional.take("has_mask");
  const bool has_state = spec.attribute<bool>("has_state");
  const Packing packing = Packing::plain(s.units, s.units);
  const int64_t h_step = state_step(s.units);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(packing.elements()),
               dh_state_at = scratch.add<T>(s.batch * h_step),
               d_at = scratch.add<T>(s.batch * h_step);
  auto run = [=](const KernelArgs& args) {
    const T *const dh = args.in<T>(0), *const h = args.in<T>(1);
    const bool* const mask = optional_input<bool>(args, masks);
    T* const dx = args.out<T>(0);
    T *const packed = scratch_at<T>(args, packed_at),
             *const dh_state = scratch_at<T>(args, dh_state_at),
             *const d = scratch_at<T>(args, d_at);
    packing.pack(args.in<T>(2), 1, s.units, packed);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      load_states<T>(nullptr, s.units, dh_state, h_step, begin, end);
      for (int64_t step = s.time - 1; step >= 0; --step) {
        const auto is_padding = [&](int64_t row) {
          return mask != nullptr && !mask[s.place(row, step)];
        };
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = s.place(row, step) * s.units;
          T *const state = dh_state + row * h_step, *const of_row = d + row * h_step;
          if (is_padding(row)) {
            for (int64_t j = 0; j < s.units; ++j) state[j] += dh[at + j];
            std::fill_n(of_row, s.units, T{0});
          } else {
            for (int64_t j = 0; j < s.units; ++j) {
              of_row[j] = (dh[at + j] + state[j]) * slope(kind, h[at + j]);
              state[j] = 0;
            }
          }
          std::copy_n(of_row, s.units, dx + at);
        }
        // Nothing is before the first step but the initial state.
        if (step == 0 && !has_state) break;
        add_product(packing, packed, d, h_step, dh_state, h_step, begin, end, is_padding);
      }
      if (has_state) store_states(dh_state, h_step, s.units, args.out<T>(1), begin, end);
    });
  };
  return {run, scratch.bytes()};
}

}  // namespace

void register_cpu_simple_rnn(KernelTable& table) {
  add_for<float, double>(table, "SimpleRnn", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return simple_rnn<T>(spec); });
  add_for<float, double>(table, "SimpleRnnGrad", kCpuKind, []<typename T>(const KernelSpec& spec) {
    return simple_rnn_grad<T>(spec);
  });
}

}  // namespace trireme
