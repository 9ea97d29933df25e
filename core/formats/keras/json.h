// The JSON of Keras's configurations.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace trireme::formats {

using Json = nlohmann::ordered_json;

// Throws Error{kDataLoss} naming `place` for what is no JSON, and for what is nested deeper or is
// longer than any model.
Json parse_json(std::string_view text, const std::string& place);

// At most some 80 bytes of it, for messages.
std::string brief(const Json& json);

// The member `key` of an object; null where there is none, or no object.
const Json& member(const Json& json, std::string_view key);
// The same as text. Throws Error{kDataLoss} where it is none.
std::string text_member(const Json& json, std::string_view key, const std::string& place);

}  // namespace trireme::formats
