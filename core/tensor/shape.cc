#include "core/tensor/shape.h"

#include <algorithm>
#include <ostream>

#include "core/base/error.h"

namespace trireme {

Shape::Shape(std::span<const int64_t> dims) {
  for (int64_t size : dims) push_back(size);
}

void Shape::push_back(int64_t size) {
  if (rank_ == kMaxRank) throw invalid_argument("a shape has at most ", kMaxRank, " dimensions");
  dims_[rank_++] = size;
}

int64_t Shape::dim(int axis) const {
  const int from_front = axis < 0 ? axis + rank_ : axis;
  if (from_front < 0 || from_front >= rank_) {
    throw invalid_argument("axis ", axis, " is out of range for shape ", to_string());
  }
  return dims_[from_front];
}

bool Shape::is_known() const {
  return std::none_of(begin(), end(), [](int64_t size) { return size < 0; });
}

// The limit leaves room to count the bytes of any dtype.
int64_t Shape::elements() const {
  constexpr int64_t kMost = int64_t{1} << 58;
  int64_t product = 1;
  bool overflows = false, is_empty = false;
  for (int64_t size : *this) {
    TRIREME_CHECK(size >= 0, "shape ", to_string(), " is not known");
    is_empty |= size == 0;
    overflows |= __builtin_mul_overflow(product, size, &product) || product > kMost;
  }
  if (is_empty) return 0;
  if (overflows) {
    throw invalid_argument("the shape ", to_string(),
                           " has more elements than any memory: at most ", kMost,
                           " can be counted");
  }
  return product;
}

Shape Shape::first(int rank) const { return Shape(dims().first(rank)); }
Shape Shape::last(int rank) const { return Shape(dims().last(rank)); }

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += dims_[i] < 0 ? "?" : std::to_string(dims_[i]);
  }
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.to_string(); }

bool compatible(const Shape& a, const Shape& b) {
  return std::ranges::equal(a.dims(), b.dims(),
                            [](int64_t x, int64_t y) { return x == y || x < 0 || y < 0; });
}

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<int64_t> dims(rank);
  for (int i = 0; i < rank; ++i) {
    const int64_t x = i < rank - a.rank() ? 1 : a[i - (rank - a.rank())];
    const int64_t y = i < rank - b.rank() ? 1 : b[i - (rank - b.rank())];
    if (x == y || y == 1) {
      dims[i] = x;
    } else if (x == 1) {
      dims[i] = y;
    } else if (x < 0 || y < 0) {
      dims[i] = std::max(x, y);  // the known one: the unknown one must turn out equal, or 1
    } else {
      throw invalid_argument("shapes ", a, " and ", b, " do not broadcast");
    }
  }
  return Shape(dims);
}

}  // namespace trireme
