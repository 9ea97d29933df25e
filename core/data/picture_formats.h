// The formats that decode_image() tells apart; for core/data only.
#pragma once

#include <cstdint>
#include <span>

#include "core/data/image_decoder.h"

namespace trireme::data {

void decode_jpeg(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                 const ImageLimits& limits);
void decode_png(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                const ImageLimits& limits);

// Throws Error{kDataLoss} when a picture of that size is more than the limits allow.
void check_picture_size(uint64_t height, uint64_t width, const ImageLimits& limits);

}  // namespace trireme::data
