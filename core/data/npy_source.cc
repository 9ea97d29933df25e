// data { npy } and data { npz }
#include <algorithm>

#include "core/base/error.h"
#include "core/data/npy.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

// A feature as a model takes it: numbers of a table of embeddings stay integers, all others become
// f32.
Column feature_column(std::string name, Tensor values, double scale) {
  Column column{std::move(name), std::move(values)};
  switch (column.values.dtype()) {
    case DType::kInt32:
    case DType::kInt64:
      if (scale == 1) return column;
      break;
    case DType::kString:
      return column;
    case DType::kFloat16:
    case DType::kFloat64:
    case DType::kBool: {
      Tensor floats(DType::kFloat32, column.values.shape());
      for (int64_t i = 0; i < floats.elements(); ++i) {
        floats.flat<float>()[static_cast<size_t>(i)] =
            static_cast<float>(column.values.as_double(i));
      }
      column.values = floats;
      break;
    }
    default:
      break;
  }
  column.as = DType::kFloat32;
  column.scale = static_cast<float>(scale);
  return column;
}

Column label_column(Tensor values, LabelUse use, std::string_view where) {
  const bool is_column = values.shape().rank() == 2 && values.shape()[1] == 1;
  if (use == LabelUse::kClass && is_column) {
    values = values.reshaped({values.shape()[0]});  // as CIFAR-10 comes in Keras
  }
  if (use == LabelUse::kClass && is_integer(values.dtype())) {
    return {"label", values, DType::kInt64};
  }
  if (use == LabelUse::kClass && values.shape().rank() == 1) {
    throw invalid_argument(where, ": expected whole numbers of classes, found ", values.type());
  }
  // Of one number an example a loss takes [1].
  if (values.shape().rank() == 1) values = values.reshaped({values.shape()[0], 1});
  Column column = feature_column("label", values, 1);
  if (values.dtype() != DType::kString) column.as = DType::kFloat32;
  return column;
}

class NumpySource : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    const bool npz = is_npz();
    if (npz) visitor.field({.name = "file", .help = "an archive of arrays"}, file_);
    visitor.field({.name = "features",
                   .help = npz ? "names of the arrays to train with, a row an example"
                               : "files to train with, a row an example"},
                  features_);
    visitor.field({.name = "labels", .help = "the same of the labels"}, labels_);
    visitor.field({.name = "validation_features",
                   .help = "the same to validate with",
                   .default_text = "the last rows of the training arrays"},
                  validation_features_);
    visitor.field({.name = "validation_labels",
                   .help = "the same to validate with",
                   .default_text = "the last rows of the training arrays"},
                  validation_labels_);
    visitor.field({.name = "validation_fraction",
                   .help = "of the rows, the last ones, when there are no validation_features; 0: "
                           "no validation",
                   .range = from_below(0, 1)},
                  validation_fraction_);
    visitor.field({.name = "scale",
                   .help = "of all features but those of integers of 32 or 64 bits; e.g. "
                           "0.00392156863 brings bytes of pixels to 0 to 1"},
                  scale_);
  }
  void check() const override {
    if (validation_features_.empty() != validation_labels_.empty()) {
      throw invalid_argument("expected both validation_features and validation_labels, or neither");
    }
    if (!validation_features_.empty() && validation_features_.size() != features_.size()) {
      throw invalid_argument("expected as many validation_features as features, found ",
                             validation_features_.size(), " and ", features_.size());
    }
  }

  SourceData build(const SourceContext& context) const override {
    if (features_.empty() || labels_.empty()) {
      throw invalid_argument("data.", name(), ": expected features and labels");
    }
    Dataset train = read(context, features_, labels_), validation = train;
    if (!validation_features_.empty()) {
      validation = read(context, validation_features_, validation_labels_);
      if (validation.element_spec() != train.element_spec()) {
        throw invalid_argument("data.", name(),
                               ": the arrays to validate with have other types or shapes than "
                               "those to train with");
      }
    } else {
      const int64_t all = train.cardinality();
      const int64_t held_back = held_back_rows(validation_fraction_, all,
                                               str_cat("data.", name(), ".validation_fraction"));
      validation = train.skip(all - held_back);
      train = train.take(all - held_back);
    }
    std::string types;
    for (const ComponentSpec& component : train.element_spec()) {
      types += str_cat(TensorType{component.dtype, component.shape}, '\n');
    }
    return {.train = train,
            .validation = validation,
            .description =
                str_cat(name(), ": ", train.cardinality(), " + ", validation.cardinality(),
                        " rows of ", features_.size(), " array(s), labels as they stand there"),
            .preprocessing = make_preprocessing(name(), str_cat(types, "scale ", scale_))};
  }

 protected:
  virtual bool is_npz() const = 0;
  virtual Tensor read_array(const SourceContext& context, const std::string& array) const = 0;
  virtual std::string where(const std::string& array) const = 0;
  std::string name() const { return is_npz() ? "npz" : "npy"; }

  std::string file_, labels_, validation_labels_;
  std::vector<std::string> features_, validation_features_;
  double validation_fraction_ = 0.2, scale_ = 1;

 private:
  Dataset read(const SourceContext& context, const std::vector<std::string>& features,
               const std::string& labels) const {
    std::vector<Column> columns;
    for (size_t i = 0; i < features.size(); ++i) {
      const Tensor values = read_array(context, features[i]);
      require_rows(values, features[i]);
      columns.push_back(feature_column(str_cat("features", i), values, scale_));
    }
    const Tensor values = read_array(context, labels);
    require_rows(values, labels);
    columns.push_back(label_column(values, context.labels, where(labels)));
    const int64_t rows = columns.back().values.shape()[0];
    for (size_t i = 0; i < features.size(); ++i) {
      if (columns[i].values.shape()[0] == rows) continue;
      throw data_loss(where(labels), ": expected a label for each of the ",
                      columns[i].values.shape()[0], " rows of ", where(features[i]), ", found ",
                      rows);
    }
    return from_columns(std::move(columns));
  }
  void require_rows(const Tensor& values, const std::string& array) const {
    if (values.shape().rank() > 0) return;
    throw data_loss(where(array), ": expected an array with a row an example, found one number");
  }
};

class NpySource final : public NumpySource {
 public:
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    const auto add = [&](const std::string& field, const std::string& file) {
      if (!file.empty()) files.push_back({"data.npy." + field, context.find(file)});
    };
    for (const std::string& file : features_) add("features", file);
    add("labels", labels_);
    for (const std::string& file : validation_features_) add("validation_features", file);
    add("validation_labels", validation_labels_);
    return files;
  }

 private:
  bool is_npz() const override { return false; }
  Tensor read_array(const SourceContext& context, const std::string& array) const override {
    return read_npy(context.find(array));
  }
  std::string where(const std::string& array) const override { return array; }
};

class NpzSource final : public NumpySource {
 public:
  std::vector<SourceFile> files(const SourceContext& context) const override {
    if (file_.empty()) return {};
    return {{"data.npz.file", context.find(file_)}};
  }

 private:
  bool is_npz() const override { return true; }
  Tensor read_array(const SourceContext& context, const std::string& array) const override {
    if (file_.empty()) throw invalid_argument("data.npz: expected a file");
    return NpzFile(context.find(file_)).read(array);
  }
  std::string where(const std::string& array) const override { return file_ + ": " + array; }
};

}  // namespace

void add_npy(Catalog<Source>& catalog) {
  catalog.add<NpySource>("npy", "", "Arrays of NumPy in files of their own (.npy).");
}
void add_npz(Catalog<Source>& catalog) {
  catalog.add<NpzSource>("npz", "", "Arrays of NumPy in one archive (.npz).");
}

}  // namespace trireme::data
