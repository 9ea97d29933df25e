// Nodes that make elements out of elements: map, batch, cache.
#include <algorithm>
#include <atomic>

#include "core/base/batch_share.h"
#include "core/base/error.h"
#include "core/data/node.h"

namespace trireme::data {
namespace {

class MapNode final : public Node {
 public:
  MapNode(NodePtr child, MapFunction function, MapOptions options)
      : child_(std::move(child)), function_(std::move(function)), seed_(options.seed) {
    inherit(*child_);
    if (!function_) throw invalid_argument("map: expected a function, found an empty one");
    if (options.threads < 0 || options.threads > 1024) {
      throw invalid_argument("map: expected 0 to 1024 threads, found ", options.threads);
    }
    threads_ = std::max(threads_, options.threads);
    if (options.output) spec_ = std::move(*options.output);
    sign("map", static_cast<int64_t>(seed_));
  }

  bool read(Context& context, Position at, Element& out) const override {
    if (!child_->read(context, at, out)) return false;
    const Position origin = child_->origin(context, at);
    const PhiloxBlock block = philox(seed_, hash_name("map"), static_cast<uint64_t>(origin.index));
    function_(out, {origin.index, origin.epoch, (uint64_t{block[1]} << 32) | block[0]});
    check_element(out, spec_, "map");
    return true;
  }
  Position origin(Context& context, Position at) const override {
    return child_->origin(context, at);
  }

 private:
  NodePtr child_;
  MapFunction function_;
  uint64_t seed_;
};

struct BatchState : NodeState {
  std::vector<RowView> rows;
  std::vector<Element> elements;
};

class BatchNode final : public Node {
 public:
  BatchNode(NodePtr child, int64_t batch, bool drop_remainder, int64_t part = 0, int64_t parts = 1)
      : child_(std::move(child)),
        batch_(batch),
        drop_remainder_(drop_remainder),
        part_(part),
        parts_(parts) {
    inherit(*child_);
    if (batch < 1) throw invalid_argument("batch: expected a size of at least 1, found ", batch);
    if (size_ >= 0) size_ = size_ / batch + (!drop_remainder && size_ % batch != 0 ? 1 : 0);
    direct_ = child_->size() != kUnknown && has_known_shapes(child_->spec());
    if (part < 0 || part >= parts) throw invalid_argument("batch_part: part ", part, " of ", parts);
    if (parts > 1 && !direct_) {
      throw invalid_argument(
          "batch_part: needs examples of known number and shapes; batch a generator on each "
          "worker");
    }
    const bool always_full = drop_remainder || child_->size() == kInfinite ||
                             (child_->size() >= 0 && child_->size() % batch == 0);
    for (ComponentSpec& component : spec_) {
      if (component.shape.rank() == Shape::kMaxRank) {
        throw invalid_argument("batch: component \"", component.name, "\" has ", component.shape,
                               ", with the batch that is more than ", Shape::kMaxRank,
                               " dimensions");
      }
      component.shape = stacked(component.shape, always_full ? own_rows(batch).second : -1);
    }
    // The state of one part can be taken up by another: they are at the same batch.
    sign(drop_remainder ? "batch_drop" : "batch", batch);
  }

  bool read(Context& context, Position at, Element& out) const override {
    auto& state = context.state<BatchState>(this);
    return direct_ ? read_direct(context, state, at, out) : read_and_stack(context, state, at, out);
  }
  Position origin(Context& context, Position at) const override {
    return {at.index, child_->origin(context, first(at)).epoch};
  }

 private:
  static Shape stacked(const Shape& shape, int64_t rows) {
    Shape result{rows};
    for (int64_t dim : shape) result.push_back(dim);
    return result;
  }
  Position first(Position at) const { return {scaled_position(at.index, batch_, 0), at.epoch}; }

  // The first of my rows in a batch, and how many.
  std::pair<int64_t, int64_t> own_rows(int64_t rows) const {
    const RowRange range = batch_share(rows, part_, parts_);
    return range.size() > 0 ? std::pair(range.begin, range.size())
                            : std::pair<int64_t, int64_t>(0, 1);
  }

  // The common case: sizes are known, so each row is written where it will stay.
  bool read_direct(Context& context, BatchState& state, Position at, Element& out) const {
    Position from = first(at);
    int64_t rows = batch_;
    if (child_->size() >= 0) rows = std::min(rows, child_->size() - from.index);
    if (rows <= 0 || (drop_remainder_ && rows < batch_)) return false;
    if (parts_ > 1) {
      const auto [begin, count] = own_rows(rows);
      from.index += begin;
      rows = count;
    }
    const ElementSpec& spec = child_->spec();
    out.resize(spec.size());
    state.rows.resize(spec.size());
    for (size_t i = 0; i < spec.size(); ++i) {
      prepare(out[i], spec[i].dtype, stacked(spec[i].shape, rows));
      state.rows[i] = {spec[i].dtype, out[i].raw(), out[i].elements() / rows};
    }
    for (int64_t row = 0; row < rows; ++row, ++from.index) {
      TRIREME_CHECK(child_->read_rows(context, from, state.rows),
                    "a data set ended before its size");
      for (RowView& view : state.rows) {
        view.data = static_cast<char*>(view.data) +
                    size_of(view.dtype) * static_cast<size_t>(view.elements);
      }
    }
    return true;
  }

  bool read_and_stack(Context& context, BatchState& state, Position at, Element& out) const {
    const Position from = first(at);
    int64_t rows = 0;
    while (rows < batch_) {
      if (state.elements.size() == static_cast<size_t>(rows)) state.elements.emplace_back();
      if (!child_->read(context, {scaled_position(rows, 1, from.index), at.epoch},
                        state.elements[rows]))
        break;
      ++rows;
    }
    if (rows == 0 || (drop_remainder_ && rows < batch_)) return false;
    const size_t components = spec_.size();
    out.resize(components);
    for (size_t i = 0; i < components; ++i) {
      const Tensor& model = state.elements[0][i];
      prepare(out[i], model.dtype(), stacked(model.shape(), rows));
      RowView view{model.dtype(), out[i].raw(), model.elements()};
      for (int64_t row = 0; row < rows; ++row) {
        const Tensor& part = state.elements[row][i];
        if (part.type() != model.type()) {
          throw invalid_argument("batch: example ", from.index + row, " has \"", spec_[i].name,
                                 "\" ", part.type(), ", example ", from.index,
                                 " of the same batch has ", model.type(),
                                 "; make them alike with map() before batch()");
        }
        copy_values(part, view);
        view.data = static_cast<char*>(view.data) + part.bytes();
      }
    }
    return true;
  }

  NodePtr child_;
  int64_t batch_;
  bool drop_remainder_;
  int64_t part_, parts_;
  bool direct_ = false;
};

class CacheNode final : public Node {
 public:
  explicit CacheNode(NodePtr child) : child_(std::move(child)) {
    inherit(*child_);
    constexpr int64_t kMaxElements = int64_t{1} << 28;
    if (size_ < 0 || size_ > kMaxElements) {
      throw invalid_argument("cache: expected a data set of known size up to 2^28, found ",
                             size_ == kInfinite ? "one that repeats for ever; cache before repeat()"
                             : size_ == kUnknown ? "a generator"
                                                 : std::to_string(size_) + " elements");
    }
    slots_ = std::vector<std::atomic<const Element*>>(static_cast<size_t>(size_));
    sign("cache", 0);
  }
  ~CacheNode() override {
    for (auto& slot : slots_) delete slot.load();
  }

  bool read(Context& context, Position at, Element& out) const override {
    if (at.index >= size_) return false;
    auto& slot = slots_[static_cast<size_t>(at.index)];
    const Element* held = slot.load(std::memory_order_acquire);
    if (held == nullptr) {
      // Two threads may make the same element; it is the same, and no lock is held while it is
      // made.
      auto made = std::make_unique<Element>();
      TRIREME_CHECK(child_->read(context, {at.index, 0}, *made),
                    "a data set ended before its size");
      if (slot.compare_exchange_strong(held, made.get(), std::memory_order_acq_rel))
        held = made.release();
    }
    copy_element(*held, out);  // a copy, because whoever gets it may write to it
    return true;
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    if (at.index >= size_) return false;
    const Element* held = slots_[static_cast<size_t>(at.index)].load(std::memory_order_acquire);
    if (held == nullptr) return Node::read_rows(context, at, rows);
    for (size_t i = 0; i < rows.size(); ++i) copy_values((*held)[i], rows[i]);
    return true;
  }
  Position origin(Context& context, Position at) const override {
    // Augmentation behind the cache still differs between epochs.
    return {child_->origin(context, {at.index, 0}).index, at.epoch};
  }

 private:
  NodePtr child_;
  mutable std::vector<std::atomic<const Element*>> slots_;
};

}  // namespace

NodePtr make_map(NodePtr child, MapFunction function, MapOptions options) {
  return std::make_shared<MapNode>(std::move(child), std::move(function), std::move(options));
}
NodePtr make_batch_part(NodePtr child, int64_t size, int64_t index, int64_t count) {
  return std::make_shared<BatchNode>(std::move(child), size, false, index, count);
}

NodePtr make_batch(NodePtr child, int64_t size, bool drop_remainder) {
  return std::make_shared<BatchNode>(std::move(child), size, drop_remainder);
}
NodePtr make_cache(NodePtr child) { return std::make_shared<CacheNode>(std::move(child)); }

}  // namespace trireme::data
