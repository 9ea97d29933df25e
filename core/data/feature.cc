#include "core/data/feature.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/data/feature_lists.h"
#include "core/data/image_feature.h"
#include "core/data/node.h"

namespace trireme::data {
namespace {

constexpr EnumName<FeatureType> kTypes[] = {{FeatureType::kFloat32, "FLOAT32"},
                                            {FeatureType::kInt64, "INT64"},
                                            {FeatureType::kInt32, "INT32"},
                                            {FeatureType::kString, "STRING"}};
constexpr EnumName<RawType> kRawTypes[] = {{RawType::kUInt8, "UINT8"},
                                           {RawType::kInt32, "INT32"},
                                           {RawType::kInt64, "INT64"},
                                           {RawType::kFloat32, "FLOAT32"}};

// Writes what is there into `out`; returns how many values there are.
int64_t read_values(const FeatureValue& value, const RowView& out) {
  switch (out.dtype) {
    case DType::kFloat32:
      return read_floats(value, out.as<float>());
    case DType::kInt64:
      return read_integers(value, out.as<int64_t>());
    case DType::kInt32:
      return read_integers(value, out.as<int32_t>());
    case DType::kString:
      return read_strings(value, out.as<std::string>());
    default:
      TRIREME_CHECK(false, "no type of a feature");
      return 0;
  }
}

// `count` values of `out` from `begin` on.
RowView part(const RowView& out, int64_t begin, int64_t count) {
  return {out.dtype, static_cast<char*>(out.data) + size_of(out.dtype) * static_cast<size_t>(begin),
          count};
}

template <typename T>
void fill_with(const RowView& out, const T& value) {
  std::ranges::fill(out.as<T>(), value);
}
void fill(const RowView& out, double number, const std::string& text) {
  switch (out.dtype) {
    case DType::kFloat32:
      return fill_with(out, static_cast<float>(number));
    case DType::kInt64:
      return fill_with(out, static_cast<int64_t>(number));
    case DType::kInt32:
      return fill_with(out, static_cast<int32_t>(number));
    default:
      return fill_with(out, text);
  }
}

Shape known_shape(const std::vector<int64_t>& dims) {
  for (const int64_t size : dims) {
    if (size < 1) throw invalid_argument("shape: expected sizes of at least 1, found ", size);
  }
  double elements = 1;
  for (const int64_t size : dims) elements *= static_cast<double>(size);
  if (dims.size() >= Shape::kMaxRank || elements > 1e12) {
    throw invalid_argument("shape: expected at most ", Shape::kMaxRank - 1,
                           " dimensions and 10^12 values");
  }
  return Shape(dims);
}

// With the first axis in front.
Shape with_steps(int64_t steps, const std::vector<int64_t>& shape) {
  Shape result{steps};
  for (const int64_t size : shape) result.push_back(size);
  return result;
}

Error too_long(int64_t found, int64_t max_length) {
  return data_loss("expected at most ", max_length, " (max_length), found ", found,
                   "; raise max_length, or set truncate: true");
}

// Throws unless integers can be that number.
void require_type(FeatureType type, double number, std::string_view field) {
  const bool whole = type == FeatureType::kInt64 || type == FeatureType::kInt32;
  const double most = type == FeatureType::kInt32 ? 2147483647.0 : 9007199254740992.0;
  if (!whole || (std::trunc(number) == number && std::abs(number) <= most)) return;
  throw invalid_argument(field, ": expected a whole number, found ", number);
}

}  // namespace

void Feature::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "name", .help = "in the records"}, name);
}

void Feature::read(const FeatureValue& value, Tensor& out) const {
  const TensorType expected = type();
  prepare(out, expected.dtype, expected.shape);
  read(value, view(out));
}

DType dtype_of_feature(FeatureType type) {
  switch (type) {
    case FeatureType::kFloat32:
      return DType::kFloat32;
    case FeatureType::kInt64:
      return DType::kInt64;
    case FeatureType::kInt32:
      return DType::kInt32;
    case FeatureType::kString:
      break;
  }
  return DType::kString;
}

void FixedFeature::describe(OptionVisitor& visitor) {
  visitor.field({.name = "dtype", .help = "of the values; integers may be read as FLOAT32"}, dtype,
                kTypes);
  visitor.field({.name = "shape",
                 .help = "of an example; as many values must be there",
                 .range = at_least(1),
                 .default_text = "one value"},
                shape);
  visitor.field({.name = "default_value",
                 .help = "what a record without it has: one number for all values, or each",
                 .default_text = "none: such a record is refused"},
                default_value);
  visitor.field({.name = "default_text",
                 .help = "the same for STRING",
                 .default_text = "none: such a record is refused"},
                default_text);
}

void FixedFeature::check() const {
  const int64_t elements = known_shape(shape).elements();
  const bool strings = dtype == FeatureType::kString;
  if (strings ? !default_value.empty() : !default_text.empty()) {
    throw invalid_argument("default_value is of numbers, default_text of dtype: STRING");
  }
  const size_t given = strings ? default_text.size() : default_value.size();
  if (given > 1 && given != static_cast<size_t>(elements)) {
    throw invalid_argument("expected one default or ", elements, ", found ", given);
  }
  for (const double number : default_value) require_type(dtype, number, "default_value");
}

TensorType FixedFeature::type() const { return {dtype_of_feature(dtype), Shape(shape)}; }

void FixedFeature::read(const FeatureValue& value, const RowView& out) const {
  if (value.kind != ListKind::kNone) {
    const int64_t found = read_values(value, out);
    if (found == out.elements) return;
    throw data_loss("expected ", out.elements, " values (shape ", Shape(shape), "), found ", found);
  }
  const size_t given = default_value.size() + default_text.size();
  if (given == 0) throw data_loss("the record has none, and there is no default");
  for (size_t i = 0; given > 1 && i < given; ++i) {
    fill(part(out, static_cast<int64_t>(i), 1), default_value.empty() ? 0 : default_value[i],
         default_text.empty() ? "" : default_text[i]);
  }
  if (given == 1) {
    fill(out, default_value.empty() ? 0 : default_value[0],
         default_text.empty() ? "" : default_text[0]);
  }
}

void LengthOptions::describe(OptionVisitor& visitor, std::string_view what) {
  visitor.field({.name = "max_length",
                 .help = what,
                 .range = at_least(0),
                 .default_text = "0: examples differ in length"},
                max_length);
  visitor.field({.name = "padding", .help = "what fills up to max_length, at the end"}, padding);
  visitor.field({.name = "padding_text", .help = "the same for STRING"}, padding_text);
  visitor.field({.name = "truncate", .help = "drops what is behind max_length, else it is refused"},
                truncate);
}

void VariableFeature::describe(OptionVisitor& visitor) {
  visitor.field({.name = "dtype", .help = "of the values; integers may be read as FLOAT32"}, dtype,
                kTypes);
  length.describe(visitor, "values of an example, to which shorter ones are filled up");
}

TensorType VariableFeature::type() const {
  return {dtype_of_feature(dtype), {length.max_length > 0 ? length.max_length : -1}};
}

void VariableFeature::read(const FeatureValue& value, const RowView& out) const {
  const int64_t found = read_values(value, out);
  if (found > out.elements && !length.truncate) throw too_long(found, out.elements);
  if (found < out.elements) {
    fill(part(out, found, out.elements - found), length.padding, length.padding_text);
  }
}

void VariableFeature::read(const FeatureValue& value, Tensor& out) const {
  if (length.max_length > 0) return Feature::read(value, out);
  prepare(out, dtype_of_feature(dtype), {count_values(value)});
  const int64_t found = read_values(value, view(out));
  TRIREME_CHECK(found == out.elements(), "a list was counted in two ways");
}

void SequenceFeature::describe(OptionVisitor& visitor) {
  visitor.field({.name = "dtype", .help = "of the values; integers may be read as FLOAT32"}, dtype,
                kTypes);
  visitor.field({.name = "shape",
                 .help = "of a step; as many values must be there",
                 .range = at_least(1),
                 .default_text = "one value"},
                shape);
  length.describe(visitor, "steps of an example, to which shorter ones are filled up");
  visitor.field({.name = "allow_missing", .help = "a record without it has no steps"},
                allow_missing);
}

void SequenceFeature::check() const {
  known_shape(shape);
  require_type(dtype, length.padding, "padding");
}

TensorType SequenceFeature::type() const {
  return {dtype_of_feature(dtype),
          with_steps(length.max_length > 0 ? length.max_length : -1, shape)};
}

void SequenceFeature::read(const FeatureValue& value, const RowView& out) const {
  if (value.kind == ListKind::kNone && !allow_missing) {
    throw data_loss("the record has no such list of steps; set allow_missing: true");
  }
  const int64_t each = Shape(shape).elements();
  const int64_t room = out.elements / each;
  int64_t steps = 0;
  for (WireReader fields(value.list); fields.next();) {
    if (fields.number() != 1) continue;
    if (!fields.is_bytes()) throw data_loss("expected steps, found another field");
    if (steps < room) {
      const FeatureValue step = feature_value(fields.bytes());
      const int64_t found = read_values(step, part(out, steps * each, each));
      if (found != each) {
        throw data_loss("step ", steps, ": expected ", each, " values (shape ", Shape(shape),
                        "), found ", found);
      }
    }
    ++steps;
  }
  if (steps > room && !length.truncate) throw too_long(steps, room);
  if (steps < room) {
    fill(part(out, steps * each, (room - steps) * each), length.padding, length.padding_text);
  }
}

void SequenceFeature::read(const FeatureValue& value, Tensor& out) const {
  if (length.max_length > 0) return Feature::read(value, out);
  int64_t steps = 0;
  for (WireReader fields(value.list); fields.next();) steps += fields.number() == 1;
  prepare(out, dtype_of_feature(dtype), with_steps(steps, shape));
  read(value, view(out));
}

void RawFeature::describe(OptionVisitor& visitor) {
  visitor.field({.name = "dtype", .help = "of the numbers in the bytes, little-endian"}, dtype,
                kRawTypes);
  visitor.field({.name = "shape",
                 .help = "of an example; as many numbers must be there",
                 .range = at_least(1),
                 .default_text = "one number"},
                shape);
  visitor.field({.name = "scale",
                 .help = "UINT8 and FLOAT32 come out as FLOAT32, times this; e.g. 0.00392156863 "
                         "brings pixels to 0 to 1"},
                scale);
}

void RawFeature::check() const {
  known_shape(shape);
  if (scale != 1 && (dtype == RawType::kInt32 || dtype == RawType::kInt64)) {
    throw invalid_argument("scale is of UINT8 and FLOAT32");
  }
}

TensorType RawFeature::type() const {
  const DType made = dtype == RawType::kInt32   ? DType::kInt32
                     : dtype == RawType::kInt64 ? DType::kInt64
                                                : DType::kFloat32;
  return {made, Shape(shape)};
}

void RawFeature::read(const FeatureValue& value, const RowView& out) const {
  const std::string_view bytes = read_only_string(value);
  const size_t expected =
      static_cast<size_t>(out.elements) * (dtype == RawType::kUInt8 ? 1 : size_of(out.dtype));
  if (bytes.size() != expected) {
    throw data_loss("expected ", expected, " bytes (shape ", Shape(shape), "), found ",
                    bytes.size());
  }
  const auto factor = static_cast<float>(scale);
  if (dtype == RawType::kUInt8) {
    const auto* const in = reinterpret_cast<const uint8_t*>(bytes.data());
    float* const to = out.as<float>().data();
    for (size_t i = 0; i < expected; ++i) to[i] = static_cast<float>(in[i]) * factor;
    return;
  }
  std::memcpy(out.data, bytes.data(), bytes.size());
  if (factor == 1) return;
  for (float& number : out.as<float>()) number *= factor;
}

void register_core_features(Catalog<Feature>& catalog) {
  catalog.add<FixedFeature>("fixed", "", "As many values as its shape says (FixedLenFeature).");
  catalog.add<VariableFeature>("variable", "", "A list of any length (VarLenFeature).");
  catalog.add<SequenceFeature>("sequence", "",
                               "Steps of a SequenceExample's feature_lists "
                               "(FixedLenSequenceFeature).");
  catalog.add<RawFeature>("raw", "", "One string of bytes that holds numbers (decode_raw).");
  catalog.add<ImageFeature>("image", "", "One string of bytes that is a PNG or a JPEG.");
}

}  // namespace trireme::data
