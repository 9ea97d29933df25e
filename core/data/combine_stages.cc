// Stages over several data sets: zip, sample_from_datasets, choose_from_datasets.
#include <algorithm>

#include "core/base/error.h"
#include "core/data/chain_reader.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

ElementSpec zipped_spec(const std::vector<NodePtr>& children) {
  ElementSpec spec;
  for (const NodePtr& child : children) {
    spec.insert(spec.end(), child->spec().begin(), child->spec().end());
  }
  check_spec(spec, "zip (rename() gives components other names)");
  return spec;
}

// The size of the shortest; `unknown` where one has none.
int64_t shortest(const std::vector<NodePtr>& children) {
  int64_t size = kInfinite;
  for (const NodePtr& child : children) {
    if (child->size() == kUnknown) return kUnknown;
    if (child->size() >= 0) size = size < 0 ? child->size() : std::min(size, child->size());
  }
  return size;
}

struct Parts : NodeState {
  std::vector<Element> elements;
  std::vector<Context> contexts;  // a chain may be there twice, at different places
};

class ZipNode final : public Node {
 public:
  ZipNode(std::vector<NodePtr> children, size_t leader) : leader_(leader) {
    spec_ = zipped_spec(children);
    size_ = shortest(children);
    std::string name = "zip";
    for (const NodePtr& child : children) {
      threads_ = std::max(threads_, child->threads());
      tune_ = tune_ || child->tunes_threads();
      prefetch_ = std::max(prefetch_, child->prefetch());
      name += str_cat('+', child->fingerprint());
    }
    fingerprint_ = hash_name(name);
    name_ = "zip";
    children_ = std::move(children);
  }
  bool read(Context& context, Position at, Element& out) const override {
    if (size_ >= 0 && at.index >= size_) return false;
    auto& parts = parts_of(context);
    for (size_t i = 0; i < children_.size(); ++i) {
      if (!children_[i]->read(parts.contexts[i], at, parts.elements[i])) return false;
    }
    out.resize(spec_.size());
    auto to = out.begin();
    for (Element& part : parts.elements) to = std::swap_ranges(part.begin(), part.end(), to);
    return true;
  }
  bool read_rows(Context& context, Position at, std::span<const RowView> rows) const override {
    if (size_ >= 0 && at.index >= size_) return false;
    auto& parts = parts_of(context);
    for (size_t i = 0; i < children_.size(); ++i) {
      const size_t own = children_[i]->spec().size();
      if (!children_[i]->read_rows(parts.contexts[i], at, rows.first(own))) return false;
      rows = rows.subspan(own);
    }
    return true;
  }
  Position origin(Context& context, Position at) const override {
    return children_[leader_]->origin(parts_of(context).contexts[leader_], at);
  }

 private:
  Parts& parts_of(Context& context) const {
    auto& parts = context.state<Parts>(this);
    parts.elements.resize(children_.size());
    parts.contexts.resize(children_.size());
    return parts;
  }

  size_t leader_;  // whose origin counts
};

// Several data sets that are read in order.
class CombinedStream : public Stream {
 public:
  CombinedStream(const std::vector<NodePtr>& children, uint64_t pass) {
    for (const NodePtr& child : children) children_.emplace_back(child, pass);
  }
  void save(Cursor& cursor) const override {
    for (const ChainReader& child : children_) child.save(cursor);
  }
  void load(CursorInput& cursor) override {
    for (ChainReader& child : children_) child.load(cursor);
  }
  Position origin() const override { return {kOwnIndex, epoch_}; }

 protected:
  bool give(size_t child, Element& out) {
    if (!children_[child].next(out)) return false;
    epoch_ = children_[child].origin().epoch;
    return true;
  }

  std::vector<ChainReader> children_;

 private:
  uint64_t epoch_ = 0;  // of the last element
};

class ZipStream final : public CombinedStream {
 public:
  ZipStream(const std::vector<NodePtr>& children, uint64_t pass, size_t leader)
      : CombinedStream(children, pass), leader_(leader), parts_(children.size()) {}
  bool next(Element& out) override {
    size_t components = 0;
    for (size_t i = 0; i < children_.size(); ++i) {
      if (!children_[i].next(parts_[i])) return false;
      components += parts_[i].size();
    }
    out.resize(components);
    auto to = out.begin();
    for (Element& part : parts_) to = std::swap_ranges(part.begin(), part.end(), to);
    return true;
  }
  Position origin() const override { return children_[leader_].origin(); }

 private:
  size_t leader_;
  std::vector<Element> parts_;
};

// Draws which data set is next: number `draw` of the stream is the same however often it is asked.
class SampleStream final : public CombinedStream {
 public:
  SampleStream(const std::vector<NodePtr>& children, uint64_t pass, const SampleOptions& options)
      : CombinedStream(children, pass),
        options_(options),
        pass_(pass),
        has_ended_(children.size(), 0) {}
  bool next(Element& out) override {
    while (weight_left() > 0) {
      const size_t chosen = draw();
      if (has_ended_[chosen] != 0) continue;
      if (give(chosen, out)) return true;
      has_ended_[chosen] = 1;
      if (options_.stop_on_empty) return false;
    }
    return false;
  }
  void save(Cursor& cursor) const override {
    CombinedStream::save(cursor);
    cursor.push_back(draws_);
    cursor.insert(cursor.end(), has_ended_.begin(), has_ended_.end());
  }
  void load(CursorInput& cursor) override {
    CombinedStream::load(cursor);
    draws_ = cursor.take_count();
    for (int64_t& ended : has_ended_) ended = cursor.take(0, 1);
  }

 private:
  double weight(size_t i) const { return options_.weights.empty() ? 1 : options_.weights[i]; }
  double weight_left() const {
    double sum = 0;
    for (size_t i = 0; i < children_.size(); ++i) sum += has_ended_[i] != 0 ? 0 : weight(i);
    return sum;
  }
  // Among those that have not ended.
  size_t draw() {
    double left = uniform_number(options_.seed, pass_, draws_++) * weight_left();
    size_t last = 0;
    for (size_t i = 0; i < children_.size(); ++i) {
      if (has_ended_[i] != 0 || weight(i) == 0) continue;
      last = i;
      left -= weight(i);
      if (left < 0) return i;
    }
    return last;
  }

  const SampleOptions& options_;
  uint64_t pass_;
  int64_t draws_ = 0;
  std::vector<int64_t> has_ended_;
};

class ChooseStream final : public CombinedStream {
 public:
  ChooseStream(const std::vector<NodePtr>& children, const NodePtr& choice, uint64_t pass,
               bool stop_on_empty)
      : CombinedStream(children, pass),
        choice_(choice, pass),
        stop_on_empty_(stop_on_empty),
        has_ended_(children.size(), 0) {}
  bool next(Element& out) override {
    while (choice_.next(chosen_)) {
      const int64_t index = chosen_[0].item<int64_t>();
      if (index < 0 || index >= static_cast<int64_t>(children_.size())) {
        throw invalid_argument("choose_from_datasets: choice ", choice_.position() - 1, " is ",
                               index, ", expected one from 0 to ", children_.size() - 1);
      }
      if (give(static_cast<size_t>(index), out)) return true;
      has_ended_[static_cast<size_t>(index)] = 1;
      // An endless choice among data sets that have ended would never end.
      if (stop_on_empty_ || std::ranges::count(has_ended_, 0) == 0) return false;
    }
    return false;
  }
  void save(Cursor& cursor) const override {
    CombinedStream::save(cursor);
    choice_.save(cursor);
    cursor.insert(cursor.end(), has_ended_.begin(), has_ended_.end());
  }
  void load(CursorInput& cursor) override {
    CombinedStream::load(cursor);
    choice_.load(cursor);
    for (int64_t& ended : has_ended_) ended = cursor.take(0, 1);
  }

 private:
  ChainReader choice_;
  bool stop_on_empty_;
  std::vector<int64_t> has_ended_;
  Element chosen_;
};

ElementSpec common_spec(const std::vector<NodePtr>& children, std::string_view what) {
  if (children.empty()) throw invalid_argument(what, ": expected at least one data set");
  ElementSpec spec = children[0]->spec();
  for (const NodePtr& child : children) spec = merged_spec(spec, child->spec(), what);
  return spec;
}

}  // namespace

NodePtr make_zip(std::vector<NodePtr> children, size_t leader) {
  if (children.empty()) throw invalid_argument("zip: expected at least one data set");
  const bool by_index = std::ranges::none_of(children, [](const NodePtr& child) {
    return child->is_stream() || child->size() == kUnknown;
  });
  if (by_index) return std::make_shared<ZipNode>(std::move(children), leader);
  ElementSpec spec = zipped_spec(children);
  const int64_t size = shortest(children);
  return std::make_shared<StreamNode>(
      StreamNode::Options{.spec = std::move(spec),
                          .size = size,
                          .name = "zip",
                          .children = children,
                          .start = [children, leader](uint64_t pass) {
                            return std::make_unique<ZipStream>(children, pass, leader);
                          }});
}

NodePtr make_sample(std::vector<NodePtr> children, SampleOptions options) {
  ElementSpec spec = common_spec(children, "sample_from_datasets");
  if (!options.weights.empty() && options.weights.size() != children.size()) {
    throw invalid_argument("sample_from_datasets: expected a weight for each of ", children.size(),
                           " data sets, found ", options.weights.size());
  }
  double sum = options.weights.empty() ? 1 : 0;
  std::string name = str_cat("sample_from_datasets ", options.seed, ' ', options.stop_on_empty);
  for (const double weight : options.weights) {
    if (!(weight >= 0 && weight <= 1e300)) {
      throw invalid_argument("sample_from_datasets: expected weights of at least 0, found ",
                             weight);
    }
    sum += weight;
    name += str_cat(' ', weight);
  }
  if (sum == 0) throw invalid_argument("sample_from_datasets: all weights are 0");
  // Of endless data sets none ever ends.
  const bool endless = std::ranges::all_of(
      children, [](const NodePtr& child) { return child->size() == kInfinite; });
  auto shared = std::make_shared<SampleOptions>(std::move(options));
  return std::make_shared<StreamNode>(
      StreamNode::Options{.spec = std::move(spec),
                          .size = endless ? kInfinite : kUnknown,
                          .name = std::move(name),
                          .children = children,
                          .start = [children, shared](uint64_t pass) {
                            return std::make_unique<SampleStream>(children, pass, *shared);
                          }});
}

NodePtr make_choose(std::vector<NodePtr> children, NodePtr choice, bool stop_on_empty) {
  ElementSpec spec = common_spec(children, "choose_from_datasets");
  const ElementSpec& chosen = choice->spec();
  if (chosen.size() != 1 || chosen[0].dtype != DType::kInt64 || chosen[0].shape.rank() != 0) {
    throw invalid_argument("choose_from_datasets: expected choices of one i64 scalar");
  }
  std::vector<NodePtr> all = children;
  all.push_back(choice);
  return std::make_shared<StreamNode>(StreamNode::Options{
      .spec = std::move(spec),
      .name = str_cat("choose_from_datasets ", stop_on_empty),
      .children = std::move(all),
      .start = [children, choice, stop_on_empty](uint64_t pass) {
        return std::make_unique<ChooseStream>(children, choice, pass, stop_on_empty);
      }});
}

}  // namespace trireme::data
