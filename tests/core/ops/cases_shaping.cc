#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> shaping_cases() {
  std::vector<OpCase> cases = {
      {"Reshape", "worked_out", {real({3, 4})}, {{"shape", Shape{2, -1}}}},
      {"ReshapeLike", "odd", {real({3, 4}), real({2, 6})}},
      {"Flatten", "images", {real({2, 3, 2})}},
      {"Flatten", "empty_batch", {real({0, 3, 2})}},
      {"ExpandDims", "two", {real({3, 4})}, {{"axes", Ints{0, 2}}}},
      {"Squeeze", "two", {real({1, 3, 1, 4})}, {{"axes", Ints{0, 2}}}},
      {"Concat", "first_axis", {real({2, 3}), real({1, 3}), real({4, 3})}, {{"axis", int64_t{0}}}},
      {"Concat", "last_axis", {real({2, 3}), real({2, 1}), real({2, 5})}, {{"axis", int64_t{1}}}},
      {"Concat",
       "middle_and_empty",
       {real({2, 3, 2}), real({2, 0, 2}), real({2, 1, 2})},
       {{"axis", int64_t{1}}}},
      {"Concat", "one", {real({2, 3})}, {{"axis", int64_t{0}}}},
      {"ConcatPart",
       "second",
       {real({6, 3}), real({2, 3}), real({4, 3})},
       {{"axis", int64_t{0}}, {"part", int64_t{1}}}},
      {"ConcatPart",
       "last_axis",
       {real({2, 6}), real({2, 1}), real({2, 5})},
       {{"axis", int64_t{1}}, {"part", int64_t{0}}}},
      {"Slice", "box", {real({5, 7})}, {{"begin", Ints{1, 2}}, {"size", Ints{3, 4}}}},
      {"Slice", "to_the_end", {real({5, 7})}, {{"begin", Ints{0, 2}}, {"size", Ints{-1, -1}}}},
      {"Slice", "empty", {real({5, 7})}, {{"begin", Ints{5, 0}}, {"size", Ints{-1, 3}}}},
      {"Slice", "scalar", {real({})}, {{"begin", Ints{}}, {"size", Ints{}}}},
      {"BatchPart", "middle", {real({7, 3})}, {{"index", int64_t{1}}, {"count", int64_t{4}}}},
      {"BatchPart", "third", {real({7, 3})}, {{"index", int64_t{2}}, {"count", int64_t{3}}}},
      {"BatchPart", "none_left", {real({2})}, {{"index", int64_t{3}}, {"count", int64_t{4}}}},
      {"SliceLike", "box", {real({4, 5}), real({2, 3})}, {{"begin", Ints{1, 2}}}},
      {"Pad", "both_sides", {real({2, 3})}, {{"before", Ints{1, 0}}, {"after", Ints{0, 2}}}},
      {"Pad",
       "images",
       {real({2, 3, 3, 2})},
       {{"before", Ints{0, 1, 1, 0}}, {"after", Ints{0, 1, 2, 0}}}},
      {"PadLike", "box", {real({2, 3}), real({4, 5})}, {{"before", Ints{1, 2}}}},
  };
  const auto transpose = [&](const Shape& shape, const Ints& permutation, bool check_gradient) {
    cases.push_back({"Transpose",
                     str_cat(shape, "_by_", to_string(AttributeValue(permutation))),
                     {real(shape)},
                     {{"permutation", permutation}}});
    cases.back().check_gradient = check_gradient;
  };
  transpose({3, 5}, {1, 0}, true);
  transpose({2, 3, 4}, {1, 0, 2}, true);
  transpose({2, 3, 4}, {2, 0, 1}, true);
  transpose({2, 3, 4}, {0, 1, 2}, true);
  transpose({2, 3, 4}, {0, 2, 1}, true);
  transpose({}, {}, true);
  transpose({0, 4}, {1, 0}, true);
  transpose({203, 301}, {1, 0}, false);
  transpose({3, 33, 65}, {0, 2, 1}, false);
  transpose({5, 13, 17, 9}, {0, 3, 1, 2}, false);
  transpose({5, 9, 13, 17}, {0, 2, 3, 1}, false);
  transpose({3, 5, 7, 33}, {2, 1, 0, 3}, false);
  for (const DType dtype : {DType::kUInt8, DType::kBFloat16, DType::kInt64}) {
    cases.push_back({"Transpose",
                     std::string(name(dtype)),
                     {fixed(dtype, {37, 19}, 0, 99)},
                     {{"permutation", Ints{1, 0}}}});
    cases.push_back({"Concat",
                     std::string(name(dtype)),
                     {fixed(dtype, {37, 2}, 0, 9), fixed(dtype, {37, 1}, 0, 9)},
                     {{"axis", int64_t{1}}}});
  }
  cases.push_back({"Concat",
                   "long",
                   {real({301, 70}), real({301, 133})},
                   {{"axis", int64_t{1}}},
                   0,
                   0,
                   1e-6,
                   false});
  cases.push_back({"Slice",
                   "long",
                   {real({301, 203})},
                   {{"begin", Ints{7, 0}}, {"size", Ints{280, 203}}},
                   0,
                   0,
                   1e-6,
                   false});
  cases.push_back({"Pad",
                   "long",
                   {real({301, 133})},
                   {{"before", Ints{3, 1}}, {"after", Ints{0, 5}}},
                   0,
                   0,
                   1e-6,
                   false});
  return cases;
}

}  // namespace trireme::testing
