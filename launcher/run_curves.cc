#include "launcher/run_curves.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/io/event_reader.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxCsvBytes = uint64_t{1} << 30;
constexpr int kMaxDepth = 4;  // of folders with event files below a run's
constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const size_t comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

// Nothing: the cell is empty or no number.
double number_of(std::string_view cell) {
  double value = kGap;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return error == std::errc() && end == cell.data() + cell.size() ? value : kGap;
}

void read_csv(const std::string& path, const std::string& run, std::vector<Curve>& curves) {
  const std::string text = read_whole(path, kMaxCsvBytes, "a log of figures");
  std::string_view rest = text;
  std::vector<std::string_view> header;
  size_t x_column = 0;
  const size_t first = curves.size();
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto cells = cells_of(line);
    if (header.empty()) {
      header = cells;
      const auto x = std::ranges::find_if(
          header, [](std::string_view name) { return name == "epoch" || name == "step"; });
      if (x == header.end()) {
        throw invalid_argument(path, ":1: expected a column \"epoch\" or \"step\", found \"",
                               line.substr(0, 80), "\"");
      }
      x_column = static_cast<size_t>(x - header.begin());
      for (const std::string_view name : header) {
        curves.push_back({.run = run,
                          .part = "",
                          .metric = std::string(name),
                          .counts_epochs = *x == "epoch",
                          .points = {}});
      }
      continue;
    }
    const double x = cells.size() > x_column ? number_of(cells[x_column]) : kGap;
    if (cells.size() > header.size() || std::isnan(x)) {
      throw invalid_argument(path, ":", number, ": expected ", header.size(),
                             " cells with a number of the ", header[x_column], ", found \"",
                             line.substr(0, 80), "\"");
    }
    for (size_t i = 0; i < header.size(); ++i) {
      curves[first + i].points.push_back({x, i < cells.size() ? number_of(cells[i]) : kGap});
    }
  }
  if (!header.empty()) curves.erase(curves.begin() + static_cast<int64_t>(first + x_column));
}

void read_events(const std::string& folder, const std::string& run, const std::string& part,
                 int depth, std::vector<Curve>& curves, std::vector<std::string>& notes) {
  io::RunScalars scalars = io::read_scalars(folder);
  notes.insert(notes.end(), scalars.notes.begin(), scalars.notes.end());
  for (auto& [tag, points] : scalars.tags) {
    Curve curve{.run = run,
                .part = part,
                .metric = tag,
                .counts_epochs = tag.starts_with("epoch_"),
                .points = {}};
    for (const io::ScalarPoint& point : points) {
      curve.points.push_back({static_cast<double>(point.step), point.value});
    }
    curves.push_back(std::move(curve));
  }
  if (depth == kMaxDepth) return;
  std::vector<std::string> below;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->is_directory(error) && !at->is_symlink(error)) below.push_back(at->path().filename());
  }
  std::ranges::sort(below);
  for (const std::string& name : below) {
    read_events((fs::path(folder) / name).string(), run, part.empty() ? name : part + "/" + name,
                depth + 1, curves, notes);
  }
}

}  // namespace

std::vector<Curve> read_curves(const std::string& path, std::vector<std::string>& notes) {
  std::error_code error;
  if (!fs::exists(path, error)) throw not_found(path, ": there is no such file or folder");
  std::vector<Curve> curves;
  if (fs::is_directory(path, error)) {
    const fs::path log = fs::path(path) / "log.csv", events = fs::path(path) / "tensorboard";
    if (fs::is_regular_file(log, error)) read_csv(log.string(), path, curves);
    // Of a job only what it wrote for TensorBoard: its other folders are large.
    const bool is_job = !curves.empty() || fs::is_directory(events, error);
    if (!is_job) {
      read_events(path, path, "", 0, curves, notes);
    } else if (fs::is_directory(events, error)) {
      read_events(events.string(), path, "", 0, curves, notes);
    }
  } else if (io::is_event_file(path)) {
    throw invalid_argument(path, ": expected a run's folder; give ",
                           fs::path(path).parent_path().string(),
                           ", or print the file with "
                           "`trireme inspect`");
  } else {
    read_csv(path, path, curves);
  }
  if (curves.empty()) {
    throw invalid_argument(path, ": expected a log.csv or event files with scalars, found none");
  }
  return curves;
}

std::vector<CurvePoint> smoothed(const std::vector<CurvePoint>& points, double weight) {
  std::vector<CurvePoint> result = points;
  double sum = 0, power = 1;
  for (CurvePoint& point : result) {
    if (!std::isfinite(point.y)) continue;
    sum = sum * weight + (1 - weight) * point.y;
    power *= weight;
    point.y = sum / (1 - power);
  }
  return result;
}

}  // namespace trireme
