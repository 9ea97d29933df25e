#include "tests/support/fake_cuda/block_runner.h"

#include <link.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <map>

#include "tests/support/fake_cuda/fault_handler.h"

namespace trireme::fake_cuda {
namespace {

constexpr uint32_t kWarp = 32;
constexpr uint64_t kBlocksWithJunk = 4;
constexpr uint32_t kAllLanes = 0xffffffffu;

BlockRunner* active = nullptr;  // whose work runs

std::string to_text(Coordinates c) {
  return "(" + std::to_string(c.x) + ", " + std::to_string(c.y) + ", " + std::to_string(c.z) + ")";
}

// The __shared__ variables of a library of kernels: its thread-local segment.
struct SharedSegment {
  size_t module = 0, bytes = 0;  // as __tls_get_addr numbers modules
};

struct SharedMemory {
  void* data = nullptr;
  size_t bytes = 0;
};

extern "C" void* __tls_get_addr(void*);

SharedSegment find_shared_segment(const Module& module) {
  struct Search {
    uintptr_t address;
    SharedSegment found;
  } search{reinterpret_cast<uintptr_t>(&module), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& search = *static_cast<Search*>(data);
        const ElfW(Phdr)* tls = nullptr;
        bool contains = false;
        for (const ElfW(Phdr)* p = info->dlpi_phdr; p < info->dlpi_phdr + info->dlpi_phnum; ++p) {
          const uintptr_t begin = info->dlpi_addr + p->p_vaddr;
          if (p->p_type == PT_LOAD && begin <= search.address &&
              search.address < begin + p->p_memsz)
            contains = true;
          if (p->p_type == PT_TLS) tls = p;
        }
        if (!contains) return 0;
        if (tls) search.found = {info->dlpi_tls_modid, tls->p_memsz};
        return 1;
      },
      &search);
  return search.found;
}

// For the calling thread.
SharedMemory shared_memory(const Module& module) {
  static std::map<const Module*, SharedSegment> known;  // modules are never unloaded
  const auto [at, is_new] = known.try_emplace(&module);
  if (is_new) at->second = find_shared_segment(module);
  if (at->second.bytes == 0) return {};
  size_t index[2] = {at->second.module, 0};
  return {__tls_get_addr(index), at->second.bytes};
}

// Not a number, in each float format.
void fill_with_junk(const SharedMemory& memory) {
  auto* words = static_cast<uint16_t*>(memory.data);
  std::fill_n(words, memory.bytes / 2, static_cast<uint16_t>(0x7fff));
}

}  // namespace

struct BlockRunner::Thread {
  enum State : uint8_t { kNew, kRunning, kAtBarrier, kAtExchange, kFinished } state = kNew;
  int line = 0;
  uint32_t exchanges = 0;
  Fiber* fiber = nullptr;
};

struct BlockRunner::Warp {
  uint32_t arrived = 0;
  int line = 0;
  uint64_t values[2][kWarp] = {};  // a lane may still read one while another fills the next
};

const trireme_fake::Runtime BlockRunner::kRuntime = {
    [](uint32_t value, int line) { return active->wait_for_block(value, line); },
    [](uint32_t mask, uint64_t value, int line) {
      return active->wait_for_warp(mask, value, line);
    },
    [] { active->fail("the kernel called __trap()"); }};

BlockRunner::BlockRunner(std::function<std::string(uintptr_t)> explain)
    : explain_(std::move(explain)) {}
BlockRunner::~BlockRunner() = default;

std::optional<DeviceFault> BlockRunner::run(Module& module, const KernelEntry& kernel,
                                            Coordinates grid, Coordinates block, void** arguments) {
  FaultHandler::install();
  FaultHandler::Work work(*this, &BlockRunner::land);
  active = this;
  module_ = &module;
  kernel_ = &kernel;
  arguments_ = arguments;
  fault_.reset();
  backwards_ = launches_++ % 2 == 1;
  module.runtime = &kRuntime;
  module.block_size = block;
  module.grid_size = grid;
  count_ = block.x * block.y * block.z;
  threads_.resize(count_);
  warps_.resize((count_ + kWarp - 1) / kWarp);
  const SharedMemory shared = shared_memory(module);
  const auto [waits, is_new] = waits_.try_emplace(&kernel, true);
  waited_ = waits->second;
  const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t b = backwards_ ? blocks - 1 - i : i;
    module.block = {static_cast<uint32_t>(b % grid.x), static_cast<uint32_t>(b / grid.x % grid.y),
                    static_cast<uint32_t>(b / grid.x / grid.y)};
    // A block that waits for nobody has no use for shared memory. Some blocks are enough to find
    // what reads it before it is written.
    if (waited_ && shared.data && i < kBlocksWithJunk) fill_with_junk(shared);
    waited_ = false;
    const bool ended = run_block();
    if (i == 0 && is_new) waits->second = false;
    waits->second |= waited_;
    if (!ended) {
      fault_->what = "kernel '" + std::string(kernel.name) + "', " + fault_->what;
      break;
    }
  }
  active = nullptr;
  return std::move(fault_);
}

std::optional<DeviceFault> BlockRunner::run_guarded(const std::function<void()>& work) {
  FaultHandler::install();
  FaultHandler::Work handled(*this, &BlockRunner::land);
  active = this;
  kernel_ = nullptr;
  fault_.reset();
  guarded_ = &work;
  running_ = &idle_fiber();
  running_->resume();
  if (fault_) running_->reset();
  idle_.push_back(running_);
  running_ = nullptr;
  guarded_ = nullptr;
  active = nullptr;
  return std::move(fault_);
}

Fiber& BlockRunner::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&BlockRunner::fiber_main, this));
    return *fibers_.back();
  }
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

void BlockRunner::fiber_main(void* runner) {
  auto& self = *static_cast<BlockRunner*>(runner);
  while (true) {
    if (self.guarded_) {
      try {
        (*self.guarded_)();
      } catch (const std::exception& error) {
        self.fault_ = DeviceFault{DeviceFault::kLaunchFailed, error.what()};
      }
    } else {
      self.take_threads();
    }
    self.running_->suspend();
  }
}

// Runs threads that have not begun, until none is left. One that waits parks this very stack, and
// comes back here when it has ended.
void BlockRunner::take_threads() {
  while (next_ < count_) {
    const uint32_t index = next_++;
    select(backwards_ ? count_ - 1 - index : index);
    kernel_->call(kernel_->function, arguments_);
    threads_[current_].state = Thread::kFinished;
    ++finished_;
  }
}

bool BlockRunner::run_block() {
  std::fill(threads_.begin(), threads_.end(), Thread());
  for (Warp& warp : warps_) warp.arrived = 0;
  ready_.clear();
  next_ = finished_ = at_barrier_ = barrier_sum_ = 0;
  while (!fault_ && finished_ < count_) {
    if (!ready_.empty()) {
      const uint32_t thread = ready_.back();
      ready_.pop_back();
      select(thread);
      running_ = threads_[thread].fiber;
    } else if (next_ < count_) {
      running_ = &idle_fiber();
    } else {
      fault_ = DeviceFault{DeviceFault::kLaunchFailed, divergence()};
      break;
    }
    Fiber* fiber = running_;
    fiber->resume();
    running_ = nullptr;
    // Parked by a thread that waits, or out of threads.
    const bool parked = threads_[current_].state == Thread::kAtBarrier ||
                        threads_[current_].state == Thread::kAtExchange;
    if (!fault_ && !parked) idle_.push_back(fiber);
  }
  if (!fault_) return true;
  // Whatever waits on a stack is given up.
  idle_.clear();
  for (const auto& fiber : fibers_) {
    fiber->reset();
    idle_.push_back(fiber.get());
  }
  return false;
}

void BlockRunner::select(uint32_t thread) {
  current_ = thread;
  threads_[thread].state = Thread::kRunning;
  const Coordinates size = module_->block_size;
  if (size.y == 1 && size.z == 1)
    module_->thread = {thread, 0, 0};
  else
    module_->thread = {thread % size.x, thread / size.x % size.y, thread / size.x / size.y};
}

void BlockRunner::suspend_thread() {
  threads_[current_].fiber = running_;
  running_->suspend();
}

uint32_t BlockRunner::wait_for_block(uint32_t value, int line) {
  waited_ = true;
  if (at_barrier_ > 0 && line != barrier_line_)
    fail("barrier divergence: it waits at line " + std::to_string(line) +
         " while others of the block wait at line " + std::to_string(barrier_line_));
  barrier_line_ = line;
  barrier_sum_ += value;
  Thread& self = threads_[current_];
  self.line = line;
  if (++at_barrier_ < count_) {
    self.state = Thread::kAtBarrier;
    suspend_thread();
    return barrier_result_;
  }
  barrier_result_ = barrier_sum_;
  at_barrier_ = barrier_sum_ = 0;
  // The last one of ready_ goes on first.
  for (uint32_t i = 0; i < count_; ++i) {
    const uint32_t thread = backwards_ ? i : count_ - 1 - i;
    if (thread != current_) ready_.push_back(thread);
  }
  return barrier_result_;
}

const uint64_t* BlockRunner::wait_for_warp(uint32_t mask, uint64_t value, int line) {
  waited_ = true;
  const uint32_t lane = current_ % kWarp, first = current_ - lane;
  Warp& warp = warps_[current_ / kWarp];
  if (mask != kAllLanes)
    fail("a warp exchange at line " + std::to_string(line) +
         " with a mask other than 0xffffffff, which portable kernels do not use");
  if (first + kWarp > count_)
    fail("a warp exchange at line " + std::to_string(line) + " with all 32 lanes, but a block of " +
         std::to_string(count_) + " threads has only " + std::to_string(count_ - first) +
         " in its last warp");
  if (warp.arrived > 0 && warp.line != line)
    fail("warp divergence: it exchanges at line " + std::to_string(line) +
         " while others of the warp do at line " + std::to_string(warp.line));
  warp.line = line;
  Thread& self = threads_[current_];
  self.line = line;
  uint64_t* values = warp.values[self.exchanges++ % 2];
  values[lane] = value;
  if (++warp.arrived < kWarp) {
    self.state = Thread::kAtExchange;
    suspend_thread();
    return values;
  }
  warp.arrived = 0;
  for (uint32_t i = 0; i < kWarp; ++i) {
    const uint32_t thread = first + (backwards_ ? i : kWarp - 1 - i);
    if (thread != current_) ready_.push_back(thread);
  }
  return values;
}

// Nobody can go on: some wait for what others, which wait elsewhere or have left, never do.
std::string BlockRunner::divergence() const {
  uint32_t barrier = 0, exchange = 0;
  int barrier_line = 0, exchange_line = 0;
  for (const Thread& thread : threads_) {
    if (thread.state == Thread::kAtBarrier) {
      ++barrier;
      barrier_line = thread.line;
    } else if (thread.state == Thread::kAtExchange) {
      ++exchange;
      exchange_line = thread.line;
    }
  }
  std::string text = "block " + to_text(module_->block) + ": " +
                     (exchange ? "warp divergence: " : "barrier divergence: ");
  if (barrier)
    text += std::to_string(barrier) + " threads wait in __syncthreads() of line " +
            std::to_string(barrier_line) + ", ";
  if (exchange)
    text += std::to_string(exchange) + " in a warp exchange of line " +
            std::to_string(exchange_line) + ", ";
  return text + std::to_string(finished_) + " have left";
}

std::string BlockRunner::place() const {
  return "thread " + to_text(module_->thread) + " of block " + to_text(module_->block);
}

void BlockRunner::fail(std::string what) {
  fault_ = DeviceFault{DeviceFault::kLaunchFailed, place() + ": " + std::move(what)};
  running_->suspend();
  std::terminate();  // a fiber that failed is never resumed
}

DeviceFault BlockRunner::explain(const RaisedSignal& raised) const {
  const std::string who = guarded_ ? "" : place() + ": ";
  switch (raised.number) {
    case SIGILL:  // the compiler's own checks: -fsanitize-undefined-trap-on-error
      return {DeviceFault::kMisalignedAddress,
              who + "a misaligned address, or an index out of a fixed array's bounds"};
    case SIGFPE:
      return {DeviceFault::kLaunchFailed, who + "division of an integer by zero"};
    default:
      return {DeviceFault::kIllegalAddress,
              who + "illegal memory access: " + explain_(raised.address)};
  }
}

// Never returns to what raised the signal, so nothing that needs a destructor may live here.
void BlockRunner::land() {
  active->fault_ = active->explain(*FaultHandler::take());
  active->running_->suspend();
  std::terminate();
}

}  // namespace trireme::fake_cuda
