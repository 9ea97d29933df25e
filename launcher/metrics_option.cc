#include "launcher/metrics_option.h"

#include <CLI/CLI.hpp>

namespace trireme {

void add_metrics_option(CLI::App& command, const std::string& names, const std::string& help,
                        std::optional<MetricsAddress>& address) {
  const std::string name = names.substr(0, names.find(','));
  command
      .add_option_function<std::string>(
          names,
          [&address, name](const std::string& text) {
            address = parse_metrics_address(text, name);
          },
          help)
      ->type_name("[HOST:]PORT");
}

}  // namespace trireme
