// Every entry of the catalogs that has values in tests/peer_values gives what Keras or PyTorch
// computed. What each kind of case holds is said in tests/peer_values/README.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/nn/model.h"
#include "core/nn/schedules.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/evaluate.h"
#include "worker/build_model.h"
#include "worker/coming_from_keras.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

using Json = nlohmann::json;
using testing::difference;
using testing::Feeds;

double number(const Json& value) {
  return value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr)
                           : value.get<double>();
}

template <typename T>
Tensor numbers(const Shape& shape, const Json& values) {
  std::vector<T> all;
  for (const Json& value : values) all.push_back(static_cast<T>(number(value)));
  Tensor tensor(dtype_of<T>, shape);
  std::ranges::copy(all, tensor.flat<T>().begin());
  return tensor;
}

Tensor tensor(const Json& json) {
  Shape shape;
  for (const Json& size : json.at("shape")) shape.push_back(size.get<int64_t>());
  const auto kind = json.at("dtype").get<std::string>();
  const Json& values = json.at("values");
  if (kind == "f32") return numbers<float>(shape, values);
  if (kind == "i32") return numbers<int32_t>(shape, values);
  if (kind == "i64") return numbers<int64_t>(shape, values);
  if (kind == "u8") return numbers<uint8_t>(shape, values);
  if (kind == "bool") return numbers<bool>(shape, values);
  throw invalid_argument("a tensor of the type '", kind, "'");
}

std::vector<Tensor> tensors(const Json& list) {
  std::vector<Tensor> found;
  for (const Json& json : list) found.push_back(tensor(json));
  return found;
}

Shape with_any_batch(Shape shape) {
  if (shape.rank() > 0) shape.set(0, -1);
  return shape;
}

// A job that names what is asked for; what a case does not say is Keras's simplest.
JobFile job(const std::string& model, const std::string& loss = "mean_squared_error {}",
            const std::string& rest = "optimizer { sgd {} }") {
  return JobFile::parse(
      "data { digits {} }\nmodel { " + model + " }\nloss { " + loss + " }\n" + rest + "\n",
      "case.textproto");
}

std::string text_of(const Json& json) { return json.at("text").get<std::string>(); }

class Case {
 public:
  explicit Case(const Json& json) : json_(json), tolerance_(json.value("tolerance", 1e-5)) {}

  void run() const {
    const auto kind = json_.at("kind").get<std::string>();
    if (kind == "layer") return layer();
    if (kind == "model") return model();
    if (kind == "loss") return loss();
    if (kind == "metric") return metric();
    if (kind == "optimizer") return optimizer();
    if (kind == "schedule") return schedule();
    if (kind == "training") return training();
    if (kind == "names") return names();
    FAIL() << "there is no kind of case '" << kind << "'";
  }

 private:
  void compare(const Tensor& found, const Json& expected, const std::string& what) const {
    EXPECT_EQ(difference(found, tensor(expected), tolerance_), "") << what;
  }

  void layer() const {
    const std::vector<Tensor> inputs = tensors(json_.at("inputs"));
    std::string names;
    for (size_t i = 0; i < inputs.size() && inputs.size() > 1; ++i) {
      names += "inputs: 'feature_" + std::to_string(i) + "' ";
    }
    const JobFile file = job("layers { name: 'l' " + names + text_of(json_) + " }");
    const auto layers = file.make_layers();
    Graph graph(core_op_table());
    std::vector<Value> features;
    Feeds feeds;
    nn::LayerCall call{.layer = 0, .repeat = 0, .inputs = {}};
    for (size_t i = 0; i < inputs.size(); ++i) {
      features.push_back(ops::placeholder(graph, "x" + std::to_string(i), inputs[i].dtype(),
                                          with_any_batch(inputs[i].shape())));
      feeds.emplace_back(features.back(), inputs[i]);
      call.inputs.push_back({.is_feature = true, .index = i});
    }
    const Value key = ops::placeholder(graph, "key", DType::kInt64, {2});
    feeds.emplace_back(key, Tensor::zeros(DType::kInt64, {2}));
    nn::VariableRegistry registry;
    const bool training = json_.value("training", false);
    nn::BuildContext context(graph, registry, features, training, training ? key : Value{}, 1);
    const Value output = context.call(*layers[0], call);
    set_weights(registry, "l/", feeds);

    const Json& outputs = json_.at("outputs");
    ASSERT_EQ(outputs.size(), 1u);
    std::vector<Value> wanted = {output};
    std::vector<std::pair<const Json*, std::string>> expected = {{&outputs[0], "the output"}};
    if (json_.contains("input_gradients") || json_.contains("weight_gradients")) {
      add_gradients(graph, registry, features, output, feeds, wanted, expected);
    }
    const std::vector<Tensor> found = testing::evaluate(wanted, feeds, "cpu");
    for (size_t i = 0; i < found.size(); ++i) {
      compare(found[i], *expected[i].first, expected[i].second);
    }
  }

  // Of Σ output·cos(i).
  void add_gradients(Graph& graph, const nn::VariableRegistry& registry,
                     const std::vector<Value>& features, Value output, Feeds& feeds,
                     std::vector<Value>& wanted,
                     std::vector<std::pair<const Json*, std::string>>& expected) const {
    const Tensor shape = tensor(json_.at("outputs")[0]);
    Tensor cosines(DType::kFloat32, shape.shape());
    const auto values = cosines.flat<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::cos(static_cast<float>(i));
    const Value seed = ops::placeholder(graph, "seed", DType::kFloat32, output.shape());
    feeds.emplace_back(seed, cosines);
    std::vector<Value> wrt;
    std::vector<std::pair<const Json*, std::string>> of;
    const Json none = Json::array();
    const Json& of_inputs = json_.contains("input_gradients") ? json_["input_gradients"] : none;
    for (size_t i = 0; i < of_inputs.size(); ++i) {
      if (of_inputs[i].is_null()) continue;
      wrt.push_back(features.at(i));
      of.emplace_back(&of_inputs[i], "the gradient of input " + std::to_string(i));
    }
    if (json_.contains("weight_gradients")) {
      for (const auto& [name, gradient] : json_["weight_gradients"].items()) {
        const nn::VariableSpec* spec = registry.find("l/" + name);
        ASSERT_NE(spec, nullptr) << "the layer has no variable " << name;
        wrt.push_back(spec->value);
        of.emplace_back(&gradient, "the gradient of " + name);
      }
    }
    const std::vector<Gradient> found = gradients(output, wrt, std::span(&seed, 1));
    for (size_t i = 0; i < wrt.size(); ++i) {
      ASSERT_TRUE(found[i].defined()) << of[i].second << " is not there";
      wanted.push_back(densify(found[i], wrt[i]));
      expected.push_back(of[i]);
    }
  }

  // Feeds every variable; each weight of the case is one, and each variable has its weight.
  void set_weights(const nn::VariableRegistry& registry, const std::string& prefix,
                   Feeds& feeds) const {
    const Json weights = json_.value("weights", Json::object());
    std::vector<std::string> have, given;
    for (const nn::VariableSpec& spec : registry.all()) {
      have.push_back(spec.name);
      const std::string name = spec.name.substr(prefix.size());
      if (weights.contains(name)) {
        const Tensor value = tensor(weights[name]);
        ASSERT_EQ(value.shape(), spec.value.shape()) << spec.name;
        feeds.emplace_back(spec.value, value);
      }
    }
    for (const auto& [name, value] : weights.items()) given.push_back(prefix + name);
    EXPECT_THAT(have, ::testing::UnorderedElementsAreArray(given));
  }

  void model() const {
    const JobFile file = job(text_of(json_));
    const std::vector<Tensor> inputs = tensors(json_.at("inputs"));
    std::vector<TensorType> types;
    for (const Tensor& input : inputs)
      types.push_back({input.dtype(), with_any_batch(input.shape())});
    nn::Model model;
    build_layers(model, file, types);
    set_all_weights(model);
    compare(model.predict(inputs), json_.at("outputs")[0], "the output");
  }

  void set_all_weights(nn::Model& model) const {
    nn::StateMap weights = model.weights();
    for (const auto& [name, value] : json_.at("weights").items()) {
      ASSERT_TRUE(weights.contains(name)) << "the model has no variable " << name;
      weights[name] = tensor(value);
    }
    EXPECT_EQ(weights.size(), json_["weights"].size()) << "a variable has no value in the case";
    model.set_weights(weights);
  }

  void loss() const {
    const JobFile file = job("layers { flatten {} }", text_of(json_));
    const nn::Loss loss = file.loss().make();
    Graph graph(core_op_table());
    Feeds feeds;
    const auto input = [&](const char* name) {
      const Tensor value = tensor(json_.at(name));
      feeds.emplace_back(
          ops::placeholder(graph, name, value.dtype(), with_any_batch(value.shape())), value);
      return feeds.back().first;
    };
    const Value predictions = input("predictions"), labels = input("labels");
    const Value values = loss.function(predictions, labels);
    std::vector<Value> wanted = {nn::mean_per_example(values)};
    if (json_.contains("prediction_gradients")) {
      const std::vector<Gradient> found = gradients(ops::mean(values), std::span(&predictions, 1));
      ASSERT_TRUE(found[0].defined());
      wanted.push_back(densify(found[0], predictions));
    }
    const std::vector<Tensor> found = testing::evaluate(wanted, feeds, "cpu");
    compare(found[0], json_.at("per_example"), "the loss of each example");
    if (found.size() > 1) compare(found[1], json_["prediction_gradients"], "the gradient");
  }

  void metric() const {
    const Json& batches = json_.at("batches");
    const bool is_weighted = batches.at(0).contains("weights");
    const JobFile file =
        job("layers { activation {} }", json_.value("loss", "mean_squared_error {}"),
            str_cat("optimizer { sgd {} } ", is_weighted ? "weighted_" : "", "metrics { ",
                    text_of(json_), " }"));
    nn::Model model;
    std::vector<TensorType> types;
    const Tensor first = tensor(batches.at(0).at("predictions"));
    types.push_back({first.dtype(), with_any_batch(first.shape())});
    build_layers(model, file, types);
    nn::CompileOptions options = compile_options(file, 1);
    const auto& metrics = is_weighted ? options.weighted_metrics : options.metrics;
    ASSERT_EQ(metrics.size(), 1u);
    const std::string name = metrics[0].name;
    model.compile(std::move(options));
    std::optional<data::Dataset> all;
    std::vector<data::Element> elements;
    for (const Json& batch : batches) {
      elements.push_back({tensor(batch.at("predictions")), tensor(batch.at("labels"))});
      if (is_weighted) elements.back().push_back(tensor(batch.at("weights")));
    }
    data::ElementSpec spec = {
        {"predictions", first.dtype(), with_any_batch(first.shape())},
        {"labels", elements[0][1].dtype(), with_any_batch(elements[0][1].shape())}};
    if (is_weighted) spec.push_back({std::string(nn::kSampleWeight), DType::kFloat32, {-1}});
    const data::Dataset dataset = data::from_function(
        spec, static_cast<int64_t>(elements.size()),
        [elements](int64_t i, data::Element& out) { out = elements[static_cast<size_t>(i)]; });
    const std::map<std::string, double> found = model.evaluate(dataset);
    if (json_.at("value").is_null()) {
      EXPECT_FALSE(found.contains(name)) << found.at(name);
      return;
    }
    ASSERT_TRUE(found.contains(name)) << name << " does not exist";
    const double expected = number(json_["value"]);
    EXPECT_NEAR(found.at(name), expected, tolerance_ * (1 + std::fabs(expected)));
  }

  void optimizer() const {
    const JobFile file = job("layers { flatten {} }", "mean_squared_error {}",
                             "optimizer { " + text_of(json_) + " }");
    const std::unique_ptr<nn::Optimizer> optimizer = file.make_optimizer();
    const Json& after = json_.at("after");
    optimizer->plan_schedule(static_cast<int64_t>(after.size()));
    Graph graph(core_op_table());
    nn::VariableRegistry registry;
    nn::TrainGraph train{.graph = &graph, .variables = &registry, .forward = {}};
    train.learning_rate = ops::placeholder(graph, "rate", DType::kFloat32, {});
    train.step = ops::placeholder(graph, "step", DType::kInt64, {});
    std::vector<Value> feeds = {train.learning_rate, train.step}, fetches;
    std::vector<std::string> names;
    for (const auto& [name, value] : json_.at("variables").items()) {
      const TensorType type = tensor(value).type();
      const Value variable =
          registry.get_or_add(graph, name, name, type, nn::VariableRole::kTrainable, nn::zeros());
      feeds.push_back(ops::placeholder(graph, "gradient_" + name, type.dtype, type.shape));
      train.updates.push_back({variable, {feeds.back(), {}, {}}});
      names.push_back(name);
    }
    nn::add_updates(train, *optimizer);
    Session session(graph);
    for (const nn::VariableSpec& spec : registry.all()) {
      const bool is_slot = spec.role == nn::VariableRole::kSlot;
      session.variables().set(
          spec.name, is_slot ? nn::initial_value(spec, 1) : tensor(json_["variables"][spec.name]),
          session.options().default_device);
    }
    const auto function = session.function(feeds, {}, train.targets());
    for (size_t step = 0; step < after.size(); ++step) {
      std::vector<Tensor> values = {
          Tensor::scalar(static_cast<float>(optimizer->learning_rate(static_cast<int64_t>(step)))),
          Tensor::scalar(static_cast<int64_t>(step) + 1)};
      for (const std::string& name : names) {
        values.push_back(tensor(json_.at("gradients").at(step).at(name)));
      }
      std::vector<Tensor> results;
      function->run(values, results);
      for (const std::string& name : names) {
        compare(session.variables().get(name), after[step].at(name),
                name + " after step " + std::to_string(step + 1));
      }
    }
  }

  void schedule() const {
    const JobFile file = job("layers { flatten {} }", "mean_squared_error {}",
                             "optimizer { sgd {} learning_rate: " + json_.at("base").dump() +
                                 " schedule { " + text_of(json_) + " } }");
    const std::unique_ptr<nn::Optimizer> optimizer = file.make_optimizer();
    optimizer->plan_schedule(json_.at("run_steps").get<int64_t>());
    const Json &steps = json_.at("steps"), &rates = json_.at("rates");
    ASSERT_EQ(steps.size(), rates.size());
    for (size_t i = 0; i < steps.size(); ++i) {
      const double expected = number(rates[i]);
      EXPECT_NEAR(optimizer->learning_rate(steps[i].get<int64_t>()), expected,
                  tolerance_ * std::fabs(expected) + 1e-12)
          << "at step " << steps[i];
    }
  }

  void training() const {
    const JobFile file =
        JobFile::parse("data { digits {} }\n" + text_of(json_) + "\n", "case.textproto");
    std::vector<data::Element> elements;
    for (const Json& batch : json_.at("batches")) {
      elements.push_back(tensors(batch.at("features")));
      elements.back().push_back(tensor(batch.at("labels")));
    }
    data::ElementSpec spec;
    std::vector<TensorType> types;
    for (size_t i = 0; i < elements[0].size(); ++i) {
      const Tensor& part = elements[0][i];
      spec.push_back({"x" + std::to_string(i), part.dtype(), with_any_batch(part.shape())});
      if (i + 1 < elements[0].size()) types.push_back({spec[i].dtype, spec[i].shape});
    }
    nn::Model model;
    build_layers(model, file, types);
    const auto steps = static_cast<int64_t>(elements.size());
    model.compile(compile_options(file, steps));
    set_all_weights(model);
    class Recorder : public nn::Callback {
     public:
      void on_batch_end(nn::Training&, nn::Logs logs) override { losses.push_back(*logs[0].value); }
      std::vector<double> losses;
    };
    const auto recorder = std::make_shared<Recorder>();
    model.fit(data::from_function(spec, steps,
                                  [elements](int64_t i, data::Element& out) {
                                    out = elements[static_cast<size_t>(i)];
                                  }),
              {.epochs = 1, .callbacks = {recorder}, .progress = std::nullopt});
    const Json& expected = json_.at("losses");
    ASSERT_EQ(recorder->losses.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const double loss = number(expected[i]);
      EXPECT_NEAR(recorder->losses[i], loss, json_.value("tolerance", 1e-4) * (1 + std::fabs(loss)))
          << "at step " << i + 1;
    }
  }

  // docs/coming-from-keras.md goes over every name that there is, and no other.
  void names() const {
    std::vector<std::string> ours;
    for (const KerasName& name : keras_names(*core_job_schema())) {
      if (name.family == json_.at("name").get<std::string>()) ours.emplace_back(name.name);
    }
    EXPECT_THAT(ours, ::testing::UnorderedElementsAreArray(
                          json_.at("names").get<std::vector<std::string>>()));
  }

  const Json& json_;
  double tolerance_;
};

// The cases of one file, read when it is looked at first.
struct Area {
  std::string name;
  Json content;
};

const std::vector<Area>& areas() {
  static const std::vector<Area> all = [] {
    std::vector<Area> found;
    for (const auto& entry : std::filesystem::directory_iterator(TRIREME_PEER_VALUES_DIR)) {
      if (entry.path().extension() != ".json") continue;
      std::ifstream file(entry.path());
      found.push_back({entry.path().stem().string(), Json::parse(file)});
    }
    std::ranges::sort(found, {}, &Area::name);
    return found;
  }();
  return all;
}

class PeerValuesTest : public ::testing::TestWithParam<std::pair<size_t, size_t>> {};

TEST_P(PeerValuesTest, AreTheSame) {
  const auto [area, index] = GetParam();
  const Json& json = areas()[area].content.at("cases").at(index);
  try {
    Case(json).run();
  } catch (const std::exception& error) {
    FAIL() << error.what();
  }
}

std::vector<std::pair<size_t, size_t>> all_cases() {
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t i = 0; i < areas().size(); ++i) {
    for (size_t k = 0; k < areas()[i].content.at("cases").size(); ++k) found.emplace_back(i, k);
  }
  return found;
}

std::string case_name(const ::testing::TestParamInfo<std::pair<size_t, size_t>>& info) {
  const Area& area = areas()[info.param.first];
  const Json& json = area.content["cases"][info.param.second];
  std::string text = area.name + "_" + json["name"].get<std::string>();
  for (char& c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return text;
}

INSTANTIATE_TEST_SUITE_P(All, PeerValuesTest, ::testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace trireme
