#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> image_cases() {
  std::vector<OpCase> cases;
  struct Sizes {
    const char* label;
    Shape images;
    Ints size;
  };
  const Sizes sizes[] = {
      {"same_size", {2, 5, 7, 3}, {5, 7}}, {"larger", {1, 3, 4, 1}, {7, 9}},
      {"smaller", {3, 8, 6, 2}, {3, 2}},   {"one_pixel", {2, 1, 1, 4}, {2, 3}},
      {"no_images", {0, 4, 4, 3}, {4, 4}}, {"many_rows", {4, 33, 34, 17}, {31, 35}},
  };
  for (const Sizes& s : sizes) {
    for (const char* interpolation : {"NEAREST", "BILINEAR"}) {
      for (const char* fill : {"CONSTANT", "NEAREST", "REFLECT", "WRAP"}) {
        OpCase op_case{"AffineTransform",
                       str_cat(s.label, "_", interpolation, "_", fill),
                       {real(s.images), fixed(DType::kFloat32, {s.images[0], 6}, -2, 3)},
                       {{"size", s.size},
                        {"interpolation", std::string(interpolation)},
                        {"fill", std::string(fill)},
                        {"fill_value", 0.75}}};
        op_case.check_gradient = false;
        cases.push_back(std::move(op_case));
      }
    }
  }
  for (const DType dtype : {DType::kInt32, DType::kInt64}) {
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{7, 5}, Shape{40'009}}) {
      OpCase op_case{"HashBucket",
                     str_cat(name(dtype), "_", shape.elements()),
                     {fixed(dtype, shape, -1e9, 1e9)},
                     {{"buckets", int64_t{1000}}, {"salt", int64_t{3}}}};
      op_case.check_gradient = false;
      cases.push_back(std::move(op_case));
    }
  }
  return cases;
}

}  // namespace trireme::testing
