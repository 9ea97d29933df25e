#include "worker/result_line.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace trireme {
namespace {

size_t side(const std::vector<double>& table) {
  return static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(table.size()))));
}

std::string number_text(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return text.str();
}

}  // namespace

void add_tables(const std::map<std::string, std::vector<double>>& tables, ResultLine& line) {
  for (const auto& [name, table] : tables) {
    const size_t n = side(table);
    ResultLine rows = ResultLine::array();
    for (size_t row = 0; row < n; ++row) {
      ResultLine numbers = ResultLine::array();
      for (size_t i = 0; i < n; ++i) {
        const double value = table[row * n + i];
        const bool whole = value == std::floor(value) && std::fabs(value) < 1e15;
        whole ? numbers.push_back(static_cast<int64_t>(value)) : numbers.push_back(rounded(value));
      }
      rows.push_back(std::move(numbers));
    }
    line[name] = std::move(rows);
  }
}

std::string tables_text(const std::map<std::string, std::vector<double>>& tables) {
  std::string text;
  for (const auto& [name, table] : tables) {
    const size_t n = side(table);
    std::vector<std::string> numbers;
    size_t width = std::to_string(n).size() + 6;
    for (const double value : table) {
      numbers.push_back(number_text(value));
      width = std::max(width, numbers.back().size() + 2);
    }
    const auto cell = [&](const std::string& content) {
      return std::string(width - content.size(), ' ') + content;
    };
    text += name + " (rows: the label, columns: what was found)\n" + cell("");
    for (size_t i = 0; i < n; ++i) text += cell(std::to_string(i));
    text += "\n";
    for (size_t row = 0; row < n; ++row) {
      text += cell(std::to_string(row));
      for (size_t i = 0; i < n; ++i) text += cell(numbers[row * n + i]);
      text += "\n";
    }
  }
  return text;
}

}  // namespace trireme
