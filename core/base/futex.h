// Waiting for a word of memory that several processes share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace trireme {

// Waits, `timeout` at most, while `word` is `expected`; works between processes.
void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, std::chrono::microseconds timeout);
void futex_wake_all(std::atomic<uint32_t>& word);

// Between two looks at memory that another core is about to change.
void pause_core();

}  // namespace trireme
