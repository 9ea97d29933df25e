// Draws curves: in a terminal with characters, and as a picture in SVG.
//
// A point without a number is a gap: the line stops before it and goes on behind it. On a
// logarithmic axis numbers that are not above 0 are gaps, too.
#pragma once

#include <string>
#include <vector>

#include "launcher/run_curves.h"

namespace trireme {

struct PlotLine {
  std::string label;
  std::vector<CurvePoint> points;
};

struct Plot {
  std::string title, x_label;
  std::vector<PlotLine> lines;
  bool log_y = false;
};

struct TerminalOptions {
  int width = 80, height = 20;  // in characters; the height is that of the curves alone
  bool unicode = true;          // else plain ASCII
  bool color = false;           // with the terminal's colors lines are braille dots; else marks
};
std::string draw_in_terminal(const Plot& plot, const TerminalOptions& options);

// A whole file, which needs no other.
std::string draw_svg(const Plot& plot, int width = 860, int height = 480);

// Round numbers that an axis from `low` to `high` is labelled with, about `count` of them.
std::vector<double> axis_ticks(double low, double high, int count);

}  // namespace trireme
