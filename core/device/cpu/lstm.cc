// The LSTM. Each thread takes some examples through all steps: the product of a step is made tile
// by tile, and the gates of a tile are computed while it is in the first cache.
//
// Why not oneDNN's: it is slower, and keeps three times as much for the backward pass
// (docs/performance.md).
#include "core/device/cpu/avx512_math.h"
#include "core/device/cpu/recurrent_product.h"
#include "core/device/cpu/recurrent_rows.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

using namespace recurrent;

// One step of up to 16 units of an example, beginning at the first of them.
template <typename T>
struct Cell {
  int64_t lanes, units;
  const T *x, *product;  // gates `units` and 16 apart
  const T* c_before;     // null: zeros
  T *gates, *h, *c;
  T* h_state;  // h again, where the next step reads it
};

template <typename T>
[[gnu::always_inline]] inline void forward_lanes(const Cell<T>& cell, int64_t lanes) {
  T gate[4][kLanes], c[kLanes], h[kLanes];
  for (int64_t g = 0; g < 4; ++g) {
    for (int64_t j = 0; j < lanes; ++j) {
      gate[g][j] = cell.x[g * cell.units + j] + cell.product[g * kLanes + j];
    }
  }
  if (cell.c_before == nullptr) {
    std::fill_n(c, lanes, T{0});
  } else {
    std::copy_n(cell.c_before, lanes, c);
  }
  for (int64_t j = 0; j < lanes; ++j) {
    const T i = sigmoid(gate[0][j]), f = sigmoid(gate[1][j]), g = hyperbolic_tangent(gate[2][j]),
            o = sigmoid(gate[3][j]);
    const T value = f * c[j] + i * g;
    gate[0][j] = i;
    gate[1][j] = f;
    gate[2][j] = g;
    gate[3][j] = o;
    c[j] = value;
    h[j] = o * hyperbolic_tangent(value);
  }
  for (int64_t g = 0; g < 4; ++g) std::copy_n(gate[g], lanes, cell.gates + g * cell.units);
  std::copy_n(c, lanes, cell.c);
  std::copy_n(h, lanes, cell.h);
  std::copy_n(h, lanes, cell.h_state);
}

template <typename T>
void forward_plain(const Cell<T>& cell) {
  if (cell.lanes == kLanes) {
    forward_lanes(cell, kLanes);  // a number that the compiler knows
  } else {
    forward_lanes(cell, cell.lanes);
  }
}

// The gradients of the same.
template <typename T>
struct CellGrad {
  int64_t lanes, units;
  const T *gates, *c, *c_before;          // c_before null: zeros
  const T *dh, *dc_given, *dgates_given;  // the last two null: zeros
  T *dh_state, *dc_state;                 // what came from the step behind; for the step before
  T *dx, *dx_state;                       // the gradient of the gates' arguments, in two places
};

template <typename T>
[[gnu::always_inline]] inline void backward_lanes(const CellGrad<T>& cell, int64_t lanes) {
  T d[4][kLanes], before[kLanes], dc_next[kLanes];
  if (cell.c_before == nullptr) {
    std::fill_n(before, lanes, T{0});
  } else {
    std::copy_n(cell.c_before, lanes, before);
  }
  std::copy_n(cell.dc_state, lanes, dc_next);
  if (cell.dc_given != nullptr) {
    for (int64_t j = 0; j < lanes; ++j) dc_next[j] += cell.dc_given[j];
  }
  for (int64_t g = 0; g < 4; ++g) {
    if (cell.dgates_given == nullptr) {
      std::fill_n(d[g], lanes, T{0});
    } else {
      std::copy_n(cell.dgates_given + g * cell.units, lanes, d[g]);
    }
  }
  const T *const gi = cell.gates, *const gf = gi + cell.units, *const gg = gf + cell.units,
                 *const go = gg + cell.units;
  for (int64_t j = 0; j < lanes; ++j) {
    const T i = gi[j], f = gf[j], g = gg[j], o = go[j];
    const T of_cell = hyperbolic_tangent(cell.c[j]);
    const T dh = cell.dh[j] + cell.dh_state[j];
    const T dc = dc_next[j] + dh * o * (1 - of_cell * of_cell);
    d[0][j] = (d[0][j] + dc * g) * (i * (1 - i));
    d[1][j] = (d[1][j] + dc * before[j]) * (f * (1 - f));
    d[2][j] = (d[2][j] + dc * i) * (1 - g * g);
    d[3][j] = (d[3][j] + dh * of_cell) * (o * (1 - o));
    dc_next[j] = dc * f;
  }
  std::copy_n(dc_next, lanes, cell.dc_state);
  std::fill_n(cell.dh_state, lanes, T{0});
  for (int64_t g = 0; g < 4; ++g) {
    std::copy_n(d[g], lanes, cell.dx + g * cell.units);
    std::copy_n(d[g], lanes, cell.dx_state + g * cell.units);
  }
}

template <typename T>
void backward_plain(const CellGrad<T>& cell) {
  if (cell.lanes == kLanes) {
    backward_lanes(cell, kLanes);  // a number that the compiler knows
  } else {
    backward_lanes(cell, cell.lanes);
  }
}

#if TRIREME_HAS_AVX512_BUILD
// The same in registers: what the compiler makes of the loops takes three times as long.
TRIREME_AVX512 void forward_avx512(const Cell<float>& cell) {
  const __mmask16 lanes = avx512::first_lanes(cell.lanes);
  const auto argument = [&](int64_t g) __attribute__((always_inline)) TRIREME_AVX512 {
    return _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, cell.x + g * cell.units),
                         _mm512_loadu_ps(cell.product + g * kLanes));
  };
  const __m512 i = avx512::sigmoid(argument(0)), f = avx512::sigmoid(argument(1)),
               g = avx512::hyperbolic_tangent(argument(2)), o = avx512::sigmoid(argument(3));
  const __m512 before =
      cell.c_before == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, cell.c_before);
  const __m512 c = _mm512_fmadd_ps(f, before, _mm512_mul_ps(i, g));
  const __m512 h = _mm512_mul_ps(o, avx512::hyperbolic_tangent(c));
  _mm512_mask_storeu_ps(cell.gates, lanes, i);
  _mm512_mask_storeu_ps(cell.gates + cell.units, lanes, f);
  _mm512_mask_storeu_ps(cell.gates + 2 * cell.units, lanes, g);
  _mm512_mask_storeu_ps(cell.gates + 3 * cell.units, lanes, o);
  _mm512_mask_storeu_ps(cell.c, lanes, c);
  _mm512_mask_storeu_ps(cell.h, lanes, h);
  _mm512_mask_storeu_ps(cell.h_state, lanes, h);
}

TRIREME_AVX512 void backward_avx512(const CellGrad<float>& cell) {
  const __mmask16 lanes = avx512::first_lanes(cell.lanes);
  const __m512 one = _mm512_set1_ps(1.0f);
  const auto load = [&](const float* from) __attribute__((always_inline)) TRIREME_AVX512 {
    return from == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, from);
  };
  const auto given = [&](int64_t g) __attribute__((always_inline)) TRIREME_AVX512 {
    return load(cell.dgates_given == nullptr ? nullptr : cell.dgates_given + g * cell.units);
  };
  // y·(1 − y)
  const auto slope = [&](__m512 y) __attribute__((always_inline)) TRIREME_AVX512 {
    return _mm512_fnmadd_ps(y, y, y);
  };
  const __m512 i = load(cell.gates), f = load(cell.gates + cell.units),
               g = load(cell.gates + 2 * cell.units), o = load(cell.gates + 3 * cell.units);
  const __m512 of_cell = avx512::hyperbolic_tangent(load(cell.c));
  const __m512 dh = _mm512_add_ps(load(cell.dh), load(cell.dh_state));
  const __m512 through =
      _mm512_mul_ps(_mm512_mul_ps(dh, o), _mm512_fnmadd_ps(of_cell, of_cell, one));
  const __m512 dc = _mm512_add_ps(_mm512_add_ps(load(cell.dc_state), load(cell.dc_given)), through);
  const __m512 d[4] = {_mm512_mul_ps(_mm512_fmadd_ps(dc, g, given(0)), slope(i)),
                       _mm512_mul_ps(_mm512_fmadd_ps(dc, load(cell.c_before), given(1)), slope(f)),
                       _mm512_mul_ps(_mm512_fmadd_ps(dc, i, given(2)), _mm512_fnmadd_ps(g, g, one)),
                       _mm512_mul_ps(_mm512_fmadd_ps(dh, of_cell, given(3)), slope(o))};
  _mm512_mask_storeu_ps(cell.dc_state, lanes, _mm512_mul_ps(dc, f));
  _mm512_mask_storeu_ps(cell.dh_state, lanes, _mm512_setzero_ps());
  for (int64_t k = 0; k < 4; ++k) {
    _mm512_mask_storeu_ps(cell.dx + k * cell.units, lanes, d[k]);
    _mm512_mask_storeu_ps(cell.dx_state + k * cell.units, lanes, d[k]);
  }
}
#endif

template <typename T>
void (*forward_cell())(const Cell<T>&) {
#if TRIREME_HAS_AVX512_BUILD
  if constexpr (std::is_same_v<T, float>) {
    if (has_avx512()) return forward_avx512;
  }
#endif
  return forward_plain<T>;
}
template <typename T>
void (*backward_cell())(const CellGrad<T>&) {
#if TRIREME_HAS_AVX512_BUILD
  if constexpr (std::is_same_v<T, float>) {
    if (has_avx512()) return backward_avx512;
  }
#endif
  return backward_plain<T>;
}

template <typename T>
PreparedKernel lstm(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 1);
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), c_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  const Packing packing = Packing::by_unit(s.units, 4, s.units);
  const int64_t h_step = state_step(s.units);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(packing.elements());
  const size_t states_at[2] = {scratch.add<T>(s.batch * h_step), scratch.add<T>(s.batch * h_step)};
  const auto cell = forward_cell<T>();
  auto run = [=](const KernelArgs& args) {
    const T* const x = args.in<T>(0);
    const T* const c_initial = optional_input<T>(args, c_first);
    const bool* const mask = optional_input<bool>(args, masks);
    T *const gates = args.out<T>(0), *const h = args.out<T>(1), *const c = args.out<T>(2);
    T* const packed = scratch_at<T>(args, packed_at);
    T* const states[2] = {scratch_at<T>(args, states_at[0]), scratch_at<T>(args, states_at[1])};
    packing.pack(args.in<T>(1), 4 * s.units, 1, packed);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      alignas(64) T product[kMaxRows * kMostColumns];
      load_states(optional_input<T>(args, h_first), s.units, states[0], h_step, begin, end);
      for (int64_t step = 0; step < s.time; ++step) {
        const T* const now = states[step % 2];
        T* const next = states[(step + 1) % 2];
        for (const Block& block : packing.blocks()) {
          for_row_tiles(begin, end, packing.max_rows(block), [&](int64_t first, int64_t rows) {
            packing.multiply(block, packed, now + first * h_step, h_step, rows, product);
            for (int64_t row = first; row < first + rows; ++row) {
              const int64_t place = s.place(row, step), at = place * s.units + block.begin;
              const T* c_before =
                  c_initial == nullptr ? nullptr : c_initial + row * s.units + block.begin;
              if (step > 0) c_before = c + s.place(row, step - 1) * s.units + block.begin;
              T* const row_gates = gates + 4 * place * s.units + block.begin;
              if (mask != nullptr && !mask[place]) {
                for (int64_t g = 0; g < 4; ++g) {
                  std::fill_n(row_gates + g * s.units, block.lanes, T{0});
                }
                const T* const held = now + row * h_step + block.begin;
                std::copy_n(held, block.lanes, h + at);
                std::copy_n(held, block.lanes, next + row * h_step + block.begin);
                if (c_before == nullptr) {
                  std::fill_n(c + at, block.lanes, T{0});
                } else {
                  std::copy_n(c_before, block.lanes, c + at);
                }
                continue;
              }
              cell({.lanes = block.lanes,
                    .units = s.units,
                    .x = x + 4 * place * s.units + block.begin,
                    .product = product + (row - first) * kMostColumns,
                    .c_before = c_before,
                    .gates = row_gates,
                    .h = h + at,
                    .c = c + at,
                    .h_state = next + row * h_step + block.begin});
            }
          });
        }
      }
    });
  };
  return {run, scratch.bytes()};
}

template <typename T>
PreparedKernel lstm_grad(const KernelSpec& spec) {
  const Shape& shape = spec.input_shape(1);
  const RecurrentSteps s{shape[0], shape[1], shape[2], spec.attribute<bool>("reverse")};
  OptionalInputs optional(spec, 3);
  const int c_first = optional.take("has_state"), dh_at = optional.take(),
            dc_at = optional.take("has_dc"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  const Packing packing = Packing::plain(4 * s.units, s.units);
  const int64_t h_step = state_step(s.units), d_step = state_step(4 * s.units);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(packing.elements()),
               dh_state_at = scratch.add<T>(s.batch * h_step),
               dc_state_at = scratch.add<T>(s.batch * h_step),
               d_at = scratch.add<T>(s.batch * d_step);
  const auto cell = backward_cell<T>();
  auto run = [=](const KernelArgs& args) {
    const T *const gates = args.in<T>(0), *const c = args.in<T>(1), *const dh = args.in<T>(dh_at);
    const T *const c_initial = optional_input<T>(args, c_first),
                   *const dc = optional_input<T>(args, dc_at),
                   *const dgates = optional_input<T>(args, dgates_at);
    const bool* const mask = optional_input<bool>(args, masks);
    T* const dx = args.out<T>(0);
    T *const packed = scratch_at<T>(args, packed_at),
             *const dh_state = scratch_at<T>(args, dh_state_at),
             *const dc_state = scratch_at<T>(args, dc_state_at),
             *const d = scratch_at<T>(args, d_at);
    packing.pack(args.in<T>(2), 1, 4 * s.units, packed);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      load_states<T>(nullptr, s.units, dh_state, h_step, begin, end);
      load_states<T>(nullptr, s.units, dc_state, h_step, begin, end);
      for (int64_t step = s.time - 1; step >= 0; --step) {
        const auto is_padding = [&](int64_t row) {
          return mask != nullptr && !mask[s.place(row, step)];
        };
        for (int64_t row = begin; row < end; ++row) {
          const int64_t place = s.place(row, step), at = place * s.units;
          T *const row_dh = dh_state + row * h_step, *const row_dc = dc_state + row * h_step,
                   *const row_d = d + row * d_step;
          if (is_padding(row)) {
            for (int64_t j = 0; j < s.units; ++j) row_dh[j] += dh[at + j];
            for (int64_t j = 0; dc != nullptr && j < s.units; ++j) row_dc[j] += dc[at + j];
            std::fill_n(row_d, 4 * s.units, T{0});
            std::fill_n(dx + 4 * at, 4 * s.units, T{0});
            continue;
          }
          const T* c_before = c_initial == nullptr ? nullptr : c_initial + row * s.units;
          if (step > 0) c_before = c + s.place(row, step - 1) * s.units;
          for (int64_t unit = 0; unit < s.units; unit += kLanes) {
            cell({.lanes = std::min(kLanes, s.units - unit),
                  .units = s.units,
                  .gates = gates + 4 * at + unit,
                  .c = c + at + unit,
                  .c_before = c_before == nullptr ? nullptr : c_before + unit,
                  .dh = dh + at + unit,
                  .dc_given = dc == nullptr ? nullptr : dc + at + unit,
                  .dgates_given = dgates == nullptr ? nullptr : dgates + 4 * at + unit,
                  .dh_state = row_dh + unit,
                  .dc_state = row_dc + unit,
                  .dx = dx + 4 * at + unit,
                  .dx_state = row_d + unit});
          }
        }
        // Nothing is before the first step but the initial state.
        if (step == 0 && c_first < 0) break;
        add_product(packing, packed, d, d_step, dh_state, h_step, begin, end, is_padding);
      }
      if (c_first < 0) return;
      store_states(dh_state, h_step, s.units, args.out<T>(1), begin, end);
      store_states(dc_state, h_step, s.units, args.out<T>(2), begin, end);
    });
  };
  return {run, scratch.bytes()};
}

}  // namespace

void register_cpu_lstm(KernelTable& table) {
  add_for<float, double>(table, "Lstm", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return lstm<T>(spec); });
  add_for<float, double>(table, "LstmGrad", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return lstm_grad<T>(spec); });
}

}  // namespace trireme
