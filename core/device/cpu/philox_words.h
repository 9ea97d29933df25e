// Many blocks of Philox4x32-10 at a time, in the lanes of vector registers.
#pragma once

#include <cstdint>

namespace trireme::philox_words {

// draw() works on whole groups of this many blocks.
inline constexpr int64_t kGroup = 32;

// Writes the words of philox(key, counter_high, counter + i) for i in [0, blocks), one block after
// the other. REQUIRES: blocks is a multiple of kGroup.
void draw(uint64_t key, uint64_t counter_high, uint64_t counter, int64_t blocks, uint32_t* words);

}  // namespace trireme::philox_words
