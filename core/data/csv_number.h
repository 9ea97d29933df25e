// Numbers as tables of text have them.
#pragma once

#include <string>
#include <string_view>

namespace trireme::data {

// A finite number, with blanks around it and a sign before it: 12, -0.5, +1e-3. What is closer to 0
// than a 64-bit float can be is 0. False for everything else.
bool parse_number(std::string_view text, double& value);

// For a text that is no number: what it looks like and what to write instead, after "expected a
// number, ".
std::string why_no_number(std::string_view text);

}  // namespace trireme::data
