// Values that compute at once, by the kernels that a graph's plan runs.
//
//   eager::Value x(3.0), y(2.0);
//   eager::Tape tape;
//   tape.watch(x);
//   eager::Value z = x * y + eager::sin(x);
//   std::cout << z << " " << tape.gradient(z, x) << "\n";      // y + cos(x)
//
// A Value is a handle on a tensor that nobody changes; copies are of the same value. Within
// eager::function() it may stand for a node of the graph that is being made instead, and then has a
// type and no numbers. Values compute on the CPU. A Value belongs to one thread at a time.
//
// Functions of values are in core/eager/ops.h. Shapes and types that do not fit throw
// Error{kInvalidArgument}, as they do where a graph is built.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>

#include "core/graph/graph.h"
#include "core/tensor/tensor.h"

namespace trireme::eager {

// A part of an axis: [begin, end), negative numbers from its end; absent: from its start, to its
// end. Of one number: that index, and the axis goes.
struct Slice {
  std::optional<int64_t> begin = {}, end = {};
  bool is_index = false;

  static Slice all() { return {}; }
  static Slice at(int64_t index) { return {index, {}, true}; }
};

class Value {
 public:
  Value() = default;                    // undefined
  explicit Value(Tensor tensor);        // shared, not copied: nobody may change it afterwards
  explicit Value(double number);        // f32[]
  explicit Value(trireme::Value node);  // of a graph that is being made

  bool defined() const { return tensor_.defined() || symbol_.defined(); }
  const TensorType& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return shape().rank(); }

  // The numbers. Throws Error{kInvalidArgument} when it has none yet: while a function is traced.
  const Tensor& tensor() const;
  // The only number, of any type. Throws Error{kInvalidArgument} when there are several.
  double item() const;

  // Row `index` of the first axis, which goes.
  Value operator[](int64_t index) const;
  // A part of the leading axes: x.slice({{1, 3}, Slice::all(), Slice::at(-1)}).
  Value slice(std::span<const Slice> parts) const;
  Value slice(std::initializer_list<Slice> parts) const {
    return slice(std::span(parts.begin(), parts.size()));
  }

  // For people: "f32[2, 2] [[1, 2], [3, 4]]"; long axes are cut short in the middle.
  std::string to_string() const;

  bool is_symbol() const { return symbol_.defined(); }
  trireme::Value symbol() const { return symbol_; }  // REQUIRES: is_symbol()
  // What a tape knows it by; copies have the same.
  uint64_t id() const { return id_; }

 private:
  Tensor tensor_;
  trireme::Value symbol_;
  uint64_t id_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Value& value);

// f32 values in row-major order: array({1, 2, 3, 4}, {2, 2}). Without a shape: one axis. Throws
// Error{kInvalidArgument} when their number does not fit.
Value array(std::initializer_list<double> numbers);
Value array(std::initializer_list<double> numbers, const Shape& shape);

}  // namespace trireme::eager
