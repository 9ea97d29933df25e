#include "ps/client/shard_balance.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <numeric>
#include <sstream>
#include <thread>
#include <utility>

#include "proto/ps.pb.h"
#include "ps/client/control_calls.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/wire.h"

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPause{20}, kCall{2'000};
// Slots whose rows differ by less than this part of their mean are even: the next minute is not
// like the last one anyway.
constexpr double kEven = 0.1;

double share(int64_t rows, int64_t all) {
  return all == 0 ? 0
                  : std::round(1000.0 * static_cast<double>(rows) / static_cast<double>(all)) / 10;
}

std::string shares(std::span<const int64_t> rows) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  std::string text;
  for (size_t slot = 0; slot < rows.size(); ++slot) {
    text += str_cat(slot == 0 ? "" : ", ", "slot ", slot, ": ", rows[slot], " (",
                    share(rows[slot], all), "%)");
  }
  return text;
}

}  // namespace

BalancePlan plan_balance(std::span<const ShardUse> use, int slots) {
  BalancePlan plan;
  plan.before.resize(static_cast<size_t>(slots));
  for (const ShardUse& shard : use) plan.before[static_cast<size_t>(shard.slot)] += shard.rows;
  plan.after = plan.before;
  std::vector<ShardUse> left(use.begin(), use.end());  // those that have not been moved
  const int64_t all = std::accumulate(plan.before.begin(), plan.before.end(), int64_t{0});
  const double even = kEven * static_cast<double>(all) / slots;
  for (;;) {
    const auto [idlest, busiest] = std::ranges::minmax_element(plan.after);
    const int64_t gap = *busiest - *idlest;
    if (static_cast<double>(gap) <= even) return plan;
    const auto from = static_cast<int>(busiest - plan.after.begin());
    // Half of the gap would be best; anything less than the gap helps.
    const auto distance = [&](const ShardUse& shard) { return std::abs(2 * shard.rows - gap); };
    auto best = left.end();
    for (auto it = left.begin(); it != left.end(); ++it) {
      if (it->slot != from || it->rows == 0 || it->rows >= gap) continue;
      if (best == left.end() || distance(*it) < distance(*best)) best = it;
    }
    if (best == left.end()) return plan;
    // One that changes next to nothing is not worth its pause.
    const double gain = static_cast<double>(gap - distance(*best)) / 2;
    if (gain < even / 10) return plan;
    *busiest -= best->rows;
    *idlest += best->rows;
    plan.moves.push_back({.shard = best->shard,
                          .from = from,
                          .to = static_cast<int>(idlest - plan.after.begin()),
                          .rows = best->rows});
    left.erase(best);
  }
}

std::string describe(const BalancePlan& plan, std::span<const ShardUse> use) {
  const int64_t all = std::accumulate(plan.before.begin(), plan.before.end(), int64_t{0});
  std::ostringstream out;
  out << "rows pulled and pushed by slot: " << shares(plan.before) << "\n";
  if (all == 0) {
    out << "nothing was pulled or pushed: there is nothing to even out\n";
    return out.str();
  }
  const auto most = std::ranges::max_element(use, {}, &ShardUse::rows);
  const double times =
      static_cast<double>(most->rows) * static_cast<double>(use.size()) / static_cast<double>(all);
  if (times > 2) {
    out << "uneven: virtual shard " << most->shard << " of slot " << most->slot << " has "
        << share(most->rows, all) << "% of the rows, " << std::round(times * 10) / 10
        << " times the mean of " << use.size() << " shards\n";
  }
  for (const PlannedMove& move : plan.moves) {
    out << "virtual shard " << move.shard << " (" << share(move.rows, all)
        << "% of the rows): from slot " << move.from << " to slot " << move.to << "\n";
  }
  if (plan.moves.empty()) {
    out << "no move makes it more even\n";
  } else {
    out << "then: " << shares(plan.after) << "\n";
  }
  if (static_cast<double>(most->rows) * static_cast<double>(plan.before.size()) >
      (1 + kEven) * static_cast<double>(all)) {
    out << "virtual shard " << most->shard
        << " alone is more than a slot's share: a shard is not divided\n";
  }
  return out.str();
}

ShardBalancer::ShardBalancer(ShardBalancerOptions options)
    : options_(std::move(options)),
      directory_({.address = options_.coordinator,
                  .secret = options_.secret,
                  .encryption = options_.encryption,
                  .job_id = options_.job_id,
                  .connect_timeout = options_.timeout}),
      slots_(static_cast<int>(directory_.wait_for_view(1, options_.timeout).slots.size())) {}

std::vector<ShardUse> ShardBalancer::use(milliseconds within) {
  std::vector<ShardUse> use = use_so_far();
  if (within.count() == 0) return use;
  std::this_thread::sleep_for(within);
  std::vector<ShardUse> later = use_so_far();
  // One that has moved meanwhile counts from its arrival.
  for (ShardUse& shard : later) {
    const auto before = std::ranges::find_if(use, [&](const ShardUse& one) {
      return one.shard == shard.shard && one.slot == shard.slot && one.rows <= shard.rows;
    });
    if (before != use.end()) shard.rows -= before->rows;
  }
  return later;
}

std::vector<ShardUse> ShardBalancer::use_so_far() {
  std::vector<ShardUse> all;
  for (int slot = 0; slot < slots_; ++slot) {
    const std::vector<ShardUse> some = ask(slot);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<ShardUse> ShardBalancer::ask(int slot) {
  const auto deadline = Clock::now() + options_.timeout;
  proto::ControlRequest request;
  request.mutable_load();
  std::string why = "its server is awaited";
  for (;; std::this_thread::sleep_for(kPause)) {
    if (Clock::now() >= deadline) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("slot ", slot, " has not said within ", options_.timeout.count() / 1000.0,
                          " s how busy it is: ", why));
    }
    const ServerView view = directory_.view();
    const SlotEntry& entry = view.slots[static_cast<size_t>(slot)];
    if (entry.primary < 0) continue;
    const ServerEntry& server = view.servers[static_cast<size_t>(entry.primary)];
    try {
      const auto connection = connect_rpc({.address = server.address,
                                           .secret = options_.secret,
                                           .encryption = options_.encryption,
                                           .job_id = options_.job_id,
                                           .name = str_cat("parameter server ", server.index),
                                           .connect_timeout = kCall});
      const auto promise = std::make_shared<std::promise<RpcResult>>();
      connection->call(control_message({}, slot, {.view = view.number}, request), kCall,
                       [promise](RpcResult result) { promise->set_value(std::move(result)); });
      const RpcResult result = promise->get_future().get();
      if (result.error != nullptr) throw Error(*result.error);
      const Answer answer = parse_answer(result.answer, RowType::kFloat32, {});
      why = str_cat("parameter server ", server.index, " does not know of it yet");
      if (answer.header.code != AnswerCode::kOk) continue;
      std::vector<ShardUse> use;
      const proto::ControlAnswer said = control_answer(result.answer);
      for (const proto::ShardRows& rows : said.loads()) {
        use.push_back({.shard = rows.shard(), .slot = slot, .rows = rows.pulled() + rows.pushed()});
      }
      return use;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInvalidArgument) throw;
      why = error.what();
    }
  }
}

}  // namespace trireme::ps
