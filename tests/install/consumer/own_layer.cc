// A layer: squared_dense, y = max(x · kernel + bias, 0)², with the op of own_op.cc.
#include "core/nn/layer.h"
#include "core/ops/ops.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

class SquaredDense : public nn::Layer {
 public:
  std::string type() const override { return "squared_dense"; }
  void describe(OptionVisitor& v) override {
    v.field({.name = "units", .help = "width of the output", .range = at_least(1)}, units_);
    v.field({.name = "scale", .help = "times the output", .range = above(0)}, scale_);
  }
  Value call(nn::BuildContext& context, Value x) override {
    context.require(x.shape().rank() == 2 && x.shape()[1] > 0, "rows of features");
    const nn::Fans fans = nn::fans_of({x.shape()[1], units_});
    const Value kernel =
        context.variable("kernel", {x.shape()[1], units_}, nn::glorot_uniform(), fans);
    const Value bias = context.variable("bias", {units_}, nn::zeros(), fans);
    const Value sum = ops::matmul(x, kernel) + bias;
    Node& node = context.graph().add("SquaredRelu", {sum});
    return node.output(0) * ops::scalar(context.graph(), x.dtype(), scale_);
  }

 private:
  int64_t units_ = 1;
  double scale_ = 1;
};

}  // namespace

void add_squared_dense(Catalog<nn::Layer>& layers) {
  layers.add<SquaredDense>("squared_dense", "", "max(x · kernel + bias, 0)² · scale.");
}

}  // namespace own
