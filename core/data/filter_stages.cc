// Stages that leave elements out or change them by what came before: filter, take_while,
// ignore_errors, unique, scan, rejection_resample.
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "core/base/error.h"
#include "core/data/chain_reader.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

// A stream over one child, of which it gives some elements.
class SelectingStream : public Stream {
 public:
  explicit SelectingStream(NodePtr child, uint64_t pass) : child_(std::move(child), pass) {}
  Position origin() const override { return child_.origin(); }
  void save(Cursor& cursor) const override { child_.save(cursor); }
  void load(CursorInput& cursor) override { child_.load(cursor); }

 protected:
  ChainReader child_;
  Element scratch_;  // what is left out must not be seen in the caller's element
};

class FilterStream final : public SelectingStream {
 public:
  FilterStream(NodePtr child, uint64_t pass, const Predicate& keep)
      : SelectingStream(std::move(child), pass), keep_(keep) {}
  bool next(Element& out) override {
    for (int64_t rejected = 0; child_.next(scratch_); ++rejected) {
      if (keep_(scratch_)) {
        std::swap(out, scratch_);
        return true;
      }
      if (child_.node().size() == kInfinite && rejected == kMostRejected) {
        throw invalid_argument("filter: none of ", rejected,
                               " elements in a row of an endless data set was kept");
      }
    }
    return false;
  }

 private:
  static constexpr int64_t kMostRejected = 100'000'000;
  const Predicate& keep_;
};

class TakeWhileStream final : public SelectingStream {
 public:
  TakeWhileStream(NodePtr child, uint64_t pass, const Predicate& go_on)
      : SelectingStream(std::move(child), pass), go_on_(go_on) {}
  bool next(Element& out) override {
    if (!child_.next(scratch_) || !go_on_(scratch_)) return false;
    std::swap(out, scratch_);
    return true;
  }

 private:
  const Predicate& go_on_;
};

class IgnoreErrorsStream final : public SelectingStream {
 public:
  using SelectingStream::SelectingStream;
  bool next(Element& out) override {
    for (int64_t errors = 0;; ++errors) {
      try {
        return child_.next(out);
      } catch (const Error&) {
        if (errors == kMostErrors) throw;
        child_.move_to(child_.position() + 1, child_.pass());
      }
    }
  }

 private:
  static constexpr int64_t kMostErrors = 1'000'000;  // in a row
};

// The bytes of an element, as a key.
std::string bytes_of(const Element& element) {
  std::string bytes;
  for (const Tensor& tensor : element) {
    bytes += str_cat(tensor.type(), '\n');
    if (tensor.dtype() == DType::kString) {
      for (const std::string& value : tensor.flat<std::string>()) {
        bytes += str_cat(value.size(), '\n', value);
      }
    } else {
      bytes.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
    }
  }
  return bytes;
}

class UniqueStream final : public SelectingStream {
 public:
  UniqueStream(NodePtr child, uint64_t pass)
      : SelectingStream(child, pass), node_(std::move(child)) {}
  bool next(Element& out) override {
    if (seen_at_ < child_.position()) see_again();
    while (child_.next(scratch_)) {
      ++seen_at_;
      if (!seen_.insert(bytes_of(scratch_)).second) continue;
      std::swap(out, scratch_);
      return true;
    }
    return false;
  }

 private:
  void see_again() {
    ChainReader before(node_, child_.pass());
    Element element;
    for (; seen_at_ < child_.position() && before.next(element); ++seen_at_) {
      seen_.insert(bytes_of(element));
    }
  }

  NodePtr node_;
  std::unordered_set<std::string> seen_;
  int64_t seen_at_ = 0;  // elements of the child that are in seen_
};

// Tensors as numbers of a cursor.
void save_tensors(const Element& tensors, Cursor& cursor) {
  for (const Tensor& tensor : tensors) {
    cursor.push_back(tensor.shape().rank());
    for (const int64_t dim : tensor.shape()) cursor.push_back(dim);
    const size_t words = (tensor.bytes() + 7) / 8;
    const size_t begin = cursor.size();
    cursor.resize(begin + words, 0);
    if (words > 0) std::memcpy(cursor.data() + begin, tensor.raw(), tensor.bytes());
  }
}

void load_tensors(CursorInput& cursor, const Element& initial, Element& tensors) {
  tensors.resize(initial.size());
  for (size_t i = 0; i < initial.size(); ++i) {
    Shape shape;
    const int64_t rank = cursor.take(0, Shape::kMaxRank);
    int64_t elements = 1;
    for (int64_t d = 0; d < rank; ++d) {
      const int64_t dim = cursor.take(0, int64_t{1} << 32);
      if (__builtin_mul_overflow(elements, dim, &elements)) elements = INT64_MAX;
      shape.push_back(dim);
    }
    const auto size = static_cast<int64_t>(size_of(initial[i].dtype()));
    if (elements > INT64_MAX / 16) cursor.take_all(elements);  // throws
    const auto words = cursor.take_all((elements * size + 7) / 8);
    tensors[i] = Tensor(initial[i].dtype(), shape);
    if (!words.empty()) std::memcpy(tensors[i].raw(), words.data(), tensors[i].bytes());
  }
}

struct Scan {
  Element initial;
  ScanFunction function;
  ElementSpec output;
};

class ScanStream final : public Stream {
 public:
  ScanStream(NodePtr child, uint64_t pass, const Scan& scan)
      : child_(std::move(child), pass), scan_(scan) {
    for (const Tensor& tensor : scan.initial) state_.push_back(tensor.clone());
  }
  bool next(Element& out) override {
    if (!child_.next(out)) return false;
    scan_.function(state_, out);
    check_element(out, scan_.output, "scan");
    bool same = state_.size() == scan_.initial.size();
    for (size_t i = 0; same && i < state_.size(); ++i) {
      same = state_[i].defined() && state_[i].dtype() == scan_.initial[i].dtype();
    }
    if (!same) {
      throw invalid_argument("scan: expected its state to keep its ", scan_.initial.size(),
                             " tensors and their types");
    }
    return true;
  }
  Position origin() const override { return child_.origin(); }
  void save(Cursor& cursor) const override {
    child_.save(cursor);
    save_tensors(state_, cursor);
  }
  void load(CursorInput& cursor) override {
    child_.load(cursor);
    load_tensors(cursor, scan_.initial, state_);
  }

 private:
  ChainReader child_;
  const Scan& scan_;
  Element state_;
};

class ResampleStream final : public SelectingStream {
 public:
  ResampleStream(NodePtr child, uint64_t pass, const ResampleOptions& options)
      : SelectingStream(std::move(child), pass), options_(options) {
    counts_.assign(options.target.size(), 0);
  }
  bool next(Element& out) override {
    while (child_.next(scratch_)) {
      const int64_t number = child_.position() - 1;
      const int64_t kind = options_.class_of(scratch_);
      if (kind < 0 || kind >= static_cast<int64_t>(counts_.size())) {
        throw invalid_argument("rejection_resample: expected a class from 0 to ",
                               counts_.size() - 1, ", one for each share of `target`, found ", kind,
                               " for element ", number);
      }
      ++counts_[static_cast<size_t>(kind)];
      if (uniform_number(options_.seed, child_.origin().epoch, number) >= kept(kind)) continue;
      std::swap(out, scratch_);
      return true;
    }
    return false;
  }
  void save(Cursor& cursor) const override {
    SelectingStream::save(cursor);
    cursor.insert(cursor.end(), counts_.begin(), counts_.end());
  }
  void load(CursorInput& cursor) override {
    SelectingStream::load(cursor);
    for (int64_t& count : counts_) count = cursor.take_count();
  }

 private:
  // The share of class `kind` that is kept: the class that is the most too rare keeps all.
  double kept(int64_t kind) const {
    double most = 0, own = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      if (options_.target[i] == 0) continue;
      const double now =
          options_.initial.empty() ? static_cast<double>(counts_[i]) + 1 : options_.initial[i];
      const double ratio = options_.target[i] / now;
      most = std::max(most, ratio);
      if (static_cast<int64_t>(i) == kind) own = ratio;
    }
    return own / most;
  }

  const ResampleOptions& options_;
  std::vector<int64_t> counts_;
};

// Endless children stay endless, others may lose elements.
int64_t size_of_part(const Node& child) { return child.size() == kInfinite ? kInfinite : kUnknown; }

void require_function(bool there, std::string_view what) {
  if (!there) throw invalid_argument(what, ": expected a function, found an empty one");
}

}  // namespace

NodePtr make_filter(NodePtr child, Predicate keep) {
  require_function(keep != nullptr, "filter");
  const int64_t size = size_of_part(*child);
  return make_stream(
      child, child->spec(), "filter",
      [child, keep = std::move(keep)](uint64_t pass) {
        return std::make_unique<FilterStream>(child, pass, keep);
      },
      size);
}

NodePtr make_take_while(NodePtr child, Predicate go_on) {
  require_function(go_on != nullptr, "take_while");
  return make_stream(child, child->spec(), "take_while",
                     [child, go_on = std::move(go_on)](uint64_t pass) {
                       return std::make_unique<TakeWhileStream>(child, pass, go_on);
                     });
}

NodePtr make_ignore_errors(NodePtr child) {
  if (child->is_stream()) {
    throw invalid_argument(
        "ignore_errors: after an error a stream cannot go on; use it before filter(), flat_map() "
        "and the other streams, behind the map() whose errors are to be ignored");
  }
  return make_stream(child, child->spec(), "ignore_errors", [child](uint64_t pass) {
    return std::make_unique<IgnoreErrorsStream>(child, pass);
  });
}

NodePtr make_unique(NodePtr child) {
  return make_stream(child, child->spec(), "unique", [child](uint64_t pass) {
    return std::make_unique<UniqueStream>(child, pass);
  });
}

NodePtr make_scan(NodePtr child, Element initial, ScanFunction function, ElementSpec output) {
  require_function(function != nullptr, "scan");
  for (const Tensor& tensor : initial) {
    if (!tensor.defined() || !tensor.on_host() || tensor.dtype() == DType::kString) {
      throw invalid_argument("scan: expected an initial state of host tensors of numbers");
    }
  }
  const int64_t size = child->size();
  auto scan = std::make_shared<Scan>(std::move(initial), std::move(function), output);
  return make_stream(
      child, std::move(output), "scan",
      [child, scan](uint64_t pass) { return std::make_unique<ScanStream>(child, pass, *scan); },
      size);
}

NodePtr make_rejection_resample(NodePtr child, ResampleOptions options) {
  require_function(options.class_of != nullptr, "rejection_resample");
  const auto is_share = [](double share) { return share >= 0 && share <= 1e300; };
  if (!std::ranges::all_of(options.target, is_share) ||
      std::ranges::all_of(options.target, [](double share) { return share == 0; })) {
    throw invalid_argument(
        "rejection_resample: expected `target` to have a share of at least 0 for each class, and "
        "one above 0");
  }
  if (!options.initial.empty()) {
    if (options.initial.size() != options.target.size()) {
      throw invalid_argument("rejection_resample: expected as many initial shares as target ones, ",
                             options.target.size(), ", found ", options.initial.size());
    }
    for (size_t i = 0; i < options.target.size(); ++i) {
      if (is_share(options.initial[i]) && (options.initial[i] > 0 || options.target[i] == 0)) {
        continue;
      }
      throw invalid_argument("rejection_resample: class ", i, " has the initial share ",
                             options.initial[i], ", expected one above 0, as its target is ",
                             options.target[i]);
    }
  }
  std::string name = str_cat("rejection_resample ", options.seed);
  for (const double share : options.target) name += str_cat(' ', share);
  for (const double share : options.initial) name += str_cat('/', share);
  const int64_t size = size_of_part(*child);
  auto shared = std::make_shared<ResampleOptions>(std::move(options));
  return make_stream(
      child, child->spec(), std::move(name),
      [child, shared](uint64_t pass) {
        return std::make_unique<ResampleStream>(child, pass, *shared);
      },
      size);
}

}  // namespace trireme::data
