#include "core/data/stream_node.h"

#include "core/base/error.h"

namespace trireme::data {

struct StreamNode::Open : NodeState {
  std::unique_ptr<Stream> stream;
  uint64_t pass = 0;
  int64_t next = 0;  // how many elements `stream` gave
  bool ended = false;
  Element skipped;
};

StreamNode::StreamNode(Options options) : options_(std::move(options)) {
  check_spec(options_.spec, options_.name);
  spec_ = options_.spec;
  size_ = options_.size;
  threads_ = options_.threads;
  stream_ = true;
  children_ = options_.children;
  name_ = options_.name.substr(0, options_.name.find(' '));
  std::string name = options_.name;
  if (options_.source) {
    for (const ComponentSpec& component : spec_) {
      name += str_cat(' ', component.name, '=', TensorType{component.dtype, component.shape});
    }
  }
  for (const NodePtr& child : children_) name += str_cat('+', child->fingerprint());
  fingerprint_ = hash_name(name);
}

void StreamNode::open(Open& open, uint64_t pass) const {
  open.stream = options_.start(pass);
  open.pass = pass;
  open.next = 0;
  open.ended = false;
}

bool StreamNode::advance(Open& open, Element& out) const {
  if (!open.stream->next(out)) {
    open.ended = true;
    return false;
  }
  ++open.next;
  if (options_.source) check_element(out, spec_, options_.name);
  return true;
}

bool StreamNode::read(Context& context, Position at, Element& out) const {
  auto& state = context.state<Open>(this);
  if (!state.stream || state.pass != at.epoch || at.index < state.next) open(state, at.epoch);
  while (!state.ended && state.next < at.index) advance(state, state.skipped);
  return !state.ended && advance(state, out);
}

Position StreamNode::origin(Context& context, Position at) const {
  const Position origin = context.state<Open>(this).stream->origin();
  return {origin.index == Stream::kOwnIndex ? at.index : origin.index,
          origin.epoch == Stream::kOwnEpoch ? at.epoch : origin.epoch};
}

void StreamNode::save(Context& context, Cursor& cursor) const {
  const auto& state = context.state<Open>(this);
  cursor.push_back(state.stream ? 1 : 0);
  if (!state.stream) return;
  cursor.push_back(static_cast<int64_t>(state.pass));
  cursor.push_back(state.next);
  cursor.push_back(state.ended ? 1 : 0);
  if (!state.ended) state.stream->save(cursor);
}

void StreamNode::load(Context& context, CursorInput& cursor) const {
  auto& state = context.state<Open>(this);
  if (cursor.take(0, 1) == 0) return;
  open(state, cursor.take_bits());
  state.next = cursor.take_count();
  state.ended = cursor.take(0, 1) == 1;
  if (!state.ended) state.stream->load(cursor);
}

}  // namespace trireme::data
