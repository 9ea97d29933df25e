// Messages tf.train.Example and SequenceExample: every kind of feature, by either way out.
#include <memory>
#include <vector>

#include "core/data/example_parser.h"
#include "tests/fuzz/data/fuzz.h"

namespace {

using namespace trireme::data;

std::vector<std::shared_ptr<const Feature>> features(int64_t max_length) {
  std::vector<std::shared_ptr<const Feature>> all;
  const auto add = [&](auto feature, const char* name) {
    feature->name = name;
    all.push_back(std::move(feature));
  };
  for (const auto& [name, type] :
       {std::pair("f", FeatureType::kFloat32), std::pair("i", FeatureType::kInt64),
        std::pair("j", FeatureType::kInt32), std::pair("s", FeatureType::kString)}) {
    auto fixed = std::make_shared<FixedFeature>();
    fixed->dtype = type;
    fixed->shape = {2};
    if (type == FeatureType::kString) {
      fixed->default_text = {""};
    } else {
      fixed->default_value = {0};
    }
    add(fixed, name);
    auto variable = std::make_shared<VariableFeature>();
    variable->dtype = type;
    variable->length.max_length = max_length;
    variable->length.truncate = true;
    add(variable, std::vector<const char*>{"F", "I", "J", "S"}[static_cast<size_t>(type)]);
  }
  auto steps = std::make_shared<SequenceFeature>();
  steps->length.max_length = max_length;
  steps->length.truncate = true;
  steps->allow_missing = true;
  add(steps, "v");
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ExampleParser as_they_are(features(0)), padded(features(3));
  const std::string_view record = trireme::fuzz::text(data, size);
  for (const ExampleParser* parser : {&as_they_are, &padded}) {
    trireme::fuzz::only_user_errors([&] {
      Element element;
      parser->parse(record, element);
      // No list is longer than the bytes that it came from, but for what was filled up.
      for (const trireme::Tensor& value : element) {
        if (value.elements() > static_cast<int64_t>(size) + 3) std::abort();
      }
    });
  }
  return 0;
}
