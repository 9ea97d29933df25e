#include "ps/protocol/setup.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "proto/ps.pb.h"

namespace trireme::ps {
namespace {

constexpr size_t kMostNameBytes = 4096;
constexpr int64_t kMostDim = int64_t{1} << 24;
constexpr int64_t kMostElements = int64_t{1} << 48;

struct AttributeWriter {
  const std::string& table;
  proto::Attribute& to;

  void operator()(bool value) const { to.set_flag(value); }
  void operator()(int64_t value) const { to.set_integer(value); }
  void operator()(double value) const { to.set_number(value); }
  void operator()(const std::string& value) const { to.set_text(value); }
  template <typename Other>
  void operator()(const Other& /*value*/) const {
    throw invalid_argument("table \"", table, "\": attribute \"", to.name(),
                           "\" of its update: expected a number, a flag or a text");
  }
};

AttributeValue value_of(const std::string& table, const proto::Attribute& attribute) {
  switch (attribute.value_case()) {
    case proto::Attribute::kNumber:
      return attribute.number();
    case proto::Attribute::kInteger:
      return attribute.integer();
    case proto::Attribute::kFlag:
      return attribute.flag();
    case proto::Attribute::kText:
      return attribute.text();
    case proto::Attribute::VALUE_NOT_SET:
      break;
  }
  throw invalid_argument("table \"", table, "\": attribute \"", attribute.name(),
                         "\" of its update has no value");
}

void check(const TableSpec& spec) {
  const auto require = [&](bool condition, const auto&... parts) {
    if (!condition) throw invalid_argument("table \"", spec.name, "\": expected ", parts...);
  };
  require(spec.dim >= 1 && spec.dim <= kMostDim, "a dimension from 1 to ", kMostDim, ", found ",
          spec.dim);
  require(spec.rows >= 0 && spec.rows <= kMostElements / spec.dim, "from 0 to ",
          kMostElements / spec.dim, " rows of dimension ", spec.dim, ", found ", spec.rows);
  require(spec.elements >= 0 && spec.elements <= spec.rows * spec.dim, "from 0 to ",
          spec.rows * spec.dim, " elements in its ", spec.rows, " rows, found ", spec.elements);
  require(spec.update.slot_names.size() == spec.update.slot_initials.size(),
          "one first value for each of its ", spec.update.slot_names.size(), " slots, found ",
          spec.update.slot_initials.size());
  require(spec.admission.after >= 1, "admission after 1 sighting or more, found ",
          spec.admission.after);
  require(spec.admission.probability >= 0 && spec.admission.probability <= 1,
          "a probability of admission from 0 to 1, found ", spec.admission.probability);
  require(
      spec.eviction.max_age >= 0 && spec.eviction.min_frequency >= 0 && spec.eviction.max_rows >= 0,
      "bounds of eviction from 0 on, found age ", spec.eviction.max_age, ", frequency ",
      spec.eviction.min_frequency, ", rows ", spec.eviction.max_rows);
  require(std::isfinite(spec.initializer.a) && std::isfinite(spec.initializer.b),
          "numbers for its initial values");
}

std::string difference(const google::protobuf::Message& first,
                       const google::protobuf::Message& second) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;
  differencer.ReportDifferencesToString(&report);
  differencer.Compare(first, second);
  report = report.substr(0, report.find('\n'));
  return report;
}

}  // namespace

void to_proto(const TableSpec& table, proto::Table& message) {
  message.Clear();
  message.set_name(table.name);
  message.set_dim(table.dim);
  message.set_rows(table.rows);
  message.set_elements(table.elements);
  message.set_update_op(table.update.op);
  for (const auto& [name, value] : table.update.attributes) {
    proto::Attribute& attribute = *message.add_update_attributes();
    attribute.set_name(name);
    std::visit(AttributeWriter{table.name, attribute}, value);
  }
  for (const std::string& name : table.update.slot_names) message.add_slot_names(name);
  for (const double value : table.update.slot_initials) message.add_slot_initials(value);
  message.set_initializer_kind(static_cast<int32_t>(table.initializer.kind));
  message.set_initializer_a(table.initializer.a);
  message.set_initializer_b(table.initializer.b);
  message.set_initializer_key(table.initializer.key);
  message.set_admit_after(table.admission.after);
  message.set_admit_probability(table.admission.probability);
  message.set_evict_max_age(table.eviction.max_age);
  message.set_evict_min_frequency(table.eviction.min_frequency);
  message.set_evict_max_rows(table.eviction.max_rows);
}

TableSpec from_proto(const proto::Table& message, std::shared_ptr<const OpTable> ops) {
  if (message.name().empty() || message.name().size() > kMostNameBytes) {
    throw invalid_argument("expected a table's name of 1 to ", kMostNameBytes, " bytes, found ",
                           message.name().size());
  }
  TableSpec table{.name = message.name(),
                  .dim = message.dim(),
                  .rows = message.rows(),
                  .elements = message.elements()};
  table.update.op = message.update_op();
  table.update.ops = std::move(ops);
  for (const proto::Attribute& attribute : message.update_attributes()) {
    table.update.attributes.set(attribute.name(), value_of(table.name, attribute));
  }
  table.update.slot_names.assign(message.slot_names().begin(), message.slot_names().end());
  table.update.slot_initials.assign(message.slot_initials().begin(), message.slot_initials().end());
  const int kind = message.initializer_kind();
  if (kind < 0 || kind > static_cast<int>(RowInitializer::Kind::kTruncatedNormal)) {
    throw invalid_argument("table \"", table.name,
                           "\": expected a kind of initial values from 0 to 2, found ", kind);
  }
  table.initializer = {.kind = static_cast<RowInitializer::Kind>(kind),
                       .a = message.initializer_a(),
                       .b = message.initializer_b(),
                       .key = message.initializer_key()};
  table.admission = {.after = message.admit_after(), .probability = message.admit_probability()};
  table.eviction = {.max_age = message.evict_max_age(),
                    .min_frequency = message.evict_min_frequency(),
                    .max_rows = message.evict_max_rows()};
  check(table);
  return table;
}

std::vector<TableSpec> tables_of(const proto::Setup& setup,
                                 const std::shared_ptr<const OpTable>& ops) {
  if (setup.tables_size() > kMostTables) {
    throw invalid_argument("expected at most ", kMostTables, " tables, found ",
                           setup.tables_size());
  }
  std::vector<TableSpec> tables;
  std::set<std::string> names;
  int64_t dense = 0;
  for (const proto::Table& message : setup.tables()) {
    tables.push_back(from_proto(message, ops));
    const TableSpec& table = tables.back();
    if (!names.insert(table.name).second) {
      throw invalid_argument("two tables are called \"", table.name, "\"");
    }
    dense += table.rows * table.dim;
    if (dense > kMostElements) {
      throw invalid_argument("table \"", table.name, "\": the dense tables up to it have ", dense,
                             " elements, at most ", kMostElements, " are possible");
    }
  }
  return tables;
}

std::string difference(const proto::Setup& first, const proto::Setup& second) {
  const int common = std::min(first.tables_size(), second.tables_size());
  for (int i = 0; i < common; ++i) {
    const std::string found = difference(
        static_cast<const google::protobuf::Message&>(first.tables(i)), second.tables(i));
    if (!found.empty()) return str_cat("table \"", first.tables(i).name(), "\": ", found);
  }
  if (first.tables_size() != second.tables_size()) {
    return str_cat(first.tables_size(), " tables, not ", second.tables_size());
  }
  return difference(static_cast<const google::protobuf::Message&>(first), second);
}

}  // namespace trireme::ps
