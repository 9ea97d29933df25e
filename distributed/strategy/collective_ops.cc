#include "distributed/strategy/collective_ops.h"

#include <cstring>

#include "core/device/kernel_spec.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

OpDef all_reduce_op() {
  return {
      .name = "AllReduce",
      .min_inputs = 1,
      .max_inputs = -1,
      .attributes = {attribute<std::string>("reduction").one_of({"sum", "min", "max"}),
                     attribute<bool>("tree"), attribute<double>("top_k").in(from_to(0, 1)),
                     attribute<std::string>("label"), attribute<std::string>("collective"),
                     attribute<int64_t>("device_rank").in(at_least(0))},
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            std::vector<TensorType> types;
            for (int i = 0; i < c.input_count(); ++i) types.push_back(c.input(i));
            return types;
          },
      // Each rank's input adds to the output of every rank, so what arrives at all outputs flows
      // back.
      .gradient =
          [](GradientContext& g) {
            const Node& node = g.node();
            TRIREME_CHECK(g.attribute<std::string>("reduction") == "sum",
                          "only sums are differentiated");
            std::vector<Value> arrived;
            for (int i = 0; i < node.output_count(); ++i) {
              arrived.push_back(g.has_grad_of_output(i) ? g.grad_of_output(i)
                                                        : ops::zeros_like(g.output(i)));
            }
            Node& back =
                all_reduce(g.graph(), arrived,
                           {.label = "gradient of " + g.attribute<std::string>("label"),
                            .collective = "gradient/" + g.attribute<std::string>("collective"),
                            .device_rank = static_cast<int>(g.attribute<int64_t>("device_rank")),
                            .tree = g.attribute<bool>("tree")});
            for (int i = 0; i < node.output_count(); ++i) g.set_grad(i, back.output(i));
          },
      .traits = {.is_stateful = true, .is_communication = true, .packs_outputs = true},
  };
}

ReduceOp reduce_op(const std::string& name) {
  if (name == "min") return ReduceOp::kMin;
  if (name == "max") return ReduceOp::kMax;
  TRIREME_CHECK(name == "sum", "reduction ", name);
  return ReduceOp::kSum;
}

// Null when everything is sent.
std::shared_ptr<TopKExchange> top_k_of(const KernelSpec& spec, CommunicatorSlots& slots) {
  const auto ratio = spec.attribute<double>("top_k");
  if (ratio == 0) return nullptr;
  size_t bytes = 0;
  for (const TensorType& type : spec.outputs) {
    bytes = align_up(bytes) + type.bytes();
  }
  return slots.top_k(spec.attribute<std::string>("label"),
                     static_cast<int>(spec.attribute<int64_t>("device_rank")),
                     static_cast<int64_t>(bytes / sizeof(float)), ratio);
}

// What the other ranks are told when this one cannot take part.
Error error_of(const std::exception_ptr& cause) {
  try {
    std::rethrow_exception(cause);
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return {ErrorCode::kInternal, error.what()};
  }
}

PreparedKernel all_reduce_kernel(const KernelSpec& spec,
                                 const std::shared_ptr<CommunicatorSlots>& slots) {
  std::vector<size_t> bytes;
  for (const TensorType& type : spec.outputs) bytes.push_back(type.bytes());
  const auto device_rank = static_cast<int>(spec.attribute<int64_t>("device_rank"));
  PreparedKernel kernel;
  kernel.abandon = [slots, device_rank](const std::exception_ptr& cause) {
    slots->at(device_rank).abort(error_of(cause));
  };
  kernel.run = [bytes, slots, dtype = spec.outputs[0].dtype,
                op = reduce_op(spec.attribute<std::string>("reduction")),
                summation = spec.attribute<bool>("tree") ? Summation::kTree : Summation::kAny,
                label = spec.attribute<std::string>("label"), top_k = top_k_of(spec, *slots),
                device_rank](const KernelArgs& args) {
    // Where the planner could, an input lies in its place already.
    char* const begin = args.out<char>(0);
    char* end = begin;
    for (size_t i = 0; i < bytes.size(); ++i) {
      char* const to = args.out<char>(static_cast<int>(i));
      const char* const from = args.in<char>(static_cast<int>(i));
      // What lies between two outputs is sent along: it must be numbers.
      if (to > end) std::memset(end, 0, static_cast<size_t>(to - end));
      if (from != to && bytes[i] > 0) std::memcpy(to, from, bytes[i]);
      end = to + bytes[i];
    }
    Communicator& communicator = slots->at(device_rank);
    if (top_k) {
      top_k->sum(static_cast<float*>(static_cast<void*>(begin)), communicator, label,
                 slots->step());
      return;
    }
    communicator.set_label(label, slots->step());
    const auto count = static_cast<int64_t>(static_cast<size_t>(end - begin) / size_of(dtype));
    communicator.all_reduce({begin, count, dtype}, op, summation);
  };
  return kernel;
}

// On a GPU: everything is enqueued. What lies between two outputs is sent along, whatever it is.
PreparedKernel gpu_all_reduce_kernel(const KernelSpec& spec,
                                     const std::shared_ptr<CommunicatorSlots>& slots) {
  if (spec.attribute<double>("top_k") != 0) {
    throw invalid_argument(spec.attribute<std::string>("label"),
                           ": compression top_k is for CPUs; GPUs have bfloat16 and float16");
  }
  std::vector<size_t> bytes;
  for (const TensorType& type : spec.outputs) bytes.push_back(type.bytes());
  const auto device_rank = static_cast<int>(spec.attribute<int64_t>("device_rank"));
  const auto label = std::make_shared<const std::string>(spec.attribute<std::string>("label"));
  PreparedKernel kernel;
  kernel.run = [bytes, slots, device_rank, label, dtype = spec.outputs[0].dtype,
                op = reduce_op(spec.attribute<std::string>("reduction")),
                summation = spec.attribute<bool>("tree") ? Summation::kTree : Summation::kAny](
                   const KernelArgs& args) {
    char* const begin = args.out<char>(0);
    char* end = begin;
    for (size_t i = 0; i < bytes.size(); ++i) {
      char* const to = args.out<char>(static_cast<int>(i));
      const char* const from = args.in<char>(static_cast<int>(i));
      if (from != to) args.stream->copy(to, from, bytes[i], CopyKind::kDeviceToDevice);
      end = to + bytes[i];
    }
    const auto count = static_cast<int64_t>(static_cast<size_t>(end - begin) / size_of(dtype));
    slots->gpu(device_rank)
        .all_reduce({begin, count, dtype, op, summation, label.get()}, *args.stream);
  };
  kernel.settle = [slots, device_rank](Stream& stream) {
    slots->gpu(device_rank).settle(stream, "the all-reduces of GPUs");
  };
  kernel.version = [slots] { return slots->version(); };
  return kernel;
}

}  // namespace

void CommunicatorSlots::set(std::vector<std::unique_ptr<Communicator>> communicators,
                            DeviceCollectives gpus) {
  MutexLock lock(mutex_);
  gpus_ = std::move(gpus);  // first: the old ones use the old communicators
  communicators_ = std::move(communicators);
  ++version_;
}

void CommunicatorSlots::set_step(int64_t step) {
  step_ = step;
  for (const auto& gpu : gpus_) gpu->set_step(step);
}

DeviceCollective& CommunicatorSlots::gpu(int device_rank) const {
  TRIREME_CHECK(device_rank < static_cast<int>(gpus_.size()), "nothing reduces for GPU ",
                device_rank);
  return *gpus_[static_cast<size_t>(device_rank)];
}

Communicator& CommunicatorSlots::at(int device_rank) const {
  TRIREME_CHECK(device_rank < static_cast<int>(communicators_.size()),
                "no communicator for device ", device_rank);
  return *communicators_[static_cast<size_t>(device_rank)];
}

void CommunicatorSlots::abort(const Error& cause) {
  MutexLock lock(mutex_);
  for (const auto& gpu : gpus_) gpu->abort(cause);
  for (const auto& communicator : communicators_) communicator->abort(cause);
}

std::shared_ptr<TopKExchange> CommunicatorSlots::top_k(const std::string& label, int device_rank,
                                                       int64_t count, double ratio) {
  auto& exchange = top_k_[{label, device_rank}];
  if (!exchange) exchange = std::make_shared<TopKExchange>(count, ratio);
  return exchange;
}

void register_collective_ops(OpTable& table) { table.add(all_reduce_op()); }

std::shared_ptr<const OpTable> distributed_op_table() {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  register_collective_ops(*table);
  return table;
}

Node& all_reduce(Graph& graph, const std::vector<Value>& values, const AllReduceOptions& options) {
  return graph.add("AllReduce", values,
                   {{"reduction", std::string("sum")},
                    {"tree", options.tree},
                    {"top_k", options.top_k},
                    {"label", options.label},
                    {"collective", options.collective},
                    {"device_rank", int64_t{options.device_rank}}},
                   "all_reduce");
}

std::vector<Node*> all_reduces(const Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) {
    if (node->op().name == "AllReduce") nodes.push_back(node.get());
  }
  return nodes;
}

void register_collective_kernels(KernelTable& table, std::shared_ptr<CommunicatorSlots> slots) {
  const auto factory = [slots](const KernelSpec& spec) { return all_reduce_kernel(spec, slots); };
  const auto on_gpus = [slots](const KernelSpec& spec) {
    return gpu_all_reduce_kernel(spec, slots);
  };
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16,
                      DType::kInt32, DType::kInt64}) {
    add_kernel(table, "AllReduce", "cpu", dtype, factory);
    add_kernel(table, "AllReduce", "reference", dtype, factory);
    add_kernel(table, "AllReduce", "cuda", dtype, on_gpus);
  }
}

}  // namespace trireme
