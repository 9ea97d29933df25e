#include "ps/ops/ps_ops.h"

#include <algorithm>
#include <sstream>

#include "core/device/kernel_spec.h"

namespace trireme::ps {
namespace {

bool are_keys(const TensorType& type) {
  return type.dtype == DType::kInt32 || type.dtype == DType::kInt64;
}

TensorType rows_of(const TensorType& keys, int64_t dim) {
  Shape shape = keys.shape;
  shape.push_back(dim);
  return {DType::kFloat32, shape};
}

OpDef ps_lookup_op() {
  return {
      .name = "PsLookup",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<std::string>("table"), attribute<int64_t>("dim").in(at_least(1))},
      .infer =
          [](const InferenceContext& c) {
            return std::vector{rows_of(c.input(0), c.attribute<int64_t>("dim"))};
          },
      .traits = {.is_stateful = true,
                 .is_communication = true,
                 .runs_on_host = true,
                 .index_inputs = {0}},
  };
}

OpDef ps_pull_op() {
  return {
      .name = "PsPull",
      .min_inputs = 1,
      .max_inputs = -1,
      .attributes = {attribute<std::string>("tables"), attribute<Ints>("dims").in(at_least(1)),
                     attribute<std::string>("label")},
      .infer =
          [](const InferenceContext& c) {
            c.require(c.input(0) == TensorType{DType::kInt64, {}}, "a step of i64[]");
            const Ints& dims = c.attribute<Ints>("dims");
            std::vector<TensorType> types;
            for (int i = 1; i < c.input_count(); ++i) {
              const auto list = static_cast<size_t>(i - 1);
              const bool is_list = list < dims.size();
              c.require(is_list ? are_keys(c.input(i)) : c.dtype(i) == DType::kFloat32,
                        is_list ? "keys of i32 or i64" : "dense tables of f32");
              types.push_back(is_list ? rows_of(c.input(i), dims[list]) : c.input(i));
            }
            c.require(types.size() >= dims.size(), "a list of keys for each of `dims`");
            return types;
          },
      .traits = {.is_stateful = true, .is_communication = true, .runs_on_host = true},
  };
}

OpDef ps_push_op() {
  return {
      .name = "PsPush",
      .min_inputs = 2,
      .max_inputs = -1,
      .attributes = {attribute<std::string>("tables"),
                     attribute<int64_t>("lookups").in(at_least(0)),
                     attribute<int64_t>("part").in(at_least(0)),
                     attribute<int64_t>("parts").in(at_least(1)), attribute<std::string>("label")},
      .infer =
          [](const InferenceContext& c) {
            c.require(c.input(0) == TensorType{DType::kFloat32, {}}, "a learning rate of f32[]");
            c.require(c.input(1) == TensorType{DType::kInt64, {}}, "a step of i64[]");
            const auto lists = static_cast<int>(c.attribute<int64_t>("lookups"));
            c.require(c.input_count() >= 2 + 2 * lists, "keys and gradients for each list");
            for (int i = 2; i < c.input_count(); ++i) {
              const bool keys = i < 2 + 2 * lists && i % 2 == 0;
              c.require(keys ? are_keys(c.input(i)) : c.dtype(i) == DType::kFloat32,
                        keys ? "keys of i32 or i64" : "gradients of f32");
            }
            return std::vector{TensorType{DType::kInt64, {}}};
          },
      .traits = {.is_stateful = true, .is_communication = true, .runs_on_host = true},
  };
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Keys as i64, whatever they are in the graph; memory that a later run uses again.
class KeyInput {
 public:
  KeyInput(const TensorType& type, int input)
      : dtype_(type.dtype), count_(static_cast<size_t>(type.shape.elements())), input_(input) {}

  std::span<const int64_t> read(const KernelArgs& args) {
    if (dtype_ == DType::kInt64) return {args.in<int64_t>(input_), count_};
    const int32_t* const keys = args.in<int32_t>(input_);
    wide_.assign(keys, keys + count_);
    return wide_;
  }

 private:
  DType dtype_;
  size_t count_;
  int input_;
  std::vector<int64_t> wide_;
};

// What a kernel keeps from run to run: tables by index, and the rows that it hands over.
template <typename T>
struct Transfer {
  std::shared_ptr<TableStoreSlot> slot;
  std::vector<std::string> names;
  std::vector<KeyInput> lists;     // of the first names
  std::vector<TableRows<T>> rows;  // one for each name

  // REQUIRES: the store is there. The keys of this run.
  void begin(const KernelArgs& args) {
    if (rows.empty()) {
      for (const std::string& name : names) {
        rows.push_back({.table = table_index(slot->store().tables(), name)});
      }
    }
    for (size_t i = 0; i < lists.size(); ++i) rows[i].keys = lists[i].read(args);
  }
};

PreparedKernel ps_lookup_kernel(const KernelSpec& spec,
                                const std::shared_ptr<TableStoreSlot>& slot) {
  auto transfer = std::make_shared<Transfer<float>>(slot);
  transfer->names = {spec.attribute<std::string>("table")};
  transfer->lists = {{spec.inputs[0], 0}};
  return {[transfer](const KernelArgs& args) {
    transfer->begin(args);
    transfer->rows[0].rows = args.out<float>();
    transfer->slot->store().pull(0, transfer->rows);
  }};
}

PreparedKernel ps_pull_kernel(const KernelSpec& spec, const std::shared_ptr<TableStoreSlot>& slot) {
  auto transfer = std::make_shared<Transfer<float>>(slot);
  transfer->names = split_lines(spec.attribute<std::string>("tables"));
  TRIREME_CHECK(transfer->names.size() == spec.outputs.size(), "a table for each output");
  for (size_t i = 0; i < spec.attribute<Ints>("dims").size(); ++i) {
    transfer->lists.emplace_back(spec.inputs[i + 1], static_cast<int>(i + 1));
  }
  return {[transfer](const KernelArgs& args) {
    transfer->begin(args);
    for (size_t i = 0; i < transfer->rows.size(); ++i) {
      transfer->rows[i].rows = args.out<float>(static_cast<int>(i));
    }
    transfer->slot->store().pull(args.in<int64_t>(0)[0], transfer->rows);
  }};
}

PreparedKernel ps_push_kernel(const KernelSpec& spec, const std::shared_ptr<TableStoreSlot>& slot) {
  auto transfer = std::make_shared<Transfer<const float>>(slot);
  transfer->names = split_lines(spec.attribute<std::string>("tables"));
  const auto lists = static_cast<size_t>(spec.attribute<int64_t>("lookups"));
  TRIREME_CHECK(transfer->names.size() + lists + 2 == spec.inputs.size(), "a table a gradient");
  for (size_t i = 0; i < lists; ++i) {
    transfer->lists.emplace_back(spec.inputs[2 + 2 * i], static_cast<int>(2 + 2 * i));
  }
  return {[transfer, lists, part = static_cast<int>(spec.attribute<int64_t>("part")),
           parts = static_cast<int>(spec.attribute<int64_t>("parts"))](const KernelArgs& args) {
    transfer->begin(args);
    for (size_t i = 0; i < transfer->rows.size(); ++i) {
      const size_t input = i < lists ? 3 + 2 * i : 2 + lists + i;
      transfer->rows[i].rows = args.in<float>(static_cast<int>(input));
    }
    TableStore& store = transfer->slot->store();
    store.push(args.in<int64_t>(1)[0], part, parts, static_cast<double>(args.in<float>(0)[0]),
               transfer->rows);
    args.out<int64_t>()[0] = store.dropped_pushes();
  }};
}

}  // namespace

int table_index(std::span<const TableSpec> tables, const std::string& name) {
  const auto found = std::ranges::find(tables, name, &TableSpec::name);
  TRIREME_CHECK(found != tables.end(), "no table \"", name, "\" among ", tables.size());
  return static_cast<int>(found - tables.begin());
}

void register_ps_ops(OpTable& table) {
  table.add(ps_lookup_op());
  table.add(ps_pull_op());
  table.add(ps_push_op());
}

void register_ps_kernels(KernelTable& table, std::shared_ptr<TableStoreSlot> slot) {
  for (const char* kind : {"cpu", "reference"}) {
    for (DType keys : {DType::kInt32, DType::kInt64}) {
      add_kernel(table, "PsLookup", kind, keys,
                 [slot](const KernelSpec& spec) { return ps_lookup_kernel(spec, slot); });
    }
    add_kernel(table, "PsPull", kind, DType::kInt64,
               [slot](const KernelSpec& spec) { return ps_pull_kernel(spec, slot); });
    add_kernel(table, "PsPush", kind, DType::kFloat32,
               [slot](const KernelSpec& spec) { return ps_push_kernel(spec, slot); });
  }
}

}  // namespace trireme::ps
