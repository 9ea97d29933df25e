// How each op is said in TensorFlow's graphs and in ONNX's, and back: one table.
//
// A row is of one op of ours. Its cell for a format is the name of the format's op where that takes
// the same inputs, has no attributes that matter and gives the same; else a function that writes
// nodes. A name is read back by the same row; what a format has besides is with its reader. The
// rows are in op_rows.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/graph/graph.h"

namespace trireme::formats {

class OnnxWriter;
class TensorflowWriter;

// An op that a format cannot say, or not with these attributes or shapes: what() is the reason.
// Whoever writes a file collects them, so that all are named at once.
class TranslationError : public Error {
 public:
  explicit TranslationError(const std::string& reason)
      : Error(ErrorCode::kInvalidArgument, reason) {}
};

// What becomes of an op in one format: nothing, another name, or what a function writes.
template <typename Writer>
struct TranslationCell {
  // Adds what computes `node` and says which values are its outputs; throws TranslationError.
  using Function = void (*)(Writer& writer, const Node& node);

  constexpr TranslationCell() = default;
  constexpr TranslationCell(const char* op) : name(op) {}
  constexpr TranslationCell(Function function) : write(function) {}
  constexpr bool is_there() const { return !name.empty() || write != nullptr; }

  std::string_view name;
  Function write = nullptr;
};

struct OpTranslation {
  std::string_view op;  // "Relu"
  TranslationCell<TensorflowWriter> tensorflow;
  TranslationCell<OnnxWriter> onnx;
  // Why no format has it: it is of trainings only, or made by passes after the graph that files are
  // written from. Empty: cells say what there is, and an absent one that the format has no such op.
  std::string_view without = {};
};

std::span<const OpTranslation> op_translations();
// Null: there is no row.
const OpTranslation* translation_of(std::string_view op);
// The row whose cell is that name; null: none.
const OpTranslation* translation_from_tensorflow(std::string_view tensorflow_op);
const OpTranslation* translation_from_onnx(std::string_view onnx_op);

// The nodes that `outputs` need, in their order in the graph.
std::vector<const Node*> needed_nodes(std::span<const Value> outputs);

// What could not be translated, for one message that names all of it.
class Untranslated {
 public:
  void add(const Node& node, std::string_view reason);
  bool empty() const { return lines_.empty(); }
  // Throws Error{kInvalidArgument} naming each op, the first node of it, and why, unless empty().
  void throw_if_any(std::string_view format) const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace trireme::formats
