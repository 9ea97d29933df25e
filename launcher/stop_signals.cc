#include "launcher/stop_signals.h"

#include <csignal>

#include "core/base/uninterrupted.h"

namespace trireme {
namespace {

std::atomic<bool> g_stop{false};
std::atomic<int> g_signal{0};
std::atomic<bool> g_insisted{false};

void on_signal(int signal) {
  g_signal = signal;
  if (g_stop.exchange(true)) {
    // The third ends even a save that hangs.
    if (Uninterrupted::active() && !g_insisted.exchange(true)) return;
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

const std::atomic<bool>& take_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return g_stop;
}

int stop_signal() { return g_signal; }

}  // namespace trireme
