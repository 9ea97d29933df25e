// A feature of tf.train.Example or SequenceExample, as a job file names it: `features { name: "x"
// fixed { shape: 4 } }`: what a list of values in a record becomes in an element.
//
// To add a kind: derive a class, write describe(), type() and read(), and add the class in
// register_core_features() or in a program's own list.
//
// Const calls from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/data/dataset.h"

namespace trireme::data {

// The kinds of lists; numbers are those of the fields of tf.train.Feature.
enum class ListKind : uint8_t { kNone = 0, kBytes = 1, kFloat = 2, kInt64 = 3 };

// A list as it stands in the record: the body of a BytesList, FloatList or Int64List.
struct FeatureValue {
  ListKind kind = ListKind::kNone;  // kNone: the record has no such feature
  std::string_view list;            // of a sequence: the body of its FeatureList
};

class Feature : public Component {
 public:
  static constexpr std::string_view kFamily = "feature";

  void describe_common(OptionVisitor& visitor) override;
  std::string name;

  virtual bool is_sequence() const { return false; }  // of SequenceExample's feature_lists
  virtual bool is_slow() const { return false; }      // reading it is worth threads of its own
  virtual TensorType type() const = 0;                // of one example; -1 where examples differ
  // Fills `out`. Throws Error without a place when the value does not fit. REQUIRES: type() is
  // known.
  virtual void read(const FeatureValue& value, const RowView& out) const = 0;
  // The same for types with a -1. Here for those without one.
  virtual void read(const FeatureValue& value, Tensor& out) const;
};
void register_core_features(Catalog<Feature>& catalog);

enum class FeatureType { kFloat32, kInt64, kInt32, kString };
DType dtype_of_feature(FeatureType type);

// As many values as the shape says; tf.io.FixedLenFeature. Integers may be read as FLOAT32 where
// that is exact.
class FixedFeature final : public Feature {
 public:
  FeatureType dtype = FeatureType::kFloat32;
  std::vector<int64_t> shape;             // empty: one value
  std::vector<double> default_value;      // of a record without it: one for all, or each
  std::vector<std::string> default_text;  // the same of strings

  void describe(OptionVisitor& visitor) override;
  void check() const override;
  TensorType type() const override;
  using Feature::read;
  void read(const FeatureValue& value, const RowView& out) const override;
};

// What lists of different lengths have in common.
struct LengthOptions {
  int64_t max_length = 0;  // 0: examples differ in length
  double padding = 0;
  std::string padding_text;
  bool truncate = false;

  void describe(OptionVisitor& visitor, std::string_view what);
};

// A list of any length; tf.io.VarLenFeature and RaggedFeature. A record without it has an empty
// list.
class VariableFeature final : public Feature {
 public:
  FeatureType dtype = FeatureType::kInt64;
  LengthOptions length;

  void describe(OptionVisitor& visitor) override;
  TensorType type() const override;
  void read(const FeatureValue& value, const RowView& out) const override;
  void read(const FeatureValue& value, Tensor& out) const override;
};

// A list of steps, each with values of one shape, of a SequenceExample's feature_lists;
// tf.io.FixedLenSequenceFeature.
class SequenceFeature final : public Feature {
 public:
  FeatureType dtype = FeatureType::kFloat32;
  std::vector<int64_t> shape;  // of a step; empty: one value
  LengthOptions length;
  bool allow_missing = false;

  void describe(OptionVisitor& visitor) override;
  void check() const override;
  bool is_sequence() const override { return true; }
  TensorType type() const override;
  void read(const FeatureValue& value, const RowView& out) const override;
  void read(const FeatureValue& value, Tensor& out) const override;
};

enum class RawType { kUInt8, kInt32, kInt64, kFloat32 };

// One string of bytes that holds numbers, little-endian; tf.io.decode_raw. Bytes come out as
// FLOAT32 times `scale`.
class RawFeature final : public Feature {
 public:
  RawType dtype = RawType::kUInt8;
  std::vector<int64_t> shape;
  double scale = 1;

  void describe(OptionVisitor& visitor) override;
  void check() const override;
  TensorType type() const override;
  using Feature::read;
  void read(const FeatureValue& value, const RowView& out) const override;
};

}  // namespace trireme::data
