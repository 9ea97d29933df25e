#include "ps/client/transfers.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;

alignas(kWireAlignment) constexpr std::byte kPadding[kWireAlignment] = {};

template <typename Header>
void append(std::vector<std::byte>& bytes, const Header& header) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(header));
  std::memcpy(bytes.data() + at, &header, sizeof(header));
}

uint64_t shards_in(int slot, std::span<const int> slot_of_shard) {
  ShardSet shards;
  for (size_t shard = 0; shard < slot_of_shard.size(); ++shard) {
    if (slot_of_shard[shard] == slot) shards.set(shard);
  }
  return pack_shards(shards, static_cast<int>(slot_of_shard.size()));
}

void add_padding(OutMessage& message, size_t bytes) {
  const size_t missing = (kWireAlignment - bytes % kWireAlignment) % kWireAlignment;
  if (missing > 0) message.pieces.push_back({nullptr, std::span(kPadding, missing)});
}

}  // namespace

Transfers::Transfers(const PsClientOptions& options, const ShardMap& shards, RetryingSender& sender,
                     int slots)
    : options_(options), shards_(shards), sender_(sender), memories_(static_cast<size_t>(slots)) {
  if (options.cache_staleness > 0) cache_.emplace(options.cache_staleness);
}

OutgoingRequest Transfers::request_of(const std::shared_ptr<Bundle>& bundle) {
  OutgoingRequest request{
      .slot = bundle->header.slot,
      .what = bundle->what,
      .waits_for_workers = bundle->header.kind == RequestKind::kPull && bundle->header.step > 0,
      .make = [this, bundle](const Destination& to) { return make(*bundle, to); },
      .deadline = bundle->deadline,
      .resend_after = options_.resend_after,
      .done = [this, bundle](
                  const Message& answer,
                  std::unique_ptr<Error> error) { finish(bundle, answer, std::move(error)); }};
  // A pull may wait for other workers, and its answer is long: it is not asked for again soon.
  if (bundle->header.kind == RequestKind::kPull) request.resend_after *= 2;
  if (bundle->header.snapshot != 0) return request;
  request.shards = unpack_shards(bundle->header.shards, shards_.shards());
  request.split = [this, bundle](std::span<const int> slot_of_shard) {
    return split(*bundle, slot_of_shard);
  };
  return request;
}

// The same, when shards have moved: to each slot what is there now. An attempt that is under way
// may still be taken: each shard knows what it has.
std::vector<OutgoingRequest> Transfers::split(Bundle& bundle, std::span<const int> slot_of_shard) {
  const RequestHeader& header = bundle.header;
  const bool is_push = header.kind == RequestKind::kPush;
  const ShardSet shards = unpack_shards(header.shards, shards_.shards());
  std::map<int, ShardSet> by_slot;
  if (is_push) by_slot[header.slot] = {};  // it counts steps by what it hears
  for (size_t shard = 0; shard < slot_of_shard.size(); ++shard) {
    if (shards[shard]) by_slot[slot_of_shard[shard]].set(shard);
  }
  std::vector<std::shared_ptr<Bundle>> made;
  {
    MutexLock lock(bundle.mutex);
    if (bundle.finished) return {};
    for (const auto& [slot, its] : by_slot) {
      auto part = std::make_shared<Bundle>();
      for (const Part& whole : bundle.parts) {
        Part some = part_of(whole, its, header.row_type);
        if (some.keys->count() > 0) part->parts.push_back(std::move(some));
      }
      if (part->parts.empty() && !is_push) continue;
      part->header = header;
      part->header.slot = slot;
      part->header.shards = pack_shards(its, shards_.shards());
      part->header.section_count = static_cast<uint32_t>(part->parts.size());
      part->operation = bundle.operation;
      part->what = bundle.what;
      part->deadline = bundle.deadline;
      part->counts = bundle.counts && slot == header.slot;
      part->dropped = bundle.dropped;
      made.push_back(std::move(part));
    }
    bundle.finished = true;
    for (Part& part : bundle.parts) part.rows = {};
  }
  bundle.operation->add_parts(static_cast<int>(made.size()) - 1);
  std::vector<OutgoingRequest> requests;
  for (const auto& part : made) requests.push_back(request_of(part));
  return requests;
}

Transfers::Part Transfers::part_of(const Part& part, const ShardSet& shards, RowType type) const {
  // Rows that the cache had come anew: they would have been put in place with the others.
  const SlotKeys& all = part.staged != nullptr ? *part.staged->keys : *part.keys;
  std::vector<uint32_t> kept;
  Part some{.set = part.set, .target = part.target};
  some.own = std::make_shared<SlotKeys>(keys_in(all, part.set->table(), shards_, shards, kept));
  some.keys = some.own.get();
  if (part.rows.bytes.empty()) return some;
  const size_t each = row_bytes(type, part.set->dim());
  std::vector<std::byte> rows;
  rows.reserve(kept.size() * each);
  for (const uint32_t place : kept) {
    const auto row = part.rows.bytes.subspan(place * each, each);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  some.rows = own(std::move(rows));
  return some;
}

std::shared_ptr<const KeySet> Transfers::at(const std::shared_ptr<const KeySet>& set,
                                            std::span<const int> slot_of_shard) const {
  if (std::ranges::equal(set->slot_of_shard(), slot_of_shard)) return set;
  return split_anew(*set, options_.tables[static_cast<size_t>(set->table())], shards_,
                    slot_of_shard);
}

OutMessage Transfers::make(Bundle& bundle, const Destination& destination) const {
  const SlotMemory& memory = memories_[static_cast<size_t>(bundle.header.slot)];
  bundle.epoch = destination.epoch;
  RequestHeader header = bundle.header;
  header.view = destination.view;
  header.acknowledged_step = pushed_.acknowledged_step();
  if (header.kind == RequestKind::kPull && header.step > 0) {
    // Rows of a step that is over are no claim about later ones.
    header.acknowledged_step = std::min(header.acknowledged_step, header.step - 1);
  }
  std::vector<std::byte> bytes;
  append(bytes, header);
  OutMessage message;
  MutexLock lock(bundle.mutex);
  if (bundle.finished) return {};
  for (const Part& part : bundle.parts) {
    const bool has_keys =
        destination.needs_keys || !memory.knows_list(destination.epoch, part.keys->list_id);
    append(bytes, SectionHeader{.table = static_cast<uint32_t>(part.set->table()),
                                .has_keys = has_keys ? 1U : 0U,
                                .list_id = part.keys->list_id,
                                .count = part.keys->count(),
                                .dim = part.set->dim()});
    if (has_keys) {
      message.pieces.push_back(own(std::exchange(bytes, {})));
      const auto owner = part.own != nullptr      ? std::shared_ptr<const void>(part.own)
                         : part.staged != nullptr ? std::shared_ptr<const void>(part.staged)
                                                  : std::shared_ptr<const void>(part.set);
      message.pieces.push_back({owner, std::as_bytes(std::span(part.keys->keys))});
    }
    if (part.rows.bytes.empty()) continue;
    if (!bytes.empty()) message.pieces.push_back(own(std::exchange(bytes, {})));
    message.pieces.push_back(part.rows);
    add_padding(message, part.rows.bytes.size());
  }
  if (!bytes.empty()) message.pieces.push_back(own(std::move(bytes)));
  return message;
}

void Transfers::finish(const std::shared_ptr<Bundle>& bundle, const Message& message,
                       std::unique_ptr<Error> error) {
  SlotMemory& memory = memories_[static_cast<size_t>(bundle->header.slot)];
  try {
    if (error == nullptr) {
      std::vector<ExpectedRows> expected;
      const bool is_pull = bundle->header.kind == RequestKind::kPull;
      if (is_pull) {
        for (const Part& part : bundle->parts) {
          expected.push_back({.count = part.keys->count(), .dim = part.set->dim()});
        }
      }
      const Answer answer = parse_answer(message, bundle->header.row_type, expected);
      // The caller's memory, unless it was told already that another slot failed.
      const auto lease = bundle->operation->borrow();
      if (lease != nullptr && is_pull) receive(*bundle, answer);
      std::vector<uint64_t> lists;
      for (const Part& part : bundle->parts) lists.push_back(part.keys->list_id);
      memory.learned_lists(bundle->epoch, lists);
      if (!is_pull && bundle->counts) {
        memory.acknowledged(bundle->header.step, bundle->header.parts);
      }
      if (answer.header.code == AnswerCode::kDropped && !bundle->dropped->exchange(true)) {
        ++dropped_;
      }
    }
  } catch (const Error& bad) {
    error = std::make_unique<Error>(bad);
  }
  {
    MutexLock lock(bundle->mutex);
    bundle->finished = true;
    for (Part& part : bundle->parts) part.rows = {};
  }
  bundle->operation->finish_part(std::move(error));
}

void Transfers::receive(const Bundle& bundle, const Answer& answer) {
  const RowType type = bundle.header.row_type;
  std::vector<float> decoded;
  for (size_t i = 0; i < bundle.parts.size(); ++i) {
    const Part& part = bundle.parts[i];
    const int64_t dim = part.set->dim();
    const float* rows = reinterpret_cast<const float*>(answer.rows[i].data());
    if (type != RowType::kFloat32) {
      decoded.resize(static_cast<size_t>(part.keys->count() * dim));
      decode_rows(type, dim, answer.rows[i], decoded.data());
      rows = decoded.data();
    }
    if (part.staged == nullptr) {
      part.set->scatter(*part.keys, rows, part.target);
      continue;
    }
    const Staged& staged = *part.staged;
    auto* const all = reinterpret_cast<float*>(staged.rows.get());
    for (size_t j = 0; j < staged.places.size(); ++j) {
      std::copy_n(rows + static_cast<int64_t>(j) * dim, dim, all + staged.places[j] * dim);
    }
    part.set->scatter(*staged.keys, all, part.target);
    cache_->add(part.set->table(), dim, staged.keys->keys, staged.places, bundle.header.step, all);
  }
}

// What of these rows the cache has, and a list of the others.
std::shared_ptr<const Transfers::Staged> Transfers::stage(const KeySet& set, const SlotKeys& keys,
                                                          int64_t step) {
  const int64_t dim = set.dim();
  auto staged = std::make_shared<Staged>();
  staged->keys = &keys;
  staged->rows = buffers_.take(static_cast<size_t>(keys.count() * dim) * sizeof(float));
  staged->places =
      cache_->find(set.table(), dim, keys.keys, step, reinterpret_cast<float*>(staged->rows.get()));
  staged->missing.slot = keys.slot;
  for (const uint32_t place : staged->places) staged->missing.keys.push_back(keys.keys[place]);
  staged->missing.list_id = key_list_id(set.table(), staged->missing.keys);
  return staged;
}

void Transfers::pull(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
                     const Snapshot* snapshot, Operation::Done done) {
  TRIREME_CHECK(tables.size() == rows.size(), tables.size(), " tables, ", rows.size(), " targets");
  const std::vector<int> slot_of_shard =
      snapshot != nullptr ? snapshot->slot_of_shard : sender_.slot_of_shard();
  std::map<int, std::shared_ptr<Bundle>> bundles;
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto keys_now = at(tables[i].keys, slot_of_shard);
    const KeySet& set = *keys_now;
    const bool is_cached = cache_.has_value() && step > 0 && snapshot == nullptr &&
                           !options_.tables[static_cast<size_t>(set.table())].is_dense();
    for (const SlotKeys& keys : set.slots()) {
      Part part{.set = keys_now, .keys = &keys, .target = rows[i]};
      if (is_cached) {
        part.staged = stage(set, keys, step);
        part.keys = &part.staged->missing;
      }
      if (part.keys->keys.empty()) {
        set.scatter(keys, reinterpret_cast<const float*>(part.staged->rows.get()), part.target);
        continue;
      }
      auto& bundle = bundles[keys.slot];
      if (bundle == nullptr) bundle = std::make_shared<Bundle>();
      bundle->parts.push_back(std::move(part));
    }
  }
  if (bundles.empty()) {
    done(nullptr);
    return;
  }
  const auto operation =
      std::make_shared<Operation>(static_cast<int>(bundles.size()), std::move(done));
  for (auto& [slot, bundle] : bundles) {
    bundle->operation = operation;
    bundle->header = {
        .kind = RequestKind::kPull,
        .slot = slot,
        .worker = options_.worker,
        .section_count = static_cast<uint32_t>(bundle->parts.size()),
        .incarnation = options_.incarnation,
        .step = step,
        .row_type = options_.pull_type,
        .snapshot = snapshot == nullptr ? 0 : snapshot->ids[static_cast<size_t>(slot)],
        .shards = shards_in(slot, slot_of_shard)};
    bundle->what = str_cat("pull of step ", step);
    bundle->deadline = Clock::now() + options_.timeout;
    sender_.send(request_of(bundle));
  }
}

// Where rounding errors of these rows are kept: dense tables that are pushed as a whole only. Rows
// of sparse ones come too seldom to be worth as much memory again as the table has.
std::vector<float>* Transfers::residual(const KeySet& set) {
  const TableSpec& spec = options_.tables[static_cast<size_t>(set.table())];
  if (!spec.is_dense() || set.given() != spec.rows) return nullptr;
  std::vector<float>& residual = residuals_[set.table()];
  residual.resize(static_cast<size_t>(spec.rows * spec.dim));
  return &residual;
}

Message Transfers::encode(const SlotKeys& keys, const KeySet& set, const float* rows,
                          const std::shared_ptr<Operation>& operation) {
  const int64_t dim = set.dim();
  const auto elements = static_cast<size_t>(keys.count() * dim);
  std::span<const float> ordered(rows + keys.first * dim, elements);
  std::shared_ptr<std::byte> buffer;
  if (!keys.is_contiguous()) {
    buffer = buffers_.take(elements * sizeof(float));
    auto* const gathered = reinterpret_cast<float*>(buffer.get());
    set.gather(keys, rows, gathered);
    ordered = {gathered, elements};
  }
  if (options_.push_type == RowType::kFloat32) {
    if (buffer == nullptr) return {operation->borrow(), std::as_bytes(ordered)};
    return {buffer, std::as_bytes(ordered)};
  }
  const size_t size = static_cast<size_t>(keys.count()) * row_bytes(options_.push_type, dim);
  const auto wire = buffers_.take(size);
  std::vector<float>* const residual = this->residual(set);
  if (residual == nullptr) {
    encode_rows(options_.push_type, dim, ordered, wire.get());
    return {wire, {wire.get(), size}};
  }
  // Runs of neighbours: one, unless shards have moved.
  const size_t each = row_bytes(options_.push_type, dim);
  const auto width = static_cast<size_t>(dim);
  for (size_t begin = 0, end = 0; begin < keys.keys.size(); begin = end) {
    for (end = begin + 1; end < keys.keys.size() && keys.keys[end] == keys.keys[end - 1] + 1;)
      ++end;
    encode_rows(options_.push_type, dim, ordered.subspan(begin * width, (end - begin) * width),
                residual->data() + keys.keys[begin] * dim, wire.get() + begin * each);
  }
  return {wire, {wire.get(), size}};
}

void Transfers::push(int64_t step, int part, int parts, double learning_rate,
                     std::span<const TableGradients> tables, Operation::Done done) {
  TRIREME_CHECK(step >= 1 && part >= 0 && part < parts, "step ", step, ", part ", part, " of ",
                parts);
  // Every slot hears of every push, also of one that has nothing for it: it counts steps by them.
  const int slots = static_cast<int>(memories_.size());
  const std::vector<int> slot_of_shard = sender_.slot_of_shard();
  pushed_.pushing(step);
  const auto operation = std::make_shared<Operation>(
      slots, [this, step, parts, done = std::move(done)](std::unique_ptr<Error> error) {
        if (error == nullptr) pushed_.acknowledged(step, parts);
        done(std::move(error));
      });
  const auto dropped = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::shared_ptr<Bundle>> bundles;
  for (int slot = 0; slot < slots; ++slot) {
    memories_[static_cast<size_t>(slot)].pushing(step);
    bundles.push_back(std::make_shared<Bundle>());
    bundles.back()->operation = operation;
    bundles.back()->dropped = dropped;
  }
  for (const TableGradients& table : tables) {
    const auto set = at(table.keys, slot_of_shard);
    for (const SlotKeys& keys : set->slots()) {
      bundles[static_cast<size_t>(keys.slot)]->parts.push_back(
          {.set = set, .keys = &keys, .rows = encode(keys, *set, table.rows, operation)});
    }
  }
  for (int slot = 0; slot < slots; ++slot) {
    const auto& bundle = bundles[static_cast<size_t>(slot)];
    bundle->header = {
        .kind = RequestKind::kPush,
        .slot = slot,
        .worker = options_.worker,
        .section_count = static_cast<uint32_t>(bundle->parts.size()),
        .incarnation = options_.incarnation,
        .sequence = static_cast<uint64_t>((step - 1) * parts + part + 1),
        .step = step,
        .part = part,
        .parts = parts,
        .learning_rate = static_cast<float>(learning_rate),
        .row_type = options_.push_type,
        .shards = shards_in(slot, slot_of_shard),
    };
    bundle->what = str_cat("push of step ", step, ", part ", part);
    bundle->deadline = Clock::now() + options_.timeout;
    sender_.send(request_of(bundle));
  }
}

}  // namespace trireme::ps
