#include "ps/server/inspect_snapshot.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <limits>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/io/tensor_bundle.h"
#include "proto/ps.pb.h"
#include "proto/ps_state.pb.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {
namespace {

constexpr std::string_view kSuffix = ".ps";

std::string prefix_of(const std::string& path) {
  const bool is_manifest = path.ends_with(kSuffix);
  return is_manifest ? path.substr(0, path.size() - kSuffix.size()) : path;
}

// Of one table, over all parts.
struct TableSummary {
  int64_t dim = 0, rows = 0;
  uint64_t bytes = 0;
  int64_t oldest = std::numeric_limits<int64_t>::max(), newest = 0;
  double versions = 0, pushes = 0;                      // sums
  std::vector<std::pair<std::string, double>> squares;  // "weights", then the slots

  void add(const io::BundleReader& reader, const proto::Table& table) {
    const auto name = [&](std::string_view column) {
      return str_cat("ps/", table.name(), "/", column);
    };
    if (!reader.contains(name("version"))) return;
    dim = table.dim();
    const Tensor version = reader.read(name("version")), frequency = reader.read(name("frequency"));
    rows += version.elements();
    bytes += version.bytes() + frequency.bytes() + reader.stored(name("keys")).bytes;
    for (const int64_t step : version.flat<int64_t>()) {
      oldest = std::min(oldest, step);
      newest = std::max(newest, step);
      versions += static_cast<double>(step);
    }
    for (const int64_t count : frequency.flat<int64_t>()) pushes += static_cast<double>(count);
    std::vector<std::string> columns = {"weights"};
    for (const std::string& slot : table.slot_names()) columns.push_back("slot/" + slot);
    squares.resize(columns.size());
    for (size_t i = 0; i < columns.size(); ++i) {
      const Tensor values = reader.read(name(columns[i]));
      bytes += values.bytes();
      squares[i].first = i == 0 ? columns[i] : table.slot_names(static_cast<int>(i) - 1);
      for (const float value : values.flat<float>()) {
        squares[i].second += static_cast<double>(value) * value;
      }
    }
  }

  std::string line(const std::string& name, int64_t step) const {
    std::ostringstream text;
    text << "  " << name << ": " << rows << " rows of " << dim << ", " << bytes << " bytes";
    if (rows == 0) return text.str() + "\n";
    const double count = static_cast<double>(rows);
    text << std::setprecision(3) << "; last pushed at steps " << oldest << " to " << newest
         << ", age " << static_cast<double>(step) - versions / count << " steps on average; "
         << pushes / count << " pushes a row; norm of" << std::setprecision(5);
    for (size_t i = 0; i < squares.size(); ++i) {
      text << (i == 0 ? " " : ", ") << squares[i].first << " " << std::sqrt(squares[i].second);
    }
    return text.str() + "\n";
  }
};

std::string print_snapshot(const std::string& path) {
  const std::string prefix = prefix_of(path);
  const std::vector<std::string> parts = snapshot_parts(prefix);
  // What is said of damaged parts would be wrong; without a manifest it may be incomplete.
  std::optional<io::PartsManifest> manifest;
  if (std::filesystem::exists(snapshot_manifest(prefix))) {
    manifest = verify_checkpoint(prefix, -1, true);
  }
  std::vector<std::string> names;  // in the job's order
  std::vector<TableSummary> tables;
  int64_t step = 0, changed_since = -1;
  for (const std::string& part : parts) {
    const SnapshotHead head = read_snapshot_head(part);
    step = std::max(step, head.step);
    changed_since = head.changed_since;
    proto::SlotState state;
    if (!state.ParseFromString(head.state)) {
      throw data_loss(part, ": ps/state: ", head.state.size(), " bytes that are no such message");
    }
    const io::BundleReader reader(part);
    const auto& found = state.setup().tables();
    tables.resize(std::max(tables.size(), static_cast<size_t>(found.size())));
    names.resize(tables.size());
    for (int i = 0; i < found.size(); ++i) {
      names[static_cast<size_t>(i)] = found[i].name();
      tables[static_cast<size_t>(i)].add(reader, found[i]);
    }
  }
  std::string text = str_cat("rows of parameter servers ", prefix, ": step ", step, ", ",
                             parts.size(), " slots, ");
  text += changed_since < 0 ? "all rows" : str_cat("rows pushed after step ", changed_since);
  if (manifest) {
    text += str_cat("; the checkpoint of step ", manifest->step, " of job ",
                    io::quote_name(manifest->job), ", save ", manifest->save,
                    ", all parts as they were written");
  } else {
    text += str_cat("; NOT COMPLETE: ", prefix, kSuffix, ", which is written last, is missing");
  }
  text += "\n";
  for (size_t i = 0; i < tables.size(); ++i) text += tables[i].line(names[i], step);
  return text;
}

}  // namespace

io::Inspector snapshot_inspector() {
  return {"rows of parameter servers (PREFIX.ps)",
          [](const std::string& path) {
            std::error_code error;
            if (path.ends_with(kSuffix)) return std::filesystem::exists(path, error);
            try {
              return !snapshot_parts(path).empty();
            } catch (const Error&) {
              return false;
            }
          },
          print_snapshot};
}

}  // namespace trireme::ps
