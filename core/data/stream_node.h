// Stages whose elements must be made in order, because where one comes from depends on those
// before it. For core/data only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/data/node.h"

namespace trireme::data {

// One pass over the elements of a stage.
class Stream {
 public:
  virtual ~Stream() = default;
  // False at the end, `out` is then left alone. Not called again after the end or an error.
  virtual bool next(Element& out) = 0;
  // Of the element that next() gave last. kOwnIndex: its number in this stage; kOwnEpoch: this
  // pass.
  static constexpr int64_t kOwnIndex = -1;
  static constexpr uint64_t kOwnEpoch = UINT64_MAX;
  virtual Position origin() const { return {kOwnIndex, kOwnEpoch}; }
  // A few numbers from which a new Stream of the same pass goes on with the very next element.
  virtual void save(Cursor& cursor) const = 0;
  virtual void load(CursorInput& cursor) = 0;
};

class StreamNode final : public Node {
 public:
  struct Options {
    ElementSpec spec;
    int64_t size = kUnknown;
    std::string name;     // of the stage, with everything of it that decides which element is where
    int threads = 0;      // 1: it is to be read ahead of its consumer
    bool source = false;  // its elements are made by the user's code: they are checked
    std::vector<NodePtr> children = {};
    std::function<std::unique_ptr<Stream>(uint64_t pass)> start;
  };
  explicit StreamNode(Options options);

  bool read(Context& context, Position at, Element& out) const override;
  Position origin(Context& context, Position at) const override;
  void save(Context& context, Cursor& cursor) const override;
  void load(Context& context, CursorInput& cursor) const override;

 private:
  struct Open;
  void open(Open& open, uint64_t pass) const;
  bool advance(Open& open, Element& out) const;

  Options options_;
};

}  // namespace trireme::data
