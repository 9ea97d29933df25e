#include "core/nn/einsum_layers.h"

#include <map>

#include "core/base/error.h"
#include "core/nn/regularizers.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// "abc,cd->abd" in its parts.
struct Equation {
  std::string input, kernel, output;

  explicit Equation(const std::string& text) {
    const size_t comma = text.find(','), arrow = text.find("->");
    if (comma == std::string::npos || arrow == std::string::npos || comma > arrow) {
      throw invalid_argument("equation: expected one like \"abc,cd->abd\", found \"", text, "\"");
    }
    input = text.substr(0, comma);
    kernel = text.substr(comma + 1, arrow - comma - 1);
    output = text.substr(arrow + 2);
    for (const std::string* part : {&input, &kernel, &output}) {
      for (const char letter : *part) {
        if (std::isalpha(static_cast<unsigned char>(letter)) != 0) continue;
        throw invalid_argument("equation: expected a letter for each axis, found '", letter,
                               "' in \"", text, "\"");
      }
    }
    if (input.empty() || output.empty() || input[0] != output[0]) {
      throw invalid_argument(
          "equation: expected the batch first in the input and in the output, "
          "found \"",
          text, "\"");
    }
  }
};

}  // namespace

void EinsumDenseOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "equation",
                 .help = "axes of the input and the kernel, and of the output: \"abc,cd->abd\"",
                 .default_text = "must be given"},
                equation);
  visitor.field({.name = "output_shape",
                 .help = "without the batch; -1: as the input's axis of that letter",
                 .range = at_least(-1),
                 .default_text = "must be given"},
                output_shape);
  visitor.field({.name = "bias_axes", .help = "letters of the output; none: no bias"}, bias_axes);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, activation);
  nn::describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
               kernel_initializer);
  nn::describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
               bias_initializer);
  describe_weight_rules(visitor, *this);
}

Value EinsumDense::call(BuildContext& context, Value x) {
  const Equation equation(options_.equation);
  context.require(is_floating(x.dtype()) && x.shape().rank() == std::ssize(equation.input),
                  str_cat("floating-point numbers with the axes ", equation.input));
  if (options_.output_shape.size() + 1 != equation.output.size()) {
    throw invalid_argument("output_shape: expected a size for each of the axes ",
                           equation.output.substr(1), ", found ", options_.output_shape.size());
  }
  std::map<char, int64_t> sizes;
  for (size_t i = 0; i < equation.input.size(); ++i) {
    sizes[equation.input[i]] = x.shape()[static_cast<int>(i)];
  }
  for (size_t i = 1; i < equation.output.size(); ++i) {
    const int64_t size = options_.output_shape[i - 1];
    if (size < 0) continue;
    const auto [known, is_new] = sizes.emplace(equation.output[i], size);
    if (!is_new && known->second >= 0 && known->second != size) {
      throw invalid_argument("output_shape: axis ", equation.output[i],
                             " of the input has the size ", known->second, ", found ", size);
    }
  }
  const auto size_of = [&](char letter) {
    const auto found = sizes.find(letter);
    if (found == sizes.end() || found->second < 0) {
      throw invalid_argument("equation: the size of axis ", letter,
                             " is not known; expected it in ", "the input or in output_shape");
    }
    return found->second;
  };
  Shape kernel_shape;
  for (const char letter : equation.kernel) kernel_shape.push_back(size_of(letter));
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, options_.kernel_initializer, fans,
                                        options_.kernel_regularizer, options_.kernel_constraint);
  Value y = ops::einsum(options_.equation, {x, kernel});
  if (!options_.bias_axes.empty()) {
    // Along the other axes of the output it is of size 1, from its first axis on.
    Shape shape;
    for (const char letter : equation.output) {
      const bool has = options_.bias_axes.find(letter) != std::string::npos;
      if (shape.rank() > 0 || has) shape.push_back(has ? size_of(letter) : 1);
    }
    for (const char letter : options_.bias_axes) {
      if (equation.output.find(letter) != std::string::npos) continue;
      throw invalid_argument("bias_axes: expected letters of the output ", equation.output,
                             ", found '", letter, "'");
    }
    y = y + context.variable("bias", shape, options_.bias_initializer, fans,
                             options_.bias_regularizer, options_.bias_constraint);
  }
  y = activate(y, options_.activation);
  context.add_activity_loss(options_.activity_regularizer, y);
  return y;
}

void ActivityRegularizationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "l1", .help = "of the sum of the sizes", .range = at_least(0)}, l1);
  visitor.field({.name = "l2", .help = "of the sum of the squares", .range = at_least(0)}, l2);
}

Value ActivityRegularization::call(BuildContext& context, Value x) {
  context.require(is_floating(x.dtype()), "floating-point numbers");
  context.add_activity_loss(l1_l2(options_.l1, options_.l2), x);
  return x;
}

void register_einsum_layers(Catalog<Layer>& catalog) {
  catalog.add<EinsumDense>("einsum_dense", "EinsumDense",
                           "activation(a sum of products with a kernel, over axes that an equation "
                           "names).");
  catalog.add<ActivityRegularization>("activity_regularization", "ActivityRegularization",
                                      "Its input, whose size is added to the loss.");
}

}  // namespace trireme::nn
