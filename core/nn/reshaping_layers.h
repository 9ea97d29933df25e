// Layers that move, repeat, leave out or add elements, without computing. Flatten and Reshape stand
// in layers.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/nn/layers.h"
#include "core/ops/images.h"

namespace trireme::nn {

// The axes of an example in another order. dims: for each axis of the output which of the input it
// is, counted from 1; the batch stays the first.
struct PermuteOptions {
  std::vector<int64_t> dims = {};  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
// [batch, features] → [batch, n, features].
struct RepeatVectorOptions {
  int64_t n = 0;  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

// Zeros before the first step and after the last.
struct ZeroPad1DOptions {
  int64_t before = 1, after = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct ZeroPad3DOptions {
  int64_t front = 1, back = 1, top = 1, bottom = 1, left = 1, right = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

// Leaves out steps, rows and columns at the borders.
struct Cropping1DOptions {
  int64_t before = 1, after = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct Cropping2DOptions {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct Cropping3DOptions {
  int64_t front = 1, back = 1, top = 1, bottom = 1, left = 1, right = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

// Each step, row and column several times in a row.
struct UpSampling1DOptions {
  int64_t size = 2;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct UpSampling2DOptions {
  int64_t size_h = 2, size_w = 2;
  ops::Interpolation interpolation = ops::Interpolation::kNearest;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct UpSampling3DOptions {
  int64_t size_d = 2, size_h = 2, size_w = 2;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

// NEAREST or BILINEAR.
void describe_interpolation(OptionVisitor& visitor, ops::Interpolation& interpolation);

// Its input.
struct IdentityOptions {
  std::string name = "";

  void describe(OptionVisitor&) {}
};

class Permute : public LayerOf<PermuteOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "permute"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class RepeatVector : public LayerOf<RepeatVectorOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "repeat_vector"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class ZeroPad1D : public LayerOf<ZeroPad1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "zero_pad1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class ZeroPad3D : public LayerOf<ZeroPad3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "zero_pad3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class Cropping1D : public LayerOf<Cropping1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "cropping1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class Cropping2D : public LayerOf<Cropping2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "cropping2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class Cropping3D : public LayerOf<Cropping3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "cropping3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class UpSampling1D : public LayerOf<UpSampling1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "up_sampling1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class UpSampling2D : public LayerOf<UpSampling2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "up_sampling2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class UpSampling3D : public LayerOf<UpSampling3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "up_sampling3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class Identity : public LayerOf<IdentityOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "identity"; }
  Value call(BuildContext& context, Value x) override;
};

// A function of the program's, as a layer without variables of its own unless it asks the context
// for some. A job file cannot have it.
//
//   model.add<Lambda>({.function = [](BuildContext&, std::span<const Value> x) { return -x[0]; }});
struct LambdaOptions {
  std::function<Value(BuildContext& context, std::span<const Value> inputs)> function = nullptr;
  std::string name = "";

  void describe(OptionVisitor&) {}
  void check() const;
};
class Lambda : public LayerOf<LambdaOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "lambda"; }
  bool keeps_mask() const override { return false; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

}  // namespace trireme::nn
