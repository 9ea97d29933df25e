// The name that a user may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace trireme {

// The nearest of `names` to `given`, in single changes of a letter; empty when none is near. Case
// does not count.
std::string_view nearest_name(std::string_view given, std::span<const std::string> names);

// "; did you mean 'epochs'?", or nothing.
std::string did_you_mean(std::string_view given, std::span<const std::string> names);

// For messages: control bytes replaced, cut when long.
std::string printable(std::string_view text);

}  // namespace trireme
