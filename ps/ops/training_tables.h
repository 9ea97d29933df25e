// The tables of a training, made of a model: one for each embedding, and with parameter servers for
// everything also one for each variable and one for votes. Their order is that of the model, hence
// the same on every task.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/nn/layer.h"
#include "core/nn/optimizers.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

class TrainingTables {
 public:
  // For ModelOptions::embedding_lookup: embeddings become tables, which are noted here. This object
  // outlives the building of the model.
  nn::EmbeddingLookup lookup();

  // REQUIRES: the model is built. Throws Error{kInvalidArgument} for an embedding whose initializer
  // is no RandomFill. `votes`: the name of the table of votes.
  // `ops`: as UpdateSpec::ops, for whoever keeps the tables in this process.
  std::vector<TableSpec> embeddings(const nn::Optimizer& optimizer, uint64_t seed,
                                    std::shared_ptr<const OpTable> ops = nullptr) const;
  static std::vector<TableSpec> variables(const nn::VariableRegistry& variables,
                                          const nn::Optimizer& optimizer, const char* votes);

 private:
  std::vector<nn::EmbeddingTable> embeddings_;
};

// What an optimizer does to the rows of a table that holds a variable of that name and rank.
UpdateSpec update_of(const nn::Optimizer& optimizer, std::string_view variable, int rank,
                     std::shared_ptr<const OpTable> ops = nullptr);

// A dense table of so many elements: one row when they are few, else rows of about equal size, with
// as little padding as can be.
TableSpec dense_table(const std::string& name, int64_t elements);

}  // namespace trireme::ps
