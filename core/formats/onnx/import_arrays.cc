// ONNX's ops that move, pick or make elements, and those of shapes, as ours.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/indexing.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

using Kind = OnnxValue::Kind;

constexpr int64_t kMostElements = int64_t{1} << 25;  // of what a node makes of written sizes

constexpr int64_t kMostTimes = 4096;  // that something is repeated; each is an input of a node

// --- shapes

OnnxResults shape_of(OnnxCall& call) {
  std::vector<BatchNumber> sizes = dimensions_of(call.input(0));
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto bound = [&](int64_t at) {
    return std::clamp(at < 0 ? at + rank : at, int64_t{0}, rank);
  };
  const int64_t start = bound(call.integer("start", 0)), end = bound(call.integer("end", rank));
  if (start >= end) return {OnnxValue::of(std::vector<BatchNumber>{}, false)};
  return {OnnxValue::of({sizes.begin() + start, sizes.begin() + end}, false)};
}

// The product of sizes; nothing where it is no number of batches.
std::optional<BatchNumber> product(const std::vector<BatchNumber>& sizes) {
  BatchNumber all{1, 0};
  for (const BatchNumber& size : sizes) {
    if (all.per_batch != 0 && size.per_batch != 0) return {};
    if ((size.per_batch != 0 && size.constant != 0)) return {};
    const int64_t factor = size.per_batch != 0 ? size.per_batch : size.constant;
    const bool per_batch = all.per_batch != 0 || size.per_batch != 0;
    const int64_t before = all.per_batch != 0 ? all.per_batch : all.constant;
    int64_t now = 0;
    if (__builtin_mul_overflow(before, factor, &now)) return {};
    all = per_batch ? BatchNumber{0, now} : BatchNumber{now, 0};
  }
  return all;
}

OnnxResults size_of_all(OnnxCall& call) {
  const auto all = product(dimensions_of(call.input(0)));
  call.require(all.has_value(), "a value of a number of elements that is known but for the batch");
  return {OnnxValue::of({*all}, true)};
}

// `sizes` as a shape of ours, with −1 where one depends on the batch.
Shape shape_with_batch(OnnxCall& call, const std::vector<BatchNumber>& sizes, int64_t& per_batch) {
  call.require(sizes.size() <= Shape::kMaxRank,
               str_cat("at most ", Shape::kMaxRank, " dimensions"));
  Shape shape;
  int unknown = 0;
  for (const BatchNumber& size : sizes) {
    if (size.per_batch == 0) {
      call.require(size.constant >= 0, "sizes of at least 0");
      shape.push_back(size.constant);
      continue;
    }
    call.require(size.constant == 0 && ++unknown == 1,
                 "a shape of which one size is a multiple of the batch");
    per_batch = size.per_batch;
    shape.push_back(-1);
  }
  return shape;
}

OnnxResults reshape(OnnxCall& call) {
  std::vector<BatchNumber> sizes = call.sizes(1);
  const std::vector<BatchNumber> from = dimensions_of(call.input(0));
  const bool allow_zero = call.integer("allowzero", 0) != 0;
  int rest = -1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    BatchNumber& size = sizes[i];
    if (size.per_batch != 0) continue;
    if (size.constant == 0 && !allow_zero) {
      call.require(i < from.size(), "a 0 in the shape only where the input has a dimension");
      size = from[i];
    } else if (size.constant == -1) {
      call.require(rest < 0, "at most one -1 in the shape");
      rest = static_cast<int>(i);
    }
  }
  if (rest >= 0) {
    std::vector<BatchNumber> others = sizes;
    others.erase(others.begin() + rest);
    const auto all = product(from), known = product(others);
    call.require(all && known, "a shape of which the rest can be worked out");
    const int64_t total = all->per_batch != 0 ? all->per_batch : all->constant;
    const int64_t part = known->per_batch != 0 ? known->per_batch : known->constant;
    call.require(part > 0 && total % part == 0 && (all->per_batch != 0 || known->per_batch == 0),
                 "a number of elements that the shape divides");
    const bool is_batch = all->per_batch != 0 && known->per_batch == 0;
    sizes[static_cast<size_t>(rest)] =
        is_batch ? BatchNumber{0, total / part} : BatchNumber{total / part, 0};
  }
  const auto all = product(from), now = product(sizes);
  call.require(all && now && *all == *now, "a shape with as many elements as the input");
  if (call.input(0).is(Kind::kNumbers)) {
    call.require(sizes.size() <= 1, "sizes as one row");
    return {OnnxValue::of(call.input(0).numbers, sizes.empty())};
  }
  int64_t per_batch = 1;
  const Shape shape = shape_with_batch(call, sizes, per_batch);
  return {call.result(ops::reshape(call.value(0), shape), per_batch)};
}

OnnxResults flatten(OnnxCall& call) {
  const std::vector<BatchNumber> from = dimensions_of(call.input(0));
  const auto rank = static_cast<int64_t>(from.size());
  int64_t axis = call.integer("axis", 1);
  call.require(axis >= -rank && axis <= rank, "an axis within the dimensions");
  if (axis < 0) axis += rank;
  const auto rows = product({from.begin(), from.begin() + axis});
  const auto columns = product({from.begin() + axis, from.end()});
  call.require(rows && columns, "sizes that are known but for the batch");
  int64_t per_batch = 1;
  const Shape shape = shape_with_batch(call, {*rows, *columns}, per_batch);
  return {call.result(ops::reshape(call.value(0), shape), per_batch)};
}

OnnxResults squeeze(OnnxCall& call) {
  const auto given = call.integers_or_input("axes", 1);
  const Shape shape = call.type(0).shape;
  std::vector<int64_t> axes;
  if (given) {
    axes = call.axes(*given, shape.rank());
  } else {
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) axes.push_back(i);
    }
  }
  if (call.input(0).is(Kind::kNumbers)) {
    call.require(call.input(0).numbers.size() == 1, "one size");
    return {OnnxValue::of(call.input(0).numbers, axes.size() == 1 || call.rank(0) == 0)};
  }
  return {call.result(axes.empty() ? call.value(0) : ops::squeeze(call.value(0), axes))};
}

OnnxResults unsqueeze(OnnxCall& call) {
  const auto given = call.integers_or_input("axes", 1);
  call.require(given.has_value(), "axes");
  const auto rank = call.rank(0) + static_cast<int>(given->size());
  call.require(rank <= Shape::kMaxRank, str_cat("at most ", Shape::kMaxRank, " dimensions"));
  const std::vector<int64_t> axes = call.axes(*given, rank);
  if (call.input(0).is(Kind::kNumbers)) {
    call.require(call.rank(0) == 0 && axes.size() == 1, "one size");
    return {OnnxValue::of(call.input(0).numbers, false)};
  }
  return {call.result(axes.empty() ? call.value(0) : ops::expand_dims(call.value(0), axes))};
}

// --- order and parts

OnnxResults transpose(OnnxCall& call) {
  const int rank = call.rank(0);
  std::vector<int64_t> order = call.integers("perm");
  if (order.empty()) {
    for (int i = rank; i-- > 0;) order.push_back(i);
  }
  const std::vector<int64_t> to_last = {0, 2, 3, 1}, to_first = {0, 3, 1, 2};
  if (order == to_last && call.is_channels_last(0)) return {call.result(call.channels_last(0))};
  if (order == to_first && !call.folds()) return {call.result_channels_last(call.value(0))};
  return {call.result(ops::transpose(call.value(0), order))};
}

OnnxResults concat(OnnxCall& call) {
  call.require(call.count() > 0, "at least one input");
  const int64_t axis = call.axis(call.integer("axis", call.opset() < 4 ? 1 : 0), call.rank(0));
  bool is_sizes = false, last = true;
  for (int i = 0; i < call.count(); ++i) {
    is_sizes = is_sizes || call.input(i).is(Kind::kNumbers);
    last = last && call.is_channels_last(i);
  }
  if (is_sizes) {
    std::vector<BatchNumber> all;
    for (int i = 0; i < call.count(); ++i) {
      const auto part = call.sizes(i);
      all.insert(all.end(), part.begin(), part.end());
    }
    return {OnnxValue::of(std::move(all), false)};
  }
  std::vector<Value> parts;
  if (last) {
    constexpr int64_t kLast[] = {0, 3, 1, 2};  // where an axis of ONNX's stands
    for (int i = 0; i < call.count(); ++i) parts.push_back(call.channels_last(i));
    return {call.result_channels_last(ops::concat(parts, kLast[axis]))};
  }
  for (int i = 0; i < call.count(); ++i) parts.push_back(call.value(i));
  const Value y = ops::concat(parts, axis);
  int64_t per_batch = call.per_batch();
  if (y.shape()[static_cast<int>(axis)] < 0 && parts.size() > 1) {
    per_batch = 0;
    for (int i = 0; i < call.count(); ++i) {
      call.require(call.type(i).shape[static_cast<int>(axis)] < 0,
                   "parts along the batch that are all multiples of it");
      per_batch += call.input(i).per_batch;
    }
  }
  return {call.result(y, per_batch)};
}

OnnxResults split(OnnxCall& call) {
  const int64_t axis = call.axis(call.integer("axis", 0), call.rank(0));
  const int64_t whole = call.type(0).shape[static_cast<int>(axis)];
  call.require(whole >= 0, "a size along the axis that is known");
  auto sizes = call.integers_or_input("split", 1);
  if (!sizes) {
    const int64_t parts = call.integer("num_outputs", call.output_count());
    call.require(parts > 0 && parts == call.output_count(), "as many parts as outputs");
    const int64_t each = (whole + parts - 1) / parts;
    sizes.emplace();
    for (int64_t left = whole; static_cast<int64_t>(sizes->size()) < parts; left -= each) {
      sizes->push_back(std::clamp(left, int64_t{0}, each));
    }
  }
  call.require(std::ranges::all_of(*sizes, [](int64_t size) { return size >= 0; }) &&
                   std::accumulate(sizes->begin(), sizes->end(), int64_t{0}) == whole,
               str_cat("parts that make up ", whole));
  OnnxResults results;
  for (const Value& part : ops::split(call.value(0), *sizes, axis)) {
    results.push_back(call.result(part));
  }
  return results;
}

// A part of one axis: from `begin` on each `step`-th, `count` of them.
struct AxisPart {
  int64_t axis = 0, begin = 0, step = 1, count = 0;
};

AxisPart axis_part(OnnxCall& call, int64_t axis, int64_t start, int64_t end, int64_t step,
                   int64_t size) {
  call.require(step != 0 && step > INT32_MIN && step < INT32_MAX, "a step other than 0");
  const auto bound = [&](int64_t at, int64_t low, int64_t high) {
    return std::clamp(at < 0 && at >= -size ? at + size : at < 0 ? low : at, low, high);
  };
  AxisPart part{axis, 0, step, 0};
  if (step > 0) {
    part.begin = bound(start, 0, size);
    part.count = std::max<int64_t>(0, (bound(end, 0, size) - part.begin + step - 1) / step);
  } else {
    part.begin = bound(start, -1, size - 1);
    part.count = std::max<int64_t>(0, (part.begin - bound(end, -1, size - 1) - step - 1) / -step);
  }
  return part;
}

Value take_part(Value x, const AxisPart& part) {
  const auto rank = static_cast<size_t>(x.shape().rank());
  const auto at = static_cast<size_t>(part.axis);
  Ints begin(rank, 0), size(rank, -1);
  if (part.step == 1) {
    begin[at] = part.begin;
    size[at] = part.count;
    return ops::slice(x, begin, size);
  }
  if (part.count == 0) {
    size[at] = 0;
    return ops::slice(x, begin, size);
  }
  // Backwards or in steps: by number.
  if (part.count > kMostElements) {
    throw invalid_argument("expected at most ", kMostElements, " elements in steps, found ",
                           part.count);
  }
  Tensor places(DType::kInt64, {part.count});
  for (int64_t i = 0; i < part.count; ++i) {
    places.flat<int64_t>()[static_cast<size_t>(i)] = part.begin + i * part.step;
  }
  return ops::gather(x, ops::constant(x.graph(), places), part.axis);
}

OnnxResults slice(OnnxCall& call) {
  const auto starts = call.opset() < 10 ? call.integers("starts") : call.ints(1);
  const std::vector<BatchNumber> ends = [&] {
    if (call.opset() >= 10) return call.sizes(2);
    std::vector<BatchNumber> made;
    for (int64_t end : call.integers("ends")) made.push_back({end, 0});
    return made;
  }();
  auto axes = call.integers_or_input("axes", 3);
  const auto steps =
      call.opset() < 10 || !call.has(4) ? std::vector<int64_t>(starts.size(), 1) : call.ints(4);
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < starts.size(); ++i) axes->push_back(static_cast<int64_t>(i));
  }
  call.require(starts.size() == ends.size() && starts.size() == axes->size() &&
                   starts.size() == steps.size(),
               "as many starts, ends, axes and steps");
  const Shape shape = call.type(0).shape;
  const bool is_sizes = call.input(0).is(Kind::kNumbers);
  std::optional<Value> y;
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = call.axis((*axes)[i], shape.rank());
    const int64_t size = shape[static_cast<int>(axis)];
    const bool to_end = (ends[i].per_batch > 0 && size < 0) || ends[i].constant >= INT32_MAX;
    if (starts[i] == 0 && to_end && steps[i] == 1) continue;  // the whole axis
    call.require(ends[i].per_batch == 0, "ends that do not depend on the batch");
    call.require(size >= 0, "a part of an axis of known size");
    const AxisPart part = axis_part(call, axis, starts[i], ends[i].constant, steps[i], size);
    if (is_sizes) {
      std::vector<BatchNumber> made;
      for (int64_t k = 0; k < part.count; ++k) {
        made.push_back(call.input(0).numbers[static_cast<size_t>(part.begin + k * part.step)]);
      }
      return {OnnxValue::of(std::move(made), false)};
    }
    y = take_part(y ? *y : call.value(0), part);
  }
  if (is_sizes || !y) return {call.input(0)};
  return {call.result(*y)};
}

// Indices from the end where negative, as ours are not.
Value from_start(OnnxCall& call, int i, int64_t size) {
  if (call.is_known(i)) {
    const Tensor& given = call.tensor(i);
    Tensor made(DType::kInt64, given.shape());
    for (int64_t k = 0; k < given.elements(); ++k) {
      const auto index = static_cast<int64_t>(given.as_double(k));
      call.require(size < 0 || (index >= -size && index < size),
                   str_cat("indices within ", size, ", not ", index));
      call.require(size >= 0 || index >= 0, "an index from the end of a known size");
      made.flat<int64_t>()[static_cast<size_t>(k)] = index < 0 ? index + size : index;
    }
    return ops::constant(call.graph(), made);
  }
  // Of the data: keys of an embedding. A negative one is an error when it is looked up.
  return call.value(i);
}

OnnxResults gather(OnnxCall& call) {
  const int64_t axis = call.axis(call.integer("axis", 0), call.rank(0));
  if (call.input(0).is(Kind::kNumbers)) {
    const auto places = call.ints(1);
    std::vector<BatchNumber> made;
    const auto count = static_cast<int64_t>(call.input(0).numbers.size());
    for (int64_t place : places) {
      call.require(place >= -count && place < count, "an index within the sizes");
      made.push_back(call.input(0).numbers[static_cast<size_t>(place < 0 ? place + count : place)]);
    }
    return {OnnxValue::of(std::move(made), call.rank(1) == 0)};
  }
  const int64_t size = call.type(0).shape[static_cast<int>(axis)];
  const Value x = call.value(0), places = from_start(call, 1, size);
  // What is looked up in a table of weights has a gradient of rows.
  if (axis == 0 && x.node->op().traits.source == Source::kVariable) {
    return {call.result(ops::embedding_lookup(x, places))};
  }
  return {call.result(ops::gather(x, places, axis))};
}

OnnxResults gather_elements(OnnxCall& call) {
  const int64_t axis = call.axis(call.integer("axis", 0), call.rank(0));
  const int64_t size = call.type(0).shape[static_cast<int>(axis)];
  return {call.result(ops::take_along_axis(call.value(0), from_start(call, 1, size), axis))};
}

OnnxResults gather_nd(OnnxCall& call) {
  const int64_t batch = call.integer("batch_dims", 0);
  const Value params = call.value(0), indices = call.value(1);
  if (batch == 0) return {call.result(ops::gather_nd(params, indices))};
  call.require(indices.shape().dim(-1) == 1, "one coordinate behind the batch");
  return {call.result(
      ops::gather(params, ops::squeeze(indices, {-1}), batch, static_cast<int>(batch)))};
}

// --- repeating and filling

// Zeros of a shape of which one size is a multiple of the batch.
Value zeros_of(OnnxCall& call, const std::vector<BatchNumber>& sizes, DType dtype,
               int64_t& per_batch) {
  const Shape shape = shape_with_batch(call, sizes, per_batch);
  int64_t elements = 1;
  for (int64_t size : shape) {
    if (size >= 0) elements = checked_multiply(elements, size, "the shape");
  }
  call.require(elements <= kMostElements,
               str_cat("a shape of at most ", kMostElements, " elements"));
  if (shape.is_known()) return ops::constant(call.graph(), Tensor::zeros(dtype, shape));
  // One number for each example, as many as a row takes, and the rest by repeating.
  const int64_t row = checked_multiply(per_batch, elements, "the shape");
  const Value column = ops::cast(ops::reshape(call.importer().batch_zeros(), {-1, 1}), dtype);
  return ops::reshape(ops::broadcast_to(column, Shape({-1, row})), shape);
}

OnnxResults constant_of_shape(OnnxCall& call) {
  const std::vector<BatchNumber> sizes = call.sizes(0);
  double number = 0;
  DType dtype = DType::kFloat32;
  if (const auto* value = call.attribute("value")) {
    const Tensor tensor = call.importer().file().tensor(value->t());
    call.require(tensor.elements() == 1 && tensor.dtype() != DType::kString, "one number as value");
    number = tensor.as_double(0);
    dtype = tensor.dtype();
  }
  int64_t per_batch = 1;
  const Value zeros = zeros_of(call, sizes, dtype, per_batch);
  return {call.result(number == 0 ? zeros : ops::fill_like(zeros, number), per_batch)};
}

OnnxResults expand(OnnxCall& call) {
  const std::vector<BatchNumber> sizes = call.sizes(1), from = dimensions_of(call.input(0));
  // From the right: the larger of both sizes, where one is 1.
  std::vector<BatchNumber> made;
  bool grows_by_batch = false;
  for (size_t i = 0; i < std::max(sizes.size(), from.size()); ++i) {
    const BatchNumber one{1, 0};
    const BatchNumber a = i < from.size() ? from[from.size() - 1 - i] : one;
    const BatchNumber b = i < sizes.size() ? sizes[sizes.size() - 1 - i] : one;
    call.require(a == b || a == one || b == one, "a shape that the input broadcasts to");
    grows_by_batch = grows_by_batch || (a == one && b.per_batch != 0);
    made.insert(made.begin(), a == one ? b : a);
  }
  if (call.input(0).is(Kind::kNumbers) && made.size() == from.size() && made == from) {
    return {call.input(0)};
  }
  const Value x = call.value(0);
  int64_t per_batch = call.per_batch();
  if (!grows_by_batch) {
    std::vector<int64_t> shape;
    for (const BatchNumber& size : made) shape.push_back(size.per_batch != 0 ? -1 : size.constant);
    return {call.result(ops::broadcast_to(x, Shape(shape)))};
  }
  const Value zeros = zeros_of(call, made, DType::kFloat32, per_batch);
  return {call.result(ops::broadcast_like(x, ops::cast(zeros, x.dtype())), per_batch)};
}

OnnxResults tile(OnnxCall& call) {
  const std::vector<int64_t> times = call.ints(1);
  call.require(static_cast<int>(times.size()) == call.rank(0) &&
                   std::ranges::all_of(times, [](int64_t n) { return n >= 1 && n <= kMostTimes; }),
               "a number of times for each axis");
  const Shape shape = call.type(0).shape;
  int64_t per_batch = call.per_batch();
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0) per_batch *= times[static_cast<size_t>(i)];
  }
  return {call.result(ops::tile(call.value(0), times), per_batch)};
}

OnnxResults range(OnnxCall& call) {
  const auto start = call.number(0), limit = call.number(1), step = call.number(2);
  call.require(start && limit && step && *step != 0, "numbers that do not depend on the data");
  call.require((*limit - *start) / *step <= static_cast<double>(kMostElements),
               str_cat("at most ", kMostElements, " numbers"));
  return {call.result(
      ops::arange(call.graph(), call.type(0).dtype, *start, std::max(*start, *limit), *step))};
}

OnnxResults pad(OnnxCall& call) {
  call.require(call.text("mode", "constant") == "constant", "padding with a number");
  const auto pads = call.opset() < 11 ? call.integers("pads") : call.ints(1);
  const double number = call.opset() < 11 ? call.number("value", 0.0)
                        : call.has(2)     ? call.number(2).value_or(NAN)
                                          : 0.0;
  const int rank = call.rank(0);
  std::vector<int64_t> axes;
  if (call.has(3)) {
    axes = call.ints(3);
    for (int64_t& axis : axes) axis = call.axis(axis, rank);
  } else {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  call.require(pads.size() == 2 * axes.size(), "two numbers for each axis");
  call.require(number == number, "a number that does not depend on the data");
  Ints before(static_cast<size_t>(rank), 0), after = before;
  Ints begin = before, size(static_cast<size_t>(rank), -1);
  const Shape shape = call.type(0).shape;
  bool cuts = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto at = static_cast<size_t>(axes[i]);
    const int64_t low = pads[i], high = pads[axes.size() + i];
    call.require(std::abs(low) <= kMostElements && std::abs(high) <= kMostElements,
                 str_cat("at most ", kMostElements, " at a side"));
    before[at] = std::max<int64_t>(0, low);
    after[at] = std::max<int64_t>(0, high);
    if (low >= 0 && high >= 0) continue;
    const int64_t whole = shape[static_cast<int>(at)];
    call.require(whole >= 0, "a size that is known where less than nothing is added");
    begin[at] = std::max<int64_t>(0, -low);
    size[at] = whole - begin[at] - std::max<int64_t>(0, -high);
    call.require(size[at] >= 0, "no more taken away than there is");
    cuts = true;
  }
  Value x = call.value(0);
  if (cuts) x = ops::slice(x, begin, size);
  if (number == 0) return {call.result(ops::pad(x, before, after))};
  const Value is_there = ops::pad(ops::fill_like(x, 1), before, after);
  const Value zero = ops::pad(x, before, after);
  return {call.result(ops::select(ops::equal(is_there, ops::fill_like(is_there, 0)),
                                  ops::fill_like(zero, number), zero))};
}

OnnxResults constant(OnnxCall& call) {
  if (const auto* value = call.attribute("value")) {
    return {OnnxValue::of(call.importer().file().tensor(value->t()))};
  }
  if (const auto* value = call.attribute("value_float")) {
    return {OnnxValue::of(Tensor::scalar<float>(value->f()))};
  }
  if (const auto* value = call.attribute("value_int")) {
    return {OnnxValue::of(Tensor::scalar<int64_t>(value->i()))};
  }
  if (const auto* value = call.attribute("value_floats")) {
    return {OnnxValue::of(
        Tensor::from<float>({value->floats_size()},
                            std::vector<float>(value->floats().begin(), value->floats().end())))};
  }
  if (const auto* value = call.attribute("value_ints")) {
    return {OnnxValue::of(Tensor::from<int64_t>(
        {value->ints_size()}, std::vector<int64_t>(value->ints().begin(), value->ints().end())))};
  }
  throw invalid_argument("expected a tensor or numbers as value of the constant");
}

OnnxResults one_hot(OnnxCall& call) {
  const int64_t depth = call.ints(1).at(0);
  const Tensor& values = call.tensor(2);
  call.require(values.elements() == 2 && depth >= 0 && depth <= kMostElements,
               "a depth and two values, off and on");
  call.require(call.integer("axis", -1) == -1, "the classes along a new last axis");
  const double off = values.as_double(0), on = values.as_double(1);
  const Value flags = ops::one_hot(call.value(0), depth, values.dtype());
  if (off == 0 && on == 1) return {call.result(flags)};
  Graph& graph = call.graph();
  return {call.result(flags * ops::scalar(graph, values.dtype(), on - off) +
                      ops::scalar(graph, values.dtype(), off))};
}

OnnxResults trilu(OnnxCall& call) {
  const int64_t k = call.has(1) ? call.ints(1).at(0) : 0;
  const bool upper = call.integer("upper", 1) != 0;
  const Value x = call.value(0);
  return {call.result(upper ? ops::triu(x, k) : ops::tril(x, k))};
}

constexpr OnnxImportRow kRows[] = {
    {"Shape", shape_of},      {"Size", size_of_all},
    {"Reshape", reshape},     {"Flatten", flatten},
    {"Squeeze", squeeze},     {"Unsqueeze", unsqueeze},
    {"Transpose", transpose}, {"Concat", concat},
    {"Split", split},         {"Slice", slice},
    {"Gather", gather},       {"GatherElements", gather_elements},
    {"GatherND", gather_nd},  {"ConstantOfShape", constant_of_shape},
    {"Expand", expand},       {"Tile", tile},
    {"Range", range},         {"Pad", pad},
    {"Constant", constant},   {"OneHot", one_hot},
    {"Trilu", trilu},
};

}  // namespace

std::span<const OnnxImportRow> onnx_array_imports() { return kRows; }

}  // namespace trireme::formats
