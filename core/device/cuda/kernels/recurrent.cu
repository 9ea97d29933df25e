// Recurrences, a launch or a few a step: a thread has a unit of an example, and adds up its part of
// the product itself. Sums over the columns of a kernel belong to a warp, whose reads then lie side
// by side.
//
// A step is short; what a sequence costs on a card is mostly its launches, which a recorded graph
// makes cheap.
#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/recurrent_step.h"

namespace trireme::cuda {

TRIREME_DEVICE float exponential(float x) { return expf(x); }
TRIREME_DEVICE double exponential(double x) { return exp(x); }
TRIREME_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
TRIREME_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }
template <typename C>
TRIREME_DEVICE C sigmoid(C x) {
  return C(1) / (C(1) + exponential(-x));
}

// One unit of one example at a step.
struct Unit {
  int64_t row, unit;
  int64_t place;  // of the step among batch·time
  int64_t state;  // of the unit in [batch, units]
  bool is_padding;
};

template <typename Body>
TRIREME_DEVICE void for_each_unit(const RecurrentStep& s, const bool* mask, Body body) {
  for (int64_t i = global_thread(); i < s.batch * s.units; i += global_threads()) {
    const int64_t row = i / s.units, place = row * s.time + s.at;
    body(Unit{row, i % s.units, place, i, mask != nullptr && !mask[place]});
  }
}

// Number k of what an example's state was before this step. `first`: before the first; null: zeros.
template <typename T>
TRIREME_DEVICE Compute<T> before(const RecurrentStep& s, const T* states, const T* first,
                                 int64_t row, int64_t k) {
  if (s.before >= 0) return to_compute(states[(row * s.time + s.before) * s.units + k]);
  return first == nullptr ? Compute<T>(0) : to_compute(first[row * s.units + k]);
}

template <typename T>
TRIREME_DEVICE Compute<T> number(const T* values, int64_t i) {
  return values == nullptr ? Compute<T>(0) : to_compute(values[i]);
}

// Σ over k of the state before the step times column `column` of a kernel [units, width].
template <typename T>
TRIREME_DEVICE Compute<T> product(const RecurrentStep& s, const T* states, const T* first,
                                  int64_t row, const T* kernel, int64_t width, int64_t column) {
  Compute<T> sum = 0;
  for (int64_t k = 0; k < s.units; ++k) {
    sum += before(s, states, first, row, k) * to_compute(kernel[k * width + column]);
  }
  return sum;
}

// --- LSTM. `gates` may be `x`, and `dx` the gates.

template <typename T>
TRIREME_DEVICE void lstm_step(const T* x, const T* kernel, const T* h_first, const T* c_first,
                              const bool* mask, T* gates, T* h, T* c, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit, first_gate = 4 * u.place * s.units + u.unit;
    C cell = before(s, c, c_first, u.row, u.unit);
    C gate[4] = {0, 0, 0, 0};
    C state = 0;
    if (u.is_padding) {
      state = before(s, h, h_first, u.row, u.unit);
    } else {
      for (int64_t g = 0; g < 4; ++g) {
        const C sum = to_compute(x[first_gate + g * s.units]) +
                      product(s, h, h_first, u.row, kernel, 4 * s.units, g * s.units + u.unit);
        gate[g] = g == 2 ? hyperbolic_tangent(sum) : sigmoid(sum);
      }
      cell = gate[1] * cell + gate[0] * gate[2];
      state = gate[3] * hyperbolic_tangent(cell);
    }
    for (int64_t g = 0; g < 4; ++g) gates[first_gate + g * s.units] = from_compute<T>(gate[g]);
    h[at] = from_compute<T>(state);
    c[at] = from_compute<T>(cell);
  });
}

template <typename T>
TRIREME_DEVICE void lstm_step_grad(const T* gates, const T* c, const T* c_first, const T* dh,
                                   const T* dc, const T* dgates, const bool* mask, T* dx,
                                   Compute<T>* dh_state, Compute<T>* dc_state,
                                   const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit, first_gate = 4 * u.place * s.units + u.unit;
    const C dh_total = to_compute(dh[at]) + (s.is_first ? C(0) : dh_state[u.state]);
    C dc_total = number(dc, at) + (s.is_first ? C(0) : dc_state[u.state]);
    C d[4] = {0, 0, 0, 0};
    if (!u.is_padding) {
      C gate[4];
      for (int64_t g = 0; g < 4; ++g) {
        gate[g] = to_compute(gates[first_gate + g * s.units]);
        d[g] = number(dgates, first_gate + g * s.units);
      }
      const C of_cell = hyperbolic_tangent(to_compute(c[at]));
      dc_total += dh_total * gate[3] * (1 - of_cell * of_cell);
      d[0] = (d[0] + dc_total * gate[2]) * gate[0] * (1 - gate[0]);
      d[1] = (d[1] + dc_total * before(s, c, c_first, u.row, u.unit)) * gate[1] * (1 - gate[1]);
      d[2] = (d[2] + dc_total * gate[0]) * (1 - gate[2] * gate[2]);
      d[3] = (d[3] + dh_total * of_cell) * gate[3] * (1 - gate[3]);
      dc_total *= gate[1];
    }
    for (int64_t g = 0; g < 4; ++g) dx[first_gate + g * s.units] = from_compute<T>(d[g]);
    dh_state[u.state] = u.is_padding ? dh_total : C(0);
    dc_state[u.state] = dc_total;
  });
}

// --- GRU. `gates` may be `x`, and `dx` the gates.

template <typename T>
struct GruStep {
  const T *x, *kernel, *bias, *h_first;
  const bool* mask;
  T *gates, *h, *inner;
};

template <typename T>
TRIREME_DEVICE Compute<T> gru_sum(const GruStep<T>& a, const RecurrentStep& s, const Unit& u,
                                  int64_t gate) {
  const int64_t column = gate * s.units + u.unit;
  return product(s, a.h, a.h_first, u.row, a.kernel, 3 * s.units, column) + number(a.bias, column);
}

// With reset_after all of a step, else its gates z and r and `inner`.
template <typename T>
TRIREME_DEVICE void gru_gates(const GruStep<T>& a, int32_t reset_after, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, a.mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit, first_gate = 3 * u.place * s.units + u.unit;
    const C held = before(s, a.h, a.h_first, u.row, u.unit);
    C z = 0, r = 0, g = 0, inner = 0, state = held;
    if (!u.is_padding) {
      z = sigmoid(to_compute(a.x[first_gate]) + gru_sum(a, s, u, 0));
      r = sigmoid(to_compute(a.x[first_gate + s.units]) + gru_sum(a, s, u, 1));
      inner = reset_after ? gru_sum(a, s, u, 2) : r * held;
      if (reset_after) {
        g = hyperbolic_tangent(to_compute(a.x[first_gate + 2 * s.units]) + r * inner);
        state = z * held + (1 - z) * g;
      }
    }
    a.gates[first_gate] = from_compute<T>(z);
    a.gates[first_gate + s.units] = from_compute<T>(r);
    a.inner[at] = from_compute<T>(inner);
    if (!reset_after && !u.is_padding) return;
    a.gates[first_gate + 2 * s.units] = from_compute<T>(g);
    a.h[at] = from_compute<T>(state);
  });
}

// Without reset_after: the candidate, and with it the state.
template <typename T>
TRIREME_DEVICE void gru_candidate(const GruStep<T>& a, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, a.mask, [=](const Unit& u) {
    if (u.is_padding) return;
    const int64_t at = u.place * s.units + u.unit, first_gate = 3 * u.place * s.units + u.unit;
    C sum = to_compute(a.x[first_gate + 2 * s.units]);
    for (int64_t k = 0; k < s.units; ++k) {
      sum += to_compute(a.inner[u.place * s.units + k]) *
             to_compute(a.kernel[(3 * k + 2) * s.units + u.unit]);
    }
    const C g = hyperbolic_tangent(sum), z = to_compute(a.gates[first_gate]);
    a.gates[first_gate + 2 * s.units] = from_compute<T>(g);
    a.h[at] = from_compute<T>(z * before(s, a.h, a.h_first, u.row, u.unit) + (1 - z) * g);
  });
}

template <typename T>
struct GruGrad {
  const T *gates, *h, *inner, *h_first, *dh, *dinner_given, *dgates;
  const bool* mask;
  T *dx, *dinner;
  Compute<T>*dh_state, *dinner_state;
};

// Of z and the candidate; with reset_after of all.
template <typename T>
TRIREME_DEVICE void gru_step_grad(const GruGrad<T>& a, int32_t reset_after,
                                  const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, a.mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit, first_gate = 3 * u.place * s.units + u.unit;
    const C dh = to_compute(a.dh[at]) + (s.is_first ? C(0) : a.dh_state[u.state]);
    C dz = 0, dr = 0, dg = 0, dinner = 0, direct = dh;
    if (!u.is_padding) {
      const C z = to_compute(a.gates[first_gate]), r = to_compute(a.gates[first_gate + s.units]),
              g = to_compute(a.gates[first_gate + 2 * s.units]);
      const C change = before(s, a.h, a.h_first, u.row, u.unit) - g;
      dz = (number(a.dgates, first_gate) + dh * change) * z * (1 - z);
      dg = (number(a.dgates, first_gate + 2 * s.units) + dh * (1 - z)) * (1 - g * g);
      direct = dh * z;
      dinner = number(a.dinner_given, at);
      if (reset_after) {
        dr = (number(a.dgates, first_gate + s.units) + dg * to_compute(a.inner[at])) * r * (1 - r);
        dinner += dg * r;
      }
    }
    a.dh_state[u.state] = direct;
    a.dx[first_gate] = from_compute<T>(dz);
    a.dx[first_gate + 2 * s.units] = from_compute<T>(dg);
    if (!reset_after && !u.is_padding) {
      a.dinner_state[u.state] = dinner;
      return;
    }
    a.dx[first_gate + s.units] = from_compute<T>(dr);
    a.dinner[at] = from_compute<T>(dinner);
  });
}

// Without reset_after: of r and inner, whose gradient stands in dinner_state.
template <typename T>
TRIREME_DEVICE void gru_reset_grad(const GruGrad<T>& a, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, a.mask, [=](const Unit& u) {
    if (u.is_padding) return;
    const int64_t at = u.place * s.units + u.unit;
    const int64_t gate = 3 * u.place * s.units + s.units + u.unit;
    const C r = to_compute(a.gates[gate]), dinner = a.dinner_state[u.state];
    const C dr = number(a.dgates, gate) + dinner * before(s, a.h, a.h_first, u.row, u.unit);
    a.dh_state[u.state] += dinner * r;
    a.dx[gate] = from_compute<T>(dr * r * (1 - r));
    a.dinner[at] = from_compute<T>(dinner);
  });
}

// --- the simple recurrence. `h` may be `x`, and `dx` be `dh`.

template <typename T>
TRIREME_DEVICE void simple_rnn_step(const T* x, const T* kernel, const T* h_first, const bool* mask,
                                    T* h, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit;
    C y = 0;
    if (u.is_padding) {
      y = before(s, h, h_first, u.row, u.unit);
    } else {
      y = to_compute(x[at]) + product(s, h, h_first, u.row, kernel, s.units, u.unit);
      if (s.activation == 1) y = y < 0 ? C(0) : y;
      if (s.activation == 2) y = sigmoid(y);
      if (s.activation == 3) y = hyperbolic_tangent(y);
    }
    h[at] = from_compute<T>(y);
  });
}

template <typename T>
TRIREME_DEVICE void simple_rnn_step_grad(const T* dh, const T* h, const bool* mask, T* dx,
                                         Compute<T>* dh_state, const RecurrentStep& s) {
  using C = Compute<T>;
  for_each_unit(s, mask, [=](const Unit& u) {
    const int64_t at = u.place * s.units + u.unit;
    const C total = to_compute(dh[at]) + (s.is_first ? C(0) : dh_state[u.state]);
    C d = 0;
    if (!u.is_padding) {
      const C y = to_compute(h[at]);
      C slope = 1;
      if (s.activation == 1) slope = y > 0 ? C(1) : C(0);
      if (s.activation == 2) slope = y * (1 - y);
      if (s.activation == 3) slope = 1 - y * y;
      d = total * slope;
    }
    dx[at] = from_compute<T>(d);
    dh_state[u.state] = u.is_padding ? total : C(0);
  });
}

// --- for all

// to[row, unit] += Σ over j of d[place·d_width + j] · kernel[unit·width + j], j in [0, count): what
// flows back to the step before. A warp has a unit.
template <typename T>
TRIREME_DEVICE void recurrent_back(const T* d, int64_t d_width, const T* kernel, int64_t width,
                                   int64_t count, const bool* mask, Compute<T>* to,
                                   const RecurrentStep& s) {
  using C = Compute<T>;
  const int64_t lane = threadIdx.x % 32;
  for (int64_t i = global_thread() / 32; i < s.batch * s.units; i += global_threads() / 32) {
    const int64_t row = i / s.units, unit = i % s.units, place = row * s.time + s.at;
    C sum = 0;
    for (int64_t j = lane; j < count; j += 32) {
      sum += to_compute(d[place * d_width + j]) * to_compute(kernel[unit * width + j]);
    }
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0 && (mask == nullptr || mask[place])) to[i] += sum;
  }
}

template <typename T>
TRIREME_DEVICE void recurrent_store(const Compute<T>* from, T* to, int64_t count) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    to[i] = from_compute<T>(from[i]);
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_RECURRENT_KERNELS(T, suffix)                                                       \
  TRIREME_KERNEL(lstm_step_##suffix,                                                               \
                 (const T* x, const T* kernel, const T* h_first, const T* c_first,                 \
                  const bool* mask, T* gates, T* h, T* c, RecurrentStep s)) {                      \
    lstm_step(x, kernel, h_first, c_first, mask, gates, h, c, s);                                  \
  }                                                                                                \
  TRIREME_KERNEL(                                                                                  \
      lstm_step_grad_##suffix,                                                                     \
      (const T* gates, const T* c, const T* c_first, const T* dh, const T* dc, const T* dgates,    \
       const bool* mask, T* dx, Compute<T>* dh_state, Compute<T>* dc_state, RecurrentStep s)) {    \
    lstm_step_grad(gates, c, c_first, dh, dc, dgates, mask, dx, dh_state, dc_state, s);            \
  }                                                                                                \
  TRIREME_KERNEL(gru_gates_##suffix,                                                               \
                 (const T* x, const T* kernel, const T* bias, const T* h_first, const bool* mask,  \
                  T* gates, T* h, T* inner, int reset_after, RecurrentStep s)) {                   \
    gru_gates(GruStep<T>{x, kernel, bias, h_first, mask, gates, h, inner}, reset_after, s);        \
  }                                                                                                \
  TRIREME_KERNEL(gru_candidate_##suffix,                                                           \
                 (const T* x, const T* kernel, const T* bias, const T* h_first, const bool* mask,  \
                  T* gates, T* h, T* inner, RecurrentStep s)) {                                    \
    gru_candidate(GruStep<T>{x, kernel, bias, h_first, mask, gates, h, inner}, s);                 \
  }                                                                                                \
  TRIREME_KERNEL(                                                                                  \
      gru_step_grad_##suffix,                                                                      \
      (const T* gates, const T* h, const T* inner, const T* h_first, const T* dh,                  \
       const T* dinner_given, const T* dgates, const bool* mask, T* dx, T* dinner,                 \
       Compute<T>* dh_state, Compute<T>* dinner_state, int reset_after, RecurrentStep s)) {        \
    gru_step_grad(GruGrad<T>{gates, h, inner, h_first, dh, dinner_given, dgates, mask, dx, dinner, \
                             dh_state, dinner_state},                                              \
                  reset_after, s);                                                                 \
  }                                                                                                \
  TRIREME_KERNEL(gru_reset_grad_##suffix,                                                          \
                 (const T* gates, const T* h, const T* inner, const T* h_first, const T* dh,       \
                  const T* dinner_given, const T* dgates, const bool* mask, T* dx, T* dinner,      \
                  Compute<T>* dh_state, Compute<T>* dinner_state, RecurrentStep s)) {              \
    gru_reset_grad(GruGrad<T>{gates, h, inner, h_first, dh, dinner_given, dgates, mask, dx,        \
                              dinner, dh_state, dinner_state},                                     \
                   s);                                                                             \
  }                                                                                                \
  TRIREME_KERNEL(simple_rnn_step_##suffix, (const T* x, const T* kernel, const T* h_first,         \
                                            const bool* mask, T* h, RecurrentStep s)) {            \
    simple_rnn_step(x, kernel, h_first, mask, h, s);                                               \
  }                                                                                                \
  TRIREME_KERNEL(simple_rnn_step_grad_##suffix, (const T* dh, const T* h, const bool* mask, T* dx, \
                                                 Compute<T>* dh_state, RecurrentStep s)) {         \
    simple_rnn_step_grad(dh, h, mask, dx, dh_state, s);                                            \
  }                                                                                                \
  TRIREME_KERNEL(recurrent_back_##suffix,                                                          \
                 (const T* d, int64_t d_width, const T* kernel, int64_t width, int64_t count,      \
                  const bool* mask, Compute<T>* to, RecurrentStep s)) {                            \
    recurrent_back(d, d_width, kernel, width, count, mask, to, s);                                 \
  }                                                                                                \
  TRIREME_KERNEL(recurrent_store_##suffix, (const Compute<T>* from, T* to, int64_t count)) {       \
    recurrent_store(from, to, count);                                                              \
  }

TRIREME_RECURRENT_KERNELS(Half, f16)
TRIREME_RECURRENT_KERNELS(BFloat16, bf16)
TRIREME_RECURRENT_KERNELS(float, f32)
TRIREME_RECURRENT_KERNELS(double, f64)
