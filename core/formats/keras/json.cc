#include "core/formats/keras/json.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace trireme::formats {
namespace {

constexpr size_t kMostBytes = size_t{64} << 20;
constexpr int kDeepest = 256;

// Checked before parsing, whose memory grows with the depth.
void check_depth(std::string_view text, const std::string& place) {
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) {
        throw data_loss(place, ": expected JSON of a model, found some that is nested deeper than ",
                        kDeepest, " levels");
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& place) {
  if (text.size() > kMostBytes) {
    throw data_loss(place, ": expected JSON of at most ", kMostBytes, " bytes, found ",
                    text.size());
  }
  check_depth(text, place);
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) throw data_loss(place, ": expected JSON, found what is none");
  return json;
}

std::string brief(const Json& json) {
  // What is long is not written out first.
  if (json.is_object() || json.is_array()) {
    if (json.size() > 20) return json.is_array() ? "a long list" : "a large object";
  }
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr size_t kMost = 80;
  if (text.size() > kMost) text = text.substr(0, kMost) + "…";
  return text;
}

const Json& member(const Json& json, std::string_view key) {
  static const Json kNull;
  if (!json.is_object()) return kNull;
  const auto found = json.find(std::string(key));
  return found == json.end() ? kNull : *found;
}

std::string text_member(const Json& json, std::string_view key, const std::string& place) {
  const Json& found = member(json, key);
  if (found.is_string()) return found.get<std::string>();
  throw data_loss(place, ": ", key, ": expected a text, found ", brief(found));
}

}  // namespace trireme::formats
