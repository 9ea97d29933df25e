// Reads a chain of nodes from its start, one element after another, as iterators and stages that
// are streams do; on threads of its own where the chain asks for them. For core/data only.
//
// Threads start with the first next() and end with the ChainReader. One thread at a time.
#pragma once

#include <exception>
#include <memory>
#include <optional>

#include "core/data/node.h"
#include "core/data/pipeline.h"

namespace trireme::data {

class ChainReader {
 public:
  // `pass` is the epoch in which position 0 of the chain is.
  explicit ChainReader(NodePtr node, uint64_t pass = 0);
  ChainReader(ChainReader&&) noexcept;
  ChainReader& operator=(ChainReader&&) noexcept;
  ~ChainReader();

  // False at the end, `out` is then left alone. After the end and after an error every call says
  // the same again, until the reader is moved. Chains that are no streams try again.
  bool next(Element& out);

  const Node& node() const { return *node_; }
  int64_t position() const { return position_; }  // of the next element
  uint64_t pass() const { return pass_; }
  Position origin() const { return made_.origin; }  // of the element that next() gave last

  // `cursor`: what place() gave at `position`; empty: a stream is read again up to there.
  void move_to(int64_t position, uint64_t pass, Cursor cursor = {});
  // Fills `cursor` with where the streams of the chain are; empty where there are none.
  void place(Cursor& cursor) const;

  // position, pass and place, as a part of a cursor.
  void save(Cursor& cursor) const;
  void load(CursorInput& cursor);

 private:
  class Reading;
  bool read(Element& out);
  void add_place(Cursor& cursor) const;

  NodePtr node_;
  bool stateful_ = false;  // has streams
  int threads_ = 0, depth_ = 0;
  bool tune_ = false;
  int64_t position_ = 0;
  uint64_t pass_ = 0;
  // Of the last element. Its cursor is where streams are after `position_` elements, unless the
  // caller's thread reads: it knows itself. Its tensors are the consumer's.
  MadeElement made_;
  std::unique_ptr<Reading> reading_;  // null: nothing was read since the reader was moved
  std::exception_ptr error_;
  bool ended_ = false;
};

}  // namespace trireme::data
