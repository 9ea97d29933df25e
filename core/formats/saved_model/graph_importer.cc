#include "core/formats/saved_model/graph_importer.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"

namespace trireme::formats {

using Kind = ImportValue::Kind;

namespace {

// Where a node's input comes from.
struct Source {
  int argument = -1;  // of the function; -1: of a node
  int node = -1;
  int output = 0;
};

bool changes_variable(const std::string& op) {
  return op.starts_with("Assign") || op.starts_with("ResourceScatter") ||
         op.starts_with("ScatterUpdate") || op.starts_with("ResourceApply");
}

// Counts calls, also where one ends with an error.
class DepthGuard {
 public:
  explicit DepthGuard(int64_t& depth) : depth_(depth) { ++depth_; }
  ~DepthGuard() { --depth_; }
  DepthGuard(const DepthGuard&) = delete;

 private:
  int64_t& depth_;
};

// "a:b:0" as {"a", "b", "0"}.
std::vector<std::string_view> split_colons(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t colon = std::min(text.find(':', at), text.size());
    parts.push_back(text.substr(at, colon - at));
    at = colon + 1;
  }
  return parts;
}

int number_of(std::string_view text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

}  // namespace

// The nodes of the graph or of a function, by name.
struct GraphImporter::Body {
  std::string name;                           // of the function; empty: the graph itself
  const tf::FunctionDef* function = nullptr;  // null: the graph itself
  const google::protobuf::RepeatedPtrField<tf::NodeDef>* nodes = nullptr;
  std::unordered_map<std::string_view, int> by_name, arguments;
  std::vector<std::optional<std::vector<Source>>> sources;  // of each node, once it was asked for
  std::vector<int> assignments;

  Body(const google::protobuf::RepeatedPtrField<tf::NodeDef>& all, const tf::FunctionDef* of)
      : function(of), nodes(&all), sources(static_cast<size_t>(all.size())) {
    if (of != nullptr) name = of->signature().name();
    for (int i = 0; i < all.size(); ++i) {
      if (!by_name.emplace(all[i].name(), i).second) {
        throw data_loss("two nodes of the name \"", printable(all[i].name()), "\"", where());
      }
      if (changes_variable(all[i].op()) && all[i].input_size() > 0) assignments.push_back(i);
    }
    if (of == nullptr) return;
    for (int i = 0; i < of->signature().input_arg_size(); ++i) {
      arguments.emplace(of->signature().input_arg(i).name(), i);
    }
  }

  std::string where() const {
    return name.empty() ? "" : str_cat(" in the function \"", printable(name), "\"");
  }

  // Of "node", "node:1", "node:output:1" or "argument".
  Source source_of(const std::string& text) const {
    const std::vector<std::string_view> parts = split_colons(text);
    if (const auto found = arguments.find(parts[0]); found != arguments.end()) {
      return {.argument = found->second};
    }
    const auto found = by_name.find(parts[0]);
    if (found == by_name.end() || parts.size() > 3) {
      throw data_loss("expected the name of a node's output, found \"", printable(text), "\"",
                      where());
    }
    Source source{.node = found->second};
    if (parts.size() > 1) source.output = number_of(parts.back());
    if (parts.size() == 3) source.output += first_output((*nodes)[source.node], parts[1]);
    if (source.output < 0) {
      throw data_loss("expected the number of an output, found \"", printable(text), "\"", where());
    }
    return source;
  }

  // How many outputs there are before the one of this name.
  static int first_output(const tf::NodeDef& node, std::string_view output) {
    const ImportRow* const row = ImportTable::get().find(node.op());
    if (row == nullptr) return 0;
    const auto at = std::ranges::find(row->outputs, output);
    return at == row->outputs.end() ? 0 : static_cast<int>(at - row->outputs.begin());
  }

  const std::vector<Source>& sources_of(int node) {
    auto& known = sources[static_cast<size_t>(node)];
    if (!known) {
      known.emplace();
      for (const std::string& input : (*nodes)[node].input()) {
        if (!input.starts_with('^')) known->push_back(source_of(input));
      }
    }
    return *known;
  }
};

// One evaluation of a body.
struct GraphImporter::Frame {
  enum class State : uint8_t { kNew, kOpen, kDone, kMissing, kDead };

  Body& body;
  ImportValues arguments;
  const Attributes* attributes = nullptr;  // of the call, which the body's nodes may name
  std::vector<State> states;
  std::vector<ImportValues> results;

  Frame(Body& of, ImportValues given, const Attributes* bound)
      : body(of),
        arguments(std::move(given)),
        attributes(bound),
        states(static_cast<size_t>(of.nodes->size())),
        results(states.size()) {}

  ImportValue get(const Source& source) const {
    if (source.argument >= 0) return arguments.at(static_cast<size_t>(source.argument));
    const auto node = static_cast<size_t>(source.node);
    ImportValue value;
    if (states[node] == State::kMissing) return value;
    if (states[node] == State::kDead) {
      value.kind = Kind::kDead;
      return value;
    }
    if (static_cast<size_t>(source.output) >= results[node].size()) {
      throw data_loss("expected at most ", results[node].size(), " outputs of the node \"",
                      printable((*body.nodes)[source.node].name()), "\"", body.where(),
                      ", found one with the number ", source.output);
    }
    return results[node][static_cast<size_t>(source.output)];
  }
};

GraphImporter::GraphImporter(const SavedModelFile& file, Graph& graph,
                             std::function<Value(size_t)> variable, ImportLimits limits)
    : file_(file),
      graph_(graph),
      make_variable_(std::move(variable)),
      limits_(limits),
      kernels_(built_in_kernels()) {
  try {
    const tf::GraphDef& def = file.graph().graph_def();
    for (const auto& function : def.library().function()) {
      library_.emplace(function.signature().name(), &function);
    }
    main_ = std::make_unique<Body>(def.node(), nullptr);
    main_frame_ = std::make_unique<Frame>(*main_, ImportValues{}, nullptr);
  } catch (const Error& error) {
    throw error.with_context(file.path());
  }
}

GraphImporter::~GraphImporter() = default;

std::vector<Value> GraphImporter::import(const Signature& signature, std::span<const Value> inputs,
                                         std::span<const std::string> outputs) {
  TRIREME_CHECK(inputs.size() == signature.inputs.size(), "inputs of the signature");
  std::vector<Value> values;
  try {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Source source = main_->source_of(signature.inputs[i].tensor);
      const auto node = static_cast<size_t>(source.node);
      main_frame_->states[node] = Frame::State::kDone;
      main_frame_->results[node].resize(static_cast<size_t>(source.output) + 1);
      main_frame_->results[node].back() = ImportValue::of(inputs[i], 1);
      const Shape& shape = inputs[i].shape();
      if (!batch_source_.defined() && shape.rank() > 0 && shape[0] < 0) batch_source_ = inputs[i];
    }
    std::vector<Source> wanted;
    std::vector<int> nodes;
    for (const std::string& name : outputs) {
      const auto found = std::ranges::find(signature.outputs, name, &SignatureValue::name);
      TRIREME_CHECK(found != signature.outputs.end(), "an output of the signature");
      wanted.push_back(main_->source_of(found->tensor));
      nodes.push_back(wanted.back().node);
    }
    evaluate_nodes(*main_frame_, nodes);
    throw_problems(signature);
    for (const Source& source : wanted) {
      const ImportValue value = main_frame_->get(source);
      if (value.is(Kind::kGraph)) {
        values.push_back(value.value);
      } else if (value.is(Kind::kNumbers)) {
        values.push_back(value_of_numbers(value));
      } else if (value.is(Kind::kTensor)) {
        values.push_back(ops::constant(graph_, value.tensor));
      } else {
        throw invalid_argument("expected an output that is a tensor, found ", value.describe(),
                               "; it may depend on an object of the file that is no variable");
      }
    }
  } catch (const Error& error) {
    throw error.with_context(file_.path());
  }
  return values;
}

void GraphImporter::evaluate_nodes(Frame& frame, std::vector<int> pending) {
  using State = Frame::State;
  Body& body = frame.body;
  while (!pending.empty()) {
    const int node = pending.back();
    State& state = frame.states[static_cast<size_t>(node)];
    if (state != State::kNew && state != State::kOpen) {
      pending.pop_back();
      continue;
    }
    const bool is_first = state == State::kNew;
    state = State::kOpen;
    bool is_ready = true;
    for (const Source& source : body.sources_of(node)) {
      if (source.argument >= 0) continue;
      const State of_input = frame.states[static_cast<size_t>(source.node)];
      if (of_input == State::kNew) {
        pending.push_back(source.node);
        is_ready = false;
      } else if (of_input == State::kOpen && (is_first || source.node == node)) {
        throw data_loss("the node \"", printable((*body.nodes)[node].name()), "\" (",
                        printable((*body.nodes)[node].op()), ")", body.where(),
                        " is part of a cycle");
      }
    }
    if (!is_ready) continue;
    run_node(frame, node);
    pending.pop_back();
  }
}

void GraphImporter::run_node(Frame& frame, int index) {
  using State = Frame::State;
  const tf::NodeDef& node = (*frame.body.nodes)[index];
  State& state = frame.states[static_cast<size_t>(index)];
  if (++evaluated_ > limits_.evaluated_nodes || graph_.size() > limits_.graph_nodes) {
    throw Error(
        ErrorCode::kResourceExhausted,
        str_cat("expected at most ", limits_.evaluated_nodes, " nodes, or ", limits_.graph_nodes,
                " of the network that they make, found more at \"", printable(node.name()), "\"",
                frame.body.where(), "; a loop may have too many steps"));
  }
  ImportValues inputs;
  bool is_missing = false, is_dead = false;
  for (const Source& source : frame.body.sources_of(index)) {
    inputs.push_back(frame.get(source));
    is_missing = is_missing || inputs.back().is(Kind::kMissing);
    is_dead = is_dead || inputs.back().is(Kind::kDead);
  }
  const ImportRow* const row = ImportTable::get().find(node.op());
  const bool is_function = row == nullptr && library_.contains(node.op());
  if (row == nullptr && !is_function) {
    add_missing(node.op(), node.name());
    state = State::kMissing;
    return;
  }
  if ((is_missing || is_dead) && !is_function && !row->takes_missing) {
    state = is_dead ? State::kDead : State::kMissing;
    return;
  }
  ImportValues& results = frame.results[static_cast<size_t>(index)];
  try {
    if (is_function) {
      results = call_function(node.op(), std::move(inputs), &node.attr());
    } else {
      ImportCall call(*this, node, std::move(inputs), frame.attributes);
      results = row->import(call);
    }
    state = results.empty() ? State::kMissing : State::kDone;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    if (problem_.empty()) {
      problem_ = str_cat("node \"", printable(node.name()), "\" (", printable(node.op()), ")",
                         frame.body.where(), ": ", error.what());
    }
    state = State::kMissing;
  }
}

const GraphImporter::Body& GraphImporter::body_of(const std::string& function) {
  auto& body = bodies_[function];
  if (!body) {
    const auto found = library_.find(function);
    if (found == library_.end()) {
      throw data_loss("expected a function \"", printable(function), "\", found none");
    }
    body = std::make_unique<Body>(found->second->node_def(), found->second);
  }
  return *body;
}

ImportValues GraphImporter::call_function(const std::string& name, ImportValues arguments,
                                          const Attributes* attributes) {
  auto& body = const_cast<Body&>(body_of(name));
  const auto& signature = body.function->signature();
  if (depth_ >= limits_.call_depth) {
    throw data_loss("expected functions that call each other at most ", limits_.call_depth,
                    " deep, found more at \"", printable(name), "\"; it may call itself");
  }
  if (arguments.size() != static_cast<size_t>(signature.input_arg_size())) {
    throw data_loss("expected ", signature.input_arg_size(), " arguments of the function \"",
                    printable(name), "\", found ", arguments.size());
  }
  bind_captures(name, arguments);
  Frame frame(body, std::move(arguments), attributes);
  const DepthGuard guard(depth_);
  std::vector<Source> wanted;
  std::vector<int> nodes;
  for (const auto& output : signature.output_arg()) {
    const auto found = body.function->ret().find(output.name());
    if (found == body.function->ret().end()) {
      throw data_loss("expected what \"", printable(name), "\" returns as \"",
                      printable(output.name()), "\", found nothing");
    }
    wanted.push_back(body.source_of(found->second));
    if (wanted.back().argument < 0) nodes.push_back(wanted.back().node);
  }
  evaluate_nodes(frame, nodes);
  ImportValues results;
  for (const Source& source : wanted) results.push_back(frame.get(source));
  note_assignments(frame);
  return results;
}

void GraphImporter::bind_captures(const std::string& function, ImportValues& arguments) {
  const std::vector<Capture>* const captures = file_.captures(function);
  if (captures == nullptr || captures->size() > arguments.size()) return;
  const size_t first = arguments.size() - captures->size();
  for (size_t i = 0; i < captures->size(); ++i) {
    arguments[first + i] = value_of_capture((*captures)[i]);
  }
}

ImportValue GraphImporter::value_of_capture(const Capture& capture) {
  if (capture.variable) return ImportValue::of_variable(*capture.variable);
  const auto found = main_->by_name.find(capture.constant);
  if (capture.constant.empty() || found == main_->by_name.end()) return {};
  if (main_frame_->states[static_cast<size_t>(found->second)] == Frame::State::kNew) {
    evaluate_nodes(*main_frame_, {found->second});
  }
  return main_frame_->get({.node = found->second});
}

void GraphImporter::note_assignments(const Frame& frame) {
  for (const int index : frame.body.assignments) {
    const Source handle = frame.body.sources_of(index).at(0);
    if (handle.argument < 0) continue;
    const ImportValue& variable = frame.arguments[static_cast<size_t>(handle.argument)];
    if (variable.is(Kind::kVariable)) {
      assigned_.emplace(variable.variable, (*frame.body.nodes)[index].name());
    }
  }
}

void GraphImporter::add_missing(const std::string& op, const std::string& node) {
  Missing& missing = missing_[op];
  if (missing.count++ == 0) missing.example = node;
}

void GraphImporter::throw_problems(const Signature& signature) {
  if (!missing_.empty()) {
    std::string list;
    for (const auto& [op, missing] : missing_) {
      list += str_cat(list.empty() ? "" : ", ", printable(op), " (", missing.count,
                      missing.count == 1 ? " node, \"" : " nodes, such as \"",
                      printable(missing.example), "\")");
    }
    throw invalid_argument("the signature \"", printable(signature.name),
                           "\" needs ops that Trireme does not have: ", list);
  }
  if (!problem_.empty()) throw invalid_argument(problem_);
  for (const auto& [variable, node] : assigned_) {
    const std::string name = printable(file_.variables()[variable].name);
    if (variables_.contains(variable)) {
      throw invalid_argument("the signature \"", printable(signature.name),
                             "\" changes the variable \"", name, "\", which it also reads (node \"",
                             printable(node), "\"); a layer cannot do that");
    }
    notes_.push_back(str_cat("at each call it changes the variable \"", name,
                             "\", which it does not read; this is left out"));
  }
}

ImportValue GraphImporter::read_variable(size_t index) {
  auto& known = variables_[index];
  if (!known.is(Kind::kMissing)) return known;
  const SavedVariable& variable = file_.variables().at(index);
  if (!variable.unknown_dtype.empty()) {
    throw invalid_argument("the variable \"", printable(variable.name), "\" is of type ",
                           variable.unknown_dtype, ", which Trireme does not have");
  }
  if (variable.key.empty()) {
    throw invalid_argument("the variable \"", printable(variable.name), "\" has no value in ",
                           file_.path(), "/variables");
  }
  if (is_floating(variable.type.dtype)) {
    known = ImportValue::of(make_variable_(index), 1);
  } else {
    charge(variable.type.bytes());
    known = ImportValue::of(file_.read(index));
  }
  return known;
}

Value GraphImporter::batch_size() {
  if (batch_size_.defined()) return batch_size_;
  if (!batch_source_.defined()) {
    throw invalid_argument("expected an input whose first axis is the batch, found none");
  }
  const auto rank = static_cast<size_t>(batch_source_.shape().rank());
  std::vector<int64_t> sizes(rank, 1);
  sizes[0] = -1;
  const Value one_each =
      ops::cast(ops::slice(batch_source_, std::vector<int64_t>(rank, 0), sizes), DType::kInt64);
  batch_size_ = ops::sum(ops::ones_like(one_each));
  return batch_size_;
}

Value GraphImporter::value_of_numbers(const ImportValue& numbers) {
  std::vector<Value> elements;
  for (const BatchNumber& number : numbers.numbers) {
    Value element = ops::scalar(graph_, DType::kInt64, static_cast<double>(number.constant));
    if (!number.is_constant()) {
      const Value factor =
          ops::scalar(graph_, DType::kInt64, static_cast<double>(number.per_batch));
      element = element + factor * batch_size();
    }
    elements.push_back(element);
  }
  return ops::cast(numbers.is_scalar ? elements[0] : ops::stack(elements), numbers.dtype);
}

ImportValue GraphImporter::filled(std::span<const BatchNumber> dimensions, DType dtype,
                                  double number) {
  (void)batch_size();  // throws without a batch
  Shape shape, line;
  int64_t per_batch = 0;
  for (const BatchNumber& size : dimensions) {
    if (size.is_constant()) {
      shape.push_back(size.constant);
      line.push_back(1);
      continue;
    }
    if (size.constant != 0 || size.per_batch < 1 || per_batch != 0) {
      throw invalid_argument("expected one size that is a multiple of the batch");
    }
    per_batch = size.per_batch;
    shape.push_back(-1);
    line.push_back(-1);
  }
  const auto rank = static_cast<size_t>(batch_source_.shape().rank());
  std::vector<int64_t> sizes(rank, 1);
  sizes[0] = -1;
  Value column = ops::slice(batch_source_, std::vector<int64_t>(rank, 0), sizes);
  column = ops::fill_like(ops::cast(ops::reshape(column, {-1, 1}), dtype), number);
  if (per_batch > 1) column = ops::broadcast_to(column, {-1, per_batch});
  return ImportValue::of(ops::broadcast_to(ops::reshape(column, line), shape), per_batch);
}

void GraphImporter::charge(uint64_t bytes) {
  known_bytes_ += bytes;
  if (known_bytes_ <= limits_.known_bytes) return;
  throw Error(ErrorCode::kResourceExhausted,
              str_cat("expected constants of at most ", limits_.known_bytes,
                      " bytes, with what is computed of them, found more"));
}

}  // namespace trireme::formats
