#include "core/ops/elementwise_chain.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "core/base/error.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

constexpr size_t kMaxSteps = 1024;

std::string attribute_text(const AttributeValue& value) {
  if (const auto* v = std::get_if<bool>(&value)) return *v ? "b:1" : "b:0";
  if (const auto* v = std::get_if<int64_t>(&value)) return str_cat("i:", *v);
  if (const auto* v = std::get_if<DType>(&value)) return str_cat("t:", name(*v));
  if (const auto* v = std::get_if<Ints>(&value)) {
    std::string text = "l:";
    for (size_t i = 0; i < v->size(); ++i) text += str_cat(i == 0 ? "" : ".", (*v)[i]);
    return text;
  }
  const auto* v = std::get_if<double>(&value);
  TRIREME_CHECK(v != nullptr, "an attribute that no chain can hold: ", to_string(value));
  // Hexadecimal: the same number when it is read again.
  char text[40];
  std::snprintf(text, sizeof text, "d:%a", *v);
  return text;
}

std::string list(const std::vector<int>& numbers) {
  std::string text;
  for (int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

class Parser {
 public:
  Parser(std::string_view text, int input_count) : text_(text) { chain_.input_count = input_count; }

  Chain parse() {
    for (skip_spaces(); !take("->"); skip_spaces()) {
      require(chain_.steps.size() < kMaxSteps, "fewer steps");
      chain_.steps.push_back(step());
    }
    skip_spaces();
    chain_.outputs = numbers();
    require(at_ == text_.size(), "nothing after the outputs");
    require(!chain_.outputs.empty(), "an output");
    for (int output : chain_.outputs)
      require(output >= chain_.input_count, "outputs that a step makes");
    return std::move(chain_);
  }

 private:
  void require(bool condition, std::string_view expected) const {
    if (!condition) {
      throw invalid_argument("chain '", text_, "': expected ", expected, " at character ", at_);
    }
  }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) { require(take(token), str_cat("'", token, "'")); }
  void skip_spaces() {
    while (take(" ")) {
    }
  }
  std::string_view until(std::string_view ends) {
    const size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end;
    return found;
  }

  template <typename T>
  T number(std::string_view text) const {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    require(error == std::errc() && end == text.data() + text.size(), "a number");
    return value;
  }

  double real(std::string_view text) const {
    // As %a writes it, which from_chars does not read: it takes no "0x".
    const std::string copy(text);
    char* end = nullptr;
    const double value = std::strtod(copy.c_str(), &end);
    require(!copy.empty() && end == copy.c_str() + copy.size(), "a number");
    return value;
  }

  Ints list_of(std::string_view text) const {
    Ints found;
    while (!text.empty()) {
      const size_t end = std::min(text.find('.'), text.size());
      found.push_back(number<int64_t>(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return found;
  }

  std::vector<int> numbers() {
    std::vector<int> found;
    const int made = chain_.input_count + static_cast<int>(chain_.steps.size());
    while (at_ < text_.size() && text_[at_] != ')') {
      if (!found.empty()) expect(",");
      const int value = number<int>(until(",)"));
      require(value >= 0 && value < made, "numbers of values before the step");
      found.push_back(value);
    }
    return found;
  }

  AttributeValue attribute_value() {
    const std::string_view kind = until(":");
    expect(":");
    const std::string_view text = until(",]");
    if (kind == "b") return text == "1";
    if (kind == "i") return number<int64_t>(text);
    if (kind == "d") return real(text);
    if (kind == "l") return list_of(text);
    require(kind == "t", "an attribute of kind b, i, d, l or t");
    const std::optional<DType> dtype = dtype_from_name(text);
    require(dtype.has_value(), "a dtype");
    return *dtype;
  }

  Chain::Step step() {
    Chain::Step step{.op = std::string(until("[( ")), .inputs = {}, .attributes = {}};
    require(!step.op.empty(), "an op");
    if (take("[")) {
      do {
        const std::string name(until("="));
        expect("=");
        step.attributes.set(name, attribute_value());
      } while (take(","));
      expect("]");
    }
    expect("(");
    step.inputs = numbers();
    expect(")");
    return step;
  }

  std::string_view text_;
  size_t at_ = 0;
  Chain chain_;
};

// The axes that a view's input goes along when its output goes along `after`.
std::vector<int> axes_before_view(const Chain::Step& view, const std::vector<int>& after,
                                  int input_rank) {
  const Ints& changed = view.attributes.get<Ints>("axes");
  const auto is_changed = [&](size_t axis) {
    return std::ranges::find(changed, static_cast<int64_t>(axis)) != changed.end();
  };
  std::vector<int> before;
  if (input_rank < static_cast<int>(after.size())) {
    for (size_t axis = 0; axis < after.size(); ++axis) {
      if (!is_changed(axis)) before.push_back(after[axis]);
    }
  } else {
    size_t next = 0;
    for (size_t axis = 0; axis < static_cast<size_t>(input_rank); ++axis)
      before.push_back(is_changed(axis) ? -1 : after[next++]);
  }
  return before;
}

TensorType constant_type(const Attributes& attributes) {
  if (!attributes.has("dtype") || !attributes.has("value"))
    throw invalid_argument("a Constant of a chain needs a dtype and a value");
  return {attributes.get<DType>("dtype"), {}};
}

// Some elementwise ops as one; made by a pass after differentiation, so it has no gradient. All
// outputs have the same shape. Input 0 is the only one whose memory output 0 may take over: the
// pass puts one there that is no smaller than the outputs.
OpDef fused_elementwise(const OpTable& table) {
  return {
      .name = "FusedElementwise",
      .min_inputs = 1,
      .max_inputs = -1,
      .attributes = {attribute<std::string>("chain")},
      .infer =
          [&table](const InferenceContext& c) {
            const Chain chain = parse_chain(c.attribute<std::string>("chain"), c.input_count());
            std::vector<TensorType> inputs;
            for (int i = 0; i < c.input_count(); ++i) inputs.push_back(c.input(i));
            const std::vector<TensorType> values = chain_types(chain, inputs, table);
            std::vector<TensorType> outputs;
            for (int output : chain.outputs) {
              outputs.push_back(values[static_cast<size_t>(output)]);
              c.require(compatible(outputs.back().shape, outputs[0].shape),
                        "outputs of one shape; a batch that is broadcast needs its own size");
            }
            return outputs;
          },
      .traits = {.in_place_inputs = {0}, .kernel_dtype_input = -1},
  };
}

}  // namespace

std::string Chain::to_string() const {
  std::string text;
  for (const Step& step : steps) {
    text += step.op;
    std::string attributes;
    for (const auto& [name, value] : step.attributes) {
      attributes += (attributes.empty() ? "" : ",") + name + "=" + attribute_text(value);
    }
    if (!attributes.empty()) text += "[" + attributes + "]";
    text += "(" + list(step.inputs) + ") ";
  }
  return text + "-> " + list(outputs);
}

bool fits_chain(const Attributes& attributes) {
  return std::ranges::all_of(attributes, [](const auto& attribute) {
    const AttributeValue& value = attribute.second;
    return std::holds_alternative<bool>(value) || std::holds_alternative<int64_t>(value) ||
           std::holds_alternative<double>(value) || std::holds_alternative<DType>(value) ||
           std::holds_alternative<Ints>(value);
  });
}

bool is_chain_view(std::string_view op, const OpTable& ops) {
  return ops.find(op).traits.is_axis_view;
}

std::vector<int> inputs_read(const Chain::Step& step, const OpTable& ops) {
  const std::vector<int>& lent = ops.find(step.op).traits.shape_inputs;
  std::vector<int> read;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (std::ranges::find(lent, static_cast<int>(i)) == lent.end()) read.push_back(step.inputs[i]);
  }
  return read;
}

Chain parse_chain(std::string_view text, int input_count) {
  return Parser(text, input_count).parse();
}

std::vector<TensorType> chain_types(const Chain& chain, std::span<const TensorType> inputs,
                                    const OpTable& ops) {
  TRIREME_CHECK(static_cast<int>(inputs.size()) == chain.input_count, "a chain of ",
                chain.input_count, " inputs has ", inputs.size());
  std::vector<TensorType> types(inputs.begin(), inputs.end());
  for (const Chain::Step& step : chain.steps) {
    if (step.op == "Constant") {
      types.push_back(constant_type(step.attributes));
      continue;
    }
    const OpDef& op = ops.find(step.op);
    const int count = static_cast<int>(step.inputs.size());
    const bool may_be_step = op.traits.is_elementwise || op.traits.is_axis_view;
    if (!may_be_step || count < op.min_inputs || count > op.max_inputs) {
      throw invalid_argument("a chain has elementwise ops of as many inputs as they take; found ",
                             step.op, " of ", count);
    }
    std::vector<TensorType> taken;
    for (int input : step.inputs) taken.push_back(types[static_cast<size_t>(input)]);
    Attributes attributes = step.attributes;
    ops.complete(op, "chain", attributes);
    types.push_back(InferenceContext(op, "chain", std::move(taken), attributes).infer()[0]);
  }
  return types;
}

std::vector<std::vector<int>> chain_axes(const Chain& chain, std::span<const TensorType> types,
                                         const OpTable& ops) {
  const auto rank = [&](int value) { return types[static_cast<size_t>(value)].shape.rank(); };
  std::vector<std::vector<int>> axes(types.size());
  std::vector<bool> is_read(types.size());
  const auto read = [&](int value, std::vector<int> along) {
    const auto at = static_cast<size_t>(value);
    for (size_t i = 0; i < along.size(); ++i) {
      if (types[at].shape[static_cast<int>(i)] == 1) along[i] = -1;
    }
    if (is_read[at] && axes[at] != along) {
      throw invalid_argument("chain '", chain.to_string(), "': value ", value, " of ", types[at],
                             " is read along different axes");
    }
    is_read[at] = true;
    axes[at] = std::move(along);
  };
  for (int output : chain.outputs) {
    std::vector<int> own(static_cast<size_t>(rank(output)));
    std::iota(own.begin(), own.end(), 0);
    read(output, std::move(own));
  }
  for (size_t i = chain.steps.size(); i-- > 0;) {
    const Chain::Step& step = chain.steps[i];
    const int result = chain.input_count + static_cast<int>(i);
    if (!is_read[static_cast<size_t>(result)]) continue;
    const std::vector<int>& from = axes[static_cast<size_t>(result)];
    const bool is_view = is_chain_view(step.op, ops);
    for (int input : inputs_read(step, ops)) {
      read(input, is_view ? axes_before_view(step, from, rank(input))
                          : std::vector<int>(from.end() - rank(input), from.end()));
    }
  }
  return axes;
}

void register_elementwise_chain_ops(OpTable& table) { table.add(fused_elementwise(table)); }

}  // namespace trireme
