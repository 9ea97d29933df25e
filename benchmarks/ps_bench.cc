#include "benchmarks/ps_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/cluster/security.h"
#include "ps/client/ps_client.h"
#include "ps/ops/training_tables.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
using KeySet = std::shared_ptr<const ps::KeySet>;

constexpr std::chrono::seconds kCallTimeout{120};
constexpr double kRate = 0.125;  // a power of two: sums of small whole gradients stay exact

ps::UpdateSpec update_of(const std::string& optimizer) {
  if (optimizer == "sum") return {};
  Catalog<nn::Optimizer> optimizers;
  nn::register_core_optimizers(optimizers);
  return ps::update_of(*optimizers.make(optimizer), "rows", 2);
}

ps::RowType row_type_of(const std::string& name) {
  if (name == "bf16") return ps::RowType::kBFloat16;
  if (name == "f16") return ps::RowType::kFloat16;
  return name == "int8" ? ps::RowType::kInt8 : ps::RowType::kFloat32;
}

// Ranks from 0 with a probability of about 1 / (rank + 1): by inverting its integral.
int64_t zipf(double uniform, int64_t keys) {
  const double at = std::exp(uniform * std::log1p(static_cast<double>(keys))) - 1;
  return std::min(keys - 1, static_cast<int64_t>(at));
}

class PsBench {
 public:
  PsBench(const PsBenchOptions& options, ps::PsClient& client)
      : options_(options), client_(client), random_(17, client.options().worker) {
    const int64_t rows =
        options.distribution == "all" || options.rows == 0 ? options.keys : options.rows;
    keys_.resize(static_cast<size_t>(rows));
    for (size_t i = 0; i < keys_.size(); ++i) keys_[i] = static_cast<int64_t>(i);
    gradients_.resize(keys_.size() * static_cast<size_t>(options.dim));
    // Small whole numbers, other ones in each element.
    for (size_t i = 0; i < gradients_.size(); ++i) gradients_[i] = static_cast<float>(i % 5) - 2;
    buffers_.resize(static_cast<size_t>(options.in_flight));
    for (auto& buffer : buffers_) buffer.resize(gradients_.size());
    if (options.distribution == "all") all_ = client_.prepare(0, keys_);
  }

  // Millions of rows a second, of all workers.
  std::pair<double, double> run() {
    if (all_ != nullptr) check();
    std::vector<double> push, pull;
    for (int block = -1; block < options_.blocks; ++block) {
      const double push_rate = timed([this](int slot, auto done) { start_push(slot, done); });
      const double pull_rate = timed([this](int slot, auto done) { start_pull(slot, done); });
      if (block < 0) continue;  // rows are made, key lists become known
      push.push_back(push_rate);
      pull.push_back(pull_rate);
    }
    std::ranges::sort(push);
    std::ranges::sort(pull);
    return {push[push.size() / 2], pull[pull.size() / 2]};
  }

 private:
  using Done = std::function<void(std::unique_ptr<Error>)>;

  // What was pushed is what is pulled.
  void check() {
    std::vector<float>& before = buffers_[0];
    float* rows[] = {before.data()};
    const ps::TableKeys keys[] = {{0, all_}};
    client_.pull(++step_, keys, rows);
    const ps::TableGradients gradients[] = {{0, all_, gradients_.data()}};
    client_.sum("checked before", {});
    client_.push(step_, 0, 1, kRate, gradients);
    client_.sum("pushed once", {});
    std::vector<float> after(before.size());
    rows[0] = after.data();
    client_.pull(step_ + 1, keys, rows);
    client_.sum("checked after", {});
    const bool exact =
        options_.row_type == "f32" && (options_.optimizer == "sgd" || options_.optimizer == "sum");
    const double factor = (options_.optimizer == "sum" ? 1 : -kRate) * client_.options().workers;
    for (size_t i = 0; exact && i < after.size(); ++i) {
      const double expected = before[i] + factor * gradients_[i];
      if (after[i] == expected) continue;
      throw failed("bench ps: key ", i / static_cast<size_t>(options_.dim), ": expected ", expected,
                   " after one push of each worker, found ", after[i]);
    }
    if (!exact && std::ranges::equal(before, after)) throw failed("bench ps: no row has changed");
  }

  KeySet next_keys() {
    if (all_ != nullptr) return all_;
    for (int64_t& key : keys_) {
      key = options_.distribution == "zipf"
                ? zipf(random_.uniform(), options_.keys)
                : static_cast<int64_t>(random_.below(static_cast<uint64_t>(options_.keys)));
    }
    return client_.prepare(0, keys_);
  }

  void start_push(int, const Done& done) {
    const ps::TableGradients gradients[] = {{0, next_keys(), gradients_.data()}};
    client_.push_async(++step_, 0, 1, kRate, gradients, done);
  }
  void start_pull(int slot, const Done& done) {
    const ps::TableKeys keys[] = {{0, next_keys()}};
    float* const rows[] = {buffers_[static_cast<size_t>(slot)].data()};
    client_.pull_async(step_ + 1, keys, rows, done);
  }

  // Starts options.reps calls, in_flight at a time, all workers together.
  template <typename Start>
  double timed(Start start) {
    client_.sum("begin " + std::to_string(++round_), {});
    const auto begin = Clock::now();
    for (int call = 0; call < options_.reps; ++call) {
      const int slot = wait_for_slot();
      start(slot, [this, slot](std::unique_ptr<Error> error) { finish(slot, std::move(error)); });
    }
    wait_for(0);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    double rate[] = {static_cast<double>(keys_.size()) * options_.reps / seconds / 1e6};
    client_.sum("rate " + std::to_string(round_), rate);
    return rate[0];
  }

  int wait_for_slot() {
    wait_for(options_.in_flight - 1);
    const std::lock_guard lock(mutex_);
    if (busy_.empty()) busy_.resize(buffers_.size());
    const auto free = std::ranges::find(busy_, false);
    *free = true;
    ++under_way_;
    return static_cast<int>(free - busy_.begin());
  }
  void wait_for(int at_most) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kCallTimeout, [&] { return under_way_ <= at_most; })) {
      throw Error(ErrorCode::kDeadlineExceeded, "bench ps: a call has not ended within 120 s");
    }
    if (error_) throw Error(*error_);
  }
  void finish(int slot, std::unique_ptr<Error> error) {
    const std::lock_guard lock(mutex_);
    busy_[static_cast<size_t>(slot)] = false;
    --under_way_;
    if (error && !error_) error_ = std::move(error);
    changed_.notify_all();
  }

  const PsBenchOptions& options_;
  ps::PsClient& client_;
  PhiloxGenerator random_;
  std::vector<int64_t> keys_;
  std::vector<float> gradients_;
  std::vector<std::vector<float>> buffers_;  // of pulls, one for each call under way
  KeySet all_;                               // null: drawn anew for each call
  int64_t step_ = 0;
  int round_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> busy_;
  int under_way_ = 0;
  std::unique_ptr<Error> error_;
};

}  // namespace

std::vector<std::string> ps_bench_optimizers() {
  Catalog<nn::Optimizer> optimizers;
  nn::register_core_optimizers(optimizers);
  std::vector<std::string> names = optimizers.names();
  names.insert(names.begin(), "sum");
  return names;
}
std::vector<std::string> ps_bench_distributions() { return {"all", "uniform", "zipf"}; }

void bench_ps(const PsBenchOptions& options, std::ostream& out) {
  const ClusterSpec cluster = resolve_cluster({}, process_environment());
  ps::TableSpec table{.name = "rows", .dim = options.dim, .update = update_of(options.optimizer)};
  ps::PsClient client({.coordinator = cluster.coordinator,
                       .secret = cluster.secret,
                       .encryption = make_security(cluster).encryption,
                       .job_id = cluster.job_id,
                       .worker = cluster.rank,
                       .workers = cluster.world_size,
                       .servers = options.servers,
                       .replicas = options.replicas,
                       .tables = {std::move(table)},
                       .dense = ps::Consistency::kAsync,
                       .sparse = ps::Consistency::kAsync,
                       .push_type = row_type_of(options.row_type),
                       .pull_type = row_type_of(options.row_type),
                       .shared_memory = options.transport == "shm",
                       .timeout = kCallTimeout});
  const auto [push, pull] = PsBench(options, client).run();
  client.sum("the end", {});
  if (cluster.rank != 0) return;
  const auto rounded = [](double rate) { return std::round(rate * 1000) / 1000; };
  nlohmann::ordered_json line = {{"peer", "trireme"},
                                 {"servers", options.servers},
                                 {"workers", options.workers},
                                 {"keys", options.keys},
                                 {"dim", options.dim},
                                 {"optimizer", options.optimizer},
                                 {"transport", options.transport},
                                 {"push_mrow_s", rounded(push)},
                                 {"pull_mrow_s", rounded(pull)}};
  if (options.distribution != "all") line["distribution"] = options.distribution;
  if (options.row_type != "f32") line["row_type"] = options.row_type;
  if (options.replicas != 1) line["replicas"] = options.replicas;
  out << line.dump() << std::endl;
}

}  // namespace trireme
