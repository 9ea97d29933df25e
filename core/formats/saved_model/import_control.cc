// Variables, functions, branches, loops, and lists of tensors.
#include <algorithm>

#include "core/base/error.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"

namespace trireme::formats {
namespace {

using Kind = ImportValue::Kind;
using Sizes = std::vector<BatchNumber>;

ImportValues import_nothing(ImportCall&) { return {}; }

ImportValues import_placeholder(ImportCall&) {
  throw invalid_argument("expected an input of the signature, found one that nothing gives");
}

// A handle that the file does not explain may still be explained by the function that captures it.
ImportValues import_handle(ImportCall& c) {
  const auto variable = c.importer().file().find_variable(c.text("shared_name"), c.node().name());
  if (!variable) return {};
  return {ImportValue::of_variable(*variable)};
}

ImportValues import_read(ImportCall& c) {
  c.require(c.input(0).is(Kind::kVariable), "the handle of a variable");
  return {c.importer().read_variable(c.input(0).variable)};
}

// TensorFlow 1: the node is the value.
ImportValues import_ref_variable(ImportCall& c) {
  const auto variable = c.importer().file().find_variable(c.text("shared_name"), c.node().name());
  if (!variable) {
    throw invalid_argument("expected a value of the variable in the file, found none");
  }
  return {c.importer().read_variable(*variable)};
}

ImportValues import_variable_shape(ImportCall& c) {
  c.require(c.input(0).is(Kind::kVariable), "the handle of a variable");
  const SavedVariable& variable = c.importer().file().variables().at(c.input(0).variable);
  return {ImportValue::of(dimensions_of(variable.type.shape, 1), false,
                          c.dtype("out_type", DType::kInt32))};
}

ImportValues inputs_of(const ImportCall& c, int first) {
  ImportValues values;
  for (int i = first; i < c.count(); ++i) values.push_back(c.input(i));
  return values;
}

ImportValues import_call(ImportCall& c) {
  const tf::NameAttrList& function = c.function("f");
  return c.importer().call_function(function.name(), inputs_of(c, 0), &function.attr());
}

// Whether a known tensor counts as true.
std::optional<int64_t> known_number(const ImportValue& value) {
  if (!value.is(Kind::kTensor) || value.tensor.elements() != 1 ||
      value.tensor.dtype() == DType::kString) {
    return std::nullopt;
  }
  return static_cast<int64_t>(
      value.tensor.as_double(0) != 0
          ? (value.tensor.dtype() == DType::kBool ? 1 : value.tensor.as_double(0))
          : 0);
}

ImportValues import_if(ImportCall& c) {
  const auto condition = known_number(c.input(0));
  if (!condition) {
    if (!c.input(0).is(Kind::kMissing)) {
      throw invalid_argument(
          "expected a condition that is known when the graph is built, found one that depends on "
          "the data, ",
          c.input(0).describe());
    }
    return {};
  }
  const tf::NameAttrList& function = c.function(*condition != 0 ? "then_branch" : "else_branch");
  return c.importer().call_function(function.name(), inputs_of(c, 1), &function.attr());
}

ImportValues import_case(ImportCall& c) {
  const auto index = known_number(c.input(0));
  const tf::AttrValue* const branches = c.attribute("branches");
  c.require(branches != nullptr && branches->list().func_size() > 0, "functions as branches");
  if (!index) {
    c.require(c.input(0).is(Kind::kMissing), "an index that is known when the graph is built");
    return {};
  }
  const int count = branches->list().func_size();
  const int chosen = *index < 0 || *index >= count ? count - 1 : static_cast<int>(*index);
  const tf::NameAttrList& function = branches->list().func(chosen);
  return c.importer().call_function(function.name(), inputs_of(c, 1), &function.attr());
}

// A condition that depends on the size of the batch is none that is known.
ImportValues import_while(ImportCall& c) {
  const tf::NameAttrList &condition = c.function("cond"), &body = c.function("body");
  ImportValues values = inputs_of(c, 0);
  const int64_t most = c.importer().limits().loop_steps;
  for (int64_t step = 0;; ++step) {
    const ImportValues goes_on =
        c.importer().call_function(condition.name(), values, &condition.attr());
    const bool is_missing = goes_on.size() != 1 || goes_on[0].is(Kind::kMissing);
    const auto known = is_missing ? std::nullopt : known_number(goes_on[0]);
    if (!known) {
      // Once, so that the ops in it that are missing are found.
      if (is_missing) (void)c.importer().call_function(body.name(), values, &body.attr());
      c.require(is_missing,
                "a loop whose number of steps is known when the graph is built, found one that "
                "depends on the data");
      return {};
    }
    if (*known == 0) return values;
    if (step >= most) throw invalid_argument("expected a loop of at most ", most, " steps");
    values = c.importer().call_function(body.name(), values, &body.attr());
    c.require(values.size() == static_cast<size_t>(c.count()), "a body that gives what it takes");
  }
}

ImportValues import_switch(ImportCall& c) {
  if (c.any_missing()) return {};
  const auto condition = known_number(c.input(1));
  c.require(condition.has_value() || c.input(1).is(Kind::kDead),
            "a condition that is known when the graph is built");
  ImportValue dead;
  dead.kind = Kind::kDead;
  if (!condition) return {dead, dead};
  return *condition != 0 ? ImportValues{dead, c.input(0)} : ImportValues{c.input(0), dead};
}

ImportValues import_merge(ImportCall& c) {
  for (int i = 0; i < c.count(); ++i) {
    if (c.input(i).is(Kind::kDead)) continue;
    if (c.input(i).is(Kind::kMissing)) return {};
    return {c.input(i), ImportValue::of(Sizes{{i, 0}}, true, DType::kInt32)};
  }
  ImportValue dead;
  dead.kind = Kind::kDead;
  return {dead, dead};
}

// --- lists of tensors

ImportValue list_value(ImportValues elements, DType dtype) {
  ImportValue list;
  list.kind = Kind::kList;
  list.dtype = dtype;
  list.list = std::make_shared<const ImportValues>(std::move(elements));
  return list;
}

// The shape of the elements, where the node says it; -1 leaves a dimension open.
void set_element_shape(ImportCall& c, int i, ImportValue& list) {
  const auto sizes = numbers_of(c.input(i));
  const auto is_open = [](const BatchNumber& size) { return size == BatchNumber{-1, 0}; };
  if (!sizes || std::ranges::any_of(*sizes, is_open)) return;
  const bool is_scalar = c.is_known(i) && c.tensor(i).shape().rank() == 0;
  if (is_scalar) return;
  list.element_shape = *sizes;
  list.has_element_shape = true;
}

int64_t list_size(const ImportCall& c, int64_t size) {
  c.require(size >= 0 && size <= c.importer().limits().loop_steps,
            str_cat("a list of at most ", c.importer().limits().loop_steps, " tensors"));
  return size;
}

ImportValues import_list_reserve(ImportCall& c) {
  const int64_t size = c.op() == "EmptyTensorList" ? 0 : list_size(c, c.integer(1));
  ImportValue list = list_value(ImportValues(static_cast<size_t>(size)),
                                c.dtype("element_dtype", DType::kFloat32));
  set_element_shape(c, 0, list);
  return {list};
}

ImportValues import_list_from_tensor(ImportCall& c) {
  const ImportValue& x = c.input(0);
  ImportValues elements;
  if (x.is(Kind::kNumbers)) {
    for (const BatchNumber& size : x.numbers) {
      elements.push_back(ImportValue::of({size}, true, x.dtype));
    }
  } else if (x.is(Kind::kTensor)) {
    const Tensor& tensor = x.tensor;
    c.require(tensor.shape().rank() > 0, "a tensor of at least one dimension");
    const Shape rest = tensor.shape().last(tensor.shape().rank() - 1);
    for (int64_t i = 0; i < list_size(c, tensor.shape()[0]); ++i) {
      elements.push_back(ImportValue::of(tensor.rows(i, i + 1).reshaped(rest).clone()));
    }
  } else {
    const Value value = c.value(0);
    c.require(value.shape().rank() > 0 && value.shape()[0] >= 0,
              "a known number of elements along the first axis");
    (void)list_size(c, value.shape()[0]);
    for (const Value& part : ops::unstack(value)) elements.push_back(c.result(part));
  }
  ImportValue list = list_value(std::move(elements), x.dtype);
  set_element_shape(c, 1, list);
  return {list};
}

size_t list_index(const ImportCall& c, int i) {
  const int64_t index = c.integer(i);
  c.require(index >= 0 && static_cast<size_t>(index) < c.list(0).size(),
            str_cat("an index within the ", c.list(0).size(), " tensors of the list"));
  return static_cast<size_t>(index);
}

ImportValues import_list_set(ImportCall& c) {
  ImportValue list = c.input(0);
  ImportValues elements = c.list(0);
  const bool grows = c.flag("resize_if_index_out_of_bounds") && c.integer(1) >= 0;
  if (grows && static_cast<size_t>(c.integer(1)) >= elements.size()) {
    elements.resize(static_cast<size_t>(list_size(c, c.integer(1) + 1)));
  }
  c.require(c.integer(1) >= 0 && static_cast<size_t>(c.integer(1)) < elements.size(),
            str_cat("an index within the ", elements.size(), " tensors of the list"));
  elements[static_cast<size_t>(c.integer(1))] = c.input(2);
  list.list = std::make_shared<const ImportValues>(std::move(elements));
  return {list};
}

// An element that was never set is zeros.
ImportValue element(ImportCall& c, const ImportValue& list, const ImportValue& found) {
  if (!found.is(Kind::kMissing)) return found;
  c.require(list.has_element_shape, "an element of the list that was set");
  Shape shape;
  for (const BatchNumber& size : list.element_shape) {
    if (!size.is_constant()) return c.importer().filled(list.element_shape, list.dtype, 0);
    shape.push_back(size.constant);
  }
  c.importer().charge(TensorType{list.dtype, shape}.bytes());
  return ImportValue::of(Tensor::zeros(list.dtype, shape));
}

ImportValues import_list_get(ImportCall& c) {
  const size_t index = list_index(c, 1);
  ImportValue list = c.input(0);
  if (!list.has_element_shape && c.count() > 2) set_element_shape(c, 2, list);
  return {element(c, list, c.list(0)[index])};
}

ImportValues import_list_stack(ImportCall& c) {
  ImportValue list = c.input(0);
  c.require(!c.list(0).empty(), "a list of at least one tensor");
  if (!list.has_element_shape) set_element_shape(c, 1, list);
  std::vector<Value> values;
  int64_t per_batch = 1;
  for (const ImportValue& found : c.list(0)) {
    const ImportValue one = element(c, list, found);
    // The list is no tensor, so that the graph is the network's.
    values.push_back(c.value(one));
    if (one.is(Kind::kGraph) && !one.value.shape().is_known()) per_batch = one.per_batch;
  }
  return {c.result(ops::stack(values), per_batch)};
}

ImportValues import_list_push(ImportCall& c) {
  ImportValue list = c.input(0);
  ImportValues elements = c.list(0);
  (void)list_size(c, static_cast<int64_t>(elements.size()) + 1);
  elements.push_back(c.input(1));
  list.list = std::make_shared<const ImportValues>(std::move(elements));
  return {list};
}

ImportValues import_list_length(ImportCall& c) {
  return {ImportValue::of(Sizes{{static_cast<int64_t>(c.list(0).size()), 0}}, true, DType::kInt32)};
}

}  // namespace

void add_control_imports(ImportTable& table) {
  table.add({"NoOp", "Assert", "Print", "PrintV2"}, {import_nothing});
  table.add({"Placeholder"}, {import_placeholder});
  table.add({"VarHandleOp"}, {import_handle});
  table.add({"ReadVariableOp"}, {import_read});
  table.add({"Variable", "VariableV2"}, {import_ref_variable});
  table.add({"VariableShape"}, {import_variable_shape});
  table.add({"PartitionedCall", "StatefulPartitionedCall"},
            {.import = import_call, .takes_missing = true});
  table.add({"If", "StatelessIf"}, {.import = import_if, .takes_missing = true});
  table.add({"Case", "StatelessCase"}, {.import = import_case, .takes_missing = true});
  table.add({"While", "StatelessWhile"}, {.import = import_while, .takes_missing = true});
  table.add(
      {"Switch"},
      {.import = import_switch, .outputs = {"output_false", "output_true"}, .takes_missing = true});
  table.add({"Merge"},
            {.import = import_merge, .outputs = {"output", "value_index"}, .takes_missing = true});
  table.add({"TensorListReserve", "EmptyTensorList"}, {import_list_reserve});
  table.add({"TensorListFromTensor"}, {import_list_from_tensor});
  table.add({"TensorListSetItem"}, {import_list_set});
  table.add({"TensorListGetItem"}, {import_list_get});
  table.add({"TensorListStack"}, {import_list_stack});
  table.add({"TensorListPushBack"}, {import_list_push});
  table.add({"TensorListLength"}, {import_list_length});
}

}  // namespace trireme::formats
