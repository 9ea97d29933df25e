#include "distributed/strategy/server_traffic.h"

#include <algorithm>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "\n") + name;
  return text;
}

}  // namespace

std::vector<Value> ServerTraffic::pull(std::span<ShardBuilder> shards,
                                       const std::vector<BucketItem>& dense) {
  std::vector<Value> inputs = {train_.step};
  std::vector<std::string> tables;
  Ints dims;
  std::vector<std::vector<ShardLookup>> found;
  for (ShardBuilder& shard : shards) {
    found.push_back(shard.add_keys());
    lookups_.emplace_back();
    for (const ShardLookup& lookup : found.back()) {
      inputs.push_back(lookup.keys);
      tables.push_back(lookup.original->attribute<std::string>("table"));
      dims.push_back(lookup.original->attribute<int64_t>("dim"));
      lookups_.back().push_back({.table = tables.back(), .dim = dims.back(), .keys = lookup.keys});
    }
  }
  for (const BucketItem& item : dense) {
    inputs.push_back(item.value);
    tables.push_back(item.name);
  }
  if (tables.empty()) return {};
  const Graph::Scope scope(graph_, "servers");
  Node& node = graph_.add(
      "PsPull", std::move(inputs),
      {{"tables", join(tables)}, {"dims", dims}, {"label", std::string("pull")}}, "pull");
  int next = 0;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    for (size_t i = 0; i < found[shard].size(); ++i) {
      lookups_[shard][i].rows = node.output(next++);
      shards[shard].replace(found[shard][i].original->output(), lookups_[shard][i].rows);
    }
  }
  std::vector<Value> values;
  for (const BucketItem& item : dense) {
    values.push_back(node.output(next++));
    for (ShardBuilder& shard : shards) shard.replace(item.value, values.back());
  }
  return values;
}

std::vector<Value> ServerTraffic::rows_of(int shard) const {
  std::vector<Value> rows;
  for (const Lookup& lookup : lookups_[static_cast<size_t>(shard)]) rows.push_back(lookup.rows);
  return rows;
}

void ServerTraffic::set_gradients(int shard, std::span<const Gradient> gradients) {
  auto& lookups = lookups_[static_cast<size_t>(shard)];
  TRIREME_CHECK(gradients.size() == lookups.size(), "a gradient for each lookup");
  for (size_t i = 0; i < lookups.size(); ++i) {
    if (gradients[i].defined()) lookups[i].gradient = densify(gradients[i], lookups[i].rows);
  }
}

bool ServerTraffic::has_gradients() const {
  return std::ranges::any_of(lookups_, [](const auto& shard) {
    return std::ranges::any_of(shard, [](const Lookup& l) { return l.gradient.defined(); });
  });
}

std::vector<ServerTraffic::TableGradient> ServerTraffic::table_gradients() const {
  std::vector<std::vector<const Lookup*>> by_table;
  for (const auto& shard : lookups_) {
    for (const Lookup& lookup : shard) {
      if (!lookup.gradient.defined()) continue;
      const auto same = std::ranges::find_if(
          by_table, [&](const auto& others) { return others[0]->table == lookup.table; });
      if (same == by_table.end()) {
        by_table.push_back({&lookup});
      } else {
        same->push_back(&lookup);
      }
    }
  }
  std::vector<TableGradient> result;
  for (const auto& lookups : by_table) {
    const Lookup& first = *lookups[0];
    if (lookups.size() == 1) {
      result.push_back({first.table, first.keys, first.gradient});
      continue;
    }
    std::vector<Value> keys, rows;
    for (const Lookup* lookup : lookups) {
      keys.push_back(ops::cast(ops::reshape(lookup->keys, {-1}), DType::kInt64));
      rows.push_back(ops::reshape(lookup->gradient, {-1, lookup->dim}));
    }
    result.push_back({first.table, ops::concat(keys, 0), ops::concat(rows, 0)});
  }
  return result;
}

void ServerTraffic::push(const std::vector<BucketItem>& early, int64_t first_bytes, int64_t bytes,
                         const std::vector<BucketItem>& late, std::span<Node* const> after) {
  const Graph::Scope scope(graph_, "servers");
  const std::vector<TableGradient> sparse = table_gradients();
  std::vector<Bucket> buckets = make_buckets(early, first_bytes, bytes);
  if (buckets.empty()) {
    if (sparse.empty() && late.empty()) return;
    buckets.push_back({.items = {}, .label = "rows"});
  }
  Node* previous = nullptr;
  for (size_t part = 0; part < buckets.size(); ++part) {
    const bool is_last = part + 1 == buckets.size();
    std::vector<Value> inputs = {train_.learning_rate, train_.step};
    std::vector<std::string> tables;
    if (is_last) {
      for (const TableGradient& table : sparse) {
        inputs.insert(inputs.end(), {table.keys, table.gradient});
        tables.push_back(table.table);
      }
    }
    const auto add = [&](const BucketItem& item) {
      inputs.push_back(item.value);
      tables.push_back(item.name);
    };
    for (size_t item : buckets[part].items) add(early[item]);
    if (is_last) std::ranges::for_each(late, add);
    Node& node = graph_.add("PsPush", std::move(inputs),
                            {{"tables", join(tables)},
                             {"lookups", static_cast<int64_t>(is_last ? sparse.size() : 0)},
                             {"part", static_cast<int64_t>(part)},
                             {"parts", static_cast<int64_t>(buckets.size())},
                             {"label", "push " + buckets[part].label}},
                            "push");
    // The same order on every worker, whatever a pass does to the rest of the graph.
    if (previous != nullptr) node.add_control_input(previous);
    for (Node* earlier : after) node.add_control_input(earlier);
    previous = &node;
    train_.pushes.push_back(&node);
  }
}

}  // namespace trireme
