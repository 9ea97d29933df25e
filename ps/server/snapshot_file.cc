#include "ps/server/snapshot_file.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "core/base/logging.h"
#include "core/io/checkpoint.h"
#include "core/io/tensor_bundle.h"
#include "ps/server/row_batch.h"

namespace trireme::ps {
namespace {

namespace fs = std::filesystem;

std::string tensor_name(const TableSpec& table, const std::string& what) {
  return str_cat("ps/", table.name, "/", what);
}

using VisitRow = std::function<void(const RowView&)>;

// One pass over a table's rows, in the order of shards and keys: the same whenever it is made.
void for_each_row(const Cut& cut, size_t table, int64_t changed_since, const VisitRow& visit) {
  for (const auto& shard : cut.tables) {
    if (table < shard.size()) shard[table]->for_each(visit, changed_since);
  }
}

Tensor integer(int64_t value) { return Tensor::scalar<int64_t>(value); }

// Keys that were seen and have no row yet.
void write_waiting(io::BundleWriter& writer, const Cut& cut, size_t table) {
  std::vector<int64_t> fields;
  for (const auto& shard : cut.tables) {
    if (table >= shard.size()) continue;
    shard[table]->for_each_waiting([&](const WaitingKey& key) {
      fields.insert(fields.end(), {key.key, key.version, key.sightings});
    });
  }
  if (fields.empty()) return;
  const auto count = static_cast<int64_t>(fields.size() / 3);
  writer.add(tensor_name(cut.setup->tables[table], "waiting"),
             Tensor::from<int64_t>({count, 3}, fields));
}

// A table is written tensor by tensor, so that one of them at a time is in memory twice.
int64_t write_table(io::BundleWriter& writer, const Cut& cut, size_t table, int64_t changed_since) {
  const TableSpec& spec = cut.setup->tables[table];
  int64_t count = 0;
  for_each_row(cut, table, changed_since, [&](const RowView&) { ++count; });

  const auto integers = [&](const char* name, int64_t RowView::*field) {
    Tensor tensor(DType::kInt64, {count});
    int64_t* out = tensor.flat<int64_t>().data();
    for_each_row(cut, table, changed_since, [&](const RowView& row) { *out++ = row.*field; });
    writer.add(tensor_name(spec, name), tensor);
  };
  // `from`: of weight and slots side by side.
  const auto floats = [&](const std::string& name,
                          const std::function<const float*(const RowView&)>& values) {
    Tensor tensor(DType::kFloat32, {count, spec.dim});
    float* out = tensor.flat<float>().data();
    for_each_row(cut, table, changed_since, [&](const RowView& row) {
      std::memcpy(out, values(row), static_cast<size_t>(spec.dim) * sizeof(float));
      out += spec.dim;
    });
    writer.add(tensor_name(spec, name), tensor);
  };
  integers("keys", &RowView::key);
  integers("frequency", &RowView::frequency);
  integers("version", &RowView::version);
  floats("weights", [](const RowView& row) { return row.weight.data(); });
  for (int slot = 0; slot < spec.slots(); ++slot) {
    floats(str_cat("slot/", spec.update.slot_names[static_cast<size_t>(slot)]),
           [at = slot * spec.dim](const RowView& row) { return row.slots.data() + at; });
  }
  write_waiting(writer, cut, table);
  return count;
}

void read_waiting(const io::BundleReader& reader, const JobSetup& setup, int table,
                  const ShardSet& shards, const VisitBatch& visit) {
  const std::string name = tensor_name(setup.tables[static_cast<size_t>(table)], "waiting");
  if (!reader.contains(name)) return;
  const Tensor tensor = reader.read(name);
  const auto fields = tensor.flat<int64_t>();
  std::map<int, std::vector<WaitingKey>> batches;
  for (size_t i = 0; i + 2 < fields.size(); i += 3) {
    const int shard = setup.shards.shard_of(table, fields[i]);
    if (!shards[static_cast<size_t>(shard)]) continue;
    batches[shard].push_back({fields[i], fields[i + 1], fields[i + 2]});
  }
  for (const auto& [shard, keys] : batches) {
    visit(EntryKind::kWaiting, shard, table, bytes_of(keys));
  }
}

// "slot-3-17": of slot 3, the 17th.
std::string stem(int slot) { return str_cat("slot-", slot); }

std::vector<io::CheckpointInfo> list_snapshots(const std::string& directory, int slot) {
  std::vector<io::CheckpointInfo> all = io::list_checkpoints(directory);
  std::erase_if(all, [&](const io::CheckpointInfo& info) {
    return fs::path(info.prefix).filename().string() != str_cat(stem(slot), "-", info.step);
  });
  std::ranges::sort(all, {}, &io::CheckpointInfo::step);
  return all;
}

void remove_bundle(const std::string& bundle) {
  std::error_code error;
  fs::remove(io::index_path(bundle), error);
  fs::remove(io::shard_path(bundle, 0, 1), error);
}

}  // namespace

std::string snapshot_part(const std::string& prefix, int slot, int slots) {
  char suffix[32];
  std::snprintf(suffix, sizeof suffix, ".ps-%05d-of-%05d", slot, slots);
  return prefix + suffix;
}

std::string snapshot_manifest(const std::string& prefix) { return prefix + ".ps"; }

std::vector<std::string> snapshot_parts(const std::string& prefix) {
  const fs::path path(prefix);
  const std::string start = path.filename().string() + ".ps-";
  int slots = 0;
  std::error_code error;
  for (fs::directory_iterator it(io::directory_of(prefix), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    int slot = 0, of = 0, length = 0;
    if (!name.starts_with(start) || !name.ends_with(".index")) continue;
    const char* const rest = name.c_str() + start.size();
    if (std::sscanf(rest, "%5d-of-%5d.index%n", &slot, &of, &length) == 2 && length > 0) {
      slots = std::max(slots, of);
    }
  }
  if (slots == 0) {
    throw not_found(prefix, ": expected the files ", start, "…-of-….index of a snapshot of ",
                    "parameter servers there, found none");
  }
  std::vector<std::string> parts;
  for (int slot = 0; slot < slots; ++slot) {
    parts.push_back(snapshot_part(prefix, slot, slots));
    if (!fs::exists(io::index_path(parts.back()))) {
      throw not_found(io::index_path(parts.back()), ": a part of the snapshot is missing; ",
                      "it was not finished, or not copied as a whole");
    }
  }
  return parts;
}

int64_t write_snapshot(const Cut& cut, const std::string& bundle, int64_t changed_since,
                       const SnapshotLabel& label) {
  io::create_directories(io::directory_of(bundle));
  io::BundleWriter writer(bundle);
  int64_t rows = 0;
  const size_t tables = cut.setup == nullptr ? 0 : cut.setup->tables.size();
  for (size_t table = 0; table < tables; ++table) {
    rows += write_table(writer, cut, table, changed_since);
  }
  writer.add("ps/step", integer(cut.step));
  writer.add("ps/newest_step", integer(cut.newest));
  writer.add("ps/checkpoint_step", integer(label.step));
  writer.add("ps/job", Tensor::scalar<std::string>(label.job));
  writer.add("ps/save", Tensor::scalar<std::string>(label.save));
  writer.add("ps/changed_since", integer(changed_since));
  writer.add("ps/session", Tensor::scalar<std::string>(cut.session));
  const auto* const state = reinterpret_cast<const uint8_t*>(cut.state.data());
  writer.add("ps/state", Tensor::from<uint8_t>({static_cast<int64_t>(cut.state.size())},
                                               std::span<const uint8_t>(state, cut.state.size())));
  writer.finish();
  return rows;
}

SnapshotHead read_snapshot_head(const std::string& bundle) {
  const io::BundleReader reader(bundle);
  SnapshotHead head;
  head.step = reader.read("ps/step").item<int64_t>();
  head.changed_since = reader.read("ps/changed_since").item<int64_t>();
  // What an earlier version wrote does not say more.
  if (reader.contains("ps/checkpoint_step")) {
    head.newest_step = reader.read("ps/newest_step").item<int64_t>();
    head.label = {.job = reader.read("ps/job").item<std::string>(),
                  .save = reader.read("ps/save").item<std::string>(),
                  .step = reader.read("ps/checkpoint_step").item<int64_t>()};
  }
  if (reader.contains("ps/session")) {
    head.session = reader.read("ps/session").item<std::string>();
  }
  const Tensor state = reader.read("ps/state");
  head.state.assign(reinterpret_cast<const char*>(state.raw()), state.bytes());
  return head;
}

io::PartsManifest verify_checkpoint(const std::string& prefix, int64_t step, bool all) {
  const std::string path = snapshot_manifest(prefix);
  const io::PartsManifest manifest = io::read_manifest(path);
  if (step >= 0 && manifest.step != step) {
    throw data_loss(path, ": expected the rows of step ", step, ", found those of step ",
                    manifest.step, "; use another checkpoint");
  }
  const std::string directory = io::directory_of(prefix);
  const auto slots = static_cast<int>(manifest.parts.size());
  for (int slot = 0; slot < slots; ++slot) {
    const io::CheckpointPart& part = manifest.parts[static_cast<size_t>(slot)];
    const std::string bundle = (fs::path(directory) / part.name).string();
    const std::string expected = snapshot_part(prefix, slot, slots);
    if (bundle != (fs::path(directory) / fs::path(expected).filename()).string()) {
      throw data_loss(path, ": expected the part ", fs::path(expected).filename().string(),
                      ", found ", io::quote_name(part.name),
                      "; the manifest is of another checkpoint, use another one");
    }
    // What a part says of itself comes first: of another checkpoint's part it is the better word.
    std::optional<SnapshotLabel> label;
    try {
      label = read_snapshot_head(bundle).label;
    } catch (const Error&) {
      // Its files are not those of the manifest: that is said below.
    }
    if (label && (label->step != manifest.step || label->job != manifest.job ||
                  label->save != manifest.save)) {
      throw data_loss(bundle, ": expected the part of step ", manifest.step, " that job ",
                      io::quote_name(manifest.job), " saved (", manifest.save,
                      "), found one of step ", label->step, " of job ", io::quote_name(label->job),
                      " (", label->save.empty() ? "no checkpoint" : label->save,
                      "); use another checkpoint");
    }
    io::verify_part(directory, part, all);
  }
  return manifest;
}

void read_snapshot_rows(const std::string& bundle, const JobSetup& setup, const ShardSet& shards,
                        const VisitBatch& visit) {
  const io::BundleReader reader(bundle);
  for (size_t table = 0; table < setup.tables.size(); ++table) {
    const TableSpec& spec = setup.tables[table];
    const std::string keys_name = tensor_name(spec, "keys");
    if (!reader.contains(keys_name)) {
      log_warning(str_cat(bundle, ": it has no table \"", spec.name, "\", which stays as it is"));
      continue;
    }
    const int64_t count = reader.type(keys_name).shape.elements();
    std::vector<io::NamedType> expected;
    for (const char* name : {"keys", "frequency", "version"}) {
      expected.push_back({tensor_name(spec, name), {DType::kInt64, {count}}});
    }
    std::vector<std::string> columns = {tensor_name(spec, "weights")};
    for (const std::string& slot : spec.update.slot_names) {
      columns.push_back(tensor_name(spec, str_cat("slot/", slot)));
    }
    for (const std::string& name : columns) {
      expected.push_back({name, {DType::kFloat32, {count, spec.dim}}});
    }
    io::check_compatible(expected, reader);

    const Tensor keys = reader.read(keys_name), version = reader.read(tensor_name(spec, "version")),
                 frequency = reader.read(tensor_name(spec, "frequency"));
    std::vector<Tensor> values;
    for (const std::string& name : columns) values.push_back(reader.read(name));
    std::map<int, RowBatch> batches;
    std::vector<float> slots(static_cast<size_t>(spec.dim * spec.slots()));
    const auto dim = static_cast<size_t>(spec.dim);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const int64_t key = keys.flat<int64_t>()[i];
      if (key < 0 || (spec.is_dense() && key >= spec.rows)) {
        throw data_loss(bundle, ": table \"", spec.name, "\" has a row for key ", key);
      }
      const int shard = setup.shards.shard_of(static_cast<int>(table), key);
      if (!shards[static_cast<size_t>(shard)]) continue;
      for (size_t slot = 1; slot < values.size(); ++slot) {
        std::memcpy(slots.data() + (slot - 1) * dim, values[slot].flat<float>().data() + i * dim,
                    dim * sizeof(float));
      }
      RowBatch& batch = batches.try_emplace(shard, spec).first->second;
      batch.add({.key = key,
                 .version = version.flat<int64_t>()[i],
                 .frequency = frequency.flat<int64_t>()[i],
                 .weight = values[0].flat<float>().subspan(i * dim, dim),
                 .slots = slots});
      if (batch.bytes() >= kBatchBytes)
        visit(EntryKind::kRows, shard, static_cast<int>(table), batch.take());
    }
    read_waiting(reader, setup, static_cast<int>(table), shards, visit);
    for (auto& [shard, batch] : batches) {
      if (!batch.empty()) visit(EntryKind::kRows, shard, static_cast<int>(table), batch.take());
    }
  }
}

std::vector<std::string> snapshots_of(const std::string& directory, int slot) {
  std::vector<std::string> bundles;
  for (const io::CheckpointInfo& info : list_snapshots(directory, slot)) {
    bundles.insert(bundles.begin(), info.prefix);
  }
  return bundles;
}

std::string newest_snapshot(const std::string& directory, int slot) {
  const auto all = snapshots_of(directory, slot);
  return all.empty() ? "" : all.front();
}

std::string next_snapshot(const std::string& directory, int slot) {
  const auto all = list_snapshots(directory, slot);
  const int64_t number = all.empty() ? 1 : all.back().step + 1;
  return (fs::path(directory) / str_cat(stem(slot), "-", number)).string();
}

std::string arrival_bundle(const std::string& directory, int slot, int shard) {
  return (fs::path(directory) / str_cat("arrival-", slot, "-", shard)).string();
}

void remove_old_snapshots(const std::string& directory, int slot, const std::string& bundle) {
  const auto all = list_snapshots(directory, slot);
  for (size_t i = 0; i < all.size(); ++i) {
    const bool before_it = i + 1 < all.size() && all[i + 1].prefix == bundle;
    if (all[i].prefix != bundle && !before_it) remove_bundle(all[i].prefix);
  }
}

void remove_other_snapshots(const std::string& directory, const std::string& session) {
  std::error_code error;
  std::vector<std::string> others;
  const std::string suffix = ".index";
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    const bool is_ours = name.starts_with("slot-") || name.starts_with("arrival-");
    if (!is_ours || !name.ends_with(suffix)) continue;
    const std::string bundle = (fs::path(directory) / name.substr(0, name.size() - suffix.size()));
    try {
      if (!session.empty() && read_snapshot_head(bundle).session == session) continue;
    } catch (const Error& damaged) {
      log_warning(str_cat("removing a snapshot that cannot be read: ", damaged.what()));
    }
    others.push_back(bundle);
  }
  for (const std::string& bundle : others) remove_bundle(bundle);
}

}  // namespace trireme::ps
