#include "ps/table/row_update.h"

#include <vector>

#include "core/base/error.h"
#include "core/device/update_inputs.h"
#include "ps/table/prefetch.h"

namespace trireme::ps {
namespace {

template <typename Rule>
class RuleUpdate final : public RowUpdate {
 public:
  explicit RuleUpdate(const TableSpec& spec)
      : rule_(spec.update.attributes), dim_(static_cast<size_t>(spec.dim)), slots_(spec.slots()) {}

  void apply(const RowStore& store, std::span<const uint32_t> rows, const float* gradients,
             const PushContext& context) const override {
    // A row of one number is a loop of its own: without a loop inside.
    if (dim_ == 1) {
      apply_rows<1>(store, rows, gradients, context);
    } else {
      apply_rows<0>(store, rows, gradients, context);
    }
  }

 private:
  template <size_t kDim>
  void apply_rows(const RowStore& store, std::span<const uint32_t> rows, const float* gradients,
                  const PushContext& context) const {
    const size_t dim = kDim == 0 ? dim_ : kDim;
    const Rule rule = rule_;
    const UpdateStep step = begin_step(rule, context.learning_rate, context.step);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kRowsAhead < rows.size() && rows[i + kRowsAhead] != kNoRow) {
        prefetch_row(store.at(rows[i + kRowsAhead]), store.row_bytes());
      }
      if (rows[i] == kNoRow) continue;
      RowHeader& header = store.header(rows[i]);
      header.version = context.step;
      ++header.frequency;
      float* const values = store.values(rows[i]);
      UpdateRows<float> part{{values, dim}, {}, {gradients + i * dim, dim}};
      for (int k = 0; k < slots_; ++k) {
        part.slots[static_cast<size_t>(k)] = {values + static_cast<size_t>(k + 1) * dim, dim};
      }
      update_rows(rule, step, part);
    }
  }

  const Rule rule_;
  const size_t dim_;
  const int slots_;
};

}  // namespace

std::unique_ptr<const RowUpdate> make_row_update(const TableSpec& spec) {
  std::unique_ptr<const RowUpdate> found;
  std::string known;
  const auto add = [&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    known += (known.empty() ? "" : ", ") + op;
    if (op != spec.update.op) return;
    if (spec.slots() != layout.slots) {
      throw invalid_argument("table \"", spec.name, "\": expected ", layout.slots, " slots for ",
                             op, ", found ", spec.slots());
    }
    try {
      found = std::make_unique<RuleUpdate<Rule>>(spec);
    } catch (const Error& error) {
      throw invalid_argument("table \"", spec.name, "\": ", op, ": ", error.what());
    }
  };
  for_each_dense_update(add);
  for_each_optimizer(add);
  if (found == nullptr) {
    throw invalid_argument("table \"", spec.name, "\": unknown update op \"", spec.update.op,
                           "\"; expected one of ", known);
  }
  return found;
}

}  // namespace trireme::ps
