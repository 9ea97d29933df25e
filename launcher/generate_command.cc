#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/data/clicks.h"
#include "launcher/commands.h"
#include "launcher/printable_path.h"
#include "worker/result_line.h"

namespace trireme {
namespace {

struct ClickOptions {
  data::ClicksOptions log;
  int64_t examples = 100'000, first = 0;
  std::string out;
};

void generate_clicks(const ClickOptions& options) {
  if (options.examples < 1 || options.first < 0) {
    throw invalid_argument("--examples must be positive and --first must not be negative");
  }
  (void)checked_add(options.first, options.examples, "--first and --examples");
  const data::Clicks log(options.log);
  const auto written = log.write(options.out, options.first, options.examples);
  ResultLine line = {{"out", options.out},
                     {"examples", written.examples},
                     {"clicks", written.clicks},
                     {"keys", options.log.keys}};
  if (written.bayes_auc) line["bayes_auc"] = rounded(*written.bayes_auc);
  std::cout << line.dump() << "\n";
}

}  // namespace

void add_generate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Write a data set that the program makes up");
  command->require_subcommand(1);
  auto options = std::make_shared<ClickOptions>();
  CLI::App* clicks = command->add_subcommand(
      "clicks",
      "A click log in Criteo's TSV format: 13 numbers, 26 categories, and a label from a planted "
      "model. Prints the AUC of that model's probabilities: the best that any model can reach.");
  clicks->footer(
      "Example:\n"
      "  trireme generate clicks --examples 2000000 --keys 5000000 --out train.tsv.gz\n"
      "  trireme generate clicks --first 2000000 --examples 200000 --keys 5000000 --out "
      "test.tsv.gz");
  clicks->add_option("--out", options->out, "The file to write; packed when it ends with .gz")
      ->required()
      ->check(printable_path);
  clicks->add_option("--examples", options->examples, "How many lines")->capture_default_str();
  clicks
      ->add_option("--first", options->first,
                   "The example to begin with: what is behind the training examples is of the same "
                   "model, and new")
      ->capture_default_str();
  clicks->add_option("--keys", options->log.keys, "Possible keys, in all")->capture_default_str();
  clicks->add_option("--zipf", options->log.zipf, "How uneven the words of a category are")
      ->capture_default_str();
  clicks->add_option("--seed", options->log.seed, "Of the planted model and the examples")
      ->capture_default_str();
  clicks->callback([options] { generate_clicks(*options); });
}

}  // namespace trireme
