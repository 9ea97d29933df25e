// What the tests of data sets share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"

namespace trireme::data {

// Examples 0 … n-1, each "x": f32 [2] = {i, i + 0.5}, "id": i64 = i.
inline Dataset numbers(int64_t n) {
  Tensor x(DType::kFloat32, {n, 2}), id(DType::kInt64, {n});
  for (int64_t i = 0; i < n; ++i) {
    x.flat<float>()[2 * i] = static_cast<float>(i);
    x.flat<float>()[2 * i + 1] = static_cast<float>(i) + 0.5f;
    id.flat<int64_t>()[i] = i;
  }
  return from_tensors({x, id}, {"x", "id"});
}

// The same as a stream.
inline Dataset stream_of_numbers(int64_t n) {
  return from_generator(
      {{"x", DType::kFloat32, {2}}, {"id", DType::kInt64, {}}}, [n](uint64_t) -> Generator {
        return [n, i = int64_t{0}](Element& out) mutable {
          if (i == n) return false;
          out = {Tensor::from<float>({2}, {static_cast<float>(i), static_cast<float>(i) + 0.5f}),
                 Tensor::scalar(i)};
          ++i;
          return true;
        };
      });
}

// The ids of one element, an example or a batch.
inline std::vector<int64_t> ids_of(const Element& element) {
  const auto ids = element.at(1).flat<int64_t>();
  return {ids.begin(), ids.end()};
}

// All ids that `iterator` has left, at most `limit` elements; checks that x belongs to id.
inline std::vector<int64_t> drain(Iterator& iterator, int64_t limit = 1 << 20) {
  std::vector<int64_t> all;
  Element element;
  while (limit-- > 0 && iterator.next(element)) {
    const auto ids = ids_of(element);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(element[0].flat<float>()[2 * i], static_cast<float>(ids[i]));
      EXPECT_EQ(element[0].flat<float>()[2 * i + 1], static_cast<float>(ids[i]) + 0.5f);
    }
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}
inline std::vector<int64_t> drain(const Dataset& dataset, int64_t limit = 1 << 20) {
  Iterator iterator = dataset.iterator();
  return drain(iterator, limit);
}

inline std::vector<int64_t> iota(int64_t begin, int64_t end) {
  std::vector<int64_t> values(static_cast<size_t>(end - begin));
  std::iota(values.begin(), values.end(), begin);
  return values;
}

inline std::vector<int64_t> sorted(std::vector<int64_t> values) {
  std::ranges::sort(values);
  return values;
}

// What `action` throws; fails when it throws nothing or anything but an Error.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected an Error";
  return {};
}

}  // namespace trireme::data
