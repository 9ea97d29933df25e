// Ops that ask for shapes, change them, or make tensors of them.
#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"
#include "core/ops/rules.h"

namespace trireme::formats {
namespace {

using Kind = ImportValue::Kind;
using Sizes = std::vector<BatchNumber>;

Sizes dimensions(const ImportCall& c, const ImportValue& x) {
  switch (x.kind) {
    case Kind::kTensor:
      return dimensions_of(x.tensor.shape(), 1);
    case Kind::kGraph:
      return dimensions_of(x.value.shape(), x.per_batch);
    case Kind::kNumbers:
      return x.is_scalar ? Sizes() : Sizes{{static_cast<int64_t>(x.numbers.size()), 0}};
    default:
      c.require(false, str_cat("a tensor, found ", x.describe()));
      return {};
  }
}

BatchNumber product(const Sizes& sizes) {
  BatchNumber total{1, 0};
  for (const BatchNumber& size : sizes) {
    if (!total.is_constant() && !size.is_constant()) {
      throw invalid_argument("expected one axis that depends on the batch, found two");
    }
    const BatchNumber& open = total.is_constant() ? size : total;
    const int64_t factor = total.is_constant() ? total.constant : size.constant;
    total = {checked_multiply(open.constant, factor, "a number of elements"),
             checked_multiply(open.per_batch, factor, "a number of elements")};
  }
  return total;
}

ImportValues import_shape(ImportCall& c) {
  const DType dtype = c.dtype("out_type", DType::kInt32);
  ImportValues made;
  for (int i = 0; i < c.count(); ++i) {
    made.push_back(ImportValue::of(dimensions(c, c.input(i)), false, dtype));
  }
  return made;
}

ImportValues import_size(ImportCall& c) {
  return {ImportValue::of({product(dimensions(c, c.input(0)))}, true,
                          c.dtype("out_type", DType::kInt32))};
}

ImportValues import_rank(ImportCall& c) {
  return {ImportValue::of({{static_cast<int64_t>(dimensions(c, c.input(0)).size()), 0}}, true,
                          DType::kInt32)};
}

std::string to_text(const Sizes& sizes) {
  std::string text = "[";
  for (const BatchNumber& size : sizes) {
    if (text.size() > 1) text += ", ";
    if (size.is_constant()) {
      text += str_cat(size.constant);
    } else {
      text += str_cat(size.constant == 0 ? "" : str_cat(size.constant, "+"),
                      size.per_batch == 1 ? "" : str_cat(size.per_batch, "·"), "batch");
    }
  }
  return text + "]";
}

// `wanted` with its -1 worked out for `total` elements.
Sizes resolved(Sizes wanted, const BatchNumber& total) {
  const auto open = std::ranges::find(wanted, BatchNumber{-1, 0});
  if (open == wanted.end()) return wanted;
  Sizes others = wanted;
  others.erase(others.begin() + (open - wanted.begin()));
  const BatchNumber rest = product(others);
  const auto fail = [&] {
    throw invalid_argument("expected a shape of ", to_text({total}), " elements, found ",
                           to_text(wanted));
  };
  if (!rest.is_constant()) {
    if (rest.constant != 0 || total.constant != 0 || total.per_batch % rest.per_batch != 0) fail();
    *open = {total.per_batch / rest.per_batch, 0};
  } else {
    if (rest.constant <= 0 || total.constant % rest.constant != 0 ||
        total.per_batch % rest.constant != 0) {
      fail();
    }
    *open = {total.constant / rest.constant, total.per_batch / rest.constant};
  }
  return wanted;
}

ImportValue reshaped(ImportCall& c, const ImportValue& x, const Sizes& given) {
  c.require(given.size() <= static_cast<size_t>(Shape::kMaxRank), "a shape of at most 8 axes");
  const Sizes from = dimensions(c, x);
  const BatchNumber total = product(from);
  const Sizes wanted = resolved(given, total);
  if (product(wanted) != total) {
    throw invalid_argument("expected a shape of as many elements as ", to_text(from),
                           " has, found ", to_text(wanted));
  }
  if (x.is(Kind::kNumbers) && wanted.size() <= 1) {
    return ImportValue::of(x.numbers, wanted.empty(), x.dtype);
  }
  Shape shape;
  int64_t per_batch = 1;
  for (const BatchNumber& size : wanted) {
    c.require(size.is_constant() || size.constant == 0, "a size that is a multiple of the batch");
    if (!size.is_constant()) per_batch = size.per_batch;
    shape.push_back(size.is_constant() ? size.constant : -1);
  }
  if (x.is(Kind::kTensor)) return ImportValue::of(x.tensor.reshaped(shape));
  return c.result(ops::reshape(c.value(x), shape), per_batch);
}

ImportValues import_reshape(ImportCall& c) { return {reshaped(c, c.input(0), c.sizes(1))}; }

ImportValues import_expand_dims(ImportCall& c) {
  const ImportValue& x = c.input(0);
  Sizes shape = dimensions(c, x);
  const int64_t rank = static_cast<int64_t>(shape.size()) + 1;
  const int64_t axis = ops::normalize_axes({c.integer(1)}, static_cast<int>(rank), "ExpandDims")[0];
  if (x.is(Kind::kGraph)) return c.results({ops::expand_dims(x.value, {axis})});
  shape.insert(shape.begin() + axis, BatchNumber{1, 0});
  return {reshaped(c, x, shape)};
}

ImportValues import_squeeze(ImportCall& c) {
  const ImportValue& x = c.input(0);
  const Sizes shape = dimensions(c, x);
  std::vector<int64_t> axes = c.integers("squeeze_dims");
  if (axes.empty()) axes = c.integers("axis");
  const BatchNumber one{1, 0};
  if (axes.empty()) {
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == one) axes.push_back(static_cast<int64_t>(i));
    }
  }
  axes = ops::normalize_axes(axes, static_cast<int>(shape.size()), "Squeeze");
  Sizes rest;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (std::ranges::find(axes, static_cast<int64_t>(i)) == axes.end()) {
      rest.push_back(shape[i]);
      continue;
    }
    c.require(shape[i] == one, "size 1 along the squeezed axes");
  }
  if (x.is(Kind::kGraph)) {
    return {axes.empty() ? x : c.result(ops::squeeze(x.value, axes))};
  }
  return {reshaped(c, x, rest)};
}

// The only element of a known tensor.
double number_of(const Tensor& tensor) {
  if (tensor.elements() != 1) throw invalid_argument("expected one number, found ", tensor.type());
  return tensor.as_double(0);
}

ImportValue fill(ImportCall& c, const Sizes& sizes, const Tensor& value) {
  c.require(sizes.size() <= static_cast<size_t>(Shape::kMaxRank), "a shape of at most 8 axes");
  c.require(value.dtype() != DType::kString, "numbers, found texts");
  Shape shape;
  uint64_t bytes = size_of(value.dtype());
  for (const BatchNumber& size : sizes) {
    if (!size.is_constant()) return c.importer().filled(sizes, value.dtype(), number_of(value));
    c.require(size.constant >= 0, "sizes of at least 0");
    bytes = static_cast<uint64_t>(
        checked_multiply(static_cast<int64_t>(bytes), size.constant, "a number of elements"));
    shape.push_back(size.constant);
  }
  c.importer().charge(bytes);
  Tensor filled(value.dtype(), shape);
  const size_t element = size_of(value.dtype());
  for (int64_t i = 0; i < filled.elements(); ++i) {
    std::copy_n(static_cast<const char*>(value.raw()), element,
                static_cast<char*>(filled.raw()) + static_cast<size_t>(i) * element);
  }
  return ImportValue::of(std::move(filled));
}

ImportValue broadcast(ImportCall& c, const ImportValue& x, const Sizes& sizes) {
  const Value value = c.value(x);
  Shape shape;
  int64_t per_batch = 1;
  bool is_open = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const BatchNumber& size = sizes[i];
    if (size.is_constant()) {
      shape.push_back(size.constant);
      continue;
    }
    const auto from_end = static_cast<int>(sizes.size() - i);
    per_batch = size.per_batch;
    is_open = from_end > value.shape().rank() || value.shape().dim(-from_end) >= 0;
    shape.push_back(-1);
  }
  if (!is_open) return c.result(ops::broadcast_to(value, shape), per_batch);
  const ImportValue like = c.importer().filled(sizes, value.dtype(), 0);
  return c.result(ops::broadcast_like(value, like.value), per_batch);
}

ImportValues import_fill(ImportCall& c) {
  const Sizes sizes = c.sizes(0);
  if (c.is_known(1)) return {fill(c, sizes, c.tensor(1))};
  return {broadcast(c, c.input(1), sizes)};
}

ImportValues import_broadcast_to(ImportCall& c) { return {broadcast(c, c.input(0), c.sizes(1))}; }

ImportValues import_tile(ImportCall& c) {
  const Sizes multiples = c.sizes(1);
  const Sizes from = dimensions(c, c.input(0));
  c.require(from.size() == multiples.size(), "a multiple for each axis");
  const bool is_known = std::ranges::all_of(multiples, &BatchNumber::is_constant);
  if (is_known) {
    std::vector<int64_t> times;
    int64_t all = 1, per_batch = 1;
    for (size_t i = 0; i < from.size(); ++i) {
      times.push_back(multiples[i].constant);
      all = checked_multiply(all, std::max<int64_t>(multiples[i].constant, 1), "multiples");
      if (!from[i].is_constant()) {
        per_batch = checked_multiply(from[i].per_batch, multiples[i].constant, "multiples");
      }
    }
    c.require(all <= c.importer().limits().loop_steps, "multiples that are not so large");
    return {c.result(ops::tile(c.value(0), times), per_batch)};
  }
  // As many times as there are examples: what has one row there is broadcast.
  Sizes sizes;
  for (size_t i = 0; i < from.size(); ++i) {
    c.require(from[i] == BatchNumber({1, 0}) || multiples[i] == BatchNumber({1, 0}),
              "one row along the axes that are repeated");
    sizes.push_back(from[i] == BatchNumber({1, 0}) ? multiples[i] : from[i]);
  }
  return {broadcast(c, c.input(0), sizes)};
}

ImportValues import_like(ImportCall& c) {
  const double number = c.op() == "OnesLike" ? 1 : 0;
  const ImportValue& x = c.input(0);
  if (x.is(Kind::kNumbers)) {
    return {ImportValue::of(Sizes(x.numbers.size(), {static_cast<int64_t>(number), 0}), x.is_scalar,
                            x.dtype)};
  }
  if (x.is(Kind::kGraph) && x.value.shape().is_known()) {
    Sizes sizes = dimensions(c, x);
    return {fill(c, sizes, ops::scalar_tensor(x.value.dtype(), number))};
  }
  return c.results({ops::fill_like(c.value(0), number)});
}

ImportValues import_range(ImportCall& c) {
  const Sizes start = c.sizes(0), limit = c.sizes(1), delta = c.sizes(2);
  c.require(start.size() == 1 && limit.size() == 1 && delta.size() == 1, "three numbers");
  const DType dtype = c.input(0).dtype;
  const BatchNumber zero{0, 0}, one{1, 0};
  if (!limit[0].is_constant()) {
    c.require(start[0] == zero && delta[0] == one, "a range from 0 to the batch in steps of 1");
    const ImportValue ones = c.importer().filled(limit, dtype, 1);
    return {c.result(ops::cast(ops::axis_index(ones.value, 0), dtype), limit[0].per_batch)};
  }
  c.require(start[0].is_constant() && delta[0].is_constant() && delta[0].constant != 0,
            "a step other than 0");
  const double count =
      std::ceil((static_cast<double>(limit[0].constant) - static_cast<double>(start[0].constant)) /
                static_cast<double>(delta[0].constant));
  c.require(count <= static_cast<double>(1 << 24), "a range of at most 2^24 numbers");
  Graph scratch(c.importer().graph().ops());
  const Value range =
      ops::arange(scratch, dtype, static_cast<double>(start[0].constant),
                  static_cast<double>(limit[0].constant), static_cast<double>(delta[0].constant));
  Tensor known = c.importer().evaluate(range);
  c.importer().charge(known.bytes());
  return {ImportValue::of(std::move(known))};
}

ImportValues import_float_range(ImportCall& c) {
  if (!is_floating(c.input(0).dtype)) return import_range(c);
  c.require(c.is_known(0) && c.is_known(1) && c.is_known(2), "a known range");
  const double start = number_of(c.tensor(0)), limit = number_of(c.tensor(1));
  const double delta = number_of(c.tensor(2));
  c.require(delta != 0 && (limit - start) / delta <= (1 << 24), "a range of at most 2^24 numbers");
  return {c.result(ops::arange(c.graph(), c.input(0).dtype, start, limit, delta))};
}

ImportValues import_ensure_shape(ImportCall& c) { return {c.input(0)}; }

}  // namespace

void add_shape_imports(ImportTable& table) {
  table.add({"Shape", "ShapeN"}, {import_shape});
  table.add({"Size"}, {import_size});
  table.add({"Rank"}, {import_rank});
  table.add({"Reshape"}, {import_reshape});
  table.add({"ExpandDims"}, {import_expand_dims});
  table.add({"Squeeze"}, {import_squeeze});
  table.add({"Fill"}, {import_fill});
  table.add({"BroadcastTo"}, {import_broadcast_to});
  table.add({"Tile"}, {import_tile});
  table.add({"ZerosLike", "OnesLike"}, {import_like});
  table.add({"Range"}, {import_float_range});
  table.add({"EnsureShape"}, {import_ensure_shape});
}

}  // namespace trireme::formats
