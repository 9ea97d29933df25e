// Masks of sequences: where they come from, and which layers hand them on.
#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::Each;
using testing::ElementsAre;

struct NoOptions {
  std::string name = "";
  void describe(OptionVisitor&) {}
};

// The mask of its input as numbers, [batch, time]; without one all are −1.
class ShowMask : public LayerOf<NoOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "show_mask"; }
  Value call(BuildContext& context, Value x) override {
    const Value mask = context.mask(x);
    if (mask.defined()) return ops::cast(mask, DType::kFloat32);
    const Value sums = ops::sum(ops::cast(x, DType::kFloat32), {-1});
    return ops::fill_like(sums, -1);
  }
};

// One that gives other steps than it was given.
class Backwards : public LayerOf<NoOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "backwards"; }
  Value call(BuildContext&, Value x) override { return x + x; }
  bool keeps_mask() const override { return false; }
};

Tensor keys() { return Tensor::from<int64_t>({2, 3}, {5, 2, 0, 0, 4, 1}); }

std::vector<float> predicted(const LayerOutput& input, const LayerOutput& output, const Tensor& x) {
  Model model({input}, {output});
  const Tensor y = model.predict(data::from_tensors({x}, {"x"}).batch(8));
  return {y.flat<float>().begin(), y.flat<float>().end()};
}

// A layer that did not would count padding as data without a word.
TEST(MasksTest, LayersThatKeepTheTimeAxisHandTheMaskOn) {
  const auto x = input({3}, DType::kInt64);
  const auto rows = embedding({.rows = 6, .dimension = 4, .mask_zero = true})(x);
  const auto y = dropout({.rate = 0.1})(activation({.activation = Activation::kRelu})(rows));
  EXPECT_THAT(predicted(x, layer<ShowMask>()(layer_norm()(y)), keys()),
              ElementsAre(1, 1, 0, 0, 1, 1));
}

TEST(MasksTest, WithoutMaskZeroThereIsNone) {
  const auto x = input({3}, DType::kInt64);
  const auto rows = embedding({.rows = 6, .dimension = 4})(x);
  EXPECT_THAT(predicted(x, layer<ShowMask>()(rows), keys()), Each(-1));
}

// Neither other steps of the same number nor another rank have the mask of the input.
TEST(MasksTest, LayersThatGiveOtherStepsDropTheMask) {
  const auto x = input({3}, DType::kInt64);
  const auto rows = embedding({.rows = 6, .dimension = 3, .mask_zero = true})(x);
  EXPECT_THAT(predicted(x, layer<ShowMask>()(layer<Backwards>()(rows)), keys()), Each(-1));
  EXPECT_THAT(predicted(x, layer<ShowMask>()(reshape({.shape = {3, 3, 1}})(rows)), keys()),
              Each(-1));
}

// Keras's Masking: a step is padding where all of its features are the value, and becomes 0.
TEST(MasksTest, MaskingMarksStepsOfOneValueAndClearsThem) {
  const auto x = input({3, 2});
  const Tensor values = Tensor::from<float>({1, 3, 2}, {7, 7, 7, 1, 0, 0});
  const auto masked = masking({.mask_value = 7})(x);
  EXPECT_THAT(predicted(x, layer<ShowMask>()(masked), values), ElementsAre(0, 1, 1));
  EXPECT_THAT(predicted(x, masked, values), ElementsAre(0, 0, 7, 1, 0, 0));
}

TEST(MasksTest, OfSeveralInputsTheStepsCountThatAllHave) {
  const auto x = input({3, 1});
  const auto both = add()({masking({.mask_value = 1})(x), masking({.mask_value = 2})(x)});
  EXPECT_THAT(predicted(x, layer<ShowMask>()(both), Tensor::from<float>({1, 3, 1}, {1, 2, 3})),
              ElementsAre(0, 0, 1));
}

// The row of the index that pads would be summed otherwise.
TEST(MasksTest, AnEmbeddingBagWithMaskZeroLeavesPaddingOut) {
  const auto x = input({3}, DType::kInt64);
  const auto bag =
      embedding_bag({.rows = 6, .dimension = 1, .mask_zero = true, .initializer = constant(1)});
  EXPECT_THAT(predicted(x, bag(x), keys()), ElementsAre(2, 2));
}

}  // namespace
}  // namespace trireme::nn
