#include "core/io/event_inspector.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <ostream>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "core/io/event_reader.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShownText = 40;

std::string number(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.7g", value);
  return text.data();
}

// Exact to the last bit of the f32 that it was.
std::string exact(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

std::string seconds(double time) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.6f", time);
  return text.data();
}

std::string date(double time) {
  if (!(time >= 0 && time < 1e11)) return "an unknown time";
  const auto whole = static_cast<std::time_t>(time);
  std::tm parts{};
  std::array<char, 40> text{};
  gmtime_r(&whole, &parts);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

// Text of a file that may be anything, on one line.
std::string line_of(std::string_view text, size_t most) {
  std::string line;
  for (const char c : text.substr(0, most)) {
    line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return text.size() > most ? line + "…" : line;
}

std::string quoted_cell(std::string_view text) {
  std::string cell = "\"";
  for (const char c : text) {
    if (c == '"') cell += '"';
    cell += c;
  }
  return cell + '"';
}

struct TagSummary {
  std::string name, plugin;
  int64_t values = 0, first = 0, last = 0, least = 0, greatest = 0;
  double number = 0;
  bool is_scalar = false;
  std::string tensor;  // of the last value, where it is no scalar
  bool is_older_kind = false;
};

// Of one file. Tags come round and round in the same order, so that the one after the last is
// looked at first.
class Tags {
 public:
  void add(const Event& event, const EventValue& value) {
    TagSummary& tag = find(value.tag);
    if (!value.plugin.empty() && tag.plugin.empty()) tag.plugin = value.plugin;
    if (tag.values++ == 0) tag.first = event.step;
    tag.last = event.step;
    const auto scalar = value.scalar();
    tag.is_scalar = scalar.has_value();
    if (scalar && tag.plugin.empty()) tag.plugin = "scalars";
    tag.is_older_kind = value.is_older_kind;
    if (scalar) {
      tag.number = *scalar;
    } else {
      tag.tensor.assign(value.tensor);
    }
  }

  const std::vector<TagSummary>& all() const { return tags_; }

 private:
  TagSummary& find(std::string_view name) {
    if (last_ < next_.size()) {
      const size_t guess = next_[last_];
      if (tags_[guess].name == name) {
        last_ = guess;
        return tags_[guess];
      }
    }
    auto found = places_.find(std::string(name));
    if (found == places_.end()) {
      found = places_.emplace(std::string(name), tags_.size()).first;
      tags_.push_back({.name = std::string(name)});
      next_.push_back(0);
    }
    if (last_ < next_.size()) next_[last_] = found->second;
    last_ = found->second;
    return tags_[last_];
  }

  std::vector<TagSummary> tags_;
  std::vector<size_t> next_;  // which tag came behind each the last time
  size_t last_ = SIZE_MAX;
  std::unordered_map<std::string, size_t> places_;
};

struct HistogramRow {
  double left, right, count;
};
std::vector<HistogramRow> histogram_rows(const EventTensor& tensor) {
  if (tensor.shape.size() != 2 || tensor.shape[1] != 3) return {};
  std::vector<HistogramRow> rows;
  for (size_t i = 0; i + 2 < tensor.numbers.size(); i += 3) {
    rows.push_back({tensor.numbers[i], tensor.numbers[i + 1], tensor.numbers[i + 2]});
  }
  return rows;
}

std::string last_value(const TagSummary& tag) {
  if (tag.is_scalar) return number(tag.number);
  if (tag.tensor.empty()) return tag.is_older_kind ? "a value of TensorFlow 1" : "";
  try {
    const EventTensor tensor = parse_event_tensor(tag.tensor);
    if (tag.plugin == "images" && tensor.strings.size() >= 2) {
      return str_cat(line_of(tensor.strings[0], 10), " × ", line_of(tensor.strings[1], 10), ", ",
                     tensor.strings.size() - 2, tensor.strings.size() == 3 ? " image" : " images");
    }
    if (tag.plugin == "histograms") {
      double count = 0;
      const auto rows = histogram_rows(tensor);
      for (const HistogramRow& row : rows) count += row.count;
      return rows.empty() ? "no values"
                          : str_cat(number(count), " values from ", number(rows.front().left),
                                    " to ", number(rows.back().right));
    }
    if (!tensor.strings.empty()) return line_of(tensor.strings[0], kShownText);
    return str_cat(tensor.numbers.size(), tensor.numbers.size() == 1 ? " number" : " numbers");
  } catch (const Error& error) {
    return error.what();
  }
}

void print_rows(const std::vector<std::vector<std::string>>& rows, std::ostream& out) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      // Numbers to the right, text to the left.
      const std::string space(widths[i] - row[i].size(), ' ');
      const bool is_number = i >= 2 && i + 1 < row.size();
      line += (i > 0 ? "  " : "") + (is_number ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  }
}

void print_file(const std::string& path, std::ostream& out) {
  EventReader reader(path);
  Tags tags;
  int64_t records = 0, graphs = 0, traces = 0;
  std::vector<int64_t> starts;
  double first = 0, last = 0;
  for (Event event; reader.next(event); ++records) {
    if (records == 0) first = event.wall_time;
    last = event.wall_time;
    graphs += event.kind == Event::Kind::kGraph;
    traces += event.kind == Event::Kind::kRunMetadata;
    if (event.kind == Event::Kind::kStart && (starts.empty() || starts.back() != event.step)) {
      starts.push_back(event.step);
    }
    if (event.kind != Event::Kind::kSummary) continue;
    EventValues values(event.body);
    for (EventValue value; values.next(value);) tags.add(event, value);
    if (values.is_damaged()) throw data_loss(reader.place(), ": expected a summary");
  }
  out << path << ": " << records << " records, " << reader.size() << " bytes, from " << date(first)
      << " to " << date(last) << "\n";
  if (graphs > 0) out << "graphs: " << graphs << "\n";
  if (traces > 0) out << "traces of steps: " << traces << "\n";
  for (const int64_t step : starts) {
    out << "begins at step " << step
        << ": what earlier files have of it and later is out of date\n";
  }
  std::vector<std::vector<std::string>> rows = {
      {"tag", "plugin", "values", "first step", "last step", "last value"}};
  for (const TagSummary& tag : tags.all()) {
    rows.push_back({line_of(tag.name, 200), line_of(tag.plugin, 40), std::to_string(tag.values),
                    std::to_string(tag.first), std::to_string(tag.last), last_value(tag)});
  }
  std::sort(rows.begin() + 1, rows.end());
  print_rows(rows, out);
  if (reader.tail_bytes() > 0) {
    out << "the last " << reader.tail_bytes()
        << " bytes are no whole record: the writer was killed, or still writes\n";
  }
}

std::vector<std::string> files_of(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) ? event_files(path) : std::vector<std::string>{path};
}

// One value in lines; `header` is written before the first.
class ValuePrinter {
 public:
  explicit ValuePrinter(std::ostream& out) : out_(out) {}

  void print(const Event& event, const EventValue& value, const std::string& plugin) {
    const std::string begin = str_cat(event.step, ",", seconds(event.wall_time), ",");
    if (const auto scalar = value.scalar()) {
      header("value");
      out_ << begin << exact(*scalar) << "\n";
      return;
    }
    const EventTensor tensor = parse_event_tensor(value.tensor);
    if (plugin == "histograms") {
      header("left,right,count");
      for (const HistogramRow& row : histogram_rows(tensor)) {
        out_ << begin << exact(row.left) << "," << exact(row.right) << "," << exact(row.count)
             << "\n";
      }
    } else if (plugin == "images" && tensor.strings.size() >= 2) {
      header("width,height,image,bytes");
      for (size_t i = 2; i < tensor.strings.size(); ++i) {
        out_ << begin << line_of(tensor.strings[0], 10) << "," << line_of(tensor.strings[1], 10)
             << "," << i - 2 << "," << tensor.strings[i].size() << "\n";
      }
    } else if (!tensor.strings.empty()) {
      header("text");
      for (const std::string_view text : tensor.strings) out_ << begin << quoted_cell(text) << "\n";
    } else {
      header("numbers");
      out_ << begin;
      for (size_t i = 0; i < tensor.numbers.size(); ++i) {
        out_ << (i > 0 ? " " : "") << exact(tensor.numbers[i]);
      }
      out_ << "\n";
    }
  }

 private:
  void header(const char* columns) {
    if (!std::exchange(has_header_, true)) out_ << "step,wall_time," << columns << "\n";
  }
  std::ostream& out_;
  bool has_header_ = false;
};

}  // namespace

Inspector event_inspector() {
  return {"an event file of TensorBoard, or a folder of them",
          [](const std::string& path) {
            std::error_code ignored;
            if (!fs::is_directory(path, ignored)) return is_event_file(path);
            const auto files = event_files(path);
            return !files.empty() && is_event_file(files.front());
          },
          [](const std::string& path) {
            std::ostringstream out;
            for (const std::string& file : files_of(path)) print_file(file, out);
            return out.str();
          }};
}

void print_tag(const std::string& path, const std::string& tag, std::ostream& out) {
  ValuePrinter printer(out);
  std::map<std::string, bool, std::less<>> others;
  std::string plugin;
  bool found = false;
  for (const std::string& file : files_of(path)) {
    EventReader reader(file);
    for (Event event; reader.next(event);) {
      if (event.kind != Event::Kind::kSummary) continue;
      EventValues values(event.body);
      for (EventValue value; values.next(value);) {
        if (value.tag != tag) {
          if (!found && !others.contains(value.tag)) others[std::string(value.tag)] = true;
          continue;
        }
        found = true;
        if (!value.plugin.empty()) plugin = value.plugin;
        try {
          printer.print(event, value, plugin);
        } catch (const Error& error) {
          throw error.with_context(reader.place());
        }
      }
    }
  }
  if (found) return;
  std::string known;
  for (const auto& [name, unused] : others)
    known += (known.empty() ? "" : ", ") + line_of(name, 60);
  throw invalid_argument(path, ": expected values of the tag ", quote_name(tag), ", found ",
                         known.empty() ? "no values at all" : known);
}

}  // namespace trireme::io
