#include "ps/client/transfers.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kAlignment = 8;
alignas(kAlignment) constexpr std::byte kPadding[kAlignment] = {};

template <typename Header>
void append(std::vector<std::byte>& bytes, const Header& header) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(header));
  std::memcpy(bytes.data() + at, &header, sizeof(header));
}

void add_padding(OutMessage& message, size_t bytes) {
  const size_t missing = (kAlignment - bytes % kAlignment) % kAlignment;
  if (missing > 0) message.pieces.push_back({nullptr, std::span(kPadding, missing)});
}

}  // namespace

Transfers::Transfers(const PsClientOptions& options, Courier& courier, int slots)
    : options_(options), courier_(courier), memories_(static_cast<size_t>(slots)) {
  if (options.cache_staleness > 0) cache_.emplace(options.cache_staleness);
}

Parcel Transfers::parcel(const std::shared_ptr<Bundle>& bundle, std::string what) const {
  return {.slot = bundle->header.slot,
          .what = std::move(what),
          .make = [this, bundle](const Destination& to) { return make(*bundle, to); },
          .deadline = Clock::now() + options_.timeout,
          .resend_after = options_.resend_after,
          .done = nullptr};
}

OutMessage Transfers::make(Bundle& bundle, const Destination& destination) const {
  const SlotMemory& memory = memories_[static_cast<size_t>(bundle.header.slot)];
  bundle.epoch = destination.epoch;
  RequestHeader header = bundle.header;
  header.view = destination.view;
  header.acknowledged_step = memory.acknowledged_step();
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
      const auto owner = part.staged != nullptr ? std::shared_ptr<const void>(part.staged)
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
      if (!is_pull) memory.acknowledged(bundle->header.step, bundle->header.parts);
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
                     std::span<const int64_t> snapshots, Operation::Done done) {
  TRIREME_CHECK(tables.size() == rows.size(), tables.size(), " tables, ", rows.size(), " targets");
  std::map<int, std::shared_ptr<Bundle>> bundles;
  for (size_t i = 0; i < tables.size(); ++i) {
    const KeySet& set = *tables[i].keys;
    const bool is_cached = cache_.has_value() && step > 0 && snapshots.empty() &&
                           !options_.tables[static_cast<size_t>(set.table())].is_dense();
    for (const SlotKeys& keys : set.slots()) {
      Part part{.set = tables[i].keys, .keys = &keys, .target = rows[i]};
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
    bundle->header = {.kind = RequestKind::kPull,
                      .slot = slot,
                      .worker = options_.worker,
                      .section_count = static_cast<uint32_t>(bundle->parts.size()),
                      .incarnation = options_.incarnation,
                      .step = step,
                      .row_type = options_.pull_type,
                      .snapshot = snapshots.empty() ? 0 : snapshots[static_cast<size_t>(slot)]};
    Parcel parcel = this->parcel(bundle, str_cat("pull of step ", step));
    // A pull may wait for other workers, and its answer is long: it is not asked for again soon.
    parcel.resend_after *= 2;
    parcel.done = [this, bundle = bundle](const Message& answer, std::unique_ptr<Error> error) {
      finish(bundle, answer, std::move(error));
    };
    courier_.send(std::move(parcel));
  }
}

// Where rounding errors of these rows are kept: dense tables that are pushed as a whole only. Rows
// of sparse ones come too seldom to be worth as much memory again as the table has.
float* Transfers::residual(const SlotKeys& keys, const KeySet& set) {
  const TableSpec& spec = options_.tables[static_cast<size_t>(set.table())];
  const bool is_run =
      keys.is_contiguous() && keys.keys.back() - keys.keys.front() + 1 == keys.count();
  if (!spec.is_dense() || !is_run) return nullptr;
  std::vector<float>& residual = residuals_[set.table()];
  residual.resize(static_cast<size_t>(spec.rows * spec.dim));
  return residual.data() + keys.keys.front() * spec.dim;
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
  float* const residual = this->residual(keys, set);
  if (residual != nullptr) {
    encode_rows(options_.push_type, dim, ordered, residual, wire.get());
  } else {
    encode_rows(options_.push_type, dim, ordered, wire.get());
  }
  return {wire, {wire.get(), size}};
}

void Transfers::push(int64_t step, int part, int parts, double learning_rate,
                     std::span<const TableGradients> tables, Operation::Done done) {
  TRIREME_CHECK(step >= 1 && part >= 0 && part < parts, "step ", step, ", part ", part, " of ",
                parts);
  // Every slot hears of every push, also of one that has nothing for it: it counts steps by them.
  const int slots = static_cast<int>(memories_.size());
  const auto operation = std::make_shared<Operation>(slots, std::move(done));
  const auto dropped = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::shared_ptr<Bundle>> bundles;
  for (int slot = 0; slot < slots; ++slot) {
    memories_[static_cast<size_t>(slot)].pushing(step);
    bundles.push_back(std::make_shared<Bundle>());
    bundles.back()->operation = operation;
    bundles.back()->dropped = dropped;
  }
  for (const TableGradients& table : tables) {
    for (const SlotKeys& keys : table.keys->slots()) {
      bundles[static_cast<size_t>(keys.slot)]->parts.push_back(
          {.set = table.keys,
           .keys = &keys,
           .rows = encode(keys, *table.keys, table.rows, operation)});
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
    };
    Parcel parcel = this->parcel(bundle, str_cat("push of step ", step, ", part ", part));
    parcel.done = [this, bundle](const Message& answer, std::unique_ptr<Error> error) {
      finish(bundle, answer, std::move(error));
    };
    courier_.send(std::move(parcel));
  }
}

}  // namespace trireme::ps
