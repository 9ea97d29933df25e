// The model that the tests of Keras's weights and keras_weights.py both have, and the values that
// its variables get there.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/formats/keras/keras_weights.h"

namespace trireme::formats {

struct Part {
  std::string name;
  Shape shape;
  bool trainable = true;
};

inline KerasObject object(const std::string& class_name, const std::string& name,
                          const std::string& attribute, const std::string& path,
                          const std::vector<Part>& parts, std::vector<KerasObject> children = {}) {
  KerasObject made{.class_name = class_name,
                   .name = name,
                   .attribute = attribute,
                   .in_list = attribute == "layers",
                   .variables = {},
                   .children = std::move(children)};
  for (const Part& part : parts) {
    Tensor value = Tensor::zeros(DType::kFloat32, part.shape);
    made.variables.push_back({part.name, path + "/" + part.name, value, part.trainable});
  }
  return made;
}

// The model of keras_weights.py.
inline KerasModelWeights network() {
  KerasModelWeights weights;
  KerasObject inner = object(
      "Sequential", "inner", "layers", "inner", {},
      {object("Dense", "dense", "layers", "inner/dense", {{"kernel", {2, 2}}}),
       object("BatchNormalization", "batch_normalization", "layers", "inner/batch_normalization",
              {{"gamma", {2}},
               {"beta", {2}},
               {"moving_mean", {2}, false},
               {"moving_variance", {2}, false}})});
  weights.model =
      object("Sequential", "net", "", "net", {},
             {object("LSTM", "lstm", "layers", "lstm", {},
                     {object("LSTMCell", "lstm_cell", "cell", "lstm/lstm_cell",
                             {{"kernel", {1, 4}}, {"recurrent_kernel", {1, 4}}, {"bias", {4}}})}),
              object("RepeatVector", "repeat_vector", "layers", "", {}),
              object("Flatten", "flatten", "layers", "", {}), std::move(inner),
              object("Dense", "first", "layers", "first", {{"kernel", {2, 1}}, {"bias", {1}}}),
              object("Dense", "second", "layers", "second", {{"kernel", {1, 2}}, {"bias", {2}}})});
  KerasObject optimizer = object("SGD", "SGD", "optimizer", "SGD", {});
  optimizer.variables.push_back({"iteration", "SGD/iteration", Tensor::scalar<int64_t>(0)});
  optimizer.variables.push_back({"learning_rate", "SGD/learning_rate", Tensor::scalar(0.0F)});
  const auto add_slots = [&](const auto& self, const KerasObject& owner) -> void {
    for (const KerasVariable& variable : owner.variables) {
      if (!variable.trainable) continue;
      std::string path = variable.path + "_momentum";
      std::ranges::replace(path, '/', '_');
      optimizer.variables.push_back(
          {"momentum", "SGD/" + path, Tensor::zeros(DType::kFloat32, variable.value.shape())});
    }
    for (const KerasObject& child : owner.children) self(self, child);
  };
  add_slots(add_slots, weights.model);
  weights.optimizer = std::move(optimizer);
  return weights;
}

inline void each_variable(KerasObject& object, const std::function<void(KerasVariable&)>& visit) {
  for (KerasVariable& variable : object.variables) visit(variable);
  for (KerasObject& child : object.children) each_variable(child, visit);
}

inline Tensor numbered(int index, const Shape& shape) {
  Tensor value(DType::kFloat32, shape);
  for (int64_t i = 0; i < value.elements(); ++i) {
    value.flat<float>()[static_cast<size_t>(i)] = static_cast<float>(index) + i / 16.0F;
  }
  return value;
}

// The values that keras_weights.py gives the variables, in the order of model.weights.
inline void set_values(KerasModelWeights& weights) {
  int index = 0;
  each_variable(weights.model, [&](KerasVariable& variable) {
    variable.value = numbered(index++, variable.value.shape());
  });
  if (!weights.optimizer) return;
  index = 100;
  for (KerasVariable& variable : weights.optimizer->variables) {
    if (variable.name == "iteration") {
      variable.value = Tensor::scalar<int64_t>(7);
    } else if (variable.name == "learning_rate") {
      variable.value = Tensor::scalar(0.125F);
    } else {
      variable.value = numbered(index++, variable.value.shape());
    }
  }
}

inline void expect_values(KerasModelWeights& found, bool with_optimizer) {
  KerasModelWeights expected = network();
  set_values(expected);
  const auto texts = [](KerasModelWeights& weights, bool optimizer) {
    std::vector<std::string> all;
    const auto add = [&](KerasVariable& v) {
      all.push_back(v.path + " " + v.value.to_string(100));
    };
    each_variable(weights.model, add);
    if (optimizer) each_variable(*weights.optimizer, add);
    return all;
  };
  EXPECT_EQ(found.optimizer.has_value(), with_optimizer);
  if (found.optimizer.has_value() != with_optimizer) return;
  EXPECT_EQ(texts(found, with_optimizer), texts(expected, with_optimizer));
}

}  // namespace trireme::formats
