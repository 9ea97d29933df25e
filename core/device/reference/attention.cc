#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/device/attention_layout.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// The row of an operand, or of a gradient of its shape.
template <typename T>
T* row_of(const AttentionLayout& l, T* at, const AttentionLayout::Rows& rows, int64_t b,
          int64_t position, int64_t head, int64_t numbers) {
  return at + l.at(rows, b, position, head, numbers);
}

template <typename T>
double dot(const T* a, const T* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// The scaled products of a query with all keys; −∞ for those that it does not see.
template <typename T>
std::vector<double> scores(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t h,
                           int64_t i) {
  std::vector<double> s(static_cast<size_t>(l.k_len), kNothing);
  const bool* const mask = l.mask_row(args, b, h, i);
  const T* const q = row_of(l, args.in<T>(l.q.input), l.q, b, i, h, l.dim);
  for (int64_t j = 0; j < l.visible(i); ++j) {
    if (mask != nullptr && !mask[j]) continue;
    const T* const k = row_of(l, args.in<T>(l.k.input), l.k, b, j, h / l.group(), l.dim);
    s[static_cast<size_t>(j)] = l.scale * dot(q, k, l.dim);
  }
  return s;
}

template <typename Body>
void for_each_query(const AttentionLayout& l, Body body) {
  for (int64_t b = 0; b < l.batch; ++b) {
    for (int64_t h = 0; h < l.heads; ++h) {
      for (int64_t i = 0; i < l.q_len; ++i) body(b, h, i);
    }
  }
}

template <typename T>
PreparedKernel attention(const KernelSpec& spec) {
  return {[l = AttentionLayout(spec, 0)](const KernelArgs& args) {
    for_each_query(l, [&](int64_t b, int64_t h, int64_t i) {
      const std::vector<double> s = scores<T>(l, args, b, h, i);
      double most = kNothing, sum = 0;
      for (double x : s) most = std::max(most, x);
      std::vector<double> y(static_cast<size_t>(l.value_dim));
      for (int64_t j = 0; j < l.k_len; ++j) {
        const double score = s[static_cast<size_t>(j)];
        if (score == kNothing) continue;
        const double weight = std::exp(score - most);
        sum += weight;
        const T* const v = row_of(l, args.in<T>(l.v.input), l.v, b, j, h / l.group(), l.value_dim);
        for (int64_t e = 0; e < l.value_dim; ++e) y[static_cast<size_t>(e)] += weight * v[e];
      }
      T* const to = row_of(l, args.out<T>(0), l.y, b, i, h, l.value_dim);
      for (int64_t e = 0; e < l.value_dim; ++e) {
        to[e] = static_cast<T>(sum == 0 ? 0 : y[static_cast<size_t>(e)] / sum);
      }
      args.out<T>(1)[(b * l.heads + h) * l.q_len + i] = static_cast<T>(most + std::log(sum));
    });
  }};
}

// Sums of one operand's gradient, in its layout but without what lies between its rows.
struct Sums {
  Sums(const AttentionLayout& l, int64_t positions, int64_t heads, int64_t numbers)
      : positions(positions),
        heads(heads),
        numbers(numbers),
        at(static_cast<size_t>(l.batch * positions * heads * numbers)) {}
  double* row(int64_t b, int64_t position, int64_t head) {
    return at.data() + ((b * positions + position) * heads + head) * numbers;
  }
  template <typename T>
  void write(const AttentionLayout& l, const AttentionLayout::Rows& rows, T* to) {
    for (int64_t b = 0; b < l.batch; ++b) {
      for (int64_t i = 0; i < positions; ++i) {
        for (int64_t h = 0; h < heads; ++h) {
          std::copy_n(row(b, i, h), numbers, row_of(l, to, rows, b, i, h, numbers));
        }
      }
    }
  }
  int64_t positions, heads, numbers;
  std::vector<double> at;
};

template <typename T>
PreparedKernel attention_grad(const KernelSpec& spec) {
  return {[l = AttentionLayout(spec, 3)](const KernelArgs& args) {
    Sums dq(l, l.q_len, l.heads, l.dim), dk(l, l.k_len, l.kv_heads, l.dim),
        dv(l, l.k_len, l.kv_heads, l.value_dim);
    for_each_query(l, [&](int64_t b, int64_t h, int64_t i) {
      const int64_t kv = h / l.group();
      const std::vector<double> s = scores<T>(l, args, b, h, i);
      const double log_sum_exp = args.in<T>(2)[(b * l.heads + h) * l.q_len + i];
      const T* const dy = row_of(l, args.in<T>(0), l.y, b, i, h, l.value_dim);
      const T* const y = row_of(l, args.in<T>(1), l.y, b, i, h, l.value_dim);
      const T* const q = row_of(l, args.in<T>(l.q.input), l.q, b, i, h, l.dim);
      const double centre = dot(dy, y, l.value_dim);
      for (int64_t j = 0; j < l.k_len; ++j) {
        const double score = s[static_cast<size_t>(j)];
        if (score == kNothing) continue;
        const T* const k = row_of(l, args.in<T>(l.k.input), l.k, b, j, kv, l.dim);
        const T* const v = row_of(l, args.in<T>(l.v.input), l.v, b, j, kv, l.value_dim);
        const double p = std::exp(score - log_sum_exp);
        const double ds = p * (dot(dy, v, l.value_dim) - centre) * l.scale;
        for (int64_t e = 0; e < l.value_dim; ++e) dv.row(b, j, kv)[e] += p * dy[e];
        for (int64_t e = 0; e < l.dim; ++e) {
          dq.row(b, i, h)[e] += ds * k[e];
          dk.row(b, j, kv)[e] += ds * q[e];
        }
      }
    });
    dq.write(l, l.q, args.out<T>(0));
    dk.write(l, l.k, args.out<T>(l.packed ? 0 : 1));
    dv.write(l, l.v, args.out<T>(l.packed ? 0 : 2));
  }};
}

}  // namespace

void register_attention_by_loops(KernelTable& table, std::string_view kind, DType dtype) {
  const bool is_double = dtype == DType::kFloat64;
  add_kernel(table, "Attention", kind, dtype, is_double ? attention<double> : attention<float>);
  add_kernel(table, "AttentionGrad", kind, dtype,
             is_double ? attention_grad<double> : attention_grad<float>);
}

void register_reference_attention(KernelTable& table) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    register_attention_by_loops(table, kReferenceKind, dtype);
  }
}

}  // namespace trireme
