#include <cmath>
#include <string>
#include <vector>

#include "core/device/recurrent_layout.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

using Numbers = std::vector<double>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// A state [batch, units] as wide numbers; zeros where there is none.
template <typename T>
Numbers state_of(const RecurrentSteps& s, const T* given) {
  Numbers state(static_cast<size_t>(s.batch * s.units), 0.0);
  for (size_t i = 0; given != nullptr && i < state.size(); ++i) state[i] = given[i];
  return state;
}

double& at(Numbers& state, const RecurrentSteps& s, int64_t row, int64_t unit) {
  return state[static_cast<size_t>(row * s.units + unit)];
}

// Σ over k of left[row, k] · kernel[k, column].
template <typename T>
double product(const RecurrentSteps& s, Numbers& left, int64_t row, const T* kernel, int64_t gates,
               int64_t column) {
  double sum = 0;
  for (int64_t k = 0; k < s.units; ++k) {
    sum += at(left, s, row, k) * kernel[k * gates * s.units + column];
  }
  return sum;
}

// What of a step is padding: of example `row` at `step`.
bool is_padding(const RecurrentSteps& s, const bool* mask, int64_t row, int64_t step) {
  return mask != nullptr && !mask[s.place(row, step)];
}

// A state of a step [batch, time, units], or what was before the first step.
template <typename T>
double before(const RecurrentSteps& s, const T* states, const T* first, int64_t row, int64_t step,
              int64_t unit) {
  if (step > 0) return states[s.place(row, step - 1) * s.units + unit];
  return first == nullptr ? 0 : static_cast<double>(first[row * s.units + unit]);
}

// --- LSTM

template <typename T>
PreparedKernel lstm(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 1);
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), c_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  return {[=](const KernelArgs& args) {
    const T *x = args.in<T>(0), *kernel = args.in<T>(1);
    const bool* mask = optional_input<bool>(args, masks);
    T *gates = args.out<T>(0), *h = args.out<T>(1), *c = args.out<T>(2);
    Numbers h_state = state_of(s, optional_input<T>(args, h_first)),
            c_state = state_of(s, optional_input<T>(args, c_first));
    for (int64_t step = 0; step < s.time; ++step) {
      Numbers h_next = h_state;
      for (int64_t row = 0; row < s.batch; ++row) {
        for (int64_t unit = 0; unit < s.units; ++unit) {
          const int64_t place = s.place(row, step) * s.units;
          double gate[4] = {};
          if (!is_padding(s, mask, row, step)) {
            for (int64_t i = 0; i < 4; ++i) {
              const int64_t column = i * s.units + unit;
              const double a = x[4 * place + column] + product(s, h_state, row, kernel, 4, column);
              gate[i] = i == 2 ? std::tanh(a) : sigmoid(a);
            }
            double& cell = at(c_state, s, row, unit);
            cell = gate[1] * cell + gate[0] * gate[2];
            at(h_next, s, row, unit) = gate[3] * std::tanh(cell);
          }
          for (int64_t i = 0; i < 4; ++i) {
            gates[4 * place + i * s.units + unit] = static_cast<T>(gate[i]);
          }
          h[place + unit] = static_cast<T>(at(h_next, s, row, unit));
          c[place + unit] = static_cast<T>(at(c_state, s, row, unit));
        }
      }
      h_state = h_next;
    }
  }};
}

// The gradient that flows back to h of the step before: Σ over the columns of the kernel of
// d[column] · kernel[unit, column].
template <typename T>
double back_through(const RecurrentSteps& s, const Numbers& d, const T* kernel, int64_t gates,
                    int64_t first, int64_t count, int64_t unit) {
  double sum = 0;
  for (int64_t j = first; j < first + count; ++j) {
    sum += d[static_cast<size_t>(j)] * kernel[unit * gates * s.units + j];
  }
  return sum;
}

template <typename T>
PreparedKernel lstm_grad(const KernelSpec& spec) {
  const RecurrentSteps s{spec.inputs[1].shape[0], spec.inputs[1].shape[1], spec.inputs[1].shape[2],
                         spec.attribute<bool>("reverse")};
  OptionalInputs optional(spec, 3);
  const int c_first = optional.take("has_state"), dh_at = optional.take(),
            dc_at = optional.take("has_dc"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  const bool has_state = c_first >= 0;
  return {[=](const KernelArgs& args) {
    const T *gates = args.in<T>(0), *c = args.in<T>(1), *kernel = args.in<T>(2);
    const T *c0 = optional_input<T>(args, c_first), *dh = args.in<T>(dh_at);
    const T *dc = optional_input<T>(args, dc_at), *dgates = optional_input<T>(args, dgates_at);
    const bool* mask = optional_input<bool>(args, masks);
    T* dx = args.out<T>(0);
    Numbers dh_state = state_of<T>(s, nullptr), dc_state = dh_state;
    for (int64_t step = s.time - 1; step >= 0; --step) {
      for (int64_t row = 0; row < s.batch; ++row) {
        const int64_t place = s.place(row, step) * s.units;
        const bool padding = is_padding(s, mask, row, step);
        Numbers d(static_cast<size_t>(4 * s.units), 0.0);
        for (int64_t unit = 0; unit < s.units; ++unit) {
          double &dh_total = at(dh_state, s, row, unit), &dc_total = at(dc_state, s, row, unit);
          dh_total += dh[place + unit];
          if (dc != nullptr) dc_total += dc[place + unit];
          if (padding) continue;
          double gate[4], upstream[4] = {};
          for (int64_t i = 0; i < 4; ++i) {
            const int64_t at_gate = 4 * place + i * s.units + unit;
            gate[i] = gates[at_gate];
            if (dgates != nullptr) upstream[i] = dgates[at_gate];
          }
          const double of_cell = std::tanh(static_cast<double>(c[place + unit]));
          dc_total += dh_total * gate[3] * (1 - of_cell * of_cell);
          upstream[0] += dc_total * gate[2];
          upstream[1] += dc_total * before(s, c, c0, row, step, unit);
          upstream[2] += dc_total * gate[0];
          upstream[3] += dh_total * of_cell;
          dc_total *= gate[1];
          for (int64_t i = 0; i < 4; ++i) {
            const double slope = i == 2 ? 1 - gate[2] * gate[2] : gate[i] * (1 - gate[i]);
            d[static_cast<size_t>(i * s.units + unit)] = upstream[i] * slope;
          }
        }
        for (int64_t j = 0; j < 4 * s.units; ++j) {
          dx[4 * place + j] = static_cast<T>(d[static_cast<size_t>(j)]);
        }
        for (int64_t unit = 0; !padding && unit < s.units; ++unit) {
          at(dh_state, s, row, unit) = back_through(s, d, kernel, 4, 0, 4 * s.units, unit);
        }
      }
    }
    for (size_t i = 0; has_state && i < dh_state.size(); ++i) {
      args.out<T>(1)[i] = static_cast<T>(dh_state[i]);
      args.out<T>(2)[i] = static_cast<T>(dc_state[i]);
    }
  }};
}

// --- GRU

template <typename T>
PreparedKernel gru(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 1);
  const bool reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 2);
  const int biases = optional.take("has_bias"), h_first = optional.take("has_state"),
            masks = optional.take("has_mask");
  return {[=](const KernelArgs& args) {
    const T *x = args.in<T>(0), *kernel = args.in<T>(1), *bias = optional_input<T>(args, biases);
    const bool* mask = optional_input<bool>(args, masks);
    T *gates = args.out<T>(0), *h = args.out<T>(1), *inner = args.out<T>(2);
    Numbers state = state_of(s, optional_input<T>(args, h_first));
    for (int64_t step = 0; step < s.time; ++step) {
      for (int64_t row = 0; row < s.batch; ++row) {
        const int64_t place = s.place(row, step) * s.units;
        const bool padding = is_padding(s, mask, row, step);
        // Of a whole row before the next: x may be written over.
        Numbers z(static_cast<size_t>(s.units)), r = z, g = z, in = z, held = z;
        for (int64_t unit = 0; !padding && unit < s.units; ++unit) {
          const auto u = static_cast<size_t>(unit);
          const auto sum = [&](int64_t i) {
            const int64_t column = i * s.units + unit;
            return product(s, state, row, kernel, 3, column) + (bias != nullptr ? bias[column] : 0);
          };
          z[u] = sigmoid(x[3 * place + unit] + sum(0));
          r[u] = sigmoid(x[3 * place + s.units + unit] + sum(1));
          in[u] = reset_after ? sum(2) : r[u] * at(state, s, row, unit);
        }
        for (int64_t unit = 0; !padding && unit < s.units; ++unit) {
          const auto u = static_cast<size_t>(unit);
          double of_inner = r[u] * in[u];
          if (!reset_after) {
            of_inner = 0;
            for (int64_t k = 0; k < s.units; ++k) {
              of_inner += in[static_cast<size_t>(k)] * kernel[(3 * k + 2) * s.units + unit];
            }
          }
          g[u] = std::tanh(x[3 * place + 2 * s.units + unit] + of_inner);
        }
        for (int64_t unit = 0; unit < s.units; ++unit) {
          const auto u = static_cast<size_t>(unit);
          double& value = at(state, s, row, unit);
          if (!padding) value = z[u] * value + (1 - z[u]) * g[u];
          gates[3 * place + unit] = static_cast<T>(z[u]);
          gates[3 * place + s.units + unit] = static_cast<T>(r[u]);
          gates[3 * place + 2 * s.units + unit] = static_cast<T>(g[u]);
          inner[place + unit] = static_cast<T>(in[u]);
          h[place + unit] = static_cast<T>(value);
        }
      }
    }
  }};
}

template <typename T>
PreparedKernel gru_grad(const KernelSpec& spec) {
  const RecurrentSteps s{spec.inputs[1].shape[0], spec.inputs[1].shape[1], spec.inputs[1].shape[2],
                         spec.attribute<bool>("reverse")};
  const bool reset_after = spec.attribute<bool>("reset_after");
  OptionalInputs optional(spec, 4);
  const int h_first = optional.take("has_state"), dh_at = optional.take(),
            dinner_at = optional.take("has_dinner"), dgates_at = optional.take("has_dgates"),
            masks = optional.take("has_mask");
  return {[=](const KernelArgs& args) {
    const T *gates = args.in<T>(0), *h = args.in<T>(1), *inner = args.in<T>(2),
            *kernel = args.in<T>(3);
    const T *h0 = optional_input<T>(args, h_first), *dh = args.in<T>(dh_at);
    const T *dinner_up = optional_input<T>(args, dinner_at),
            *dgates = optional_input<T>(args, dgates_at);
    const bool* mask = optional_input<bool>(args, masks);
    T *dx = args.out<T>(0), *dinner = args.out<T>(1);
    Numbers dh_state = state_of<T>(s, nullptr);
    const int64_t n = s.units;
    for (int64_t step = s.time - 1; step >= 0; --step) {
      for (int64_t row = 0; row < s.batch; ++row) {
        const int64_t place = s.place(row, step) * n;
        const bool padding = is_padding(s, mask, row, step);
        Numbers d(static_cast<size_t>(3 * n), 0.0), d_inner(static_cast<size_t>(n), 0.0);
        Numbers direct(static_cast<size_t>(n), 0.0);
        const auto gate = [&](int64_t i, int64_t unit) {
          return static_cast<double>(gates[3 * place + i * n + unit]);
        };
        const auto given = [&](int64_t i, int64_t unit) {
          return dgates == nullptr ? 0 : static_cast<double>(dgates[3 * place + i * n + unit]);
        };
        const auto slope = [&](int64_t i, int64_t unit) {
          const double value = gate(i, unit);
          return i == 2 ? 1 - value * value : value * (1 - value);
        };
        for (int64_t unit = 0; unit < n; ++unit) {
          at(dh_state, s, row, unit) += dh[place + unit];
          if (padding) continue;
          const double total = at(dh_state, s, row, unit), z = gate(0, unit);
          const double change = before(s, h, h0, row, step, unit) - gate(2, unit);
          d[static_cast<size_t>(unit)] = (given(0, unit) + total * change) * slope(0, unit);
          d[static_cast<size_t>(2 * n + unit)] =
              (given(2, unit) + total * (1 - z)) * slope(2, unit);
          direct[static_cast<size_t>(unit)] = total * z;
        }
        for (int64_t unit = 0; !padding && unit < n; ++unit) {
          const double of_inner = reset_after ? d[static_cast<size_t>(2 * n + unit)] * gate(1, unit)
                                              : back_through(s, d, kernel, 3, 2 * n, n, unit);
          const double total =
              of_inner + (dinner_up == nullptr ? 0 : static_cast<double>(dinner_up[place + unit]));
          d_inner[static_cast<size_t>(unit)] = total;
          const double dr = reset_after ? d[static_cast<size_t>(2 * n + unit)] *
                                              static_cast<double>(inner[place + unit])
                                        : total * before(s, h, h0, row, step, unit);
          d[static_cast<size_t>(n + unit)] = (given(1, unit) + dr) * slope(1, unit);
        }
        for (int64_t unit = 0; !padding && unit < n; ++unit) {
          double sum =
              direct[static_cast<size_t>(unit)] + back_through(s, d, kernel, 3, 0, 2 * n, unit);
          if (reset_after) {
            for (int64_t j = 0; j < n; ++j) {
              sum += d_inner[static_cast<size_t>(j)] * kernel[(3 * unit + 2) * n + j];
            }
          } else {
            sum += d_inner[static_cast<size_t>(unit)] * gate(1, unit);
          }
          at(dh_state, s, row, unit) = sum;
        }
        for (int64_t j = 0; j < 3 * n; ++j) {
          dx[3 * place + j] = static_cast<T>(d[static_cast<size_t>(j)]);
        }
        for (int64_t j = 0; j < n; ++j) {
          dinner[place + j] = static_cast<T>(d_inner[static_cast<size_t>(j)]);
        }
      }
    }
    for (size_t i = 0; h_first >= 0 && i < dh_state.size(); ++i) {
      args.out<T>(2)[i] = static_cast<T>(dh_state[i]);
    }
  }};
}

// --- the simple recurrence

double activated(const std::string& activation, double x) {
  if (activation == "tanh") return std::tanh(x);
  if (activation == "sigmoid") return sigmoid(x);
  return activation == "relu" && x < 0 ? 0 : x;
}

// The derivative, of the value that the activation gave.
double slope_of(const std::string& activation, double y) {
  if (activation == "tanh") return 1 - y * y;
  if (activation == "sigmoid") return y * (1 - y);
  return activation == "relu" && y <= 0 ? 0 : 1;
}

template <typename T>
PreparedKernel simple_rnn(const KernelSpec& spec) {
  const RecurrentSteps s = recurrent_steps(spec, 0);
  const auto activation = spec.attribute<std::string>("activation");
  OptionalInputs optional(spec, 2);
  const int h_first = optional.take("has_state"), masks = optional.take("has_mask");
  return {[=](const KernelArgs& args) {
    const T *x = args.in<T>(0), *kernel = args.in<T>(1);
    const bool* mask = optional_input<bool>(args, masks);
    Numbers state = state_of(s, optional_input<T>(args, h_first));
    for (int64_t step = 0; step < s.time; ++step) {
      Numbers next = state;
      for (int64_t row = 0; row < s.batch; ++row) {
        for (int64_t unit = 0; unit < s.units; ++unit) {
          const int64_t at_unit = s.place(row, step) * s.units + unit;
          double& value = at(next, s, row, unit);
          if (!is_padding(s, mask, row, step)) {
            value = activated(activation, x[at_unit] + product(s, state, row, kernel, 1, unit));
          }
          args.out<T>()[at_unit] = static_cast<T>(value);
        }
      }
      state = next;
    }
  }};
}

template <typename T>
PreparedKernel simple_rnn_grad(const KernelSpec& spec) {
  const RecurrentSteps s{spec.inputs[1].shape[0], spec.inputs[1].shape[1], spec.inputs[1].shape[2],
                         spec.attribute<bool>("reverse")};
  const auto activation = spec.attribute<std::string>("activation");
  OptionalInputs optional(spec, 3);
  const int masks = optional.take("has_mask");
  const bool has_state = spec.attribute<bool>("has_state");
  return {[=](const KernelArgs& args) {
    const T *dh = args.in<T>(0), *h = args.in<T>(1), *kernel = args.in<T>(2);
    const bool* mask = optional_input<bool>(args, masks);
    Numbers dh_state = state_of<T>(s, nullptr);
    for (int64_t step = s.time - 1; step >= 0; --step) {
      for (int64_t row = 0; row < s.batch; ++row) {
        const int64_t place = s.place(row, step) * s.units;
        const bool padding = is_padding(s, mask, row, step);
        Numbers d(static_cast<size_t>(s.units), 0.0);
        for (int64_t unit = 0; unit < s.units; ++unit) {
          double& total = at(dh_state, s, row, unit);
          total += dh[place + unit];
          if (!padding) {
            d[static_cast<size_t>(unit)] = total * slope_of(activation, h[place + unit]);
          }
        }
        for (int64_t unit = 0; unit < s.units; ++unit) {
          args.out<T>(0)[place + unit] = static_cast<T>(d[static_cast<size_t>(unit)]);
          if (!padding) {
            at(dh_state, s, row, unit) = back_through(s, d, kernel, 1, 0, s.units, unit);
          }
        }
      }
    }
    for (size_t i = 0; has_state && i < dh_state.size(); ++i) {
      args.out<T>(1)[i] = static_cast<T>(dh_state[i]);
    }
  }};
}

}  // namespace

void register_reference_recurrent(KernelTable& table) {
  const auto add = [&](const char* op, auto make) {
    add_for<float, double>(table, op, kReferenceKind, make);
  };
  add("Lstm", []<typename T>(const KernelSpec& s) { return lstm<T>(s); });
  add("LstmGrad", []<typename T>(const KernelSpec& s) { return lstm_grad<T>(s); });
  add("Gru", []<typename T>(const KernelSpec& s) { return gru<T>(s); });
  add("GruGrad", []<typename T>(const KernelSpec& s) { return gru_grad<T>(s); });
  add("SimpleRnn", []<typename T>(const KernelSpec& s) { return simple_rnn<T>(s); });
  add("SimpleRnnGrad", []<typename T>(const KernelSpec& s) { return simple_rnn_grad<T>(s); });
}

}  // namespace trireme
