#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/atomic_file.h"
#include "launcher/commands.h"
#include "launcher/curve_plot.h"
#include "launcher/run_curves.h"

namespace trireme {
namespace {

struct CurvesOptions {
  std::vector<std::string> runs, metrics;
  std::string svg;
  bool list = false, log = false, ascii = false;
  std::string color = "auto";
  double smoothing = 0;
  int width = 0, height = 20;
};

int terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* const columns = std::getenv("COLUMNS");
  const int given = columns != nullptr ? std::atoi(columns) : 0;
  return given > 0 ? given : 80;
}

// By the variables that say so, the first that is there.
bool is_utf8() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string text = value;
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text.find("utf-8") != std::string::npos || text.find("utf8") != std::string::npos;
  }
  return false;
}

bool uses_color(const std::string& wanted) {
  if (wanted != "auto") return wanted == "always";
  const char* const no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

bool matches(const Curve& curve, const std::string& metric) {
  return curve.metric == metric || curve.name() == metric;
}

// Without --metric: the losses of the epochs, from the log where there is one.
bool is_default(const Curve& curve, bool has_log) {
  if (has_log) return curve.part.empty() && (curve.metric == "loss" || curve.metric == "val_loss");
  return curve.metric == "epoch_loss" || curve.metric == "loss";
}

std::vector<Curve> chosen(const CurvesOptions& options, const std::vector<Curve>& all) {
  std::map<std::string, bool> has_log;
  for (const Curve& curve : all) {
    has_log[curve.run] |= curve.part.empty() && curve.metric == "loss" && curve.counts_epochs;
  }
  std::vector<Curve> result;
  for (const Curve& curve : all) {
    const bool wanted = options.metrics.empty()
                            ? is_default(curve, has_log[curve.run])
                            : std::ranges::any_of(options.metrics, [&](const std::string& m) {
                                return matches(curve, m);
                              });
    if (wanted) result.push_back(curve);
  }
  std::set<std::string> names;
  for (const Curve& curve : all) names.insert(curve.name());
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  for (const std::string& metric : options.metrics) {
    if (std::ranges::none_of(result, [&](const Curve& c) { return matches(c, metric); })) {
      throw invalid_argument("--metric ", metric, ": there is no such figure; there are ", known);
    }
  }
  if (result.empty()) {
    throw invalid_argument("there is no \"loss\"; name a figure with --metric: ", known);
  }
  return result;
}

// A plot of those that count epochs, and one of those that count steps.
std::vector<Plot> make_plots(const CurvesOptions& options, const std::vector<Curve>& curves) {
  std::set<std::string> runs, metrics;
  for (const Curve& curve : curves) {
    runs.insert(curve.run);
    metrics.insert(curve.name());
  }
  std::vector<Plot> plots;
  for (const bool epochs : {true, false}) {
    Plot plot{.title = "", .x_label = epochs ? "epoch" : "step", .lines = {}, .log_y = options.log};
    std::set<std::string> shown;
    size_t gaps = 0;
    for (const Curve& curve : curves) {
      if (curve.counts_epochs != epochs) continue;
      shown.insert(curve.metric);
      PlotLine line{curve.name(), smoothed(curve.points, options.smoothing)};
      if (runs.size() > 1) line.label = curve.run + ": " + line.label;
      for (const CurvePoint& point : line.points) {
        gaps += !std::isfinite(point.y) || (options.log && point.y <= 0);
      }
      plot.lines.push_back(std::move(line));
    }
    if (plot.lines.empty()) continue;
    for (const std::string& metric : shown) {
      plot.title += (plot.title.empty() ? "" : ", ") + metric;
    }
    if (options.smoothing > 0) {
      char text[32];
      std::snprintf(text, sizeof text, " (smoothing %.3g)", options.smoothing);
      plot.title += text;
    }
    if (options.log) plot.title += " (logarithmic)";
    if (gaps > 0) {
      plot.title += str_cat(" (", gaps, gaps == 1 ? " gap" : " gaps", ": no finite number",
                            options.log ? " above 0)" : ")");
    }
    plots.push_back(std::move(plot));
  }
  return plots;
}

void list(const std::vector<Curve>& curves) {
  for (const Curve& curve : curves) {
    double last = std::nan("");
    for (const CurvePoint& point : curve.points) last = point.y;
    std::cout << curve.run << "  " << curve.name() << "  " << curve.points.size()
              << (curve.counts_epochs ? " epochs" : " steps") << ", last " << last << "\n";
  }
}

void run(const CurvesOptions& options) {
  std::vector<Curve> all;
  std::vector<std::string> notes;
  for (const std::string& path : options.runs) {
    for (Curve& curve : read_curves(path, notes)) all.push_back(std::move(curve));
  }
  for (const std::string& note : notes) log_warning(note);
  if (options.list) return list(all);
  const std::vector<Plot> plots = make_plots(options, chosen(options, all));
  if (!options.svg.empty()) {
    if (plots.size() > 1) {
      throw invalid_argument("--svg ", options.svg,
                             ": expected figures of epochs or of steps, "
                             "found both; choose with --metric");
    }
    return io::write_file_atomically(options.svg, draw_svg(plots[0]));
  }
  const TerminalOptions terminal{.width = options.width > 0 ? options.width : terminal_width(),
                                 .height = options.height,
                                 .unicode = !options.ascii && is_utf8(),
                                 .color = uses_color(options.color)};
  for (const Plot& plot : plots) std::cout << draw_in_terminal(plot, terminal);
}

}  // namespace

void add_curves_command(CLI::App& app) {
  auto options = std::make_shared<CurvesOptions>();
  CLI::App* command = app.add_subcommand(
      "curves", "Draw the figures of runs over epochs or steps, in the terminal or as SVG");
  command->footer(
      "Examples:\n  trireme curves runs/digits_lenet\n"
      "  trireme curves runs/a runs/b --metric val_accuracy --svg accuracy.svg\n"
      "  trireme curves runs/digits_lenet --metric batch_loss --smoothing 0.9 --log");
  command
      ->add_option("RUN", options->runs,
                   "Output folders of jobs (log.csv and what they wrote for TensorBoard), folders "
                   "of event files, or CSV files with a column epoch or step")
      ->required();
  command->add_option("--metric", options->metrics,
                      "What to draw, several times for several; without it the losses");
  command->add_flag("--list", options->list, "Print what could be drawn");
  command->add_option("--svg", options->svg, "Write the picture to this file");
  command->add_flag("--log", options->log, "A logarithmic axis of values");
  command
      ->add_option("--smoothing", options->smoothing,
                   "How much of the mean so far stays with each point, as in TensorBoard")
      ->check(CLI::Range(0.0, 0.9999));
  command->add_option("--width", options->width, "Characters of a line; else the terminal's")
      ->check(CLI::Range(20, 1000));
  command->add_option("--height", options->height, "Lines of the curves")
      ->check(CLI::Range(3, 200))
      ->capture_default_str();
  command->add_flag("--ascii", options->ascii,
                    "Plain characters; also where the locale is not UTF-8");
  command->add_option("--color", options->color, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace trireme
