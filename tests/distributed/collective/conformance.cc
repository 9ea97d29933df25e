#include "tests/distributed/collective/conformance.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "core/base/error.h"

namespace trireme::testing {
namespace {

template <typename T>
constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9;
  return x ^ (x >> 32);
}

// What rank `rank` holds at `i`. Exact: small whole numbers, whose sums no order of adding rounds.
template <typename T>
T element(int rank, int64_t i, bool exact) {
  const uint64_t bits = mixed(static_cast<uint64_t>(rank) * 1'000'003 + static_cast<uint64_t>(i));
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(bits % 2001) - 1000;
  } else {
    const double value = exact ? static_cast<double>(bits % 17) - 8
                               : std::ldexp(static_cast<double>(bits % 65521) - 32760, -13);
    if constexpr (kNarrow<T>) {
      return T(static_cast<float>(value));
    } else {
      return static_cast<T>(value);
    }
  }
}

template <typename T>
T combined(T a, T b, ReduceOp op) {
  if constexpr (kNarrow<T>) {
    return T(combined(static_cast<float>(a), static_cast<float>(b), op));
  } else {
    if (op == ReduceOp::kMin) return std::min(a, b);
    if (op == ReduceOp::kMax) return std::max(a, b);
    return a + b;
  }
}

// ((0+1)+(2+3))+…: cut after the largest power of two below the number of ranks.
template <typename T>
T tree(int begin, int end, int64_t i, ReduceOp op, bool exact) {
  if (end - begin == 1) return element<T>(begin, i, exact);
  int half = 1;
  while (half * 2 < end - begin) half *= 2;
  return combined(tree<T>(begin, begin + half, i, op, exact),
                  tree<T>(begin + half, end, i, op, exact), op);
}

template <typename T>
T reference(int ranks, int64_t i, ReduceOp op, bool exact) {
  const T sum = tree<T>(0, ranks, i, op, exact);
  if (op != ReduceOp::kMean) return sum;
  if constexpr (kNarrow<T>) {
    return T(static_cast<float>(sum) / static_cast<float>(ranks));
  } else {
    return sum / static_cast<T>(ranks);
  }
}

template <typename T>
std::vector<T> tensor(int rank, int64_t count, bool exact) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = element<T>(rank, i, exact);
  return values;
}

template <typename T>
TensorSpan span(std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), dtype_of<T>};
}

template <typename T>
void expect_equal(const T& found, const T& expected, const std::string& call, int64_t i) {
  if (std::memcmp(&found, &expected, sizeof(T)) == 0) return;
  throw failed(call, ": expected ", static_cast<double>(static_cast<float>(expected)),
               " at element ", i, ", found ", static_cast<double>(static_cast<float>(found)));
}

void for_each_dtype(const std::function<void(DType)>& body) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16,
                            DType::kInt32, DType::kInt64}) {
    body(dtype);
  }
}

template <typename Body>
void with_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat32:
      return body(float());
    case DType::kFloat64:
      return body(double());
    case DType::kFloat16:
      return body(Half());
    case DType::kBFloat16:
      return body(BFloat16());
    case DType::kInt32:
      return body(int32_t());
    default:
      return body(int64_t());
  }
}

// One type of each size.
bool cut_like_no_other(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 || dtype == DType::kBFloat16;
}

constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kMean, ReduceOp::kMin, ReduceOp::kMax};

}  // namespace

void check_all_reduce(Communicator& communicator) {
  const int n = communicator.size();
  for_each_dtype([&](DType dtype) {
    with_type(dtype, [&]<typename T>(T) {
      for (const ReduceOp op : kOps) {
        for (const Summation summation : {Summation::kAny, Summation::kTree}) {
          for (const int64_t count : {0, 1, 1009, 70'001}) {
            // How a long one is cut depends on the size of its elements only.
            if (count > 2000 && (op != ReduceOp::kMean || !cut_like_no_other(dtype))) continue;
            const bool exact = summation == Summation::kAny;
            auto values = tensor<T>(communicator.rank(), count, exact);
            communicator.all_reduce(span(values), op, summation);
            const std::string call = str_cat("all_reduce of ", count, " ", name(dtype), " by ",
                                             name(op), exact ? "" : " along the tree");
            for (int64_t i = 0; i < count; ++i) {
              expect_equal(values[static_cast<size_t>(i)], reference<T>(n, i, op, exact), call, i);
            }
          }
        }
      }
    });
  });
}

void check_reduce_scatter(Communicator& communicator) {
  const int n = communicator.size();
  for_each_dtype([&](DType dtype) {
    with_type(dtype, [&]<typename T>(T) {
      for (const ReduceOp op : kOps) {
        for (const int64_t count : {0, 1, 1009, 30'011}) {
          if (count > 2000 && (op != ReduceOp::kSum || !cut_like_no_other(dtype))) continue;
          auto in = tensor<T>(communicator.rank(), count * n, true);
          const auto before = in;
          std::vector<T> out(static_cast<size_t>(count));
          communicator.reduce_scatter(span(in), span(out), op);
          const std::string call =
              str_cat("reduce_scatter to ", count, " ", name(dtype), " by ", name(op));
          for (int64_t i = 0; i < count; ++i) {
            expect_equal(out[static_cast<size_t>(i)],
                         reference<T>(n, count * communicator.rank() + i, op, true), call, i);
          }
          for (size_t i = 0; i < in.size(); ++i) {
            expect_equal(in[i], before[i], call + ", its input", static_cast<int64_t>(i));
          }
        }
      }
    });
  });
}

void check_all_gather(Communicator& communicator) {
  const int n = communicator.size();
  for_each_dtype([&](DType dtype) {
    with_type(dtype, [&]<typename T>(T) {
      for (const int64_t count : {0, 1, 1009, 70'001}) {
        if (count > 2000 && !cut_like_no_other(dtype)) continue;
        for (const bool in_place : {false, true}) {
          auto in = tensor<T>(communicator.rank(), count, false);
          std::vector<T> out(static_cast<size_t>(count * n));
          TensorSpan from = span(in);
          if (in_place && count > 0) {
            T* place = out.data() + count * communicator.rank();
            std::memcpy(static_cast<void*>(place), in.data(), from.bytes());
            from.data = place;
          }
          communicator.all_gather(from, span(out));
          const std::string call = str_cat("all_gather of ", count, " ", name(dtype));
          for (int64_t i = 0; i < count * n; ++i) {
            expect_equal(out[static_cast<size_t>(i)],
                         element<T>(static_cast<int>(i / count), i % count, false), call, i);
          }
        }
      }
    });
  });
}

void check_broadcast(Communicator& communicator) {
  for (int root = 0; root < communicator.size(); ++root) {
    for (const int64_t count : {0, 1, 1009, 150'001}) {
      auto values = tensor<float>(communicator.rank(), count, false);
      communicator.broadcast(span(values), root);
      const std::string call = str_cat("broadcast of ", count, " from ", root);
      for (int64_t i = 0; i < count; ++i) {
        expect_equal(values[static_cast<size_t>(i)], element<float>(root, i, false), call, i);
      }
    }
  }
}

void check_mixture(Communicator& communicator) {
  const int n = communicator.size();
  for (int round = 0; round < 20; ++round) {
    const int64_t count = 1 + static_cast<int64_t>(mixed(static_cast<uint64_t>(round)) % 50'000);
    auto values = tensor<float>(communicator.rank(), count, true);
    communicator.all_reduce(span(values), ReduceOp::kSum);
    communicator.barrier();
    std::vector<int64_t> marks(static_cast<size_t>(n));
    std::vector<int64_t> mark = {communicator.rank() * 100 + round};
    communicator.all_gather(span(mark), span(marks));
    communicator.broadcast(span(mark), round % n);
    for (int rank = 0; rank < n; ++rank) {
      expect_equal<int64_t>(marks[static_cast<size_t>(rank)], rank * 100 + round, "all_gather",
                            rank);
    }
    expect_equal<int64_t>(mark[0], round % n * 100 + round, "broadcast", round);
    for (int64_t i = 0; i < count; i += 97) {
      expect_equal(values[static_cast<size_t>(i)], reference<float>(n, i, ReduceOp::kSum, true),
                   "all_reduce in a mixture", i);
    }
  }
}

void check_large(Communicator& communicator) {
  constexpr int64_t kCount = (64 << 20) / sizeof(float);
  for (const Summation summation : {Summation::kAny, Summation::kTree}) {
    auto values = tensor<float>(communicator.rank(), kCount, true);
    communicator.all_reduce(span(values), ReduceOp::kSum, summation);
    const std::string call = "all_reduce of 64 MiB";
    for (int64_t i = 0; i < kCount; i += 3) {  // every block, every cache line
      expect_equal(values[static_cast<size_t>(i)],
                   reference<float>(communicator.size(), i, ReduceOp::kSum, true), call, i);
    }
  }
}

}  // namespace trireme::testing
