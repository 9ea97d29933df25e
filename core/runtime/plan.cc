#include "core/runtime/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

#include "core/base/error.h"
#include "core/runtime/plan_builder.h"
#include "core/runtime/tracer.h"

namespace trireme {
void Arena::reserve(size_t device, size_t bytes) {
  if (buffers_[device] && buffers_[device]->bytes() >= bytes) return;
  if (bytes == 0) return;
  buffers_[device].reset();  // first the old one, so that both are never held at once
  buffers_[device] = devices_.all()[device]->allocate(bytes);
  ++generation_;
}

Plan::Plan(const Program& program, const std::vector<TensorType>& feed_types,
           const DeviceSet& devices, const KernelTable& kernels, VariableStore& variables,
           Arena& arena)
    : devices_(devices), arena_(arena), feed_types_(feed_types) {
  PlanDraft draft = draft_plan(program, feed_types, devices, kernels, variables);
  instructions_ = std::move(draft.instructions);
  fetch_types_ = std::move(draft.fetch_types);
  fetch_locations_ = std::move(draft.fetches);
  constants_ = std::move(draft.constants);
  arena_bytes_ = std::move(draft.arena_bytes);
  statistics_.unshared_bytes = draft.unshared_bytes;
  feed_uses_.resize(feed_types.size());
  bound_feeds_.resize(feed_types.size());
  std::vector<std::vector<bool>> used(devices.all().size(), std::vector<bool>(kStreamsPerDevice));
  for (size_t i = 0; i < instructions_.size(); ++i) {
    Instruction& instruction = instructions_[i];
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
      if (!other.event) other.event = devices.all()[other.device]->make_event();
    }
    used[instruction.device][static_cast<size_t>(instruction.stream)] = true;
    statistics_.event_waits += static_cast<int>(instruction.waits.size());
    ++(instruction.kind == Instruction::Kind::kCopy ? statistics_.copies : statistics_.kernels);
  }
  for (size_t device = 0; device < used.size(); ++device) {
    for (int stream = 0; stream < kStreamsPerDevice; ++stream) {
      if (used[device][static_cast<size_t>(stream)]) streams_.emplace_back(device, stream);
    }
  }
  for (size_t bytes : arena_bytes_) statistics_.arena_bytes += bytes;
}

void Plan::trace(const std::shared_ptr<Tracer>& tracer) {
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
    arena_.reserve(device, arena_bytes_[device]);
  }
  if (bound_generation_ == arena_.generation()) return;
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

void Plan::issue(Instruction& instruction) {
  Stream& stream = devices_.all()[instruction.device]->stream(instruction.stream);
  for (int wait : instruction.waits) stream.wait(*instructions_[static_cast<size_t>(wait)].event);
  if (instruction.kind == Instruction::Kind::kCopy) {
    stream.copy(instruction.output_addresses[0], instruction.input_addresses[0],
                instruction.copy_bytes, instruction.copy_kind);
  } else {
    stream.launch(instruction.kernel, instruction.args);
  }
  if (instruction.event) stream.record(*instruction.event);
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

void Plan::run(std::span<const Tensor> feeds, std::span<Tensor> results, bool profile) {
  bind_feeds(feeds);
  bind_arena();
  for (Instruction& instruction : instructions_) {
    if (!profile) {
      issue(instruction);
      continue;
    }
    // Each node alone: what is measured is the kernel, not the overlap.
    const auto start = std::chrono::steady_clock::now();
    issue(instruction);
    synchronize();
    const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - start;
    instruction.total_us += us.count();
  }
  synchronize();
  ++runs_;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].bytes() == 0) continue;
    Device& device = *devices_.all()[fetch_locations_[i].device];
    device.stream(kComputeStream)
        .copy(results[i].raw(), resolve(fetch_locations_[i]), results[i].bytes(),
              CopyKind::kDeviceToHost);
  }
  synchronize();
}

}  // namespace trireme
