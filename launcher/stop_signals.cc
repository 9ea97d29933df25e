#include "launcher/stop_signals.h"

#include <unistd.h>

#include <csignal>

#include "core/base/uninterrupted.h"
#include "launcher/supervisor/ending_signals.h"

namespace trireme {
namespace {

std::atomic<bool> g_stop{false};
std::atomic<int> g_signal{0};
// Who has asked.
std::atomic<bool> g_parent{false}, g_other{false};
std::atomic<bool> g_insisted{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void on_signal(int signal, siginfo_t* info, void*) {
  const bool parent = info->si_code == SI_USER && info->si_pid == getppid();
  int none = 0;
  g_signal.compare_exchange_strong(none, signal);
  g_stop = true;
  if ((parent ? g_parent : g_other).exchange(true)) {
    // The third ends even a save that hangs.
    if (Uninterrupted::active() && !g_insisted.exchange(true)) return;
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

void end_at_once(int signal) { _exit(exit_code_after(signal)); }

}  // namespace

const std::atomic<bool>& take_stop_signals() {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO;
  for (const int number : ending_signals()) sigaction(number, &action, nullptr);
  return g_stop;
}

int stop_signal() { return g_signal; }

void ask_to_stop(int signal) {
  int none = 0;
  g_signal.compare_exchange_strong(none, signal == SIGINT ? SIGINT : SIGTERM);
  g_stop = true;
}

void end_at_stop_signals() {
  struct sigaction action {};
  action.sa_handler = end_at_once;
  for (const int number : ending_signals()) sigaction(number, &action, nullptr);
}

}  // namespace trireme
