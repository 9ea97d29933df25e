#include "core/nn/einsum_layers.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/ops/arrays.h"

namespace trireme::nn {
namespace {

struct Equation {
  std::string input, kernel, output;
};

bool has_each_once(const std::string& letters) {
  for (const char c : letters) {
    if (c < 'a' || c > 'z' || std::ranges::count(letters, c) != 1) return false;
  }
  return !letters.empty();
}

Equation parse(const std::string& text) {
  const size_t comma = text.find(','), arrow = text.find("->");
  Equation equation;
  if (comma != std::string::npos && arrow != std::string::npos && comma < arrow) {
    equation = {text.substr(0, comma), text.substr(comma + 1, arrow - comma - 1),
                text.substr(arrow + 2)};
  }
  const bool is_sound = has_each_once(equation.input) && has_each_once(equation.kernel) &&
                        has_each_once(equation.output) && equation.input[0] == equation.output[0] &&
                        equation.kernel.find(equation.input[0]) == std::string::npos;
  if (!is_sound) {
    throw invalid_argument(
        "einsum_dense: equation: expected \"abc,cd->abd\": input, kernel and output as lower-case "
        "letters, each once, the batch first in input and output, found \"",
        text, "\"");
  }
  return equation;
}

}  // namespace

void EinsumDenseOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "equation",
                 .help = "input, kernel and output, such as \"abc,cd->abd\"; the first letter is "
                         "the batch",
                 .default_text = "must be given"},
                equation);
  visitor.field({.name = "output_shape",
                 .help = "of an example of the output; -1 where the input says it",
                 .range = at_least(-1)},
                output_shape);
  visitor.field({.name = "bias_axes",
                 .help = "letters of the output along which there is a bias",
                 .default_text = "no bias"},
                bias_axes);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, activation);
  nn::describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
               kernel_initializer);
  nn::describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
               bias_initializer);
}

void EinsumDenseOptions::check() const {
  const Equation e = parse(equation);
  if (output_shape.size() + 1 != e.output.size()) {
    throw invalid_argument("einsum_dense: output_shape: expected ", e.output.size() - 1,
                           " sizes for the output \"", e.output, "\" without its batch, found ",
                           output_shape.size());
  }
  for (const char c : bias_axes) {
    if (e.output.find(c, 1) != std::string::npos && std::ranges::count(bias_axes, c) == 1) continue;
    throw invalid_argument("einsum_dense: bias_axes: expected letters of the output \"", e.output,
                           "\" behind its batch, each once, found \"", bias_axes, "\"");
  }
}

Value EinsumDense::call(BuildContext& context, Value x) {
  const auto& o = options_;
  require_floating(context, x);
  const Equation e = parse(o.equation);
  context.require(x.shape().rank() == static_cast<int>(e.input.size()),
                  str_cat("an input of ", e.input.size(), " axes, as \"", e.input, "\" has"));
  std::map<char, int64_t> sizes;
  for (size_t i = 1; i < e.input.size(); ++i) sizes[e.input[i]] = x.shape()[static_cast<int>(i)];
  for (size_t i = 1; i < e.output.size(); ++i) {
    const int64_t given = o.output_shape[i - 1];
    int64_t& size = sizes.emplace(e.output[i], given).first->second;
    if (size < 0) size = given;
    context.require(given < 0 || size == given,
                    str_cat("an axis '", e.output[i], "' of ", given, ", as output_shape says"));
  }
  Shape kernel_shape, bias_shape;
  for (const char c : e.kernel) {
    context.require(sizes.contains(c) && sizes[c] > 0,
                    str_cat("an axis '", c, "' whose size is known"));
    kernel_shape.push_back(sizes[c]);
  }
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, o.kernel_initializer, fans);
  Value y = ops::einsum(o.equation, {x, kernel});
  if (!o.bias_axes.empty()) {
    // From the first letter that has a bias on; 1 along the others.
    const size_t first = e.output.find_first_of(o.bias_axes);
    for (size_t i = first; i < e.output.size(); ++i) {
      const bool has_bias = o.bias_axes.find(e.output[i]) != std::string::npos;
      bias_shape.push_back(has_bias ? sizes[e.output[i]] : 1);
    }
    y = y + context.variable("bias", bias_shape, o.bias_initializer, fans);
  }
  return activate(y, o.activation);
}

}  // namespace trireme::nn
