#include "launcher/curve_plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace trireme {
namespace {

// Distinct for people who see few colors, too (Okabe and Ito 2008), and how terminals come near.
constexpr std::array<const char*, 8> kColors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                "#e69f00", "#56b4e9", "#000000", "#a0a000"};
constexpr std::array<int, 8> kTerminalColors = {33, 166, 36, 175, 214, 117, 245, 142};
constexpr std::array<const char*, 8> kMarks = {"●", "○", "■", "□", "▲", "△", "◆", "◇"};
constexpr std::array<const char*, 8> kAsciiMarks = {"*", "o", "+", "x", "#", "@", "%", "&"};

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value == 0 ? 0 : value);
  return text.data();
}

// Where the numbers of an axis are between 0 and 1.
struct Axis {
  double low = 0, high = 1;
  bool log = false;
  std::vector<double> ticks;

  double map(double value) const { return log ? std::log10(value) : value; }
  double place(double value) const {
    const double begin = map(low), end = map(high);
    return (map(value) - begin) / (end - begin);
  }
};

bool is_shown(const CurvePoint& point, bool log_y) {
  return std::isfinite(point.x) && std::isfinite(point.y) && (!log_y || point.y > 0);
}

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  const double decades = std::log10(high / low);
  const double every = std::max(1.0, std::ceil(decades / 6));
  for (double power = std::floor(std::log10(low)); power <= std::ceil(std::log10(high)); ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && decades > 2) break;
      const double tick = factor * std::pow(10, power);
      const bool fits = tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9);
      if (fits && std::fmod(std::abs(power), every) == 0) ticks.push_back(tick);
    }
  }
  return ticks;
}

Axis make_axis(double low, double high, bool log, int ticks) {
  if (!(low <= high))
    return {.low = log ? 1.0 : 0.0, .high = log ? 10.0 : 1.0, .log = log, .ticks = {}};
  Axis axis{.low = low, .high = high, .log = log, .ticks = {}};
  if (low == high) {
    const double margin = log ? 1 : std::max(std::abs(low) * 0.05, 1e-12);
    axis.low = log ? low / 2 : low - margin;
    axis.high = log ? high * 2 : high + margin;
  }
  axis.ticks = log ? log_ticks(axis.low, axis.high) : axis_ticks(axis.low, axis.high, ticks);
  if (axis.ticks.size() < 2) axis.ticks = {axis.low, axis.high};
  return axis;
}

struct Axes {
  Axis x, y;
};
Axes axes_of(const Plot& plot, int x_ticks, int y_ticks) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double left = kInfinity, right = -kInfinity, low = kInfinity, high = -kInfinity;
  for (const PlotLine& line : plot.lines) {
    for (const CurvePoint& point : line.points) {
      if (!is_shown(point, plot.log_y)) continue;
      left = std::min(left, point.x);
      right = std::max(right, point.x);
      low = std::min(low, point.y);
      high = std::max(high, point.y);
    }
  }
  // Steps and epochs are whole numbers.
  if (right >= left && right - left < x_ticks)
    x_ticks = std::max(1, static_cast<int>(right - left));
  return {make_axis(left, right, false, x_ticks), make_axis(low, high, plot.log_y, y_ticks)};
}

// Calls `segment(from, to)` for neighbours without a gap between them, and for a point that has no
// neighbour with itself.
template <typename Segment>
void for_each_segment(const PlotLine& line, bool log_y, const Segment& segment) {
  const auto& points = line.points;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!is_shown(points[i], log_y)) continue;
    const bool has_next = i + 1 < points.size() && is_shown(points[i + 1], log_y);
    const bool has_last = i > 0 && is_shown(points[i - 1], log_y);
    if (has_next) {
      segment(points[i], points[i + 1]);
    } else if (!has_last) {
      segment(points[i], points[i]);
    }
  }
}

// Cells of characters with dots in them: 2 × 4 of braille, or 1 × 1.
class Canvas {
 public:
  Canvas(int width, int height, bool braille)
      : width_(width),
        height_(height),
        dots_x_(braille ? 2 : 1),
        dots_y_(braille ? 4 : 1),
        dots_(static_cast<size_t>(width * height)),
        lines_(static_cast<size_t>(width * height), -1) {}

  void draw(double x0, double y0, double x1, double y1, int line) {
    const double columns = width_ * dots_x_ - 1, rows = height_ * dots_y_ - 1;
    const double dx = (x1 - x0) * columns, dy = (y1 - y0) * rows;
    const int steps = static_cast<int>(std::ceil(std::max(std::abs(dx), std::abs(dy))));
    for (int i = 0; i <= steps; ++i) {
      const double part = steps == 0 ? 0 : static_cast<double>(i) / steps;
      set(static_cast<int>(std::lround(x0 * columns + dx * part)),
          static_cast<int>(std::lround((1 - y0) * rows - dy * part)), line);
    }
  }

  std::string cell(int column, int row, const TerminalOptions& options) const {
    const size_t at = static_cast<size_t>(row * width_ + column);
    const int line = lines_[at];
    if (line < 0) return " ";
    const auto kind = static_cast<size_t>(line) % kColors.size();
    if (!options.unicode) return kAsciiMarks[kind];
    if (dots_x_ == 1) return kMarks[kind];
    // U+2800 and its dots, in UTF-8.
    const unsigned code = 0x2800u + dots_[at];
    const std::string text = {static_cast<char>(0xe0 | code >> 12),
                              static_cast<char>(0x80 | (code >> 6 & 0x3f)),
                              static_cast<char>(0x80 | (code & 0x3f))};
    if (!options.color) return text;
    return "\x1b[38;5;" + std::to_string(kTerminalColors[kind]) + "m" + text + "\x1b[0m";
  }

 private:
  void set(int x, int y, int line) {
    if (x < 0 || y < 0 || x >= width_ * dots_x_ || y >= height_ * dots_y_) return;
    static constexpr unsigned kDots[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const size_t at = static_cast<size_t>(y / dots_y_ * width_ + x / dots_x_);
    dots_[at] |= dots_x_ == 2 ? kDots[y % 4][x % 2] : 1u;
    lines_[at] = line;
  }

  int width_, height_, dots_x_, dots_y_;
  std::vector<unsigned> dots_;
  std::vector<int> lines_;  // the line that was drawn last, by cell
};

std::string padded(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string legend_mark(size_t line, const TerminalOptions& options, bool braille) {
  const size_t kind = line % kColors.size();
  if (!options.unicode) return kAsciiMarks[kind];
  if (!braille) return kMarks[kind];
  if (!options.color) return "⣀⣀";
  return "\x1b[38;5;" + std::to_string(kTerminalColors[kind]) + "m⣀⣀\x1b[0m";
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return result;
}

std::string fixed(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

// At most the least and the greatest of each pixel's points: the same picture of a smaller file.
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& points, const Axis& x, int pixels) {
  if (points.size() <= static_cast<size_t>(4 * pixels)) return points;
  std::vector<CurvePoint> kept;
  const auto column = [&](const CurvePoint& p) {
    return std::floor(x.place(p.x) * static_cast<double>(pixels));
  };
  for (size_t i = 0; i < points.size();) {
    size_t least = i, greatest = i, end = i;
    bool has_gap = false;
    for (; end < points.size() && column(points[end]) == column(points[i]); ++end) {
      has_gap |= !std::isfinite(points[end].y);
      if (points[end].y < points[least].y) least = end;
      if (points[end].y > points[greatest].y) greatest = end;
    }
    if (end == i) ++end;
    if (has_gap) {
      kept.insert(kept.end(), points.begin() + static_cast<int64_t>(i),
                  points.begin() + static_cast<int64_t>(end));
    } else {
      kept.push_back(points[std::min(least, greatest)]);
      if (least != greatest) kept.push_back(points[std::max(least, greatest)]);
    }
    i = end;
  }
  return kept;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(count, 1);
  if (!(rough > 0) || !std::isfinite(rough)) return {};
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough * (1 - 1e-9)) step = factor * power;
  }
  std::vector<double> ticks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9; ++k) {
    ticks.push_back(k * step);
  }
  return ticks;
}

std::string draw_in_terminal(const Plot& plot, const TerminalOptions& options) {
  const Axes axes = axes_of(plot, std::max(2, options.width / 14), std::max(2, options.height / 3));
  size_t label_width = 0;
  for (const double tick : axes.y.ticks) label_width = std::max(label_width, number(tick).size());
  const int width = std::max(10, options.width - static_cast<int>(label_width) - 3);
  const int height = std::max(3, options.height);
  // Braille dots of several lines in one cell cannot be told apart but by color.
  const bool braille = options.unicode && (options.color || plot.lines.size() == 1);
  Canvas canvas(width, height, braille);
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    for_each_segment(plot.lines[i], plot.log_y, [&](const CurvePoint& a, const CurvePoint& b) {
      canvas.draw(axes.x.place(a.x), axes.y.place(a.y), axes.x.place(b.x), axes.y.place(b.y),
                  static_cast<int>(i));
    });
  }
  const char* const bar = options.unicode ? "│" : "|";
  const char* const tick_bar = options.unicode ? "┤" : "+";
  std::string text = "  " + plot.title + "\n";
  std::vector<std::string> labels(static_cast<size_t>(height));
  for (const double tick : axes.y.ticks) {
    const auto row = std::lround((1 - axes.y.place(tick)) * (height - 1));
    if (row >= 0 && row < height) labels[static_cast<size_t>(row)] = number(tick);
  }
  for (int row = 0; row < height; ++row) {
    const std::string& label = labels[static_cast<size_t>(row)];
    text += " " + padded(label, label_width) + (label.empty() ? bar : tick_bar);
    std::string cells;
    for (int column = 0; column < width; ++column) cells += canvas.cell(column, row, options);
    cells.erase(cells.find_last_not_of(' ') + 1);
    text += cells + "\n";
  }
  std::string axis, below(static_cast<size_t>(width) + 8, ' ');
  std::vector<bool> marked(static_cast<size_t>(width), false);
  size_t free_from = 0;
  for (const double tick : axes.x.ticks) {
    const auto column = static_cast<size_t>(std::lround(axes.x.place(tick) * (width - 1)));
    const std::string label = number(tick);
    if (column >= marked.size()) continue;
    marked[column] = true;
    const size_t begin =
        std::min(column < label.size() / 2 ? 0 : column - label.size() / 2,
                 static_cast<size_t>(width) - std::min<size_t>(label.size(), width));
    if (begin < free_from) continue;
    below.replace(begin, label.size(), label);
    free_from = begin + label.size() + 1;
  }
  for (const bool mark : marked) {
    axis += options.unicode ? (mark ? "┬" : "─") : (mark ? "+" : "-");
  }
  below.erase(below.find_last_not_of(' ') + 1);
  const std::string margin(label_width + 1, ' ');
  text += margin + (options.unicode ? "└" : "+") + axis + "\n" + margin + " " + below + "  " +
          plot.x_label + "\n";
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    text += "  " + legend_mark(i, options, braille) + " " + plot.lines[i].label + "\n";
  }
  return text;
}

std::string draw_svg(const Plot& plot, int width, int height) {
  const int left = 76, right = 20, top = 44, line_height = 18;
  const int legend = line_height * static_cast<int>(plot.lines.size()) + 8;
  const int bottom = 52;
  const double inner_width = width - left - right, inner_height = height - top - bottom;
  const Axes axes = axes_of(plot, 8, 6);
  const auto x_of = [&](double x) { return left + axes.x.place(x) * inner_width; };
  const auto y_of = [&](double y) { return top + (1 - axes.y.place(y)) * inner_height; };
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                    "\" height=\"" + std::to_string(height + legend) + "\" viewBox=\"0 0 " +
                    std::to_string(width) + " " + std::to_string(height + legend) +
                    "\" font-family=\"sans-serif\" font-size=\"13\">\n";
  svg += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  svg += "<text x=\"" + std::to_string(left) + "\" y=\"26\" font-size=\"16\" fill=\"#222222\">" +
         escaped(plot.title) + "</text>\n";
  for (const double tick : axes.y.ticks) {
    const std::string y = fixed(y_of(tick));
    svg += "<line x1=\"" + std::to_string(left) + "\" x2=\"" + std::to_string(width - right) +
           "\" y1=\"" + y + "\" y2=\"" + y + "\" stroke=\"#dddddd\"/>\n";
    svg += "<text x=\"" + std::to_string(left - 8) + "\" y=\"" + fixed(y_of(tick) + 4.5) +
           "\" text-anchor=\"end\" fill=\"#444444\">" + number(tick) + "</text>\n";
  }
  for (const double tick : axes.x.ticks) {
    const std::string x = fixed(x_of(tick));
    svg += "<line x1=\"" + x + "\" x2=\"" + x + "\" y1=\"" + std::to_string(top) + "\" y2=\"" +
           std::to_string(height - bottom) + "\" stroke=\"#eeeeee\"/>\n";
    svg += "<text x=\"" + x + "\" y=\"" + std::to_string(height - bottom + 20) +
           "\" text-anchor=\"middle\" fill=\"#444444\">" + number(tick) + "</text>\n";
  }
  svg += "<rect x=\"" + std::to_string(left) + "\" y=\"" + std::to_string(top) + "\" width=\"" +
         fixed(inner_width) + "\" height=\"" + fixed(inner_height) +
         "\" fill=\"none\" stroke=\"#888888\"/>\n";
  svg += "<text x=\"" + fixed(left + inner_width / 2) + "\" y=\"" + std::to_string(height - 12) +
         "\" text-anchor=\"middle\" fill=\"#444444\">" + escaped(plot.x_label) + "</text>\n";
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const std::string color = kColors[i % kColors.size()];
    const PlotLine line{plot.lines[i].label,
                        thinned(plot.lines[i].points, axes.x, static_cast<int>(inner_width))};
    std::string path;
    bool open = false;
    CurvePoint last{};
    for_each_segment(line, plot.log_y, [&](const CurvePoint& a, const CurvePoint& b) {
      const auto at = [&](const CurvePoint& p) {
        return fixed(x_of(p.x)) + " " + fixed(y_of(p.y));
      };
      if (a.x == b.x && a.y == b.y) {
        svg += "<circle cx=\"" + fixed(x_of(a.x)) + "\" cy=\"" + fixed(y_of(a.y)) +
               "\" r=\"2.5\" fill=\"" + color + "\"/>\n";
        open = false;
        return;
      }
      if (!open || last.x != a.x || last.y != a.y) path += "M" + at(a);
      path += "L" + at(b);
      last = b;
      open = true;
    });
    if (!path.empty()) {
      svg += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + color +
             "\" stroke-width=\"1.8\" stroke-linejoin=\"round\"/>\n";
    }
    const int y = height + line_height * static_cast<int>(i);
    svg += "<line x1=\"" + std::to_string(left) + "\" x2=\"" + std::to_string(left + 24) +
           "\" y1=\"" + std::to_string(y) + "\" y2=\"" + std::to_string(y) + "\" stroke=\"" +
           color + "\" stroke-width=\"3\"/>\n<text x=\"" + std::to_string(left + 32) + "\" y=\"" +
           std::to_string(y + 4) + "\" fill=\"#222222\">" + escaped(line.label) + "</text>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace trireme
