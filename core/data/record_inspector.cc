#include "core/data/record_inspector.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <limits>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/data/feature_lists.h"
#include "core/data/tfrecord.h"
#include "core/io/input_file.h"

namespace trireme::data {
namespace {

using io::kRecordHeaderBytes;
using io::record_length;

struct Extent {
  int64_t least = std::numeric_limits<int64_t>::max(), most = 0;

  void add(int64_t value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  std::string text() const {
    return least == most ? std::to_string(most) : str_cat(least, " to ", most);
  }
};

// What all records say of one name.
struct FeatureSummary {
  int64_t records = 0;
  uint64_t bytes = 0;  // of all its lists
  Extent values, steps;
  std::array<bool, 4> kinds{};  // by ListKind

  void add(const FeatureValue& value) {
    kinds[static_cast<size_t>(value.kind)] = true;
    bytes += value.list.size();
    values.add(count_values(value));
  }
};

struct Summary {
  std::map<std::string, FeatureSummary, std::less<>> features, sequences;

  // Throws Error when the record is no Example.
  void add(std::string_view record) {
    for (WireReader fields(record); fields.next();) {
      if (fields.number() > 2 || !fields.is_bytes()) throw data_loss("another message");
      auto& map = fields.number() == 1 ? features : sequences;
      for (WireReader entries(fields.bytes()); entries.next();) {
        if (entries.number() != 1 || !entries.is_bytes()) throw data_loss("another message");
        add_entry(map, entries.bytes(), fields.number() == 2);
      }
    }
  }

 private:
  static void add_entry(std::map<std::string, FeatureSummary, std::less<>>& map,
                        std::string_view entry, bool is_sequence) {
    std::string_view name, value;
    for (WireReader fields(entry); fields.next();) {
      if (!fields.is_bytes()) throw data_loss("another message");
      (fields.number() == 1 ? name : value) = fields.bytes();
    }
    auto found = map.find(name);
    if (found == map.end()) found = map.emplace(std::string(name), FeatureSummary()).first;
    FeatureSummary& feature = found->second;
    ++feature.records;
    if (!is_sequence) return feature.add(feature_value(value));
    int64_t steps = 0;
    for (WireReader fields(value); fields.next(); ++steps) {
      if (!fields.is_bytes()) throw data_loss("another message");
      feature.add(feature_value(fields.bytes()));
    }
    feature.steps.add(steps);
  }
};

std::string kinds_of(const FeatureSummary& feature) {
  constexpr std::array<std::string_view, 4> kNames = {"empty", "bytes", "float", "int64"};
  std::string text;
  for (const size_t kind : {1, 2, 3, 0}) {
    if (feature.kinds[kind]) text += (text.empty() ? "" : ", ") + std::string(kNames[kind]);
  }
  return text.empty() ? "empty" : text;
}

std::string_view name(Packing packing) {
  return packing == Packing::kGzip ? "gzip" : packing == Packing::kZlib ? "zlib" : "not packed";
}

bool is_records(const std::string& path) {
  try {
    std::array<uint8_t, kRecordHeaderBytes> header;
    ByteStream stream(path, {}, record_unpacking(Packing::kDetect));
    if (stream.read(header) != header.size()) return false;
    record_length(header, UINT64_MAX);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string inspect_records(const std::string& path) {
  RecordReader reader(path);
  Summary summary;
  Extent sizes;
  int64_t records = 0, examples = 0;
  uint64_t bytes = 0;
  for (std::string_view record; reader.next(record); ++records) {
    sizes.add(static_cast<int64_t>(record.size()));
    bytes += record.size();
    if (examples < records) continue;
    try {
      summary.add(record);
      ++examples;
    } catch (const Error&) {
      // It is something else, which is said below; the sizes and checksums are of all.
    }
  }
  std::ostringstream out;
  out << "TFRecord file " << path << " (" << name(reader.packing()) << "): " << records
      << " records";
  if (records > 0) {
    out << " of " << sizes.text() << " bytes, " << bytes / static_cast<uint64_t>(records)
        << " on average; all checksums fit";
  }
  out << '\n';
  if (examples < records) {
    out << "record " << examples << " is no tf.train.Example\n";
    return out.str();
  }
  const auto print = [&](const auto& map, std::string_view what) {
    size_t width = 0;
    for (const auto& [name, feature] : map) {
      width = std::max(width, std::min<size_t>(io::quote_name(name).size(), 64));
    }
    for (const auto& [name, feature] : map) {
      out << "  " << what << ' ' << std::left << std::setw(static_cast<int>(width))
          << io::quote_name(name) << "  " << kinds_of(feature);
      if (feature.steps.least <= feature.steps.most) {
        out << ", " << feature.steps.text() << " steps";
      }
      if (feature.values.least <= feature.values.most) {
        out << ", " << feature.values.text() << " values";
      }
      out << ", " << feature.bytes << " bytes in all";
      if (feature.records < records) {
        out << ", in " << feature.records << " of " << records << " records";
      }
      out << '\n';
    }
  };
  print(summary.features, "feature");
  print(summary.sequences, "sequence");
  return out.str();
}

io::Inspector record_inspector() {
  return {"a file of records (TFRecord)", is_records, inspect_records};
}

}  // namespace trireme::data
