#include "launcher/interrupt_cleanup.h"

#include <csignal>

#include "core/io/atomic_file.h"

namespace trireme {
namespace {

void on_signal(int signal) {
  io::remove_temporaries_at_signal();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void remove_temporaries_when_interrupted() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction previous {};
    if (sigaction(signal, nullptr, &previous) != 0 || previous.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace trireme
