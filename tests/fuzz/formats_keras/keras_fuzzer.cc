// Configurations of Keras's models.
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/formats/keras/graph_reader.h"
#include "core/formats/keras/training_config.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  static const nn::Catalogs catalogs = [] {
    nn::Catalogs all;
    nn::register_core(all);
    return all;
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool is_keras2 : {false, true}) {
    fuzz::only_user_errors([&] {
      const formats::Json json = formats::parse_json(text, "fuzz");
      const auto network = formats::read_network(json, "fuzz", is_keras2, catalogs);
      (void)formats::read_training(formats::member(json, "compile_config"), network.outputs,
                                   {.catalogs = catalogs, .place = "fuzz"});
    });
  }
  return 0;
}
