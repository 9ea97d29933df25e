// Iterators: reading a chain of nodes from its start, and the text that says where one is.
#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/data/chain_reader.h"

namespace trireme::data {
namespace {

constexpr std::string_view kStateVersion = "trireme-iterator-1";

// Reads " name=value" off the front of `text`.
uint64_t take_field(std::string_view& text, std::string_view field, int base) {
  uint64_t value = 0;
  const std::string prefix = str_cat(' ', field, '=');
  if (text.starts_with(prefix)) {
    const char* begin = text.data() + prefix.size();
    const auto [end, status] = std::from_chars(begin, text.data() + text.size(), value, base);
    if (status == std::errc() && end != begin) {
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      return value;
    }
  }
  throw data_loss("iterator state: expected \"", prefix.substr(1), "…\", found \"",
                  text.substr(0, 40), "\"; it is damaged or was not written by Iterator::state()");
}

// Reads " place=1,2,…" off the front of `text`; nothing where it is not there.
Cursor take_place(std::string_view& text) {
  constexpr std::string_view kPrefix = " place=";
  Cursor place;
  if (!text.starts_with(kPrefix)) return place;
  text.remove_prefix(kPrefix.size());
  for (;;) {
    int64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc() || end == text.data()) {
      throw data_loss("iterator state: expected a number, found \"", text.substr(0, 40),
                      "\"; it is damaged or was not written by Iterator::state()");
    }
    place.push_back(value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.starts_with(',')) return place;
    text.remove_prefix(1);
  }
}

std::string hex(uint64_t value) {
  char digits[17];
  const auto result = std::to_chars(digits, digits + 16, value, 16);
  return {digits, result.ptr};
}

}  // namespace

class Iterator::Impl {
 public:
  explicit Impl(NodePtr node) : node_(std::move(node)), reader_(node_) {}

  bool next(Element& out) {
    if (!reader_.next(out)) return false;
    epoch_ = reader_.origin().epoch;
    if (node_->is_stream()) {
      // Not when it is asked for: after an error or the end streams are past this position.
      reader_.place(places_[slot(position())]);
      first_place_ = std::max(first_place_, position() - kBack);
    }
    return true;
  }

  void seek(int64_t position, uint64_t pass) {
    check_position(position, "seek");
    const bool near = node_->is_stream() && pass == reader_.pass() && position >= first_place_ &&
                      position <= this->position();
    move_to(position, pass, 0, near ? places_[slot(position)] : Cursor());
  }

  std::string state() const {
    std::string text = str_cat(kStateVersion, " position=", position(), " epoch=", epoch_,
                               " pipeline=", hex(node_->fingerprint()));
    if (reader_.pass() != 0) text += str_cat(" pass=", reader_.pass());
    const Cursor& place = places_[slot(position())];
    for (size_t i = 0; i < place.size(); ++i) text += str_cat(i == 0 ? " place=" : ",", place[i]);
    return str_cat(text, " check=", hex(hash_name(text)));
  }

  void restore(std::string_view state) {
    std::string_view rest = state;
    if (!rest.starts_with(kStateVersion)) {
      throw data_loss("iterator state: expected it to begin with \"", kStateVersion, "\", found \"",
                      state.substr(0, 40), "\"");
    }
    rest.remove_prefix(kStateVersion.size());
    const uint64_t position = take_field(rest, "position", 10);
    const uint64_t epoch = take_field(rest, "epoch", 10);
    const uint64_t pipeline = take_field(rest, "pipeline", 16);
    const uint64_t pass = rest.starts_with(" pass=") ? take_field(rest, "pass", 10) : 0;
    Cursor place = take_place(rest);
    const std::string_view checked = state.substr(0, state.size() - rest.size());
    const uint64_t check = take_field(rest, "check", 16);
    if (check != hash_name(checked) || !rest.empty()) {
      throw data_loss("iterator state: its check sum does not match: the text is damaged: \"",
                      state.substr(0, 200), "\"");
    }
    if (pipeline != node_->fingerprint()) {
      throw invalid_argument("iterator state: it was taken from another data set: from pipeline ",
                             hex(pipeline), ", this one is ", hex(node_->fingerprint()),
                             " (components, sizes, seeds and steps "
                             "must be the same); start it from the beginning or use seek()");
    }
    if (position > INT64_MAX)
      throw data_loss("iterator state: position ", position, " is out of range");
    check_position(static_cast<int64_t>(position), "iterator state");
    move_to(static_cast<int64_t>(position), pass, epoch, std::move(place));
  }

  int64_t position() const { return reader_.position(); }
  uint64_t epoch() const { return epoch_; }
  uint64_t pass() const { return reader_.pass(); }

 private:
  // A loop that reads one element ahead of the step that it repeats goes back two.
  static constexpr int64_t kBack = 2;
  static size_t slot(int64_t position) { return static_cast<size_t>(position % (kBack + 1)); }

  void check_position(int64_t position, std::string_view who) const {
    if (position < 0 || (node_->size() >= 0 && position > node_->size())) {
      throw invalid_argument(who, ": expected a position from 0 to ",
                             node_->size() >= 0 ? node_->size() : INT64_MAX, ", found ", position);
    }
  }
  void move_to(int64_t position, uint64_t pass, uint64_t epoch, Cursor place) {
    reader_.move_to(position, pass, place);
    for (Cursor& other : places_) other.clear();
    places_[slot(position)] = std::move(place);
    first_place_ = position;
    epoch_ = epoch;
  }

  NodePtr node_;
  ChainReader reader_;
  uint64_t epoch_ = 0;
  // Where the streams are at the last positions, from first_place_ on.
  Cursor places_[kBack + 1];
  int64_t first_place_ = 0;
};

Iterator::Iterator(NodePtr node) : impl_(std::make_unique<Impl>(std::move(node))) {}
Iterator::Iterator(Iterator&&) noexcept = default;
Iterator& Iterator::operator=(Iterator&&) noexcept = default;
Iterator::~Iterator() = default;
bool Iterator::next(Element& out) { return impl_->next(out); }
int64_t Iterator::position() const { return impl_->position(); }
uint64_t Iterator::epoch() const { return impl_->epoch(); }
std::string Iterator::state() const { return impl_->state(); }
void Iterator::restore(std::string_view state) { impl_->restore(state); }
void Iterator::seek(int64_t position, std::optional<uint64_t> pass) {
  impl_->seek(position, pass.value_or(impl_->pass()));
}

}  // namespace trireme::data
