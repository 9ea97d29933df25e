#include "core/runtime/plan_builder.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/graph/verify.h"
#include "core/runtime/plan_layout.h"

namespace trireme {
namespace {

// Collects what a plan is made of; its members die with the constructor of Plan.
struct Builder {
  const Program& program;
  const DeviceSet& devices;
  const KernelTable& kernels;
  VariableStore& variables;

  std::vector<Node*> order;
  NodeTypes types;
  std::vector<Storage> storages;
  std::unordered_map<Value, size_t, ValueHash> storage_of;
  std::unordered_map<const Node*, int> instruction_of;
  std::vector<Instruction> instructions;
  Clocks clocks;
  std::vector<Tensor> constants;

  size_t device_index(const Node& node) const {
    const auto& all = devices.all();
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i]->name() == node.device()) return i;
    }
    devices.find(node.device());  // throws, listing what exists
    return 0;
  }
  size_t stream_count() const { return devices.all().size() * kStreamsPerDevice; }
  static size_t stream_id(const Instruction& i) {
    return i.device * kStreamsPerDevice + static_cast<size_t>(i.stream);
  }
  const TensorType& type(const Value& value) const {
    return types.at(value.node)[static_cast<size_t>(value.index)];
  }

  size_t new_storage(Storage storage) {
    storage.last_by_stream.assign(stream_count(), -1);
    storages.push_back(std::move(storage));
    return storages.size() - 1;
  }

  void add_source(Node& node) {
    const size_t device = device_index(node);
    Storage storage{.kind = Location::Kind::kFixed, .device = device};
    const TensorType& type = types.at(&node)[0];
    if (is_variable(node)) {
      storage.address =
          variables.at(node.attribute<std::string>("name"), type, node.device()).raw();
    } else if (is_constant(node)) {
      const Tensor& host = node.attribute<Tensor>("value");
      Tensor copy(type.dtype, type.shape,
                  allocate_for(*devices.all()[device], type.bytes(),
                               str_cat("constant '", node.name(), "' (", type, ")")));
      devices.all()[device]->copy_from_host(copy, host);
      storage.address = copy.raw();
      constants.push_back(std::move(copy));
    } else if (devices.all()[device]->host_memory()) {
      storage.kind = Location::Kind::kFeed;
      storage.feed = feed_index(node);
    } else {
      if (!storage_of.contains({&node, 0})) add_feeds(device);
      return;
    }
    storage_of[{&node, 0}] = new_storage(std::move(storage));
  }

  int feed_index(Node& node) const {
    const auto it = std::ranges::find(program.feeds, Value{&node, 0});
    return static_cast<int>(it - program.feeds.begin());
  }

  // A device with its own memory gets copies of what is fed, side by side in its arena and by size:
  // those that are small travel together.
  void add_feeds(size_t device) {
    std::vector<Node*> nodes;
    for (Node* node : order) {
      if (is_placeholder(*node) && device_index(*node) == device) nodes.push_back(node);
    }
    const auto bytes = [&](const Node* node) { return types.at(node)[0].bytes(); };
    std::ranges::stable_sort(nodes, {}, bytes);
    Instruction instruction;
    instruction.kind = Instruction::Kind::kFeed;
    instruction.node = nodes.front();
    instruction.device = device;
    instruction.scratch = {.kind = Location::Kind::kFixed};
    const int index = static_cast<int>(instructions.size());
    const size_t pack = new_storage({.device = device});
    std::vector<size_t> touched;
    size_t offset = 0;
    for (Node* node : nodes) {
      const size_t from =
          new_storage({.kind = Location::Kind::kFeed, .device = device, .feed = feed_index(*node)});
      const size_t target = new_storage({.device = device,
                                         .bytes = bytes(node),
                                         .feed = feed_index(*node),
                                         .first = index,
                                         .pack = pack,
                                         .offset_in_pack = offset});
      offset += (bytes(node) + kAlignment - 1) / kAlignment * kAlignment;
      instruction.inputs.push_back({.feed = static_cast<int>(from)});
      instruction.outputs.push_back({.feed = static_cast<int>(target)});
      touched.insert(touched.end(), {from, target});
      storage_of[{node, 0}] = target;
    }
    storages[pack].bytes = offset;
    push(std::move(instruction), touched, {}, *nodes.front());
    for (const Node* node : nodes) instruction_of[node] = index;
  }

  // Computes waits and the clock, and notes who touches what. Locations hold storage numbers in
  // `feed` until the end.
  void push(Instruction instruction, const std::vector<size_t>& touched,
            const std::vector<int>& depends, const Node& node) {
    const int index = static_cast<int>(instructions.size());
    const size_t stream = stream_id(instruction);
    std::vector<int> clock(stream_count(), -1);
    for (int i = index - 1; i >= 0; --i) {
      if (stream_id(instructions[static_cast<size_t>(i)]) != stream) continue;
      clock = clocks[static_cast<size_t>(i)];
      clock[stream] = i;
      break;
    }
    std::vector<int> sorted = depends;
    std::ranges::sort(sorted, std::greater<>());  // the latest first: it often covers the others
    for (int dependency : sorted) {
      const auto& other = instructions[static_cast<size_t>(dependency)];
      if (clock[stream_id(other)] >= dependency) continue;
      instruction.waits.push_back(dependency);
      const auto& theirs = clocks[static_cast<size_t>(dependency)];
      for (size_t s = 0; s < clock.size(); ++s) clock[s] = std::max(clock[s], theirs[s]);
      clock[stream_id(other)] = std::max(clock[stream_id(other)], dependency);
    }
    for (size_t storage : touched) {
      int& last = storages[storage].last_by_stream[stream];
      last = std::max(last, index);
    }
    clocks.push_back(std::move(clock));
    instruction_of[&node] = index;
    instructions.push_back(std::move(instruction));
  }

  // The instructions that must be done before `node` starts.
  std::vector<int> dependencies(const Node& node) const {
    std::vector<int> found;
    auto add = [&](const Node* before) {
      while (before->op().traits.is_view) before = before->input(0).node;
      if (auto it = instruction_of.find(before); it != instruction_of.end()) {
        found.push_back(it->second);
      }
    };
    for (const Value& input : node.inputs()) add(input.node);
    for (const Node* control : node.control_inputs()) add(control);
    // Whoever mutates a variable waits for all that have touched it so far: issue_order put every
    // reader before.
    for (int index : mutated_inputs(node)) {
      const Storage& storage = storages[storage_of.at(node.input(index))];
      for (int last : storage.last_by_stream) {
        if (last >= 0) found.push_back(last);
      }
    }
    return found;
  }

  // An input whose memory output 0 may take over: nobody else needs it at or after instruction
  // `index`.
  size_t in_place_storage(const Node& node, const std::map<size_t, int>& remaining_uses) const {
    for (int input : node.op().traits.in_place_inputs) {
      if (input >= static_cast<int>(node.inputs().size())) continue;
      const size_t candidate = storage_of.at(node.input(input));
      const Storage& storage = storages[candidate];
      if (storage.kind != Location::Kind::kArena || storage.lives_to_end || storage.feed >= 0)
        continue;
      if (storage.bytes != type({const_cast<Node*>(&node), 0}).bytes()) continue;
      int times = 0;
      for (const Value& other : node.inputs()) times += storage_of.at(other) == candidate ? 1 : 0;
      if (times != 1 || remaining_uses.at(candidate) != 1) continue;
      // Another stream may still be reading it.
      const size_t stream =
          device_index(node) * kStreamsPerDevice +
          (node.op().traits.is_communication ? kCommunicationStream : kComputeStream);
      bool elsewhere = false;
      for (size_t s = 0; s < storage.last_by_stream.size(); ++s) {
        elsewhere |= s != stream && storage.last_by_stream[s] >= 0;
      }
      if (elsewhere) continue;
      return candidate;
    }
    return SIZE_MAX;
  }

  // Lays the outputs of `node` side by side. An input that dies here becomes the output, so that
  // nothing is copied; what cannot (a variable, a value that others still read) gets a place of its
  // own, and the kernel copies it there.
  void pack_outputs(const Node& node, const KernelSpec& spec,
                    const std::map<size_t, int>& remaining_uses) {
    const size_t device = device_index(node);
    const size_t pack = new_storage({.device = device});
    size_t offset = 0;
    for (int i = 0; i < node.output_count(); ++i) {
      const size_t bytes = spec.outputs[static_cast<size_t>(i)].bytes();
      size_t member = storage_of.at(node.input(i));
      const Storage& input = storages[member];
      if (input.kind != Location::Kind::kArena || input.lives_to_end || input.feed >= 0 ||
          input.device != device || input.bytes != bytes || input.pack != SIZE_MAX ||
          remaining_uses.at(member) != 1) {
        member = new_storage(
            {.device = device, .bytes = bytes, .first = static_cast<int>(instructions.size())});
      }
      storages[member].pack = pack;
      storages[member].offset_in_pack = offset;
      offset += (bytes + kAlignment - 1) / kAlignment * kAlignment;
      storage_of[{const_cast<Node*>(&node), i}] = member;
    }
    storages[pack].bytes = offset;
  }

  void check_kernels() const {
    std::string missing;
    for (const Node* node : order) {
      if (!needs_kernel(*node)) continue;
      const Device& device = devices.find(node->device());
      if (kernels.find(node->op().name, device.kernel_kind(), kernel_dtype(*node)) != nullptr)
        continue;
      std::string known;
      for (DType dtype : kernels.dtypes(node->op().name, device.kernel_kind())) {
        known += " " + std::string(name(dtype));
      }
      missing +=
          str_cat("\n  ", node->op().name, " '", node->name(), "' for ", name(kernel_dtype(*node)),
                  " on ", node->device(), " (there is:", known.empty() ? " none" : known, ")");
    }
    if (missing.empty()) return;
    const bool elsewhere = std::ranges::any_of(
        devices.all(), [](const auto& device) { return !device->host_memory(); });
    throw invalid_argument("kernels are missing:", missing,
                           elsewhere ? "\n(--soft-placement computes such nodes on the CPU)" : "");
  }

  void add_node(Node& node, std::map<size_t, int>& remaining_uses) {
    const size_t device = device_index(node);
    Instruction instruction;
    instruction.node = &node;
    instruction.device = device;
    instruction.stream = node.op().traits.is_communication ? kCommunicationStream : kComputeStream;
    KernelSpec spec = spec_of(node, kernels, {}, types.at(&node), devices.all()[device].get());
    std::vector<size_t> touched;
    for (const Value& input : node.inputs()) {
      spec.inputs.push_back(type(input));
      touched.push_back(storage_of.at(input));
      instruction.inputs.push_back({.feed = static_cast<int>(touched.back())});
    }
    const auto& traits = node.op().traits;
    const std::vector<int> mutated = mutated_inputs(node);
    if (traits.packs_outputs) pack_outputs(node, spec, remaining_uses);
    const size_t reused = in_place_storage(node, remaining_uses);
    for (int i = 0; i < node.output_count(); ++i) {
      size_t storage = SIZE_MAX;
      if (traits.packs_outputs) {
        storage = storage_of.at({&node, i});
      } else if (i < static_cast<int>(mutated.size())) {
        storage = storage_of.at(node.input(mutated[static_cast<size_t>(i)]));
      } else if (i == 0 && reused != SIZE_MAX) {
        storage = reused;
      } else {
        storage = new_storage({.device = device,
                               .bytes = spec.outputs[static_cast<size_t>(i)].bytes(),
                               .first = static_cast<int>(instructions.size())});
      }
      storage_of[{&node, i}] = storage;
      touched.push_back(storage);
      instruction.outputs.push_back({.feed = static_cast<int>(storage)});
    }
    if (node.op().traits.is_copy) {
      instruction.kind = Instruction::Kind::kCopy;
      instruction.copy_bytes = spec.outputs[0].bytes();
      const bool from_host = devices.find(node.input(0).node->device()).host_memory();
      const bool to_host = devices.all()[device]->host_memory();
      // The side that has its own memory drives the copy.
      if (to_host && !from_host) instruction.device = device_index(*node.input(0).node);
      instruction.copy_kind = from_host == to_host && !from_host ? CopyKind::kDeviceToDevice
                              : to_host                          ? CopyKind::kDeviceToHost
                                                                 : CopyKind::kHostToDevice;
    } else {
      const auto* factory =
          kernels.find(node.op().name, devices.all()[device]->kernel_kind(), kernel_dtype(node));
      instruction.kernel = (*factory)(spec);
    }
    const size_t scratch_bytes = instruction.kernel.scratch_bytes;
    if (scratch_bytes > 0) {
      const size_t scratch = new_storage({.device = device,
                                          .bytes = scratch_bytes,
                                          .first = static_cast<int>(instructions.size())});
      touched.push_back(scratch);
      instruction.scratch = {.feed = static_cast<int>(scratch)};
    } else {
      instruction.scratch = {.kind = Location::Kind::kFixed};
    }
    for (const Value& input : node.inputs()) --remaining_uses[storage_of.at(input)];
    push(std::move(instruction), touched, dependencies(node), node);
  }

  void build() {
    check_kernels();
    // How many inputs are still to be read of each storage. Keyed by storage once the maker has
    // been added; until then by the value's root, which is why counting goes through views first.
    std::unordered_map<Value, int, ValueHash> uses;
    auto root = [](Value value) {
      while (value.node->op().traits.is_view) value = value.node->input(0);
      return value;
    };
    for (Node* node : order) {
      if (node->op().traits.is_view) continue;
      for (const Value& input : node->inputs()) ++uses[root(input)];
    }
    for (const Value& fetch : program.fetches)
      ++uses[root(fetch)];  // never in place of what is fetched
    std::map<size_t, int> remaining;
    for (Node* node : order) {
      if (is_source(*node)) {
        add_source(*node);
      } else if (node->op().traits.is_view) {
        storage_of[{node, 0}] = storage_of.at(node->input(0));
        continue;
      } else {
        add_node(*node, remaining);
      }
      for (int i = 0; i < node->output_count(); ++i) {
        remaining[storage_of.at({node, i})] += uses[{node, i}];
      }
    }
    for (const Value& fetch : program.fetches) storages[storage_of.at(fetch)].lives_to_end = true;
  }
};

}  // namespace

PlanDraft draft_plan(const Program& program, const std::vector<TensorType>& feed_types,
                     const DeviceSet& devices, const KernelTable& kernels,
                     VariableStore& variables) {
  Builder builder{program, devices, kernels, variables, {}, {}, {}, {}, {}, {}, {}, {}};
  builder.order = issue_order(program);
  builder.types = infer_types(program, builder.order, feed_types);
  builder.build();
  PlanDraft draft;
  draft.arena_bytes = assign_offsets(builder.storages, builder.clocks, devices.all().size());
  // Until here a location's `feed` is the number of its storage.
  const auto resolve = [&](Location& location) {
    const Storage& s = builder.storages[static_cast<size_t>(location.feed)];
    const int feed = s.kind == Location::Kind::kFeed ? s.feed : -1;
    location = {s.kind, s.device, s.offset, feed, s.address};
  };
  for (Instruction& instruction : builder.instructions) {
    std::ranges::for_each(instruction.inputs, resolve);
    std::ranges::for_each(instruction.outputs, resolve);
    if (instruction.scratch.feed >= 0) resolve(instruction.scratch);
  }
  for (const Value& fetch : program.fetches) {
    draft.fetch_types.push_back(builder.type(fetch));
    draft.fetches.push_back({.feed = static_cast<int>(builder.storage_of.at(fetch))});
    resolve(draft.fetches.back());
  }
  for (const Storage& storage : builder.storages) {
    if (storage.kind == Location::Kind::kArena && storage.pack == SIZE_MAX) {
      draft.unshared_bytes += storage.bytes;
    }
  }
  for (const Node* node : builder.order) {
    for (int i = 0; i < node->output_count(); ++i) {
      const Value value{const_cast<Node*>(node), i};
      const Storage& storage = builder.storages[builder.storage_of.at(value)];
      if (storage.kind != Location::Kind::kArena || node->op().traits.is_view) continue;
      draft.values.push_back({node, storage.device, builder.type(value)});
    }
  }
  draft.instructions = std::move(builder.instructions);
  draft.constants = std::move(builder.constants);
  return draft;
}

}  // namespace trireme
