#include "worker/share_state.h"

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "worker/broadcast_bytes.h"

namespace trireme {
namespace {

const std::string kWhat = "the state of a training";

// Names, types and shapes, and the texts themselves.
std::string manifest_of(const nn::StateMap& state) {
  nlohmann::json entries = nlohmann::json::array();
  for (const auto& [name, tensor] : state) {
    std::vector<int64_t> shape(tensor.shape().begin(), tensor.shape().end());
    nlohmann::json entry = {
        {"name", name}, {"dtype", static_cast<int>(tensor.dtype())}, {"shape", shape}};
    if (tensor.dtype() == DType::kString) {
      for (const std::string& text : tensor.flat<std::string>()) {
        entry["texts"].push_back(nlohmann::json::binary({text.begin(), text.end()}));
      }
    }
    entries.push_back(std::move(entry));
  }
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(entries);
  return {bytes.begin(), bytes.end()};
}

nn::StateMap state_of(const std::string& manifest) {
  nn::StateMap state;
  for (const auto& entry : nlohmann::json::from_cbor(manifest)) {
    Shape shape;
    for (int64_t size : entry.at("shape")) shape.push_back(size);
    Tensor tensor(static_cast<DType>(entry.at("dtype").get<int>()), shape);
    if (tensor.dtype() == DType::kString) {
      size_t i = 0;
      for (const auto& text : entry.at("texts")) {
        const auto& bytes = text.get_binary();
        tensor.flat<std::string>()[i++].assign(bytes.begin(), bytes.end());
      }
    }
    state[entry.at("name")] = std::move(tensor);
  }
  return state;
}

}  // namespace

void share_state(Communicator& communicator, int source, nn::StateMap& state) {
  const bool gives = communicator.rank() == source;
  std::string manifest = gives ? manifest_of(state) : "";
  broadcast_text(communicator, source, manifest, kWhat);
  if (!gives) state = state_of(manifest);
  for (auto& [name, tensor] : state) {
    if (tensor.dtype() == DType::kString) continue;
    broadcast_bytes(communicator, source, tensor.raw(), tensor.bytes(), kWhat);
  }
}

}  // namespace trireme
