// Layers that make numbers of texts. They work where the data are read, not in the graph, which has
// no texts: a data set goes through convert_strings() first, and the layer passes on what it made.
// A vocabulary that is not given is taken from the training data; a job keeps it in its
// checkpoints.
//
//   Model model;
//   model.add<TextVectorization>({.max_tokens = 10'000, .output_sequence_length = 100});
//   …
//   adapt_strings(model.network(), texts);
//   model.fit(convert_strings(model.network(), texts).batch(32));
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/network.h"

namespace trireme::nn {

// What such a layer adds to Layer. convert() may be called from several threads.
class StringLayer {
 public:
  virtual ~StringLayer() = default;

  // What becomes of a text: `row` numbers of one type.
  virtual DType row_dtype() const = 0;
  virtual Shape row_shape() const = 0;
  virtual void write_row(std::string_view text, const data::RowView& row) const = 0;

  // --- of those that have a vocabulary
  virtual bool wants_vocabulary() const { return false; }  // the options give none
  virtual void see(std::string_view) {}                    // a text of the training data
  virtual void finish() {}  // all were seen. Throws Error{kInvalidArgument} when there was no word
  virtual const std::vector<std::string>& vocabulary() const;
  // In the place of what finish() finds: that of a checkpoint.
  virtual void set_vocabulary(std::vector<std::string>) {}
};

// Shows the layers that want a vocabulary one pass of `examples`, in batches or not. Throws
// LayerError for one that is not called, by itself, on a feature of texts.
void adapt_strings(const Network& network, const data::Dataset& examples);
// `examples`, in batches or not, with numbers in the place of the features that are texts. Throws
// LayerError as above, and Error{kInvalidArgument} for a feature of texts without such a layer.
data::Dataset convert_strings(const Network& network, const data::Dataset& examples);
void convert_strings(const Network& network, std::vector<Tensor>& features);
// Throws Error{kInvalidArgument} for texts, which have not gone through convert_strings().
void require_converted(Value x);
// The layers with a vocabulary of their own finding, by name.
std::vector<std::pair<std::string, StringLayer*>> vocabulary_layers(const Network& network);

}  // namespace trireme::nn
