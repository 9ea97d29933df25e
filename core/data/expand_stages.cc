// Stages that make several elements of one, or one of several neighbours: interleave and flat_map,
// unbatch, window.
#include <algorithm>
#include <deque>
#include <optional>

#include "core/base/error.h"
#include "core/data/chain_reader.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

struct Interleave {
  ExpandFunction expand;
  ElementSpec output;
  InterleaveOptions options;
};

// `cycle_length` data sets in turns; one that ends makes room for the next.
class InterleaveStream final : public Stream {
 public:
  InterleaveStream(NodePtr parent, uint64_t pass, const Interleave& stage)
      : node_(parent), parent_(std::move(parent), pass), stage_(stage) {
    slots_.resize(static_cast<size_t>(stage.options.cycle_length));
  }

  bool next(Element& out) override {
    while (!parent_ended_ || open_ > 0) {
      Slot& slot = slots_[current_];
      if (slot.open) {
        if (!slot.reader) reopen(slot);
        if (slot.reader->next(out)) {
          check_element(out, stage_.output, "flat_map or interleave");
          epoch_ = slot.reader->origin().epoch;
          if (++given_ == stage_.options.block_length) turn();
          return true;
        }
        slot.open = false;
        slot.reader.reset();
        --open_;
        turn();
      } else if (!parent_ended_) {
        slot.parent.clear();
        parent_.save(slot.parent);
        if (parent_.next(element_)) {
          slot.reader.emplace(expanded(element_), parent_.origin().epoch);
          slot.open = true;
          ++open_;
        } else {
          parent_ended_ = true;
        }
      } else {
        turn();
      }
    }
    return false;
  }

  Position origin() const override { return {kOwnIndex, epoch_}; }
  void save(Cursor& cursor) const override {
    parent_.save(cursor);
    cursor.push_back(parent_ended_ ? 1 : 0);
    cursor.push_back(static_cast<int64_t>(current_));
    cursor.push_back(given_);
    for (const Slot& slot : slots_) {
      cursor.push_back(slot.open ? 1 : 0);
      if (!slot.open) continue;
      append(slot.parent, cursor);
      Cursor place;
      if (slot.reader) slot.reader->save(place);
      append(slot.reader ? place : slot.place, cursor);
    }
  }
  void load(CursorInput& cursor) override {
    parent_.load(cursor);
    parent_ended_ = cursor.take(0, 1) == 1;
    current_ = static_cast<size_t>(cursor.take(0, static_cast<int64_t>(slots_.size()) - 1));
    given_ = cursor.take(0, stage_.options.block_length - 1);
    for (Slot& slot : slots_) {
      slot.open = cursor.take(0, 1) == 1;
      if (!slot.open) continue;
      ++open_;
      take_list(cursor, slot.parent);
      take_list(cursor, slot.place);
    }
  }

 private:
  struct Slot {
    bool open = false;
    std::optional<ChainReader> reader;  // none: it is to go on at `place`
    Cursor parent;                      // where the parent was before the element that it reads
    Cursor place;
  };

  static void append(const Cursor& list, Cursor& cursor) {
    cursor.push_back(static_cast<int64_t>(list.size()));
    cursor.insert(cursor.end(), list.begin(), list.end());
  }
  static void take_list(CursorInput& cursor, Cursor& list) {
    const auto numbers = cursor.take_all(cursor.take_count());
    list.assign(numbers.begin(), numbers.end());
  }
  NodePtr expanded(const Element& element) const {
    Dataset expanded = stage_.expand(element);
    merged_spec(stage_.output, expanded.element_spec(), "flat_map or interleave");
    if (stage_.options.prefetch > 0) expanded = expanded.prefetch(stage_.options.prefetch);
    return expanded.node();
  }
  void reopen(Slot& slot) {
    ChainReader parent(node_);
    CursorInput before(slot.parent);
    parent.load(before);
    Element element;
    if (!parent.next(element)) {
      throw data_loss(
          "iterator state: a data set that flat_map() or interleave() had open is gone");
    }
    slot.reader.emplace(expanded(element));
    CursorInput place(slot.place);
    slot.reader->load(place);
  }
  void turn() {
    given_ = 0;
    current_ = (current_ + 1) % slots_.size();
  }

  NodePtr node_;
  ChainReader parent_;
  const Interleave& stage_;
  std::vector<Slot> slots_;
  size_t current_ = 0;
  int64_t given_ = 0;  // elements of the current turn
  int64_t open_ = 0;
  bool parent_ended_ = false;
  Element element_;
  uint64_t epoch_ = 0;
};

ElementSpec row_spec(const ElementSpec& spec) {
  ElementSpec rows = spec;
  for (ComponentSpec& component : rows) {
    if (component.shape.rank() == 0) {
      throw invalid_argument("unbatch: component \"", component.name,
                             "\" is a scalar, expected rows along a first axis");
    }
    component.shape = component.shape.last(component.shape.rank() - 1);
  }
  return rows;
}

class UnbatchStream final : public Stream {
 public:
  UnbatchStream(NodePtr child, uint64_t pass) : child_(std::move(child), pass) {}

  bool next(Element& out) override {
    while (row_ >= rows_) {
      const int64_t skip = std::exchange(skip_, 0);
      before_.clear();
      child_.save(before_);
      if (!child_.next(batch_)) return false;
      rows_ = batch_[0].shape()[0];
      for (size_t i = 1; i < batch_.size(); ++i) {
        if (batch_[i].shape()[0] == rows_) continue;
        throw invalid_argument("unbatch: element ", child_.position() - 1, " has ", rows_,
                               " rows of \"", child_.node().spec()[0].name, "\" and ",
                               batch_[i].shape()[0], " of \"", child_.node().spec()[i].name, '"');
      }
      row_ = skip;
    }
    out.resize(batch_.size());
    for (size_t i = 0; i < batch_.size(); ++i) {
      const Shape& shape = batch_[i].shape();
      prepare(out[i], batch_[i].dtype(), shape.last(shape.rank() - 1));
      copy_values(batch_[i].rows(row_, row_ + 1), view(out[i]));
    }
    ++row_;
    return true;
  }
  Position origin() const override { return {kOwnIndex, child_.origin().epoch}; }
  void save(Cursor& cursor) const override {
    const bool within = row_ < rows_;
    cursor.push_back(within ? row_ : skip_);
    if (within || skip_ > 0) {
      cursor.insert(cursor.end(), before_.begin(), before_.end());
    } else {
      child_.save(cursor);
    }
  }
  void load(CursorInput& cursor) override {
    skip_ = cursor.take_count();
    child_.load(cursor);
    if (skip_ > 0) child_.save(before_);
  }

 private:
  ChainReader child_;
  Element batch_;
  Cursor before_;  // of the child, before batch_
  int64_t row_ = 0, rows_ = 0;
  int64_t skip_ = 0;  // rows of the next batch that were given before
};

int64_t span_of(const WindowOptions& options) { return (options.size - 1) * options.stride + 1; }

ElementSpec window_spec(const Node& child, const WindowOptions& options) {
  require_stackable(child.spec(), "window");
  const bool full = options.drop_remainder || child.size() == kInfinite;
  ElementSpec spec = child.spec();
  for (ComponentSpec& component : spec) {
    component.shape = stacked(component.shape, full ? options.size : -1);
  }
  return spec;
}

struct WindowState : NodeState {
  std::vector<Element> elements;
};

class WindowNode final : public Node {
 public:
  WindowNode(NodePtr child, const WindowOptions& options) : options_(options) {
    inherit(std::move(child));
    elements_ = size_;
    spec_ = window_spec(this->child(), options);
    if (size_ >= 0) {
      const int64_t least = options.drop_remainder ? span_of(options) : 1;
      size_ = size_ < least ? 0 : (size_ - least) / options.shift + 1;
    }
    sign("stride", options.stride, options.drop_remainder ? 1 : 0);
    sign("window", options.size, options.shift);
  }
  bool read(Context& context, Position at, Element& out) const override {
    if (size_ >= 0 && at.index >= size_) return false;
    auto& elements = context.state<WindowState>(this).elements;
    const int64_t first = scaled_position(at.index, options_.shift, 0);
    size_t rows = 0;
    for (int64_t i = 0; i < options_.size; ++i, ++rows) {
      const int64_t index = scaled_position(i, options_.stride, first);
      if (elements_ >= 0 && index >= elements_) break;
      if (elements.size() == rows) elements.emplace_back();
      if (!child().read(context, {index, at.epoch}, elements[rows])) break;
    }
    if (rows == 0) return false;
    stack({elements.data(), rows}, child().spec(), first, out);
    return true;
  }
  Position origin(Context& context, Position at) const override {
    const Position first{scaled_position(at.index, options_.shift, 0), at.epoch};
    return {at.index, child().origin(context, first).epoch};
  }

 private:
  WindowOptions options_;
  int64_t elements_ = 0;  // of the child
};

class WindowStream final : public Stream {
 public:
  WindowStream(NodePtr child, uint64_t pass, const WindowOptions& options)
      : child_(std::move(child), pass), options_(options) {}

  bool next(Element& out) override {
    while (static_cast<int64_t>(held_.size()) < span_of(options_)) {
      Held held;
      child_.save(held.before);
      if (!child_.next(held.element)) break;
      held.epoch = child_.origin().epoch;
      if (skip_ > 0) {
        --skip_;
        continue;
      }
      held_.push_back(std::move(held));
    }
    if (held_.empty()) return false;
    if (options_.drop_remainder && static_cast<int64_t>(held_.size()) < span_of(options_)) {
      return false;
    }
    std::vector<Element> rows;
    for (int64_t i = 0; i < options_.size; ++i) {
      const auto place = static_cast<size_t>(i * options_.stride);
      if (place >= held_.size()) break;
      rows.push_back(held_[place].element);
    }
    epoch_ = held_.front().epoch;
    stack(rows, child_.node().spec(), scaled_position(given_++, options_.shift, 0), out);
    for (int64_t i = 0; i < options_.shift; ++i) {
      if (held_.empty()) {
        ++skip_;
      } else {
        held_.pop_front();
      }
    }
    return true;
  }
  Position origin() const override { return {given_ - 1, epoch_}; }
  void save(Cursor& cursor) const override {
    cursor.push_back(given_);
    cursor.push_back(skip_);
    if (held_.empty()) {
      child_.save(cursor);
    } else {
      cursor.insert(cursor.end(), held_.front().before.begin(), held_.front().before.end());
    }
  }
  void load(CursorInput& cursor) override {
    given_ = cursor.take_count();
    skip_ = cursor.take(0, options_.shift);
    child_.load(cursor);
  }

 private:
  struct Held {
    Element element;
    Cursor before;  // of the child
    uint64_t epoch = 0;
  };
  ChainReader child_;
  const WindowOptions options_;
  std::deque<Held> held_;
  int64_t skip_ = 0;  // elements before the next window
  int64_t given_ = 0;
  uint64_t epoch_ = 0;
};

}  // namespace

NodePtr make_interleave(NodePtr child, ExpandFunction expand, ElementSpec output,
                        InterleaveOptions options) {
  if (!expand) {
    throw invalid_argument("flat_map or interleave: expected a function, found an empty one");
  }
  if (options.cycle_length < 1 || options.cycle_length > 4096 || options.block_length < 1) {
    throw invalid_argument(
        "interleave: expected a cycle_length from 1 to 4096 and a block_length of at least 1, "
        "found ",
        options.cycle_length, " and ", options.block_length);
  }
  std::string name = str_cat("interleave ", options.cycle_length, ' ', options.block_length);
  auto stage = std::make_shared<Interleave>(Interleave{std::move(expand), output, options});
  return make_stream(child, std::move(output), std::move(name), [child, stage](uint64_t pass) {
    return std::make_unique<InterleaveStream>(child, pass, *stage);
  });
}

NodePtr make_unbatch(NodePtr child) {
  return make_stream(
      child, row_spec(child->spec()), "unbatch",
      [child](uint64_t pass) { return std::make_unique<UnbatchStream>(child, pass); },
      child->size() == kInfinite ? kInfinite : kUnknown);
}

NodePtr make_window(NodePtr child, WindowOptions options) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (options.shift == 0) options.shift = options.size;
  for (const int64_t number : {options.size, options.shift, options.stride}) {
    if (number < 1 || number > kMost) {
      throw invalid_argument("window: expected a size, a shift and a stride of 1 to 2^31, found ",
                             options.size, ", ", options.shift, " and ", options.stride);
    }
  }
  if (!child->is_stream() && child->size() != kUnknown) {
    return std::make_shared<WindowNode>(std::move(child), options);
  }
  return make_stream(
      child, window_spec(*child, options),
      str_cat("window ", options.size, ' ', options.shift, ' ', options.stride, ' ',
              options.drop_remainder),
      [child, options](uint64_t pass) {
        return std::make_unique<WindowStream>(child, pass, options);
      },
      child->size() == kInfinite ? kInfinite : kUnknown);
}

}  // namespace trireme::data
