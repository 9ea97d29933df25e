#include "distributed/connection/draw_id.h"

#include <cstdint>
#include <cstdio>
#include <random>

namespace trireme {

std::string draw_id() {
  std::random_device device;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", static_cast<unsigned>(device()),
                static_cast<unsigned>(device()));
  return text;
}

}  // namespace trireme
