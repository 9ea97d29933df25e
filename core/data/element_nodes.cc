// Nodes that make elements out of elements: map, batch, cache.
#include <algorithm>
#include <atomic>
#include <thread>

#include "core/base/batch_share.h"
#include "core/base/error.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

class MapNode final : public Node {
 public:
  MapNode(NodePtr child, MapFunction function, MapOptions options)
      : function_(std::move(function)), seed_(options.seed) {
    inherit(std::move(child));
    tune_ = tune_ || options.threads == kAuto;
    threads_ = std::max(threads_, most_threads(options.threads, "map"));
    if (options.output) spec_ = std::move(*options.output);
    sign("map", static_cast<int64_t>(seed_));
  }

  bool read(Context& context, Position at, Element& out) const override {
    if (!child().read(context, at, out)) return false;
    function_(out, map_context(seed_, child().origin(context, at)));
    check_element(out, spec_, "map");
    return true;
  }
  Position origin(Context& context, Position at) const override {
    return child().origin(context, at);
  }

 private:
  MapFunction function_;
  uint64_t seed_;
};

struct BatchState : NodeState {
  std::vector<RowView> rows;
  std::vector<Element> elements;
  uint64_t epoch = 0;  // of the first row, of a stream
};

class BatchNode final : public Node {
 public:
  BatchNode(NodePtr child, int64_t batch, bool drop_remainder, int64_t part = 0, int64_t parts = 1)
      : batch_(batch), drop_remainder_(drop_remainder), part_(part), parts_(parts) {
    inherit(std::move(child));
    const int64_t elements = size_;
    if (batch < 1) throw invalid_argument("batch: expected a size of at least 1, found ", batch);
    if (size_ >= 0) size_ = size_ / batch + (!drop_remainder && size_ % batch != 0 ? 1 : 0);
    direct_ = !stream_ && elements != kUnknown && has_known_shapes(spec_);
    if (part < 0 || part >= parts) throw invalid_argument("batch_part: part ", part, " of ", parts);
    const bool always_full =
        drop_remainder || elements == kInfinite || (elements >= 0 && elements % batch == 0);
    require_stackable(spec_, "batch");
    for (ComponentSpec& component : spec_) {
      component.shape = stacked(component.shape, always_full ? own_rows(batch).second : -1);
    }
    // The state of one part can be taken up by another: they are at the same batch.
    sign(drop_remainder ? "batch_drop" : "batch", batch);
    name_ = "batch";
  }

  bool read(Context& context, Position at, Element& out) const override {
    auto& state = context.state<BatchState>(this);
    return direct_ ? read_direct(context, state, at, out) : read_and_stack(context, state, at, out);
  }
  Position origin(Context& context, Position at) const override {
    if (stream_) return {at.index, context.state<BatchState>(this).epoch};
    return {at.index, child().origin(context, first(at)).epoch};
  }

 private:
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
    if (child().size() >= 0) rows = std::min(rows, child().size() - from.index);
    if (rows <= 0 || (drop_remainder_ && rows < batch_)) return false;
    if (parts_ > 1) {
      const auto [begin, count] = own_rows(rows);
      from.index += begin;
      rows = count;
    }
    const ElementSpec& spec = child().spec();
    out.resize(spec.size());
    state.rows.resize(spec.size());
    for (size_t i = 0; i < spec.size(); ++i) {
      prepare(out[i], spec[i].dtype, stacked(spec[i].shape, rows));
      state.rows[i] = {spec[i].dtype, out[i].raw(), out[i].elements() / rows};
    }
    for (int64_t row = 0; row < rows; ++row, ++from.index) {
      TRIREME_CHECK(child().read_rows(context, from, state.rows),
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
      const Position row{scaled_position(rows, 1, from.index), at.epoch};
      if (!child().read(context, row, state.elements[static_cast<size_t>(rows)])) break;
      if (rows == 0 && stream_) state.epoch = child().origin(context, row).epoch;
      ++rows;
    }
    if (rows == 0 || (drop_remainder_ && rows < batch_)) return false;
    const auto [begin, count] = parts_ > 1 ? own_rows(rows) : std::pair<int64_t, int64_t>(0, rows);
    stack({state.elements.data() + begin, static_cast<size_t>(count)}, child().spec(),
          from.index + begin, out);
    return true;
  }

  int64_t batch_;
  bool drop_remainder_;
  int64_t part_, parts_;
  bool direct_ = false;
};

class CacheNode final : public Node {
 public:
  explicit CacheNode(NodePtr child) {
    inherit(std::move(child));
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
      TRIREME_CHECK(child().read(context, {at.index, 0}, *made),
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
    return {child().origin(context, {at.index, 0}).index, at.epoch};
  }

 private:
  mutable std::vector<std::atomic<const Element*>> slots_;
};

}  // namespace

NodePtr make_map(NodePtr child, MapFunction function, MapOptions options) {
  if (!function) throw invalid_argument("map: expected a function, found an empty one");
  most_threads(options.threads, "map");  // throws
  if (child->is_stream()) {
    return map_stream(std::move(child), std::move(function), std::move(options));
  }
  return std::make_shared<MapNode>(std::move(child), std::move(function), std::move(options));
}
NodePtr make_batch(NodePtr child, int64_t size, bool drop_remainder) {
  return std::make_shared<BatchNode>(std::move(child), size, drop_remainder);
}
NodePtr make_batch_part(NodePtr child, int64_t size, int64_t index, int64_t count) {
  return std::make_shared<BatchNode>(std::move(child), size, false, index, count);
}
NodePtr make_cache(NodePtr child) {
  constexpr int64_t kMaxElements = int64_t{1} << 28;
  if (child->size() == kInfinite || child->size() > kMaxElements) {
    throw invalid_argument("cache: expected a data set of up to 2^28 elements, found ",
                           child->size() == kInfinite
                               ? "one that repeats for ever; cache before repeat()"
                               : std::to_string(child->size()) + " elements");
  }
  if (child->is_stream() || child->size() == kUnknown) return cache_stream(std::move(child));
  return std::make_shared<CacheNode>(std::move(child));
}

int most_threads(int threads, std::string_view what) {
  if (threads < kAuto || threads > 1024) {
    throw invalid_argument(what, ": expected 0 to 1024 threads or kAuto, found ", threads);
  }
  if (threads != kAuto) return threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 64);
}

MapContext map_context(uint64_t seed, Position origin) {
  const PhiloxBlock block = philox(seed, hash_name("map"), static_cast<uint64_t>(origin.index));
  return {origin.index, origin.epoch, (uint64_t{block[1]} << 32) | block[0]};
}

void stack(std::span<const Element> elements, const ElementSpec& spec, int64_t first,
           Element& out) {
  const auto rows = static_cast<int64_t>(elements.size());
  out.resize(spec.size());
  for (size_t i = 0; i < spec.size(); ++i) {
    const Tensor& model = elements[0][i];
    prepare(out[i], model.dtype(), stacked(model.shape(), rows));
    RowView view{model.dtype(), out[i].raw(), model.elements()};
    for (int64_t row = 0; row < rows; ++row) {
      const Tensor& part = elements[static_cast<size_t>(row)][i];
      if (part.type() != model.type()) {
        throw invalid_argument(
            "batch: example ", first + row, " has \"", spec[i].name, "\" ", part.type(),
            ", example ", first, " of the same batch has ", model.type(),
            "; make them alike with map() before batch(), or use padded_batch()");
      }
      copy_values(part, view);
      view.data = static_cast<char*>(view.data) + part.bytes();
    }
  }
}

}  // namespace trireme::data
