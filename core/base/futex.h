// Waiting for a word of memory, which several processes may share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace trireme {

// Waits, `timeout` at most, while `word` is `expected`; works between processes.
void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, std::chrono::microseconds timeout);
void futex_wake_all(std::atomic<uint32_t>& word);

// The same for a word of this process only, which costs less: waits while `word` is `expected`, and
// may return for no reason; wakes `most` at most.
void futex_wait_own(std::atomic<uint32_t>& word, uint32_t expected);
void futex_wake_own(std::atomic<uint32_t>& word, int most);

// Between two looks at memory that another core is about to change.
void pause_core();

}  // namespace trireme
