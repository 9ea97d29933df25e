#include "core/runtime/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iomanip>
#include <sstream>
#include <utility>

#include "core/base/error.h"
#include "core/runtime/plan_builder.h"
#include "core/runtime/tracer.h"

namespace trireme {

void Arena::reserve(size_t device, size_t bytes, FunctionRef<std::string()> what) {
  if (buffers_[device] && buffers_[device]->bytes() >= bytes) return;
  if (bytes == 0) return;
  buffers_[device].reset();  // first the old one, so that both are never held at once
  const auto& all = devices_.all();
  // What lies beside a device with its own memory is copied from and to it.
  const auto other = std::ranges::find_if(all, [](const auto& d) { return !d->host_memory(); });
  const bool stages = all[device]->host_memory() && other != all.end();
  try {
    buffers_[device] = stages ? (*other)->allocate_staging(bytes) : all[device]->allocate(bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kResourceExhausted) throw;
    throw Error(error.code(), str_cat("the memory of a plan: ", error.what(), what()));
  }
  ++generation_;
}

Plan::Plan(const Program& program, const std::vector<TensorType>& feed_types,
           const DeviceSet& devices, const KernelTable& kernels, VariableStore& variables,
           Arena& arena, PlanMode mode)
    : devices_(devices), arena_(arena), feed_types_(feed_types), mode_(mode) {
  PlanDraft draft = draft_plan(program, feed_types, devices, kernels, variables);
  instructions_ = std::move(draft.instructions);
  fetch_types_ = std::move(draft.fetch_types);
  for (size_t i = 0; i < draft.fetches.size(); ++i) {
    fetches_.push_back({draft.fetches[i], fetch_types_[i].bytes()});
  }
  constants_ = std::move(draft.constants);
  arena_bytes_ = std::move(draft.arena_bytes);
  arena_values_ = std::move(draft.values);
  statistics_.unshared_bytes = draft.unshared_bytes;
  for (size_t bytes : arena_bytes_) statistics_.arena_bytes += bytes;
  feed_uses_.resize(feed_types.size());
  bound_feeds_.resize(feed_types.size());
  prepare_instructions();
  prepare_events();
  prepare_fetches();
  if (mode_.record && !mode_.profile) {
    recording_ = std::make_unique<PlanRecording>(devices_, instructions_);
    if (!recording_->any()) recording_.reset();
  }
  // The origin first: what other streams have of a replay is done when it is.
  if (recording_) {
    std::erase(streams_, recording_->origin());
    streams_.insert(streams_.begin(), recording_->origin());
  }
}

Plan::~Plan() = default;

void Plan::prepare_instructions() {
  std::vector<std::vector<bool>> used(devices_.all().size(), std::vector<bool>(kStreamsPerDevice));
  for (size_t i = 0; i < instructions_.size(); ++i) {
    Instruction& instruction = instructions_[i];
    Device& device = *devices_.all()[instruction.device];
    for (size_t k = 0; k < instruction.inputs.size(); ++k) {
      if (instruction.inputs[k].kind == Location::Kind::kFeed) {
        feed_uses_[static_cast<size_t>(instruction.inputs[k].feed)].push_back({i, k, 0});
      }
    }
    instruction.input_addresses.resize(instruction.inputs.size());
    instruction.output_addresses.resize(instruction.outputs.size());
    instruction.args.inputs = instruction.input_addresses.data();
    instruction.args.outputs = instruction.output_addresses.data();
    instruction.args.input_count = static_cast<int>(instruction.inputs.size());
    instruction.args.output_count = static_cast<int>(instruction.outputs.size());
    for (int wait : instruction.waits) {
      Instruction& other = instructions_[static_cast<size_t>(wait)];
      if (!other.event) other.event = devices_.all()[other.device]->make_event();
    }
    used[instruction.device][static_cast<size_t>(instruction.stream)] = true;
    statistics_.event_waits += static_cast<int>(instruction.waits.size());
    ++(instruction.kind == Instruction::Kind::kKernel ? statistics_.kernels : statistics_.copies);
    if (instruction.kind != Instruction::Kind::kFeed) continue;
    std::vector<FeedStage::Item> items;
    for (size_t k = 0; k < instruction.inputs.size(); ++k) {
      const auto feed = static_cast<size_t>(instruction.inputs[k].feed);
      items.push_back({feed, feed_types_[feed].bytes(),
                       instruction.outputs[k].offset - instruction.outputs[0].offset});
    }
    instruction.feed_stage = std::make_shared<FeedStage>(device, std::move(items));
  }
  for (size_t device = 0; device < used.size(); ++device) {
    for (int stream = 0; stream < kStreamsPerDevice; ++stream) {
      if (used[device][static_cast<size_t>(stream)]) streams_.emplace_back(device, stream);
    }
  }
}

void Plan::prepare_events() {
  const auto joins_next = [&](size_t i) {
    if (i + 1 >= instructions_.size() || !instructions_[i].kernel.settle ||
        !instructions_[i + 1].kernel.settle) {
      return false;
    }
    const Attributes& here = instructions_[i].node->attributes();
    const Attributes& next = instructions_[i + 1].node->attributes();
    return here.has("collective") && next.has("collective") &&
           here.get<std::string>("collective") == next.get<std::string>("collective");
  };
  std::vector<int> pending;
  for (size_t i = 0; i < instructions_.size(); ++i) {
    if (instructions_[i].event) pending.push_back(static_cast<int>(i));
    if (!joins_next(i)) instructions_[i].records = std::exchange(pending, {});
  }
}

// Values of a device with its own memory come to the host without a wait of their own: they are
// copied behind the last kernel to memory that is made for it.
void Plan::prepare_fetches() {
  for (size_t d = 0; d < devices_.all().size(); ++d) {
    Device& device = *devices_.all()[d];
    if (device.host_memory()) continue;
    const auto is_here = [&](const Fetch& fetch) { return fetch.location.device == d; };
    size_t bytes = 0;
    for (const Fetch& fetch : fetches_) {
      if (is_here(fetch)) bytes += align_up(fetch.bytes);
    }
    if (bytes == 0) continue;
    fetch_memory_.push_back(device.allocate_staging(bytes));
    char* next = static_cast<char*>(fetch_memory_.back()->data());
    for (Fetch& fetch : fetches_) {
      if (!is_here(fetch)) continue;
      fetch.staged = next;
      next += align_up(fetch.bytes);
    }
    const std::pair compute(d, kComputeStream), communication(d, kCommunicationStream);
    if (std::ranges::find(streams_, communication) != streams_.end()) {
      fetch_joins_.push_back({d, device.make_event()});
    }
    if (std::ranges::find(streams_, compute) == streams_.end()) streams_.push_back(compute);
  }
}

PlanStatistics Plan::statistics() const {
  PlanStatistics statistics = statistics_;
  if (recording_) {
    statistics.recordings = recording_->recordings();
    statistics.recorded_instructions = recording_->recorded_instructions();
  }
  return statistics;
}

void Plan::trace(const std::shared_ptr<Tracer>& tracer) {
  recording_.reset();
  for (Instruction& instruction : instructions_) {
    if (instruction.kind != Instruction::Kind::kKernel) continue;
    const Node& node = *instruction.node;
    Span span{.name = node.name(),
              .operation = node.op().name,
              .device = devices_.all()[instruction.device]->name(),
              .stream = instruction.stream};
    if (node.attributes().has("label")) span.label = node.attribute<std::string>("label");
    instruction.kernel.run = [run = std::move(instruction.kernel.run), span = std::move(span),
                              tracer](const KernelArgs& args) {
      const int64_t begin = Tracer::now_ns();
      run(args);
      // A stream that only enqueues: the kernel's end is worth waiting for, unless others must be
      // issued before it can come.
      if (args.stream != nullptr && span.stream == kComputeStream) args.stream->synchronize();
      tracer->add(span, begin, Tracer::now_ns());
    };
  }
}

void* Plan::resolve(const Location& location) const {
  switch (location.kind) {
    case Location::Kind::kArena:
      return arena_.base(location.device) + location.offset;
    case Location::Kind::kFeed:
      return const_cast<void*>(bound_feeds_[static_cast<size_t>(location.feed)]);
    case Location::Kind::kFixed:
      return location.address;
  }
  return nullptr;
}

void Plan::bind_arena() {
  for (size_t device = 0; device < arena_bytes_.size(); ++device) {
    arena_.reserve(device, arena_bytes_[device], [&] { return largest_values(device); });
  }
  if (bound_generation_ == arena_.generation()) return;
  if (recording_) recording_->forget();
  for (Instruction& instruction : instructions_) {
    for (size_t k = 0; k < instruction.inputs.size(); ++k) {
      instruction.input_addresses[k] = resolve(instruction.inputs[k]);
    }
    for (size_t k = 0; k < instruction.outputs.size(); ++k) {
      instruction.output_addresses[k] = resolve(instruction.outputs[k]);
    }
    instruction.args.scratch = resolve(instruction.scratch);
  }
  bound_generation_ = arena_.generation();
}

void Plan::bind_feeds(std::span<const Tensor> feeds) {
  for (size_t i = 0; i < feeds.size(); ++i) {
    if (bound_feeds_[i] == feeds[i].raw()) continue;
    bound_feeds_[i] = feeds[i].raw();
    for (const FeedUse& use : feed_uses_[i]) {
      instructions_[use.instruction].input_addresses[use.input] =
          const_cast<void*>(bound_feeds_[i]);
    }
  }
}

std::string Plan::largest_values(size_t device) const {
  std::vector<const ArenaValue*> values;
  size_t all = 0;
  for (const ArenaValue& value : arena_values_) {
    if (value.device == device) values.push_back(&value);
    if (value.device == device) all += value.type.bytes();
  }
  constexpr size_t kShown = 10;
  std::ranges::stable_sort(values, std::greater<>(),
                           [](const ArenaValue* value) { return value->type.bytes(); });
  const auto mebibytes = [](size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::ostringstream text;
  text << std::fixed << std::setprecision(1);
  text << "\nthe plan needs " << mebibytes(arena_bytes_[device]) << " MiB for " << values.size()
       << " values of " << mebibytes(all) << " MiB; the largest:";
  for (const ArenaValue* value : std::span(values).first(std::min(kShown, values.size()))) {
    text << "\n  " << std::setw(9) << mebibytes(value->type.bytes()) << " MiB  "
         << value->node->name() << " (" << value->node->op().name << ") " << value->type;
  }
  return text.str();
}

// A stream that is at the end of its last collective is at the end of all.
void Plan::note_collective(const Instruction& instruction) {
  std::erase_if(unsettled_, [&](const Instruction* other) {
    return other->device == instruction.device && other->stream == instruction.stream;
  });
  unsettled_.push_back(&instruction);
}

void Plan::settle() {
  if (unsettled_.empty()) return;
  prefetch_next();  // rather than wait idly
  for (const Instruction* instruction : unsettled_) {
    instruction->kernel.settle(devices_.all()[instruction->device]->stream(instruction->stream));
  }
  unsettled_.clear();
}

// While the devices work on what was issued.
void Plan::prefetch_next() {
  const std::span<const Tensor> next = std::exchange(next_, {});
  for (size_t i = 0; i < next.size(); ++i) {
    if (next[i].defined() && next[i].type() != feed_types_[i]) return;  // for another plan
  }
  for (Instruction& instruction : instructions_) {
    if (!next.empty() && instruction.feed_stage) instruction.feed_stage->prefetch(next);
  }
}

void Plan::issue(Instruction& instruction) {
  if (instruction.changes_variables()) settle();
  Stream& stream = devices_.all()[instruction.device]->stream(instruction.stream);
  for (int wait : instruction.waits) stream.wait(*instructions_[static_cast<size_t>(wait)].event);
  switch (instruction.kind) {
    case Instruction::Kind::kCopy:
      stream.copy(instruction.output_addresses[0], instruction.input_addresses[0],
                  instruction.copy_bytes, instruction.copy_kind);
      break;
    case Instruction::Kind::kKernel:
      stream.launch(instruction.kernel, instruction.args);
      break;
    case Instruction::Kind::kFeed:
      instruction.feed_stage->copy(
          bound_feeds_, static_cast<char*>(instruction.output_addresses[0]), prefetched_);
      break;
  }
  record_events(instruction);
  if (instruction.kernel.settle) note_collective(instruction);
}

void Plan::record_events(const Instruction& instruction) {
  for (int i : instruction.records) {
    const Instruction& recorded = instructions_[static_cast<size_t>(i)];
    devices_.all()[recorded.device]->stream(recorded.stream).record(*recorded.event);
  }
}

// What is measured is the kernel, not the overlap.
void Plan::issue_alone(Instruction& instruction) {
  const auto start = std::chrono::steady_clock::now();
  issue(instruction);
  synchronize();
  const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - start;
  instruction.total_us += us.count();
}

void Plan::issue_all() {
  if (mode_.profile) {
    for (Instruction& instruction : instructions_) issue_alone(instruction);
  } else if (recording_ && runs_ > 0) {
    recording_->run({[&](Instruction& instruction) { issue(instruction); },
                     [&](const Instruction& instruction) { note_collective(instruction); },
                     [&] { settle(); }});
  } else {
    for (Instruction& instruction : instructions_) issue(instruction);
  }
}

void Plan::issue_fetches() {
  for (FetchJoin& join : fetch_joins_) {
    Device& device = *devices_.all()[join.device];
    device.stream(kCommunicationStream).record(*join.event);
    device.stream(kComputeStream).wait(*join.event);
  }
  for (const Fetch& fetch : fetches_) {
    if (fetch.staged == nullptr || fetch.bytes == 0) continue;
    devices_.all()[fetch.location.device]
        ->stream(kComputeStream)
        .copy(fetch.staged, resolve(fetch.location), fetch.bytes, CopyKind::kDeviceToHost);
  }
}

void Plan::read_fetches(std::span<Tensor> results) {
  for (size_t i = 0; i < results.size(); ++i) {
    const Fetch& fetch = fetches_[i];
    if (fetch.bytes == 0) continue;
    const void* from = fetch.staged != nullptr ? fetch.staged : resolve(fetch.location);
    std::memcpy(results[i].raw(), from, fetch.bytes);
  }
}

void Plan::synchronize() {
  std::exception_ptr first;
  for (const auto& [device, stream] : streams_) {
    try {
      devices_.all()[device]->stream(stream).synchronize();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

// After an error: nothing of this run goes on, and no stream keeps the error.
void Plan::abandon() noexcept {
  unsettled_.clear();
  try {
    synchronize();
  } catch (...) {
    // The first error is what the caller gets.
  }
  for (Instruction& instruction : instructions_) {
    if (instruction.feed_stage) instruction.feed_stage->abandon();
  }
}

void Plan::run(std::span<const Tensor> feeds, std::span<Tensor> results, const FeedsAhead& ahead) {
  bind_feeds(feeds);
  bind_arena();
  prefetched_ = ahead.prefetched;
  next_ = ahead.next;
  unsettled_.clear();
  try {
    issue_all();
    settle();
    issue_fetches();
    prefetch_next();
    synchronize();
  } catch (...) {
    abandon();
    throw;
  }
  ++runs_;
  read_fetches(results);
}

}  // namespace trireme
