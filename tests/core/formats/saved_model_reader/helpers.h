// What the tests of SavedModels share: the models that saved_models.py makes, with what they give.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/npy.h"
#include "core/formats/saved_model/saved_model_reader.h"
#include "core/nn/model.h"

namespace trireme::formats::testing {

// x0, x1, … or y0, y1, … of an io.npz.
inline std::vector<Tensor> arrays(const data::NpzFile& file, const std::string& prefix) {
  std::vector<Tensor> all;
  for (int i = 0; file.has(str_cat(prefix, i)); ++i) all.push_back(file.read(str_cat(prefix, i)));
  return all;
}

inline ModelFile read(const std::string& path) { return read_saved_model(path, {}); }

// The greatest difference relative to numbers of more than 1; infinities and NaNs must be alike.
inline void expect_near(const Tensor& found, const Tensor& expected, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(found.shape(), expected.shape()) << what;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double a = found.as_double(i), b = expected.as_double(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    ASSERT_LE(std::abs(a - b), tolerance * std::max(1.0, std::abs(b)))
        << what << ", element " << i << " of " << expected.elements() << ": " << a << ", not " << b;
  }
}

// Reads the model in `folder`, and compares what it gives with what io.npz has.
inline void expect_predictions(const std::string& folder, double tolerance = 1e-5) {
  SCOPED_TRACE(folder);
  const ModelFile file = read(folder + "/model");
  const data::NpzFile io(folder + "/io.npz");
  const auto model = make_model(file);
  const std::vector<Tensor> found = model->predict_all(arrays(io, "x"));
  const std::vector<Tensor> expected = arrays(io, "y");
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    expect_near(found[i], expected[i], tolerance, file.outputs[i]);
  }
}

}  // namespace trireme::formats::testing
