#include "ps/ops/client_store.h"

#include <algorithm>
#include <utility>

#include "core/base/activity.h"
#include "core/base/thread_annotations.h"

namespace trireme::ps {
namespace {

bool is_padded(const TableSpec& spec) { return spec.rows * spec.dim != spec.elements; }

}  // namespace

struct ClientStore::Ahead {
  int64_t step = 0;
  std::vector<Prepared> lists;
  std::vector<std::vector<float>> rows;  // of each list
  std::vector<TableKeys> tables;
  std::vector<float*> targets;

  Mutex mutex;
  ConditionVariable changed;
  bool is_done GUARDED_BY(mutex) = false;
  std::unique_ptr<Error> error GUARDED_BY(mutex);

  void finish(std::unique_ptr<Error> with) {
    MutexLock lock(mutex);
    error = std::move(with);
    is_done = true;
    changed.notify_all();
  }
  // The client calls finish() at its deadline at the latest.
  const Error* wait() {
    MutexLock lock(mutex);
    while (!is_done) changed.wait(mutex);
    return error.get();
  }
  const float* find(int table, std::span<const int64_t> keys) const {
    for (size_t i = 0; i < lists.size(); ++i) {
      if (lists[i].table == table && std::ranges::equal(lists[i].keys, keys)) {
        return rows[i].data();
      }
    }
    return nullptr;
  }
};

ClientStore::ClientStore(std::shared_ptr<PsClient> client, int64_t pushed)
    : client_(std::move(client)), pushed_(pushed), dense_(client_->tables().size()) {}

ClientStore::~ClientStore() {
  if (!ahead_) return;
  // Its rows may be those of a step that never comes.
  client_->end_calls();
  ahead_->wait();
}

void ClientStore::prefetch(int64_t step, std::span<const KeyList> lists) {
  if (ahead_) ahead_->wait();  // of a step that never came
  ahead_ = nullptr;
  const auto ahead = std::make_shared<Ahead>();
  ahead->step = step;
  guarded([&] {
    for (const KeyList& list : lists) {
      ahead->lists.push_back({list.table,
                              {list.keys.begin(), list.keys.end()},
                              client_->prepare(list.table, list.keys)});
      const auto dim = static_cast<size_t>(tables()[static_cast<size_t>(list.table)].dim);
      ahead->rows.emplace_back(list.keys.size() * dim);
      ahead->tables.push_back({list.table, ahead->lists.back().set});
      ahead->targets.push_back(ahead->rows.back().data());
    }
    client_->pull_async(step, ahead->tables, ahead->targets,
                        [ahead](auto error) { ahead->finish(std::move(error)); });
  });
  ahead_ = ahead;  // not before somebody will finish it
}

template <typename Call>
void ClientStore::guarded(Call call) {
  try {
    call();
  } catch (const Error& error) {
    if (!fault_) fault_ = error;
    throw;
  }
}

std::shared_ptr<const KeySet> ClientStore::key_set(int table, std::span<const int64_t> keys) {
  const auto found = std::ranges::find_if(prepared_, [&](const Prepared& prepared) {
    return prepared.table == table && std::ranges::equal(prepared.keys, keys);
  });
  if (found != prepared_.end()) return found->set;
  prepared_.push_back({table, {keys.begin(), keys.end()}, client_->prepare(table, keys)});
  return prepared_.back().set;
}

ClientStore::Dense& ClientStore::dense(int table) {
  Dense& dense = dense_[static_cast<size_t>(table)];
  const bool is_new = dense.keys == nullptr;
  dense.keys = client_->all_keys(table);  // virtual shards may have moved
  if (!is_new) return dense;
  const TableSpec& spec = tables()[static_cast<size_t>(table)];
  if (is_padded(spec)) dense.padded.assign(static_cast<size_t>(spec.rows * spec.dim), 0.0F);
  return dense;
}

// Whoever reads has met the others, so all pushes are there; in sync consistency they are applied
// when the step after them may begin. Elsewhere no step means as they are, and from no cache.
int64_t ClientStore::reading_step(std::span<const TableRows<float>> rows) const {
  const auto is_sync = [&](const TableRows<float>& wanted) {
    const bool is_dense = tables()[static_cast<size_t>(wanted.table)].is_dense();
    const PsClientOptions& options = client_->options();
    return (is_dense ? options.dense : options.sparse) == Consistency::kSync;
  };
  return std::ranges::any_of(rows, is_sync) ? pushed_ + 1 : 0;
}

void ClientStore::pull(int64_t step, std::span<const TableRows<float>> rows) {
  const ActivityScope calling(Activity::kServers);
  // Lists of what is only read do not come again in a push.
  if (step == 0 || step != step_) prepared_.clear();
  step_ = step;
  const auto ahead =
      step > 0 && ahead_ && ahead_->step == step ? std::exchange(ahead_, nullptr) : nullptr;
  if (ahead) prepared_ = ahead->lists;
  guarded([&] {
    pulled_.clear();
    targets_.clear();
    for (const TableRows<float>& wanted : rows) {
      if (tables()[static_cast<size_t>(wanted.table)].is_dense()) {
        Dense& all = dense(wanted.table);
        pulled_.push_back({wanted.table, all.keys});
        targets_.push_back(all.padded.empty() ? wanted.rows : all.padded.data());
      } else if (!ahead || ahead->find(wanted.table, wanted.keys) == nullptr) {
        pulled_.push_back({wanted.table, key_set(wanted.table, wanted.keys)});
        targets_.push_back(wanted.rows);
      }
    }
    client_->pull(step == 0 ? reading_step(rows) : step, pulled_, targets_);
    const Error* const error = ahead ? ahead->wait() : nullptr;
    if (error != nullptr) throw Error(*error);
    for (const TableRows<float>& wanted : rows) {
      const TableSpec& spec = tables()[static_cast<size_t>(wanted.table)];
      const float* const ready =
          ahead && !spec.is_dense() ? ahead->find(wanted.table, wanted.keys) : nullptr;
      if (ready != nullptr) {
        std::copy_n(ready, wanted.keys.size() * static_cast<size_t>(spec.dim), wanted.rows);
      }
      if (!spec.is_dense() || !is_padded(spec)) continue;
      std::copy_n(dense(wanted.table).padded.begin(), spec.elements, wanted.rows);
    }
  });
}

void ClientStore::push(int64_t step, int part, int parts, double learning_rate,
                       std::span<const TableRows<const float>> gradients) {
  const ActivityScope calling(Activity::kServers);
  guarded([&] {
    pushed_rows_.clear();
    for (const TableRows<const float>& given : gradients) {
      const TableSpec& spec = tables()[static_cast<size_t>(given.table)];
      if (!spec.is_dense()) {
        pushed_rows_.push_back({given.table, key_set(given.table, given.keys), given.rows});
        continue;
      }
      Dense& all = dense(given.table);
      const float* from = given.rows;
      if (is_padded(spec)) {
        // What was pulled into the padding is the server's zeros.
        std::copy_n(given.rows, spec.elements, all.padded.begin());
        std::fill(all.padded.begin() + spec.elements, all.padded.end(), 0.0F);
        from = all.padded.data();
      }
      pushed_rows_.push_back({given.table, all.keys, from});
    }
    client_->push(step, part, parts, learning_rate, pushed_rows_);
  });
  if (part + 1 == parts) pushed_ = std::max(pushed_, step);
}

}  // namespace trireme::ps
