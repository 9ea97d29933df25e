#include "tests/support/fake_cuda/fault_handler.h"

#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <mutex>

namespace trireme::fake_cuda {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
struct sigaction previous[65];

// One thread at a time does device work: the fake driver's lock sees to it.
volatile bool working = false;
pthread_t worker;
void (*landing)() = nullptr;
volatile bool raised_any = false;
RaisedSignal raised;
bool (*is_device_memory)(uintptr_t) = nullptr;

void say(const char* text) {
  // Nothing else is allowed here; when it cannot be written there is nobody to tell.
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

void handle(int number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
#if defined(__x86_64__)
  if (working && pthread_equal(worker, pthread_self()) && !raised_any && info->si_code > 0) {
    raised = {number, address};
    raised_any = true;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    // As if the work had called it: below the red zone, with a return address to align it.
    const auto stack = static_cast<uintptr_t>(registers[REG_RSP]) - 256;
    registers[REG_RSP] = static_cast<greg_t>((stack & ~uintptr_t{15}) - 8);
    registers[REG_RIP] = reinterpret_cast<greg_t>(landing);
    return;
  }
#endif
  if ((number == SIGSEGV || number == SIGBUS) && is_device_memory && is_device_memory(address))
    say("fake CUDA: host code touched device memory; only kernels and copies may\n");
  // Whoever was there before; by default the instruction is tried again and ends the process.
  const struct sigaction& next = previous[number];
  if (next.sa_flags & SA_SIGINFO) {
    next.sa_sigaction(number, info, context);
  } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
    next.sa_handler(number);
  } else {
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);
  }
}

}  // namespace

void FaultHandler::install() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = &handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (const int number : kSignals) sigaction(number, &action, &previous[number]);
  });
}

FaultHandler::Work::Work(BlockRunner&, void (*land)()) {
  worker = pthread_self();
  landing = land;
  raised_any = false;
  working = true;
}

FaultHandler::Work::~Work() { working = false; }

std::optional<RaisedSignal> FaultHandler::take() {
  raised_any = false;
  return raised;
}

void FaultHandler::set_device_memory_test(bool (*test)(uintptr_t)) { is_device_memory = test; }

}  // namespace trireme::fake_cuda
