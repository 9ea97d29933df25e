#include "ps/table/row_update.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/rules/update_rule.h"
#include "ps/table/prefetch.h"

namespace trireme::ps {
namespace {

class RuleUpdate final : public RowUpdate {
 public:
  RuleUpdate(Updater<float> updater, int64_t dim)
      : updater_(std::move(updater)), dim_(static_cast<size_t>(dim)) {}

  void apply(const RowStore& store, std::span<const uint32_t> rows, const float* gradients,
             const PushContext& context) const override {
    const UpdateStep<float> step = updater_.begin(context.learning_rate, context.step);
    // Short rows are handed over a few at a time, and while those behind them come.
    const size_t together = dim_ >= kLong ? 1 : kMost;
    std::array<float*, kMost> values;
    std::array<const float*, kMost> given;
    size_t count = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kRowsAhead < rows.size() && rows[i + kRowsAhead] != kNoRow) {
        prefetch_row(store.at(rows[i + kRowsAhead]), store.row_bytes());
      }
      if (rows[i] == kNoRow) continue;
      RowHeader& header = store.header(rows[i]);
      header.version = context.step;
      ++header.frequency;
      values[count] = store.values(rows[i]);
      given[count] = gradients + i * dim_;
      if (++count < together) continue;
      step.rows(values.data(), given.data(), count, dim_);
      count = 0;
    }
    if (count > 0) step.rows(values.data(), given.data(), count, dim_);
  }

 private:
  static constexpr size_t kMost = 8, kLong = 16;

  const Updater<float> updater_;
  const size_t dim_;
};

const OpTable& ops_of(const UpdateSpec& update) {
  static const std::shared_ptr<const OpTable> core = core_op_table();
  return update.ops != nullptr ? *update.ops : *core;
}

const UpdateFacts* facts_of(const OpDef* op) {
  const bool is_form = op != nullptr && op->update && op->update->form == op->name;
  return is_form ? &*op->update : nullptr;
}

}  // namespace

std::unique_ptr<const RowUpdate> make_row_update(const TableSpec& spec) {
  const OpTable& ops = ops_of(spec.update);
  const UpdateFacts* const facts = facts_of(ops.find_or_null(spec.update.op));
  if (facts == nullptr) {
    std::string known;
    for (const std::string& name : ops.names()) {
      if (facts_of(&ops.find(name)) != nullptr) known += (known.empty() ? "" : ", ") + name;
    }
    throw invalid_argument("table \"", spec.name, "\": unknown update op \"", spec.update.op,
                           "\"; expected one of ", known);
  }
  if (spec.slots() != facts->slots) {
    throw invalid_argument("table \"", spec.name, "\": expected ", facts->slots, " slots for ",
                           spec.update.op, ", found ", spec.slots());
  }
  try {
    return std::make_unique<RuleUpdate>(facts->rule->f32(spec.update.op, spec.update.attributes),
                                        spec.dim);
  } catch (const Error& error) {
    throw invalid_argument("table \"", spec.name, "\": ", spec.update.op, ": ", error.what());
  }
}

}  // namespace trireme::ps
