// Affine transformations of images: what rotates, shifts, zooms, flips and crops them.
#include "core/base/error.h"
#include "core/ops/images.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// images: [batch, h, w, c] floating; transforms: f32 [batch, 6], with which the pixel (x, y) of
// the output is that of the image at (a·x + b·y + c, d·x + e·y + f), x to the right and y
// downwards, both from the middle of the first pixel. Output: [batch, h', w', c], h' and w' being
// the attribute `size`. It has no gradient: it is for data, which nothing before it is trained on.
OpDef affine_transform_op() {
  return {
      .name = "AffineTransform",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {attribute<Ints>("size").count(2).in(at_least(1)),
                     attribute<std::string>("interpolation").one_of({"NEAREST", "BILINEAR"}),
                     attribute<std::string>("fill").one_of(
                         {"CONSTANT", "NEAREST", "REFLECT", "WRAP"}),
                     attribute<double>("fill_value")},
      .infer =
          [](const InferenceContext& c) {
            c.require_floating(0);
            const Shape& images = c.shape(0);
            c.require(images.rank() == 4, "images [batch, height, width, channels]");
            c.require(images[1] != 0 && images[2] != 0, "images with at least one pixel");
            c.require(c.dtype(1) == DType::kFloat32 && c.shape(1).rank() == 2 &&
                          c.shape(1)[1] == 6 && compatible(c.shape(1).first(1), images.first(1)),
                      "transforms f32 [batch, 6]");
            const Ints& size = c.attribute<Ints>("size");
            return Types{{c.dtype(0), {images[0], size[0], size[1], images[3]}}};
          },
      .traits = {.has_small_by_f32 = true},
  };
}

const char* name_of(Fill fill) {
  switch (fill) {
    case Fill::kConstant:
      return "CONSTANT";
    case Fill::kNearest:
      return "NEAREST";
    case Fill::kReflect:
      return "REFLECT";
    case Fill::kWrap:
      return "WRAP";
  }
  TRIREME_CHECK(false, "fill ", static_cast<int>(fill));
}

}  // namespace

Value affine_transform(Value images, Value transforms, int64_t height, int64_t width,
                       const AffineOptions& options) {
  const bool nearest = options.interpolation == Interpolation::kNearest;
  return build("AffineTransform", {images, transforms},
               {{"size", Ints{height, width}},
                {"interpolation", std::string(nearest ? "NEAREST" : "BILINEAR")},
                {"fill", std::string(name_of(options.fill))},
                {"fill_value", options.fill_value}});
}

}  // namespace trireme::ops

namespace trireme {

void register_image_ops(OpTable& table) { table.add(ops::affine_transform_op()); }

}  // namespace trireme
