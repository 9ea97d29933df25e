// What ThreadSanitizer cannot see: that one thread gives a library, which is not instrumented, a
// pointer, and another one gets it back. Nothing without that sanitizer.
#pragma once

#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_release(void* address);
extern "C" void __tsan_acquire(void* address);
#endif

namespace trireme {

// Before the library gets it: all that this thread has done happens before take_over().
inline void hand_over([[maybe_unused]] void* pointer) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(pointer);
#endif
}

// When the library gives it back.
inline void take_over([[maybe_unused]] void* pointer) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(pointer);
#endif
}

}  // namespace trireme
