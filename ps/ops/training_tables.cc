#include "ps/ops/training_tables.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

// Rows are what is spread over servers: small enough to balance them, large enough to be worth a
// message.
constexpr int64_t kMaxDenseRow = 16 << 10;

}  // namespace

UpdateSpec update_of(const nn::Optimizer& optimizer, std::string_view variable, int rank,
                     std::shared_ptr<const OpTable> ops) {
  const UpdateOp op = optimizer.update_op_of(variable, rank);
  UpdateSpec update{.op = op.name, .attributes = op.attributes, .ops = std::move(ops)};
  for (const SlotSpec& slot : optimizer.slots()) {
    update.slot_names.push_back(slot.name);
    update.slot_initials.push_back(slot.initial);
  }
  return update;
}

nn::EmbeddingLookup TrainingTables::lookup() {
  return [this](nn::BuildContext& context, const nn::EmbeddingTable& table, Value keys) {
    const auto known = std::ranges::find(embeddings_, table.name, &nn::EmbeddingTable::name);
    if (known == embeddings_.end()) {
      embeddings_.push_back(table);
    } else if (known->dim != table.dim) {
      throw invalid_argument("table \"", table.name, "\" has rows of ", known->dim, " and of ",
                             table.dim, " elements at once; give the layers different names");
    }
    return context.graph()
        .add("PsLookup", {keys}, {{"table", table.name}, {"dim", table.dim}}, "lookup")
        .output();
  };
}

std::vector<TableSpec> TrainingTables::embeddings(const nn::Optimizer& optimizer, uint64_t seed,
                                                  std::shared_ptr<const OpTable> ops) const {
  std::vector<TableSpec> tables;
  for (const nn::EmbeddingTable& embedding : embeddings_) {
    const auto fill = embedding.initializer.fill({}, nn::initializer_key(seed, embedding.name));
    if (!fill) {
      throw invalid_argument("\"", embedding.name,
                             "\": rows on parameter servers are made when they are first seen, by "
                             "constant, uniform or normal numbers; its initializer is a function "
                             "of the whole table");
    }
    tables.push_back({.name = embedding.name,
                      .dim = embedding.dim,
                      .update = update_of(optimizer, embedding.name, 2, ops),
                      .initializer = *fill});
    if (const auto& policy = embedding.policy) {
      tables.back().admission = {.after = policy->admit_after,
                                 .probability = policy->admit_probability};
      tables.back().eviction = {.max_age = policy->evict_max_age,
                                .min_frequency = policy->evict_min_frequency,
                                .max_rows = policy->evict_max_rows};
    }
  }
  return tables;
}

std::vector<TableSpec> TrainingTables::variables(const nn::VariableRegistry& variables,
                                                 const nn::Optimizer& optimizer,
                                                 const char* votes) {
  std::vector<TableSpec> tables;
  for (const nn::VariableSpec& variable : variables.all()) {
    if (variable.role == nn::VariableRole::kSlot) continue;
    tables.push_back(dense_table(variable.name, variable.value.shape().elements()));
    // Moving averages are pushed as how far they move.
    if (variable.role != nn::VariableRole::kTrainable) continue;
    tables.back().update = update_of(optimizer, variable.name, variable.value.shape().rank());
  }
  tables.push_back(dense_table(votes, 1));
  return tables;
}

TableSpec dense_table(const std::string& name, int64_t elements) {
  const int64_t least = std::max<int64_t>(1, (elements + kMaxDenseRow - 1) / kMaxDenseRow);
  int64_t rows = least;
  while (rows < 2 * least && elements % rows != 0) ++rows;
  if (elements % rows != 0) rows = least;
  const int64_t dim = std::max<int64_t>(1, (elements + rows - 1) / rows);
  return {.name = name, .dim = dim, .rows = rows, .elements = elements};
}

}  // namespace trireme::ps
