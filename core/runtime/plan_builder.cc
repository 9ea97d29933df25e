#include "core/runtime/plan_builder.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/graph/verify.h"
#include "core/runtime/plan_issue.h"
#include "core/runtime/plan_layout.h"
#include "core/runtime/plan_storage.h"

namespace trireme {
namespace {

// Makes the instructions of a program, one node after another: which kernel, on which stream,
// reading and writing which storage.
struct Builder {
  const Program& program;
  const DeviceSet& devices;
  const KernelTable& kernels;
  VariableStore& variables;

  std::vector<Node*> order;
  NodeTypes types;
  IssueList issued{devices.all().size()};
  StorageMap storages{issued.streams()};
  std::unordered_map<const Node*, int> instruction_of;
  std::vector<Tensor> constants;

  size_t device_index(const Node& node) const {
    const auto& all = devices.all();
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i]->name() == node.device()) return i;
    }
    devices.find(node.device());  // throws, listing what exists
    return 0;
  }
  const TensorType& type(const Value& value) const {
    return types.at(value.node)[static_cast<size_t>(value.index)];
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
      if (!storages.has({&node, 0})) add_feeds(device);
      return;
    }
    storages.put({&node, 0}, storages.add(std::move(storage)));
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
    const int index = issued.next();
    const size_t pack = storages.add({.device = device});
    std::vector<size_t> touched;
    size_t offset = 0;
    for (Node* node : nodes) {
      const size_t from = storages.add(
          {.kind = Location::Kind::kFeed, .device = device, .feed = feed_index(*node)});
      const size_t target = storages.add({.device = device,
                                          .bytes = bytes(node),
                                          .feed = feed_index(*node),
                                          .first = index,
                                          .pack = pack,
                                          .offset_in_pack = offset});
      offset += align_up(bytes(node));
      instruction.inputs.push_back({.feed = static_cast<int>(from)});
      instruction.outputs.push_back({.feed = static_cast<int>(target)});
      touched.insert(touched.end(), {from, target});
      storages.put({node, 0}, target);
    }
    storages[pack].bytes = offset;
    push(std::move(instruction), touched, {}, *nodes.front());
    for (const Node* node : nodes) instruction_of[node] = index;
  }

  // Locations hold storage numbers in `feed` until the end.
  void push(Instruction instruction, const std::vector<size_t>& touched, std::vector<int> depends,
            const Node& node) {
    storages.touch(touched, IssueList::stream_of(instruction), issued.next());
    instruction_of[&node] = issued.next();
    issued.add(std::move(instruction), std::move(depends));
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
      const Storage& storage = storages[storages.of(node.input(index))];
      for (int last : storage.last_by_stream) {
        if (last >= 0) found.push_back(last);
      }
    }
    return found;
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

  void add_node(Node& node, StorageMap::Uses& remaining_uses) {
    const size_t device = device_index(node);
    Instruction instruction;
    instruction.node = &node;
    instruction.device = device;
    instruction.stream = node.op().traits.is_communication ? kCommunicationStream : kComputeStream;
    KernelSpec spec = spec_of(node, kernels, {}, types.at(&node), devices.all()[device].get());
    std::vector<size_t> touched;
    for (const Value& input : node.inputs()) {
      spec.inputs.push_back(type(input));
      touched.push_back(storages.of(input));
      instruction.inputs.push_back({.feed = static_cast<int>(touched.back())});
    }
    const auto& traits = node.op().traits;
    const std::vector<int> mutated = mutated_inputs(node);
    if (traits.packs_outputs) {
      storages.pack_outputs(node, spec.outputs, device, issued.next(), remaining_uses);
    }
    const size_t reused =
        traits.in_place_inputs.empty()
            ? SIZE_MAX
            : storages.in_place(node, spec.outputs[0].bytes(), IssueList::stream_of(instruction),
                                remaining_uses);
    for (int i = 0; i < node.output_count(); ++i) {
      size_t storage = SIZE_MAX;
      if (traits.packs_outputs) {
        storage = storages.of({&node, i});
      } else if (i < static_cast<int>(mutated.size())) {
        storage = storages.of(node.input(mutated[static_cast<size_t>(i)]));
      } else if (i == 0 && reused != SIZE_MAX) {
        storage = reused;
      } else {
        storage = storages.add({.device = device,
                                .bytes = spec.outputs[static_cast<size_t>(i)].bytes(),
                                .first = issued.next()});
      }
      storages.put({&node, i}, storage);
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
      const size_t scratch =
          storages.add({.device = device, .bytes = scratch_bytes, .first = issued.next()});
      touched.push_back(scratch);
      instruction.scratch = {.feed = static_cast<int>(scratch)};
    } else {
      instruction.scratch = {.kind = Location::Kind::kFixed};
    }
    for (const Value& input : node.inputs()) --remaining_uses[storages.of(input)];
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
    StorageMap::Uses remaining;
    for (Node* node : order) {
      if (is_source(*node)) {
        add_source(*node);
      } else if (node->op().traits.is_view) {
        storages.put({node, 0}, storages.of(node->input(0)));
        continue;
      } else {
        add_node(*node, remaining);
      }
      for (int i = 0; i < node->output_count(); ++i) {
        remaining[storages.of({node, i})] += uses[{node, i}];
      }
    }
    for (const Value& fetch : program.fetches) storages[storages.of(fetch)].lives_to_end = true;
  }
};

}  // namespace

PlanDraft draft_plan(const Program& program, const std::vector<TensorType>& feed_types,
                     const DeviceSet& devices, const KernelTable& kernels,
                     VariableStore& variables) {
  Builder builder{program, devices, kernels, variables, issue_order(program)};
  builder.types = infer_types(program, builder.order, feed_types);
  builder.build();
  PlanDraft draft;
  draft.arena_bytes =
      assign_offsets(builder.storages.all(), builder.issued.clocks(), devices.all().size());
  // Until here a location's `feed` is the number of its storage.
  const auto resolve = [&](Location& location) {
    const Storage& s = builder.storages[static_cast<size_t>(location.feed)];
    const int feed = s.kind == Location::Kind::kFeed ? s.feed : -1;
    location = {s.kind, s.device, s.offset, feed, s.address};
  };
  for (Instruction& instruction : builder.issued.instructions()) {
    std::ranges::for_each(instruction.inputs, resolve);
    std::ranges::for_each(instruction.outputs, resolve);
    if (instruction.scratch.feed >= 0) resolve(instruction.scratch);
  }
  for (const Value& fetch : program.fetches) {
    draft.fetch_types.push_back(builder.type(fetch));
    draft.fetches.push_back({.feed = static_cast<int>(builder.storages.of(fetch))});
    resolve(draft.fetches.back());
  }
  for (const Storage& storage : builder.storages.all()) {
    if (storage.kind == Location::Kind::kArena && storage.pack == SIZE_MAX) {
      draft.unshared_bytes += storage.bytes;
    }
  }
  for (const Node* node : builder.order) {
    for (int i = 0; i < node->output_count(); ++i) {
      const Value value{const_cast<Node*>(node), i};
      const Storage& storage = builder.storages[builder.storages.of(value)];
      if (storage.kind != Location::Kind::kArena || node->op().traits.is_view) continue;
      draft.values.push_back({node, storage.device, builder.type(value)});
    }
  }
  draft.instructions = std::move(builder.issued.instructions());
  draft.constants = std::move(builder.constants);
  return draft;
}

}  // namespace trireme
