#include "core/formats/saved_model/import_call.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::formats {

using Kind = ImportValue::Kind;

ImportCall::ImportCall(GraphImporter& importer, const tf::NodeDef& node, ImportValues inputs,
                       const GraphImporter::Attributes* bound)
    : importer_(importer), node_(node), inputs_(std::move(inputs)), bound_(bound) {
  folds_ = !inputs_.empty() && std::ranges::all_of(inputs_, [](const ImportValue& input) {
    return input.is(Kind::kTensor) && input.tensor.dtype() != DType::kString;
  });
  if (folds_) scratch_ = std::make_unique<Graph>(importer.graph().ops());
}

const ImportValue& ImportCall::input(int i) const {
  require(i >= 0 && i < count(), str_cat("at least ", i + 1, " inputs"));
  return inputs_[static_cast<size_t>(i)];
}

bool ImportCall::any_missing() const {
  return std::ranges::any_of(inputs_, [](const ImportValue& v) { return v.is(Kind::kMissing); });
}

Value ImportCall::value(int i) { return value(input(i)); }

Value ImportCall::value(const ImportValue& input) {
  switch (input.kind) {
    case Kind::kTensor:
      require(input.tensor.dtype() != DType::kString, "numbers, found texts");
      return ops::constant(graph(), input.tensor);
    case Kind::kNumbers:
      return importer_.value_of_numbers(input);
    case Kind::kGraph:
      return input.value;
    default:
      throw invalid_argument("expected a tensor as input, found ", input.describe());
  }
}

const Tensor& ImportCall::tensor(int i) const {
  if (!is_known(i)) {
    throw invalid_argument("expected input ", i, " to be known when the graph is built, found ",
                           input(i).describe());
  }
  return input(i).tensor;
}

std::vector<int64_t> ImportCall::ints(int i) const {
  (void)tensor(i);
  const auto numbers = numbers_of(input(i));
  require(numbers.has_value(), str_cat("whole numbers as input ", i, ", a scalar or a vector"));
  std::vector<int64_t> all;
  for (const BatchNumber& number : *numbers) all.push_back(number.constant);
  return all;
}

int64_t ImportCall::integer(int i) const {
  const std::vector<int64_t> all = ints(i);
  require(all.size() == 1, str_cat("one number as input ", i));
  return all[0];
}

std::vector<BatchNumber> ImportCall::sizes(int i) const {
  const auto numbers = numbers_of(input(i));
  if (!numbers) {
    throw invalid_argument("expected input ", i,
                           " to be sizes that are known when the graph is built, but for the "
                           "batch, found ",
                           input(i).describe());
  }
  return *numbers;
}

const ImportValues& ImportCall::list(int i) const {
  require(input(i).is(Kind::kList), str_cat("a list of tensors as input ", i));
  return *input(i).list;
}

const tf::AttrValue* ImportCall::attribute(const std::string& name) const {
  const auto found = node_.attr().find(name);
  if (found == node_.attr().end()) return nullptr;
  if (found->second.value_case() != tf::AttrValue::kPlaceholder) return &found->second;
  if (bound_ == nullptr) return nullptr;
  const auto given = bound_->find(found->second.placeholder());
  return given == bound_->end() ? nullptr : &given->second;
}

bool ImportCall::flag(const std::string& name, bool otherwise) const {
  const tf::AttrValue* const found = attribute(name);
  return found == nullptr ? otherwise : found->b();
}

int64_t ImportCall::integer(const std::string& name, int64_t otherwise) const {
  const tf::AttrValue* const found = attribute(name);
  return found == nullptr ? otherwise : found->i();
}

double ImportCall::number(const std::string& name, double otherwise) const {
  const tf::AttrValue* const found = attribute(name);
  return found == nullptr ? otherwise : static_cast<double>(found->f());
}

std::string ImportCall::text(const std::string& name, const std::string& otherwise) const {
  const tf::AttrValue* const found = attribute(name);
  return found == nullptr ? otherwise : found->s();
}

std::vector<int64_t> ImportCall::integers(const std::string& name) const {
  const tf::AttrValue* const found = attribute(name);
  if (found == nullptr) return {};
  require(found->list().i_size() <= kMostNumbers, str_cat("a short list as ", name));
  return {found->list().i().begin(), found->list().i().end()};
}

std::vector<std::string> ImportCall::texts(const std::string& name) const {
  const tf::AttrValue* const found = attribute(name);
  if (found == nullptr) return {};
  return {found->list().s().begin(), found->list().s().end()};
}

DType ImportCall::dtype(const std::string& name, DType otherwise) const {
  const tf::AttrValue* const found = attribute(name);
  if (found == nullptr) return otherwise;
  const std::optional<DType> dtype = dtype_of_tensorflow(found->type());
  require(dtype.has_value(),
          str_cat("a type that Trireme has, found ", tensorflow_dtype_name(found->type())));
  return *dtype;
}

const tf::NameAttrList& ImportCall::function(const std::string& name) const {
  const tf::AttrValue* const found = attribute(name);
  require(found != nullptr && found->value_case() == tf::AttrValue::kFunc,
          str_cat("a function as ", name));
  return found->func();
}

void ImportCall::require(bool condition, std::string_view expected) const {
  if (!condition) throw invalid_argument("expected ", expected);
}

ImportValue ImportCall::result(Value value) {
  int64_t per_batch = 0;
  if (!folds_ && !value.shape().is_known()) {
    for (const ImportValue& input : inputs_) {
      if (!input.is(Kind::kGraph) || input.value.shape().is_known()) continue;
      if (per_batch == 0) per_batch = input.per_batch;
      require(per_batch == input.per_batch,
              "inputs whose unknown sizes are the same multiple of the batch");
    }
  }
  return result(value, std::max<int64_t>(per_batch, 1));
}

ImportValue ImportCall::result(Value value, int64_t per_batch) {
  if (folds_) {
    Tensor known = importer_.evaluate(value);
    importer_.charge(known.bytes());
    return ImportValue::of(std::move(known));
  }
  require(std::ranges::count(value.shape(), int64_t{-1}) <= 1,
          str_cat("at most one axis that depends on the batch, not ", value.shape()));
  return ImportValue::of(value, per_batch);
}

ImportValues ImportCall::results(std::initializer_list<Value> values) {
  ImportValues made;
  for (const Value& value : values) made.push_back(result(value));
  return made;
}

const ImportTable& ImportTable::get() {
  static const ImportTable table = [] {
    ImportTable made;
    add_math_imports(made);
    add_array_imports(made);
    add_shape_imports(made);
    add_image_imports(made);
    add_control_imports(made);
    return made;
  }();
  return table;
}

const ImportRow* ImportTable::find(const std::string& op) const {
  const auto found = rows_.find(op);
  return found == rows_.end() ? nullptr : &found->second;
}

std::vector<std::string> ImportTable::ops() const {
  std::vector<std::string> names;
  for (const auto& [op, row] : rows_) names.push_back(op);
  std::ranges::sort(names);
  return names;
}

void ImportTable::add(std::initializer_list<const char*> ops, ImportRow row) {
  for (const char* op : ops) {
    TRIREME_CHECK(rows_.emplace(op, row).second, "two imports of the op ", op);
  }
}

}  // namespace trireme::formats
