// How our own convolutions share a batch among threads and cut rows into tiles. Private to this
// folder.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/parallel.h"

namespace trireme::batch_parts {

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// How many shares the kernels below cut a batch into: some for each thread, so that one without a
// core holds up only its own.
inline int64_t parts_of(int64_t batch) {
  const int64_t threads = compute_threads();
  return std::min<int64_t>(threads == 1 ? 1 : 4 * threads, batch);
}

// Calls body(part, first example, last example) for `parts` shares of the batch; each part has
// scratch of its own.
template <typename Body>
void for_each_part(int64_t parts, int64_t batch, Body body) {
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      body(part, batch * part / parts, batch * (part + 1) / parts);
    }
  });
}

// Splits `count` into the fewest blocks of at most `most`, as equal as can be; calls body(begin,
// size).
template <typename Body>
void for_each_block(int64_t count, int64_t most, Body body) {
  const int64_t blocks = (count + most - 1) / most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t begin = count * i / blocks;
    body(begin, count * (i + 1) / blocks - begin);
  }
}

}  // namespace trireme::batch_parts
