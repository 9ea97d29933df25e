#include "tests/support/fake_cuda/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace trireme::fake_cuda {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif
constexpr size_t kPage = 4096;
// Stacks begin at different places of their page, or they would all fall into the same few lines of
// the cache.
constexpr size_t kColors = 48, kColorBytes = 64;

}  // namespace

#if defined(__x86_64__)

// Saves what the calling convention lets a callee keep, and goes on where `to` was saved.
extern "C" void trireme_fake_switch(void** from, void* to);
asm(R"(
.text
.hidden trireme_fake_switch
.type trireme_fake_switch,@function
trireme_fake_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size trireme_fake_switch,.-trireme_fake_switch
)");
// The first thing on a new stack: `start` and its argument were put into callee-saved registers.
extern "C" void trireme_fake_begin();
asm(R"(
.text
.hidden trireme_fake_begin
.type trireme_fake_begin,@function
trireme_fake_begin:
  movq %r12, %rdi
  callq *%r13
  ud2
.size trireme_fake_begin,.-trireme_fake_begin
)");

struct Switch {
  void* own = nullptr;
  void* outside = nullptr;
  void prepare(char* stack, size_t bytes, void (*start)(Fiber*), Fiber* fiber) {
    auto* top = reinterpret_cast<uint64_t*>(stack + bytes - 64);
    *--top = reinterpret_cast<uint64_t>(&trireme_fake_begin);
    *--top = 0;                                  // rbp
    *--top = 0;                                  // rbx
    *--top = reinterpret_cast<uint64_t>(fiber);  // r12
    *--top = reinterpret_cast<uint64_t>(start);  // r13
    *--top = 0;                                  // r14
    *--top = 0;                                  // r15
    own = top;
  }
  void enter() { trireme_fake_switch(&outside, own); }
  void leave() { trireme_fake_switch(&own, outside); }
};

#else

struct Switch {
  ucontext_t own, outside;
  static void begin(unsigned low, unsigned high, unsigned fiber_low, unsigned fiber_high) {
    const auto join = [](unsigned l, unsigned h) { return static_cast<uint64_t>(h) << 32 | l; };
    reinterpret_cast<void (*)(Fiber*)>(join(low, high))(
        reinterpret_cast<Fiber*>(join(fiber_low, fiber_high)));
  }
  void prepare(char* stack, size_t bytes, void (*start)(Fiber*), Fiber* fiber) {
    getcontext(&own);
    own.uc_stack.ss_sp = stack;
    own.uc_stack.ss_size = bytes;
    own.uc_link = nullptr;
    const auto function = reinterpret_cast<uint64_t>(start);
    const auto argument = reinterpret_cast<uint64_t>(fiber);
    makecontext(&own, reinterpret_cast<void (*)()>(&begin), 4, static_cast<unsigned>(function),
                static_cast<unsigned>(function >> 32), static_cast<unsigned>(argument),
                static_cast<unsigned>(argument >> 32));
  }
  void enter() { swapcontext(&outside, &own); }
  void leave() { swapcontext(&own, &outside); }
};

#endif

struct Fiber::Context {
  char* map = nullptr;
  char* stack = nullptr;
  size_t bytes = 0;  // of the stack
  Switch registers;
  bool begun = false;
  // What the sanitizers want to know of whoever resumed.
  void* fake_stack = nullptr;
  const void* outside_stack = nullptr;
  size_t outside_bytes = 0;
  void* thread = nullptr;
  void* outside_thread = nullptr;
};

Fiber::Fiber(void (*entry)(void*), void* argument)
    : entry_(entry), argument_(argument), context_(std::make_unique<Context>()) {
  // A page below that faults when the stack runs over.
  void* map = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  mprotect(map, kPage, PROT_NONE);
  context_->map = static_cast<char*>(map);
  context_->stack = context_->map + kPage;
  static size_t made = 0;
  context_->bytes = kStackBytes - made++ % kColors * kColorBytes;
}

Fiber::~Fiber() {
  reset();
  munmap(context_->map, kStackBytes + kPage);
}

void Fiber::start(Fiber* fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &fiber->context_->outside_stack,
                                  &fiber->context_->outside_bytes);
#endif
  fiber->entry_(fiber->argument_);
}

void Fiber::resume() {
  Context& c = *context_;
  if (!c.begun) {
    c.registers.prepare(c.stack, c.bytes, &Fiber::start, this);
    c.begun = true;
#if defined(__SANITIZE_THREAD__)
    c.thread = __tsan_create_fiber(0);
#endif
  }
#if defined(__SANITIZE_ADDRESS__)
  void* own_fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&own_fake_stack, c.stack, c.bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  c.outside_thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(c.thread, 0);
#endif
  c.registers.enter();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
  Context& c = *context_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&c.fake_stack, c.outside_stack, c.outside_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(c.outside_thread, 0);
#endif
  c.registers.leave();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(c.fake_stack, &c.outside_stack, &c.outside_bytes);
#endif
}

void Fiber::reset() {
  Context& c = *context_;
  c.begun = false;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(c.stack, c.bytes);
  c.fake_stack = nullptr;
#endif
#if defined(__SANITIZE_THREAD__)
  if (c.thread) __tsan_destroy_fiber(c.thread);
  c.thread = nullptr;
#endif
}

}  // namespace trireme::fake_cuda
