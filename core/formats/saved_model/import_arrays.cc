// Ops that move elements: parts, rows, borders.
#include <algorithm>
#include <numeric>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/arrays.h"
#include "core/ops/images.h"
#include "core/ops/indexing.h"
#include "core/ops/ops.h"
#include "core/ops/rules.h"

namespace trireme::formats {
namespace {

using Kind = ImportValue::Kind;
using Sizes = std::vector<BatchNumber>;

bool any_numbers(const ImportCall& c) {
  for (int i = 0; i < c.count(); ++i) {
    if (c.input(i).is(Kind::kNumbers)) return true;
  }
  return false;
}

ImportValues import_const(ImportCall& c) {
  const tf::AttrValue* const value = c.attribute("value");
  c.require(value != nullptr && value->has_tensor(), "a value");
  Tensor tensor = tensor_of(value->tensor(), c.importer().limits().known_bytes);
  c.importer().charge(tensor.bytes());
  return {ImportValue::of(std::move(tensor))};
}

ImportValues import_identity(ImportCall& c) {
  ImportValues same;
  for (int i = 0; i < c.count(); ++i) same.push_back(c.input(i));
  return same;
}

ImportValues import_stop_gradient(ImportCall& c) {
  if (!c.input(0).is(Kind::kGraph)) return {c.input(0)};
  return c.results({ops::stop_gradient(c.value(0))});
}

ImportValues import_pack(ImportCall& c) {
  const int64_t axis = c.integer("axis", 0);
  c.require(c.count() > 0, "at least one input");
  if (any_numbers(c) && (axis == 0 || axis == -1)) {
    Sizes sizes;
    DType dtype = DType::kInt32;
    bool is_list = true;
    for (int i = 0; i < c.count() && is_list; ++i) {
      const auto one = numbers_of(c.input(i));
      is_list = one.has_value() && one->size() == 1 &&
                (c.input(i).is(Kind::kNumbers) ? c.input(i).is_scalar
                                               : c.input(i).tensor.shape().rank() == 0);
      if (is_list) sizes.push_back((*one)[0]);
      dtype = c.input(i).dtype;
    }
    if (is_list) return {ImportValue::of(std::move(sizes), false, dtype)};
  }
  std::vector<Value> values;
  for (int i = 0; i < c.count(); ++i) values.push_back(c.value(i));
  return c.results({ops::stack(values, axis)});
}

ImportValues import_unpack(ImportCall& c) {
  const ImportValue& x = c.input(0);
  ImportValues made;
  if (x.is(Kind::kNumbers)) {
    for (const BatchNumber& number : x.numbers) {
      made.push_back(ImportValue::of({number}, true, x.dtype));
    }
    return made;
  }
  const Value value = c.value(0);
  for (const Value& part : ops::unstack(value, c.integer("axis", 0))) {
    made.push_back(c.result(part));
  }
  return made;
}

ImportValues import_concat(ImportCall& c) {
  const bool axis_is_last = c.op() == "ConcatV2";
  c.require(c.count() > 1, "at least one input");
  const int64_t axis = c.integer(axis_is_last ? c.count() - 1 : 0);
  const int first = axis_is_last ? 0 : 1, end = axis_is_last ? c.count() - 1 : c.count();
  if (any_numbers(c)) {
    Sizes sizes;
    bool is_list = true;
    DType dtype = DType::kInt32;
    for (int i = first; i < end && is_list; ++i) {
      const auto some = numbers_of(c.input(i));
      is_list = some.has_value();
      if (is_list) sizes.insert(sizes.end(), some->begin(), some->end());
      dtype = c.input(i).dtype;
    }
    if (is_list) return {ImportValue::of(std::move(sizes), false, dtype)};
  }
  std::vector<Value> parts;
  int64_t per_batch = 0, rows = 0;
  for (int i = first; i < end; ++i) {
    parts.push_back(c.value(i));
    const int at =
        static_cast<int>(ops::normalize_axes({axis}, parts.back().shape().rank(), "ConcatV2")[0]);
    if (parts.back().shape()[at] < 0) {
      per_batch += c.input(i).per_batch;
    } else {
      rows += parts.back().shape()[at];
    }
  }
  if (end - first == 1) return {c.input(first)};
  if (per_batch == 0) return c.results({ops::concat(parts, axis)});
  c.require(rows == 0, "parts along the batch that are all multiples of it");
  return {c.result(ops::concat(parts, axis), per_batch)};
}

ImportValues import_split(ImportCall& c) {
  ImportValues made;
  if (c.op() == "Split") {
    const int64_t axis = c.integer(0);
    const int64_t count = c.integer("num_split", 1);
    c.require(count >= 1 && count <= kMostNumbers, "a number of parts from 1");
    for (const Value& part : ops::split_evenly(c.value(1), count, axis)) {
      made.push_back(c.result(part));
    }
    return made;
  }
  std::vector<int64_t> sizes = c.ints(1);
  const int64_t axis = c.integer(2);
  const Value x = c.value(0);
  const int64_t whole = x.shape().dim(static_cast<int>(axis));
  const auto open = std::ranges::find(sizes, -1);
  if (open != sizes.end()) {
    *open = 0;
    *open = whole - std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  }
  for (const Value& part : ops::split(x, sizes, axis)) made.push_back(c.result(part));
  return made;
}

ImportValues import_slice(ImportCall& c) {
  const std::vector<int64_t> begin = c.ints(1);
  const Sizes given = c.sizes(2);
  const ImportValue& x = c.input(0);
  if (x.is(Kind::kNumbers)) {
    c.require(begin.size() == 1 && given.size() == 1 && given[0].is_constant(), "one axis");
    const auto count = static_cast<int64_t>(x.numbers.size());
    const int64_t size = given[0].constant < 0 ? count - begin[0] : given[0].constant;
    c.require(begin[0] >= 0 && size >= 0 && begin[0] <= count && size <= count - begin[0],
              "a slice within the input");
    return {ImportValue::of(
        Sizes(x.numbers.begin() + begin[0], x.numbers.begin() + begin[0] + size), false, x.dtype)};
  }
  const Value value = c.value(0);
  const auto rank = static_cast<size_t>(value.shape().rank());
  c.require(begin.size() == rank && given.size() == rank, "a begin and a size for each axis");
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < rank; ++i) {
    const bool is_open = value.shape()[static_cast<int>(i)] < 0;
    if (!given[i].is_constant()) {
      c.require(is_open && begin[i] == 0 && given[i] == BatchNumber({0, x.per_batch}),
                "the whole of the axis that depends on the batch");
    }
    c.require(!is_open || begin[i] == 0, "a slice that begins at the first example");
    sizes.push_back(given[i].is_constant() ? given[i].constant : -1);
  }
  return c.results({ops::slice(value, begin, sizes)});
}

// One axis of a StridedSlice.
struct StridedAxis {
  bool is_new = false, shrinks = false;
  int64_t begin = 0, stride = 1, count = 0;  // of an axis of known size
  bool is_whole = false;
};

// What the masks and numbers say, for each axis of the input and each new one. `sizes`: -1 for the
// batch.
std::vector<StridedAxis> strided_axes(const ImportCall& c, const Sizes& begin, const Sizes& end,
                                      const std::vector<int64_t>& strides, const Shape& shape,
                                      int64_t per_batch) {
  const int64_t begin_mask = c.integer("begin_mask", 0), end_mask = c.integer("end_mask", 0);
  const int64_t ellipsis = c.integer("ellipsis_mask", 0), fresh = c.integer("new_axis_mask", 0);
  const int64_t shrink = c.integer("shrink_axis_mask", 0);
  const size_t given = strides.size();
  c.require(begin.size() == given && end.size() == given && given < 32,
            "as many begins as ends and strides");
  size_t named = 0;
  for (size_t i = 0; i < given; ++i) {
    if (((ellipsis | fresh) >> i & 1) == 0) ++named;
  }
  const auto rank = static_cast<size_t>(shape.rank());
  c.require(named <= rank, "at most as many slices as the input has axes");
  std::vector<StridedAxis> axes;
  size_t axis = 0;
  bool has_ellipsis = false;
  const auto add_whole = [&](size_t count) {
    for (; count > 0; --count, ++axis) {
      axes.push_back({.count = shape[static_cast<int>(axis)], .is_whole = true});
    }
  };
  for (size_t i = 0; i < given; ++i) {
    const auto has = [&](int64_t mask) { return (mask >> i & 1) != 0; };
    if (has(ellipsis)) {
      c.require(!has_ellipsis, "at most one ellipsis");
      has_ellipsis = true;
      add_whole(rank - named);
      continue;
    }
    if (has(fresh)) {
      axes.push_back({.is_new = true});
      continue;
    }
    const int64_t size = shape[static_cast<int>(axis++)];
    const int64_t stride = strides[i];
    c.require(stride != 0, "a stride other than 0");
    StridedAxis made{.shrinks = has(shrink), .stride = stride};
    if (size < 0) {
      const bool from_first = has(begin_mask) || begin[i] == BatchNumber{0, 0};
      const bool to_last = has(end_mask) || end[i] == BatchNumber({0, per_batch});
      made.is_whole = !made.shrinks && from_first && to_last && stride == 1;
      made.count = -1;
      if (!made.is_whole) {
        // The first ones, a number that is known.
        const bool is_first = made.shrinks ? begin[i].is_constant() && begin[i].constant >= 0
                                           : begin[i].is_constant() && end[i].is_constant() &&
                                                 !has(begin_mask) && !has(end_mask) &&
                                                 begin[i].constant >= 0 && end[i].constant > 0;
        c.require(is_first && stride == 1,
                  "the whole of the axis that depends on the batch, or the first examples");
        made.begin = begin[i].constant;
        made.count = made.shrinks ? 1 : std::max<int64_t>(0, end[i].constant - begin[i].constant);
      }
      axes.push_back(made);
      continue;
    }
    c.require((has(begin_mask) || begin[i].is_constant()) &&
                  (has(end_mask) || made.shrinks || end[i].is_constant()),
              "known places along an axis of known size");
    const auto place = [&](int64_t number) { return number < 0 ? number + size : number; };
    if (made.shrinks) {
      made.begin = place(begin[i].constant);
      made.count = 1;
      made.stride = 1;
      c.require(made.begin >= 0 && made.begin < size, str_cat("an index within ", size));
      axes.push_back(made);
      continue;
    }
    const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
    const int64_t first = has(begin_mask) ? (stride > 0 ? 0 : size - 1)
                                          : std::clamp(place(begin[i].constant), low, high);
    const int64_t last =
        has(end_mask) ? (stride > 0 ? size : -1) : std::clamp(place(end[i].constant), low, high);
    made.begin = first;
    made.count = stride > 0 ? std::max<int64_t>(0, (last - first + stride - 1) / stride)
                            : std::max<int64_t>(0, (first - last - stride - 1) / -stride);
    made.is_whole = first == 0 && stride == 1 && made.count == size;
    axes.push_back(made);
  }
  if (!has_ellipsis) add_whole(rank - axis);
  c.require(axis == rank, "slices of all axes");
  return axes;
}

ImportValues import_strided_slice(ImportCall& c) {
  const ImportValue& x = c.input(0);
  const Sizes begin = c.sizes(1), end = c.sizes(2);
  const std::vector<int64_t> strides = c.ints(3);
  if (x.is(Kind::kNumbers)) {
    const Shape shape = x.is_scalar ? Shape() : Shape{static_cast<int64_t>(x.numbers.size())};
    const std::vector<StridedAxis> axes = strided_axes(c, begin, end, strides, shape, 1);
    c.require(axes.size() == 1 && !axes[0].is_new, "a slice of one axis");
    Sizes sizes;
    for (int64_t i = 0; i < axes[0].count; ++i) {
      sizes.push_back(x.numbers[static_cast<size_t>(axes[0].begin + i * axes[0].stride)]);
    }
    return {ImportValue::of(std::move(sizes), axes[0].shrinks, x.dtype)};
  }
  Value y = c.value(0);
  const std::vector<StridedAxis> axes =
      strided_axes(c, begin, end, strides, y.shape(), x.is(Kind::kGraph) ? x.per_batch : 1);
  const auto rank = static_cast<size_t>(y.shape().rank());
  std::vector<int64_t> first(rank, 0), sizes(rank, -1);
  bool is_slice = false;
  size_t at = 0;
  for (const StridedAxis& axis : axes) {
    if (axis.is_new) continue;
    if (!axis.is_whole && axis.stride == 1) {
      first[at] = axis.begin;
      sizes[at] = axis.count;
      is_slice = true;
    }
    ++at;
  }
  if (is_slice) y = ops::slice(y, first, sizes);
  at = 0;
  ops::Axes dropped, added;
  for (const StridedAxis& axis : axes) {
    if (axis.is_new) continue;
    if (axis.stride != 1) {
      std::vector<int64_t> indices;
      for (int64_t i = 0; i < axis.count; ++i) indices.push_back(axis.begin + i * axis.stride);
      y = ops::gather(y, ops::constant(c.graph(), Tensor::from<int64_t>({axis.count}, indices)),
                      static_cast<int64_t>(at));
    }
    if (axis.shrinks) dropped.push_back(static_cast<int64_t>(at));
    ++at;
  }
  if (!dropped.empty()) y = ops::squeeze(y, dropped);
  int64_t place = 0;
  for (const StridedAxis& axis : axes) {
    if (axis.is_new) added.push_back(place);
    if (!axis.shrinks) ++place;
  }
  if (!added.empty()) y = ops::expand_dims(y, added);
  return {c.result(y)};
}

// Indices pick rows of the unknown size that they have.
ImportValue picked(ImportCall& c, Value y, const ImportValue& params, const ImportValue& indices) {
  const auto is_open = [](const ImportValue& v) {
    return v.is(Kind::kGraph) && !v.value.shape().is_known();
  };
  if (is_open(indices) && is_open(params)) return c.result(y);
  return c.result(y, is_open(indices) ? indices.per_batch : is_open(params) ? params.per_batch : 1);
}

ImportValues import_gather(ImportCall& c) {
  const bool is_resource = c.op() == "ResourceGather";
  const ImportValue params = is_resource && c.input(0).is(Kind::kVariable)
                                 ? c.importer().read_variable(c.input(0).variable)
                                 : c.input(0);
  const ImportValue& indices = c.input(1);
  const auto batch_dims = c.integer("batch_dims", 0);
  const int64_t axis = c.op() == "GatherV2" && c.count() > 2 ? c.integer(2) : batch_dims;
  if (params.is(Kind::kNumbers) && c.is_known(1) && batch_dims == 0) {
    Sizes sizes;
    const auto count = static_cast<int64_t>(params.numbers.size());
    for (int64_t i : c.ints(1)) {
      c.require(i >= 0 && i < count, "indices within the sizes");
      sizes.push_back(params.numbers[static_cast<size_t>(i)]);
    }
    return {ImportValue::of(std::move(sizes), c.tensor(1).shape().rank() == 0, params.dtype)};
  }
  const Value table = c.value(params), ids = c.value(indices);
  // Rows of a variable: the gradient stays sparse.
  const bool is_lookup = axis == 0 && batch_dims == 0 && table.shape().rank() == 2 &&
                         table.node->op().name == "Variable";
  c.require(batch_dims >= 0 && batch_dims < Shape::kMaxRank, "batch_dims of at least 0");
  const Value y = is_lookup ? ops::embedding_lookup(table, ids)
                            : ops::gather(table, ids, axis, static_cast<int>(batch_dims));
  return {picked(c, y, params, indices)};
}

ImportValues import_gather_nd(ImportCall& c) {
  const ImportValue params =
      c.input(0).is(Kind::kVariable) ? c.importer().read_variable(c.input(0).variable) : c.input(0);
  const Value table = c.value(params), indices = c.value(1);
  return {picked(c, ops::gather_nd(table, indices), params, c.input(1))};
}

ImportValues import_transpose(ImportCall& c) {
  const std::vector<int64_t> permutation = c.ints(1);
  if (c.input(0).is(Kind::kNumbers)) return {c.input(0)};
  return c.results({ops::transpose(c.value(0), permutation)});
}

// [axes, 2] numbers as before and after.
void borders(ImportCall& c, int i, std::vector<int64_t>& before, std::vector<int64_t>& after) {
  const Tensor& pads = c.tensor(i);
  c.require(pads.shape().rank() == 2 && pads.shape()[1] == 2 && is_integer(pads.dtype()),
            "two numbers for each axis");
  for (int64_t axis = 0; axis < pads.shape()[0]; ++axis) {
    before.push_back(static_cast<int64_t>(pads.as_double(2 * axis)));
    after.push_back(static_cast<int64_t>(pads.as_double(2 * axis + 1)));
    c.require(before.back() >= 0 && after.back() >= 0, "padding of at least 0");
  }
}

ImportValues import_pad(ImportCall& c) {
  std::vector<int64_t> before, after;
  borders(c, 1, before, after);
  const Value x = c.value(0);
  c.require(before.size() == static_cast<size_t>(x.shape().rank()), "two numbers for each axis");
  for (size_t i = 0; i < before.size(); ++i) {
    c.require(x.shape()[static_cast<int>(i)] >= 0 || before[i] + after[i] == 0,
              "no padding of the batch");
  }
  const Value padded = ops::pad(x, before, after);
  if (c.op() == "Pad") return {c.result(padded)};
  const Value inside = ops::pad(ops::cast(ops::ones_like(x), DType::kFloat32), before, after);
  const Value is_inside = ops::greater(inside, ops::constant_like(inside, 0.5));
  return {c.result(ops::select(is_inside, padded, c.value(2)))};
}

ImportValues import_mirror_pad(ImportCall& c) {
  std::vector<int64_t> before, after;
  borders(c, 1, before, after);
  const int64_t shift = c.text("mode") == "SYMMETRIC" ? 0 : 1;
  Value y = c.value(0);
  c.require(before.size() == static_cast<size_t>(y.shape().rank()), "two numbers for each axis");
  for (size_t axis = 0; axis < before.size(); ++axis) {
    if (before[axis] + after[axis] == 0) continue;
    const int64_t size = y.shape()[static_cast<int>(axis)];
    c.require(before[axis] <= size - shift && after[axis] <= size - shift,
              "padding that is not wider than the axis");
    std::vector<int64_t> indices;
    for (int64_t i = before[axis]; i > 0; --i) indices.push_back(i - 1 + shift);
    for (int64_t i = 0; i < size; ++i) indices.push_back(i);
    for (int64_t i = 0; i < after[axis]; ++i) indices.push_back(size - 1 - shift - i);
    const auto count = static_cast<int64_t>(indices.size());
    y = ops::gather(y, ops::constant(c.graph(), Tensor::from<int64_t>({count}, indices)),
                    static_cast<int64_t>(axis));
  }
  return {c.result(y)};
}

// An index out of range gives a row without the `on` value, unlike in our op.
ImportValues import_one_hot(ImportCall& c) {
  const int64_t depth = c.integer(1);
  c.require(depth >= 0 && depth <= 1 << 24, "a depth from 0");
  const Value indices = c.value(0), on = c.value(2), off = c.value(3);
  const int rank = indices.shape().rank();
  const int64_t axis = ops::normalize_axes({c.integer("axis", -1)}, rank + 1, "OneHot")[0];
  Shape line{std::span<const int64_t>(std::vector<int64_t>(static_cast<size_t>(rank) + 1, 1))};
  line.set(static_cast<int>(axis), depth);
  const Value classes =
      ops::reshape(ops::arange(c.graph(), indices.dtype(), 0, static_cast<double>(depth)), line);
  return c.results({ops::select(ops::equal(ops::expand_dims(indices, {axis}), classes), on, off)});
}

ImportValues import_reverse(ImportCall& c) {
  const std::vector<int64_t> axes = c.ints(1);
  return c.results({ops::reverse(c.value(0), axes)});
}

ImportValues import_band_part(ImportCall& c) {
  const int64_t below = c.integer(1), above = c.integer(2);
  const Value x = c.value(0);
  Value part = x;
  const bool is_flag = x.dtype() == DType::kBool;
  if (is_flag) part = ops::cast(part, DType::kInt32);
  if (below >= 0) part = ops::triu(part, -below);
  if (above >= 0) part = ops::tril(part, above);
  if (is_flag) part = ops::not_equal(part, ops::constant_like(part, 0));
  return c.results({part});
}

}  // namespace

void add_array_imports(ImportTable& table) {
  table.add({"Const"}, {import_const});
  table.add({"Identity", "IdentityN", "Snapshot", "PlaceholderWithDefault"}, {import_identity});
  table.add({"StopGradient", "PreventGradient"}, {import_stop_gradient});
  table.add({"CheckNumerics"}, {import_identity});
  table.add({"Pack"}, {import_pack});
  table.add({"Unpack"}, {import_unpack});
  table.add({"ConcatV2", "Concat"}, {import_concat});
  table.add({"Split", "SplitV"}, {import_split});
  table.add({"Slice"}, {import_slice});
  table.add({"StridedSlice"}, {import_strided_slice});
  table.add({"Gather", "GatherV2", "ResourceGather"}, {import_gather});
  table.add({"GatherNd", "ResourceGatherNd"}, {import_gather_nd});
  table.add({"Transpose"}, {import_transpose});
  table.add({"Pad", "PadV2"}, {import_pad});
  table.add({"MirrorPad"}, {import_mirror_pad});
  table.add({"OneHot"}, {import_one_hot});
  table.add({"ReverseV2"}, {import_reverse});
  table.add({"MatrixBandPart"}, {import_band_part});
}

}  // namespace trireme::formats
