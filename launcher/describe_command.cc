#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "core/base/error.h"
#include "launcher/commands.h"
#include "worker/coming_from_keras.h"
#include "worker/describe.h"
#include "worker/job_schema.h"

namespace trireme {

void add_describe_command(CLI::App& app, CommandContext& context) {
  struct Options {
    std::vector<std::string> path;
    bool markdown = false, keras = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "describe",
      "Print what a job file may say: its fields, and the layers, losses … with theirs");
  command->footer(
      "Examples:\n"
      "  trireme describe             the names of all families and of what is in them\n"
      "  trireme describe job         the fields of a job file\n"
      "  trireme describe layers      all layers with their options\n"
      "  trireme describe layer dense\n"
      "  trireme describe all");
  command->add_option("NAMES", options->path, "A family (layer, optimizer, …) and one of its kinds")
      ->expected(0, 2)
      ->type_name("[FAMILY [KIND]]");
  command->add_flag("--markdown", options->markdown, "All of it as docs/reference.md has it");
  command->add_flag(
      "--keras", options->keras,
      "The names of Keras and tf.data, and ours, as docs/coming-from-keras.md has them");
  command->callback([options, schema = context.tables.schema] {
    if (options->markdown || options->keras) {
      if (!options->path.empty() || options->markdown == options->keras) {
        throw invalid_argument("--markdown and --keras are each about everything");
      }
      std::cout << (options->markdown ? reference_page(*schema) : coming_from_keras_page(*schema));
    } else if (options->path.empty()) {
      std::cout << overview(*schema);
    } else if (options->path[0] == "all" && options->path.size() == 1) {
      std::cout << to_text(describe(*schema, {}));
    } else {
      std::cout << to_text(describe(*schema, options->path));
    }
  });
}

}  // namespace trireme
