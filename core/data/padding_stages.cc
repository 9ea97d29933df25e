// Batches of elements whose shapes differ in sizes: padded_batch, and batches by key or by length.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "core/base/error.h"
#include "core/data/chain_reader.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

template <typename T>
void fill(void* data, int64_t elements, double value) {
  std::fill_n(static_cast<T*>(data), elements, static_cast<T>(value));
}

void fill_with(Tensor& tensor, double value, std::string_view what) {
  switch (tensor.dtype()) {
    case DType::kFloat32:
      return fill<float>(tensor.raw(), tensor.elements(), value);
    case DType::kFloat64:
      return fill<double>(tensor.raw(), tensor.elements(), value);
    case DType::kInt32:
      return fill<int32_t>(tensor.raw(), tensor.elements(), value);
    case DType::kInt64:
      return fill<int64_t>(tensor.raw(), tensor.elements(), value);
    case DType::kUInt8:
      return fill<uint8_t>(tensor.raw(), tensor.elements(), value);
    case DType::kBool:
      return fill<bool>(tensor.raw(), tensor.elements(), value);
    case DType::kString:
      for (std::string& text : tensor.flat<std::string>()) text.clear();
      return;
    default:
      throw invalid_argument(what, ": cannot fill up ", name(tensor.dtype()));
  }
}

template <typename Copy>
void copy_runs(const Shape& from, const Shape& to, int axis, int64_t from_offset, int64_t to_offset,
               const Copy& copy) {
  // Behind this axis sizes agree: one run.
  int same = from.rank();
  while (same > axis && from[same - 1] == to[same - 1]) --same;
  if (same == axis) return copy(from_offset, to_offset, from.last(from.rank() - axis).elements());
  const int64_t from_step = from.last(from.rank() - axis - 1).elements();
  const int64_t to_step = to.last(to.rank() - axis - 1).elements();
  if (axis + 1 == from.rank()) return copy(from_offset, to_offset, from[axis]);
  for (int64_t i = 0; i < from[axis]; ++i) {
    copy_runs(from, to, axis + 1, from_offset + i * from_step, to_offset + i * to_step, copy);
  }
}

// Writes `from` into the corner of a row of `shape` of `to`, at element `offset`.
void copy_into(const Tensor& from, const Shape& shape, Tensor& to, int64_t offset) {
  if (from.elements() == 0) return;
  copy_runs(from.shape(), shape, 0, 0, offset, [&](int64_t begin, int64_t end, int64_t count) {
    if (from.dtype() == DType::kString) {
      const auto strings = from.flat<std::string>();
      std::copy_n(strings.begin() + begin, count, to.flat<std::string>().begin() + end);
    } else {
      const auto size = static_cast<int64_t>(size_of(from.dtype()));
      std::memcpy(static_cast<char*>(to.raw()) + end * size,
                  static_cast<const char*>(from.raw()) + begin * size,
                  static_cast<size_t>(count * size));
    }
  });
}

bool holds(DType dtype, double value) {
  if (dtype == DType::kFloat32 || dtype == DType::kFloat64) return true;
  if (dtype == DType::kString) return value == 0;
  double least = -0x1p63, most = 0x1p63 - 1024;
  if (dtype == DType::kInt32) least = INT32_MIN, most = INT32_MAX;
  if (dtype == DType::kUInt8) least = 0, most = 255;
  if (dtype == DType::kBool) least = 0, most = 1;
  return value == std::trunc(value) && value >= least && value <= most;
}

}  // namespace

Padder::Padder(const ElementSpec& spec, PaddingOptions options, std::string_view what)
    : what_(what), spec_(spec), options_(std::move(options)) {
  if (options_.shapes.empty()) {
    for (const ComponentSpec& component : spec_) options_.shapes.push_back(component.shape);
  }
  if (options_.values.empty()) options_.values.assign(spec_.size(), 0);
  if (options_.shapes.size() != spec_.size() || options_.values.size() != spec_.size()) {
    throw invalid_argument(what, ": expected a padded shape and a padding value for each of ",
                           spec_.size(), " components, found ", options_.shapes.size(), " and ",
                           options_.values.size());
  }
  for (size_t i = 0; i < spec_.size(); ++i) {
    const Shape& shape = spec_[i].shape;
    bool fits = shape.rank() == options_.shapes[i].rank();
    for (int d = 0; fits && d < shape.rank(); ++d) {
      fits = shape[d] < 0 || options_.shapes[i][d] < 0 || shape[d] <= options_.shapes[i][d];
    }
    if (!fits) {
      throw invalid_argument(what, ": component \"", spec_[i].name, "\" of ", shape,
                             " cannot be padded to ", options_.shapes[i]);
    }
    if (!holds(spec_[i].dtype, options_.values[i])) {
      throw invalid_argument(what, ": component \"", spec_[i].name, "\", ", name(spec_[i].dtype),
                             ", cannot be filled up with ", options_.values[i]);
    }
  }
  for (const std::string& name : options_.lengths) {
    const auto found = std::ranges::find(spec_, name, &ComponentSpec::name);
    if (found == spec_.end() || found->shape.rank() == 0) {
      throw invalid_argument(what, ": lengths of \"", name,
                             "\": expected the name of a component that has a first axis");
    }
  }
  require_stackable(spec_, what);
}

bool Padder::has_length(size_t component) const {
  return std::ranges::find(options_.lengths, spec_[component].name) != options_.lengths.end();
}

ElementSpec Padder::batch_spec(int64_t rows) const {
  ElementSpec spec;
  for (size_t i = 0; i < spec_.size(); ++i) {
    Shape shape = options_.shapes[i];
    // A size that the options leave open is the batch's longest; where all agree it is known.
    for (int d = 0; d < shape.rank(); ++d) {
      if (shape[d] < 0) shape.set(d, spec_[i].shape[d]);
    }
    spec.push_back({spec_[i].name, spec_[i].dtype, stacked(shape, rows)});
    if (has_length(i)) spec.push_back({spec_[i].name + "_length", DType::kInt64, {rows}});
  }
  check_spec(spec, what_);
  return spec;
}

std::string Padder::signature() const {
  std::string text;
  for (size_t i = 0; i < spec_.size(); ++i) {
    text += str_cat(' ', options_.shapes[i], '=', options_.values[i]);
  }
  for (const std::string& name : options_.lengths) text += str_cat(' ', name);
  return text;
}

void Padder::stack(std::span<const Element> elements, int64_t first, Element& out) const {
  stack(elements, first, 0, out);
}

void Padder::stack(std::span<const Element> elements, int64_t first, int64_t length,
                   Element& out) const {
  const auto rows = static_cast<int64_t>(elements.size());
  out.resize(spec_.size() + options_.lengths.size());
  size_t to = 0;
  for (size_t i = 0; i < spec_.size(); ++i) {
    Shape shape = options_.shapes[i];
    for (int d = 0; d < shape.rank(); ++d) {
      const bool open = shape[d] < 0;
      int64_t longest = 0;
      for (int64_t row = 0; row < rows; ++row) {
        const Tensor& tensor = elements[static_cast<size_t>(row)][i];
        const int64_t size = tensor.shape()[d];
        longest = std::max(longest, size);
        if (size <= (open ? INT64_MAX : shape[d])) continue;
        throw invalid_argument(what_, ": example ", first + row, " has \"", spec_[i].name, "\" ",
                               tensor.type(), ", more than the padded shape ", options_.shapes[i]);
      }
      if (open) shape.set(d, d == 0 ? std::max(longest, length) : longest);
    }
    Tensor& batch = out[to++];
    prepare(batch, spec_[i].dtype, stacked(shape, rows));
    const int64_t row_elements = shape.elements();
    const bool full = std::ranges::all_of(
        elements, [&](const Element& element) { return element[i].shape() == shape; });
    if (!full) fill_with(batch, options_.values[i], what_);
    for (int64_t row = 0; row < rows; ++row) {
      copy_into(elements[static_cast<size_t>(row)][i], shape, batch, row * row_elements);
    }
    if (!has_length(i)) continue;
    Tensor& lengths = out[to++];
    prepare(lengths, DType::kInt64, {rows});
    for (int64_t row = 0; row < rows; ++row) {
      lengths.flat<int64_t>()[static_cast<size_t>(row)] =
          elements[static_cast<size_t>(row)][i].shape()[0];
    }
  }
}

namespace {

struct PaddedState : NodeState {
  std::vector<Element> elements;
  uint64_t epoch = 0;
};

class PaddedBatchNode final : public Node {
 public:
  PaddedBatchNode(NodePtr child, int64_t size, const PaddingOptions& options)
      : batch_(size),
        drop_remainder_(options.drop_remainder),
        padder_(child->spec(), options, "padded_batch") {
    inherit(std::move(child));
    if (size < 1)
      throw invalid_argument("padded_batch: expected a size of at least 1, found ", size);
    const bool full = drop_remainder_ || size_ == kInfinite || (size_ >= 0 && size_ % size == 0);
    if (size_ >= 0) size_ = size_ / size + (!drop_remainder_ && size_ % size != 0 ? 1 : 0);
    spec_ = padder_.batch_spec(full ? size : -1);
    sign("padded_batch " + padder_.signature(), size, drop_remainder_ ? 1 : 0);
  }
  bool read(Context& context, Position at, Element& out) const override {
    auto& state = context.state<PaddedState>(this);
    const int64_t first = scaled_position(at.index, batch_, 0);
    int64_t rows = 0;
    for (; rows < batch_; ++rows) {
      if (state.elements.size() == static_cast<size_t>(rows)) state.elements.emplace_back();
      const Position row{scaled_position(rows, 1, first), at.epoch};
      if (!child().read(context, row, state.elements[static_cast<size_t>(rows)])) break;
      if (rows == 0 && stream_) state.epoch = child().origin(context, row).epoch;
    }
    if (rows == 0 || (drop_remainder_ && rows < batch_)) return false;
    padder_.stack({state.elements.data(), static_cast<size_t>(rows)}, first, out);
    return true;
  }
  Position origin(Context& context, Position at) const override {
    if (stream_) return {at.index, context.state<PaddedState>(this).epoch};
    const Position first{scaled_position(at.index, batch_, 0), at.epoch};
    return {at.index, child().origin(context, first).epoch};
  }

 private:
  int64_t batch_;
  bool drop_remainder_;
  Padder padder_;
};

struct Grouping {
  GroupOptions options;
  Padder padder;
};

// Elements wait by key until there are as many as a batch of theirs needs; those that are left at
// the end come in the order of keys.
class GroupStream final : public Stream {
 public:
  GroupStream(NodePtr child, uint64_t pass, const Grouping& stage)
      : node_(child), child_(std::move(child), pass), stage_(stage) {}

  bool next(Element& out) override {
    if (!waiting_.empty()) read_again();
    while (!ended_) {
      Held held;
      if (node_->is_stream()) child_.save(held.before);
      held.number = child_.position();
      if (!child_.next(held.element)) {
        ended_ = true;
        break;
      }
      held.epoch = child_.origin().epoch;
      const int64_t key = stage_.options.key(held.element);
      std::vector<Held>& group = groups_[key];
      group.push_back(std::move(held));
      if (static_cast<int64_t>(group.size()) < window_size(key)) continue;
      give(key, group, out);
      groups_.erase(key);
      return true;
    }
    if (stage_.options.padding.drop_remainder || groups_.empty()) return false;
    const auto group = groups_.begin();
    give(group->first, group->second, out);
    groups_.erase(group);
    return true;
  }
  Position origin() const override { return {kOwnIndex, epoch_}; }

  void save(Cursor& cursor) const override {
    if (!waiting_.empty()) {  // loaded, and not read since
      cursor.insert(cursor.end(), waiting_.begin(), waiting_.end());
      return;
    }
    child_.save(cursor);
    cursor.push_back(ended_ ? 1 : 0);
    // Numbers count back from where the child is, so that they stay short.
    cursor.push_back(static_cast<int64_t>(groups_.size()));
    const Held* oldest = nullptr;
    for (const auto& [key, group] : groups_) {
      cursor.push_back(key);
      cursor.push_back(static_cast<int64_t>(group.size()));
      for (const Held& held : group) {
        cursor.push_back(child_.position() - held.number);
        if (oldest == nullptr || held.number < oldest->number) oldest = &held;
      }
    }
    if (oldest != nullptr && node_->is_stream()) {
      cursor.push_back(static_cast<int64_t>(oldest->before.size()));
      cursor.insert(cursor.end(), oldest->before.begin(), oldest->before.end());
    }
  }
  void load(CursorInput& cursor) override {
    child_.load(cursor);
    child_.save(waiting_);
    const auto copy = [&](int64_t number) {
      waiting_.push_back(number);
      return number;
    };
    copy(cursor.take(0, 1));
    int64_t held = 0;
    for (int64_t groups = copy(cursor.take_count()); groups > 0; --groups) {
      copy(static_cast<int64_t>(cursor.take_bits()));
      for (int64_t count = copy(cursor.take_count()); count > 0; --count, ++held) {
        copy(cursor.take(1, child_.position()));
      }
    }
    if (held > 0 && node_->is_stream()) {
      const auto before = cursor.take_all(copy(cursor.take_count()));
      waiting_.insert(waiting_.end(), before.begin(), before.end());
    }
  }

 private:
  struct Held {
    Element element;
    int64_t number = 0;  // in the child
    uint64_t epoch = 0;
    Cursor before;  // of the child, where it is a stream
  };

  int64_t window_size(int64_t key) const {
    const int64_t size = stage_.options.window_size(key);
    if (size >= 1) return size;
    throw invalid_argument(stage_.options.name, ": expected batches of at least 1, found ", size,
                           " for key ", key);
  }

  void give(int64_t key, std::vector<Held>& group, Element& out) {
    rows_.clear();
    for (Held& held : group) rows_.push_back(std::move(held.element));
    epoch_ = group.front().epoch;
    const auto& length = stage_.options.padded_length;
    stage_.padder.stack(rows_, group.front().number, length ? length(key) : 0, out);
  }

  // Reads the elements again that were waiting when the state was saved.
  void read_again() {
    CursorInput cursor(waiting_);
    child_.load(cursor);
    ended_ = cursor.take(0, 1) == 1;
    std::map<int64_t, Held*> by_number;
    for (int64_t groups = cursor.take_count(); groups > 0; --groups) {
      std::vector<Held>& group = groups_[static_cast<int64_t>(cursor.take_bits())];
      group.resize(static_cast<size_t>(cursor.take_count()));
      for (Held& held : group) {
        held.number = child_.position() - cursor.take_count();
        by_number[held.number] = &held;
      }
    }
    ChainReader reader(node_, child_.pass());
    if (!by_number.empty() && node_->is_stream()) {
      CursorInput before(cursor.take_all(cursor.take_count()));
      reader.load(before);
    }
    for (auto& [number, held] : by_number) {
      if (!node_->is_stream() && reader.position() != number) {
        reader.move_to(number, child_.pass());
      }
      do {
        held->before.clear();
        if (node_->is_stream()) reader.save(held->before);
        if (!reader.next(held->element)) {
          throw data_loss("iterator state: element ", number, " that waited for its batch is gone");
        }
      } while (reader.position() <= number);
      held->epoch = reader.origin().epoch;
    }
    waiting_.clear();
  }

  NodePtr node_;
  ChainReader child_;
  const Grouping& stage_;
  std::map<int64_t, std::vector<Held>> groups_;
  std::vector<Element> rows_;
  Cursor waiting_;  // the state that was loaded, until the first next()
  bool ended_ = false;
  uint64_t epoch_ = 0;
};

}  // namespace

NodePtr make_padded_batch(NodePtr child, int64_t size, PaddingOptions options) {
  return std::make_shared<PaddedBatchNode>(std::move(child), size, options);
}

NodePtr make_group_by_window(NodePtr child, GroupOptions options) {
  const std::string name = options.name.substr(0, options.name.find(' '));
  if (!options.key || !options.window_size) {
    throw invalid_argument(name, ": expected the functions `key` and `window_size`");
  }
  Padder padder(child->spec(), options.padding, name);
  ElementSpec spec = padder.batch_spec(-1);
  std::string signature =
      str_cat(options.name, padder.signature(), ' ', options.padding.drop_remainder ? 1 : 0);
  const int64_t size = child->size() == kInfinite ? kInfinite : kUnknown;
  auto stage = std::make_shared<Grouping>(Grouping{std::move(options), std::move(padder)});
  return make_stream(
      child, std::move(spec), std::move(signature),
      [child, stage](uint64_t pass) { return std::make_unique<GroupStream>(child, pass, *stage); },
      size);
}

}  // namespace trireme::data
