// The GRU, as the LSTM (lstm.cc). Where the reset gate is applied before the product, a step has
// two products: of the gates z and r, and of the candidate.
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/recurrent_product.h"
#include "core/device/cpu/recurrent_rows.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

using namespace recurrent;

// One step of up to 16 units of an example, beginning at the first of them; gates lie `units`
// apart, of products and biases 16 and `units`.
template <typename T>
struct Cell {
  int64_t lanes, units;
  const T *x, *product, *bias;  // bias null: zeros
  const T* h_before;
  T *gates, *h, *inner;
  T* h_state;      // h again, where the next step reads it
  T* inner_state;  // without reset_after: r·h, which the second product reads
};

template <typename T>
[[gnu::always_inline]] inline void load_sum(const Cell<T>& cell, int64_t gate, int64_t product,
                                            int64_t lanes, T* sum) {
  std::copy_n(cell.product + product * kLanes, lanes, sum);
  if (cell.bias == nullptr) return;
  for (int64_t j = 0; j < lanes; ++j) sum[j] += cell.bias[gate * cell.units + j];
}

// With reset_after: all of a step.
template <typename T>
[[gnu::always_inline]] inline void whole_lanes(const Cell<T>& cell, int64_t lanes) {
  T z[kLanes], r[kLanes], in[kLanes], g[kLanes], h[kLanes];
  load_sum(cell, 0, 0, lanes, z);
  load_sum(cell, 1, 1, lanes, r);
  load_sum(cell, 2, 2, lanes, in);
  for (int64_t j = 0; j < lanes; ++j) {
    z[j] = sigmoid(cell.x[j] + z[j]);
    r[j] = sigmoid(cell.x[cell.units + j] + r[j]);
    g[j] = hyperbolic_tangent(cell.x[2 * cell.units + j] + r[j] * in[j]);
    h[j] = z[j] * cell.h_before[j] + (1 - z[j]) * g[j];
  }
  std::copy_n(z, lanes, cell.gates);
  std::copy_n(r, lanes, cell.gates + cell.units);
  std::copy_n(g, lanes, cell.gates + 2 * cell.units);
  std::copy_n(in, lanes, cell.inner);
  std::copy_n(h, lanes, cell.h);
  std::copy_n(h, lanes, cell.h_state);
}

// Without: the gates z and r.
template <typename T>
[[gnu::always_inline]] inline void first_lanes(const Cell<T>& cell, int64_t lanes) {
  T z[kLanes], r[kLanes], in[kLanes];
  for (int64_t j = 0; j < lanes; ++j) {
    z[j] = sigmoid(cell.x[j] + cell.product[j]);
    r[j] = sigmoid(cell.x[cell.units + j] + cell.product[kLanes + j]);
    in[j] = r[j] * cell.h_before[j];
  }
  std::copy_n(z, lanes, cell.gates);
  std::copy_n(r, lanes, cell.gates + cell.units);
  std::copy_n(in, lanes, cell.inner);
  std::copy_n(in, lanes, cell.inner_state);
}

// And then the candidate; `x` and `gates` are those of the whole step.
template <typename T>
[[gnu::always_inline]] inline void second_lanes(const Cell<T>& cell, int64_t lanes) {
  T g[kLanes], h[kLanes];
  for (int64_t j = 0; j < lanes; ++j) {
    const T z = cell.gates[j];
    g[j] = hyperbolic_tangent(cell.x[2 * cell.units + j] + cell.product[j]);
    h[j] = z * cell.h_before[j] + (1 - z) * g[j];
  }
  std::copy_n(g, lanes, cell.gates + 2 * cell.units);
  std::copy_n(h, lanes, cell.h);
  std::copy_n(h, lanes, cell.h_state);
}

enum class Part { kWhole, kFirst, kSecond };

template <Part part, typename T>
[[gnu::always_inline]] inline void forward(const Cell<T>& cell) {
  const auto run = [&](int64_t lanes) __attribute__((always_inline)) {
    if constexpr (part == Part::kWhole) whole_lanes(cell, lanes);
    if constexpr (part == Part::kFirst) first_lanes(cell, lanes);
    if constexpr (part == Part::kSecond) second_lanes(cell, lanes);
  };
  if (cell.lanes == kLanes) {
    run(kLanes);
  } else {
    run(cell.lanes);
  }
}
template <Part part, typename T>
void forward_cell(const Cell<T>& cell) {
  forward<part>(cell);
}

// The states of one example before and after a step, and where they are kept.
template <typename T>
void hold_state(const Cell<T>& cell) {
  for (int64_t g = 0; g < 3; ++g) std::fill_n(cell.gates + g * cell.units, cell.lanes, T{0});
  std::fill_n(cell.inner, cell.lanes, T{0});
  std::copy_n(cell.h_before, cell.lanes, cell.h);
  std::copy_n(cell.h_before, cell.lanes, cell.h_state);
}

template <typename T>
PreparedKernel gru(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 1);
  const bool reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 2);
  const int biases = optional.take("has_bias"), h_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  const Packing gates_packing = Packing::by_unit(s.units, reset_after ? 3 : 2, s.units),
                candidate_packing = Packing::by_unit(s.units, 1, s.units, 2);
  const int64_t h_step = state_step(s.units);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(gates_packing.elements()),
               candidate_at = scratch.add<T>(reset_after ? 0 : candidate_packing.elements()),
               inner_at = scratch.add<T>(s.batch * h_step);
  const size_t states_at[2] = {scratch.add<T>(s.batch * h_step), scratch.add<T>(s.batch * h_step)};
  auto run = [=](const KernelArgs& args) {
    const T *const x = args.in<T>(0), *const kernel = args.in<T>(1),
                   *const bias = optional_input<T>(args, biases);
    const bool* const mask = optional_input<bool>(args, masks);
    T *const gates = args.out<T>(0), *const h = args.out<T>(1), *const inner = args.out<T>(2);
    T *const packed = scratch_at<T>(args, packed_at),
             *const candidate = scratch_at<T>(args, candidate_at),
             *const inner_state = scratch_at<T>(args, inner_at);
    T* const states[2] = {scratch_at<T>(args, states_at[0]), scratch_at<T>(args, states_at[1])};
    gates_packing.pack(kernel, 3 * s.units, 1, packed);
    if (!reset_after) candidate_packing.pack(kernel, 3 * s.units, 1, candidate);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      alignas(64) T product[kMaxRows * kMostColumns];
      load_states(optional_input<T>(args, h_first), s.units, states[0], h_step, begin, end);
      load_states<T>(nullptr, s.units, inner_state, h_step, begin, end);
      for (int64_t step = 0; step < s.time; ++step) {
        const T* const now = states[step % 2];
        T* const next = states[(step + 1) % 2];
        const auto is_padding = [&](int64_t row) {
          return mask != nullptr && !mask[s.place(row, step)];
        };
        const auto each = [&](const Packing& packing, const T* matrix, const T* left, auto visit) {
          for (const Block& block : packing.blocks()) {
            for_row_tiles(begin, end, packing.max_rows(block), [&](int64_t first, int64_t rows) {
              packing.multiply(block, matrix, left + first * h_step, h_step, rows, product);
              for (int64_t row = first; row < first + rows; ++row) {
                const int64_t place = s.place(row, step), unit = block.begin;
                visit(row, Cell<T>{.lanes = block.lanes,
                                   .units = s.units,
                                   .x = x + 3 * place * s.units + unit,
                                   .product = product + (row - first) * kMostColumns,
                                   .bias = bias == nullptr ? nullptr : bias + unit,
                                   .h_before = now + row * h_step + unit,
                                   .gates = gates + 3 * place * s.units + unit,
                                   .h = h + place * s.units + unit,
                                   .inner = inner + place * s.units + unit,
                                   .h_state = next + row * h_step + unit,
                                   .inner_state = inner_state + row * h_step + unit});
              }
            });
          }
        };
        each(gates_packing, packed, now, [&](int64_t row, const Cell<T>& cell) {
          if (is_padding(row)) {
            hold_state(cell);
          } else if (reset_after) {
            forward_cell<Part::kWhole>(cell);
          } else {
            forward_cell<Part::kFirst>(cell);
          }
        });
        if (reset_after) continue;
        each(candidate_packing, candidate, inner_state, [&](int64_t row, const Cell<T>& cell) {
          if (!is_padding(row)) forward_cell<Part::kSecond>(cell);
        });
      }
    });
  };
  return {run, scratch.bytes()};
}

// --- the gradients

// All units of one example at one step.
template <typename T>
struct Row {
  int64_t units;
  const T *gates, *h_before, *inner;  // h_before null: zeros
  const T *dh, *dinner_given, *dgates_given;
  T* dh_state;  // what came from the step behind; for the step before
  T *dx, *dinner;
  T *d_state, *dinner_state;  // the gradients that products read, again
};

template <typename T>
T number(const T* values, int64_t i) {
  return values == nullptr ? T{0} : values[i];
}

// The gradients of z and g; and with reset_after those of r and inner.
template <typename T>
void first_row(const Row<T>& row, bool reset_after) {
  const int64_t n = row.units;
  const T *const zs = row.gates, *const rs = zs + n, *const gs = rs + n;
  for (int64_t j = 0; j < n; ++j) {
    const T z = zs[j], r = rs[j], g = gs[j];
    const T dh = row.dh[j] + row.dh_state[j];
    const T dz = number(row.dgates_given, j) + dh * (number(row.h_before, j) - g);
    const T dg = (number(row.dgates_given, 2 * n + j) + dh * (1 - z)) * (1 - g * g);
    row.d_state[j] = dz * (z * (1 - z));
    row.dh_state[j] = dh * z;
    if (reset_after) {
      const T dr = number(row.dgates_given, n + j) + dg * row.inner[j];
      row.d_state[n + j] = dr * (r * (1 - r));
      row.d_state[2 * n + j] = dg * r + number(row.dinner_given, j);
      row.dinner[j] = row.d_state[2 * n + j];
    } else {
      row.d_state[2 * n + j] = dg;
      row.dinner_state[j] = number(row.dinner_given, j);
    }
    row.dx[2 * n + j] = dg;
  }
  std::copy_n(row.d_state, reset_after ? 2 * n : n, row.dx);
}

// Without reset_after: that of r and the rest, once dinner_state has the product of that of g.
template <typename T>
void second_row(const Row<T>& row, const T* r) {
  const int64_t n = row.units;
  for (int64_t j = 0; j < n; ++j) {
    const T d = row.dinner_state[j], reset = r[j];
    const T dr = number(row.dgates_given, n + j) + d * number(row.h_before, j);
    row.dinner[j] = d;
    row.dh_state[j] += d * reset;
    row.d_state[n + j] = dr * (reset * (1 - reset));
  }
  std::copy_n(row.d_state + n, n, row.dx + n);
}

template <typename T>
PreparedKernel gru_grad(const KernelSpec& spec) {
  const Shape& shape = spec.input_shape(1);
  const RecurrentSteps s{shape[0], shape[1], shape[2], spec.attribute<bool>("reverse")};
  const bool reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 4);
  const int h_first = optional.take("has_state"), dh_at = optional.take(),
            dinner_at = optional.take("has_dinner"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  const int64_t n = s.units;
  const Packing packing = Packing::plain((reset_after ? 3 : 2) * n, n),
                candidate_packing = Packing::plain(n, n);
  const int64_t h_step = state_step(n), d_step = state_step(3 * n);
  Scratch scratch;
  const size_t packed_at = scratch.add<T>(packing.elements()),
               candidate_at = scratch.add<T>(reset_after ? 0 : candidate_packing.elements()),
               dh_state_at = scratch.add<T>(s.batch * h_step),
               d_at = scratch.add<T>(s.batch * d_step),
               dinner_state_at = scratch.add<T>(s.batch * h_step),
               reset_at = scratch.add<T>(s.batch * h_step);
  auto run = [=](const KernelArgs& args) {
    const T *const gates = args.in<T>(0), *const h = args.in<T>(1), *const inner = args.in<T>(2),
                   *const kernel = args.in<T>(3);
    const T *const h_initial = optional_input<T>(args, h_first), *const dh = args.in<T>(dh_at),
                   *const dinner_given = optional_input<T>(args, dinner_at),
                   *const dgates = optional_input<T>(args, dgates_at);
    const bool* const mask = optional_input<bool>(args, masks);
    T *const dx = args.out<T>(0), *const dinner = args.out<T>(1);
    T *const packed = scratch_at<T>(args, packed_at),
             *const candidate = scratch_at<T>(args, candidate_at),
             *const dh_state = scratch_at<T>(args, dh_state_at),
             *const d = scratch_at<T>(args, d_at),
             *const dinner_state = scratch_at<T>(args, dinner_state_at),
             *const reset = scratch_at<T>(args, reset_at);
    packing.pack(kernel, 1, 3 * n, packed);
    if (!reset_after) candidate_packing.pack(kernel + 2 * n, 1, 3 * n, candidate);
    for_examples(s.batch, [&](int64_t begin, int64_t end) {
      load_states<T>(nullptr, n, dh_state, h_step, begin, end);
      for (int64_t step = s.time - 1; step >= 0; --step) {
        const auto is_padding = [&](int64_t row) {
          return mask != nullptr && !mask[s.place(row, step)];
        };
        const auto row_of = [&](int64_t row) {
          const int64_t place = s.place(row, step), at = place * n;
          const T* h_before = h_initial == nullptr ? nullptr : h_initial + row * n;
          if (step > 0) h_before = h + s.place(row, step - 1) * n;
          return Row<T>{.units = n,
                        .gates = gates + 3 * at,
                        .h_before = h_before,
                        .inner = inner + at,
                        .dh = dh + at,
                        .dinner_given = dinner_given == nullptr ? nullptr : dinner_given + at,
                        .dgates_given = dgates == nullptr ? nullptr : dgates + 3 * at,
                        .dh_state = dh_state + row * h_step,
                        .dx = dx + 3 * at,
                        .dinner = dinner + at,
                        .d_state = d + row * d_step,
                        .dinner_state = dinner_state + row * h_step};
        };
        for (int64_t row = begin; row < end; ++row) {
          const Row<T> cell = row_of(row);
          if (is_padding(row)) {
            for (int64_t j = 0; j < n; ++j) cell.dh_state[j] += cell.dh[j];
            std::fill_n(cell.d_state, 3 * n, T{0});
            std::fill_n(cell.dinner_state, n, T{0});
            std::fill_n(cell.dx, 3 * n, T{0});
            std::fill_n(cell.dinner, n, T{0});
            continue;
          }
          // dx may be written over the gates, of which r is needed once more.
          if (!reset_after) std::copy_n(cell.gates + n, n, reset + row * h_step);
          first_row(cell, reset_after);
        }
        if (!reset_after) {
          add_product(candidate_packing, candidate, d + 2 * n, d_step, dinner_state, h_step, begin,
                      end, is_padding);
          for (int64_t row = begin; row < end; ++row) {
            if (!is_padding(row)) second_row(row_of(row), reset + row * h_step);
          }
        }
        // Nothing is before the first step but the initial state.
        if (step == 0 && h_first < 0) break;
        add_product(packing, packed, d, d_step, dh_state, h_step, begin, end, is_padding);
      }
      if (h_first >= 0) store_states(dh_state, h_step, n, args.out<T>(2), begin, end);
    });
  };
  return {run, scratch.bytes()};
}

}  // namespace

void register_cpu_gru(KernelTable& table) {
  add_for<float, double>(table, "Gru", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return gru<T>(spec); });
  add_for<float, double>(table, "GruGrad", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return gru_grad<T>(spec); });
}

}  // namespace trireme
