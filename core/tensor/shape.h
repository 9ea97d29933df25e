// A shape: up to 8 dimensions, held inline. In a graph, -1 is a dimension known only at run time
// (the batch).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace trireme {

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;  // a scalar
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);  // throws Error for more than kMaxRank dimensions
  explicit Shape(const std::vector<int64_t>& dims) : Shape(std::span<const int64_t>(dims)) {}

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }  // 0 ≤ axis < rank
  int64_t dim(int axis) const;  // from the end when negative; throws when out of range
  void set(int axis, int64_t size) { dims_[axis] = size; }
  void push_back(int64_t size);
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  auto begin() const { return dims_.data(); }
  auto end() const { return dims_.data() + rank_; }

  bool is_known() const;        // no dimension is -1
  int64_t elements() const;     // REQUIRES: is_known()
  Shape first(int rank) const;  // the leading dimensions
  Shape last(int rank) const;   // the trailing dimensions

  bool operator==(const Shape& other) const;

  std::string to_string() const;  // "[?, 28, 28, 1]"

 private:
  int rank_ = 0;
  std::array<int64_t, kMaxRank> dims_{};
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

// True when the two can be the same shape: equal, or unknown where they differ.
bool compatible(const Shape& a, const Shape& b);

// NumPy's rule: aligned at the right, sizes equal or 1. Throws Error when they do not broadcast.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace trireme
