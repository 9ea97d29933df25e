#include "core/io/inspect.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <limits>
#include <sstream>
#include <system_error>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "core/io/tensor_bundle.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

struct Statistics {
  double least = std::numeric_limits<double>::infinity();
  double greatest = -std::numeric_limits<double>::infinity();
  double sum = 0;
  double squares = 0;
  int64_t finite = 0;
  int64_t not_finite = 0;
};

template <typename T>
Statistics statistics_of(std::span<const T> values) {
  Statistics s;
  for (const T& element : values) {
    double value;
    if constexpr (sizeof(T) == 2) {
      value = static_cast<float>(element);
    } else {
      value = element;
    }
    if (!std::isfinite(value)) {
      ++s.not_finite;
      continue;
    }
    ++s.finite;
    s.least = std::min(s.least, value);
    s.greatest = std::max(s.greatest, value);
    s.sum += value;
    s.squares += value * value;
  }
  return s;
}

Statistics statistics_of(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kFloat16:
      return statistics_of(tensor.flat<Half>());
    case DType::kBFloat16:
      return statistics_of(tensor.flat<BFloat16>());
    case DType::kFloat32:
      return statistics_of(tensor.flat<float>());
    default:
      return statistics_of(tensor.flat<double>());
  }
}

std::string number(double value) {
  std::ostringstream out;
  out << std::setprecision(5) << value;
  return out.str();
}

std::string grouped(uint64_t value) {  // 1,234,567
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

constexpr size_t kColumns = 8;
using Row = std::array<std::string, kColumns>;

// Columns as wide as their widest cell; the first two to the left, numbers to the right. A name
// that is very long pushes its own row only.
std::string format_table(const std::vector<Row>& rows) {
  constexpr size_t kWidest = 64;
  std::array<size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t c = 0; c < kColumns; ++c) {
      widths[c] = std::max(widths[c], std::min(row[c].size(), kWidest));
    }
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t c = 0; c < kColumns; ++c) {
      const std::string padding(widths[c] - std::min(widths[c], row[c].size()), ' ');
      line += (c > 0 ? "  " : "") + (c < 3 ? row[c] + padding : padding + row[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string print_checkpoint(const std::string& path) {
  const BundleReader reader(resolve_checkpoint(path));
  std::vector<Row> rows = {{"name", "type", "shape", "bytes", "min", "max", "mean", "norm"}};
  uint64_t parameters = 0, bytes = 0;
  for (const std::string& name : reader.names()) {
    const StoredTensor& stored = reader.stored(name);
    const std::string shown = quote_name(name);
    Row row = {shown.substr(1, shown.size() - 2), stored.dtype_name, stored.shape.to_string()};
    uint64_t tensor_bytes = stored.bytes;
    if (stored.dtype) {
      // Read whatever its type: a damaged tensor is to be found here.
      const Tensor tensor = reader.read(name);
      if (!stored.slices.empty()) tensor_bytes = tensor.bytes();
      if (is_floating(*stored.dtype)) {
        parameters += static_cast<uint64_t>(tensor.elements());
        const Statistics s = statistics_of(tensor);
        if (s.finite > 0) {
          row[4] = number(s.least);
          row[5] = number(s.greatest);
          row[6] = number(s.sum / static_cast<double>(s.finite));
          row[7] = number(std::sqrt(s.squares));
        }
        if (s.not_finite > 0) row[7] += str_cat(" (", s.not_finite, " not finite)");
      }
    }
    row[3] = grouped(tensor_bytes);
    bytes += tensor_bytes;
    rows.push_back(std::move(row));
  }
  return str_cat("checkpoint ", reader.prefix(), "\n", format_table(rows), rows.size() - 1,
                 " tensors, ", grouped(parameters), " floating-point parameters, ", grouped(bytes),
                 " bytes\n");
}

std::string print_directory(const std::string& path) {
  const auto all = list_checkpoints(path);
  std::string text = str_cat("directory ", path, ": ", all.size(), " complete checkpoints\n");
  for (const CheckpointInfo& info : all) {
    const BundleReader reader(info.prefix);
    uint64_t bytes = 0;
    for (const std::string& name : reader.names()) bytes += reader.stored(name).bytes;
    text += str_cat("  ", fs::path(info.prefix).filename().string(), ": ", reader.names().size(),
                    " tensors, ", grouped(bytes), " bytes",
                    info.prefix == all.back().prefix ? " (latest)" : "", "\n");
  }
  return text;
}

bool is_checkpoint(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return false;
  try {
    resolve_checkpoint(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_checkpoint_directory(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return false;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".index" || it->path().filename() == "checkpoint") return true;
  }
  return false;
}

}  // namespace

std::vector<Inspector> checkpoint_inspectors() {
  return {{"a checkpoint (its prefix, .index or .data file)", is_checkpoint, print_checkpoint},
          {"a directory of checkpoints", is_checkpoint_directory, print_directory}};
}

std::string inspect(const std::string& path, std::span<const Inspector> inspectors) {
  std::string kinds;
  for (const Inspector& inspector : inspectors) {
    if (inspector.detect(path)) return inspector.print(path);
    kinds += (kinds.empty() ? "" : ", or ") + inspector.kind;
  }
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw not_found(path, ": no such file or directory; expected ", kinds);
  }
  throw invalid_argument(path, ": expected ", kinds, "; found something else");
}

std::string inspect(const std::string& path) { return inspect(path, checkpoint_inspectors()); }

}  // namespace trireme::io
