#include "launcher/supervisor/ending_signals.h"

#include <csignal>

namespace trireme {

std::vector<int> ending_signals() {
  std::vector<int> numbers = {SIGTERM};
  for (const int number : {SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) {
    struct sigaction present {};
    if (sigaction(number, nullptr, &present) == 0 && present.sa_handler == SIG_IGN) continue;
    numbers.push_back(number);
  }
  return numbers;
}

int exit_code_after(int signal) { return signal == SIGINT ? 130 : 75; }

}  // namespace trireme
