// A parser may refuse its input only with an Error for the user. Anything else, a failed check of
// ours included, is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "core/base/error.h"

namespace trireme::fuzz {

template <typename Parse>
void only_user_errors(const Parse& parse) {
  try {
    parse();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
}

inline std::string_view text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace trireme::fuzz
