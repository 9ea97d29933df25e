// A JPEG for benches, about as dense as a photograph: smooth shapes with some noise, quality 90.
#pragma once

#include <cstdint>
#include <vector>

namespace trireme {

std::vector<uint8_t> made_jpeg(int width, int height);

}  // namespace trireme
