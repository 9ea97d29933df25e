// A MemberTable with tasks that join it and a clock that only the test moves.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "distributed/coordination/member_table.h"

namespace trireme::testing {

using namespace std::chrono_literals;

class FakeJob {
 public:
  explicit FakeJob(CoordinatorOptions options)
      : options_(std::move(options)), member_table(options_) {}

  static CoordinatorOptions options(int world_size, int min_workers = 0) {
    CoordinatorOptions options;
    options.world_size = world_size;
    options.min_workers = min_workers;
    options.job_id = "job";
    return options;
  }
  static JoinRequest request(int rank, int world_size) {
    JoinRequest request;
    request.rank = rank;
    request.world_size = world_size;
    request.handshake = {{"version", "1"}, {"graph", "1a2b"}};
    request.host = "n" + std::to_string(rank);
    request.pid = 400 + rank;
    return request;
  }

  MemberTable::Ticket join(int rank, uint64_t task) {
    return join(request(rank, world_size()), task);
  }
  MemberTable::Ticket join(const JoinRequest& request, uint64_t task) {
    return member_table.join(request, task, now);
  }
  // Tasks 100, 101, … join as ranks 0, 1, … and attend.
  void start() {
    std::vector<MemberTable::Ticket> tickets;
    for (int rank = 0; rank < world_size(); ++rank) {
      tickets.push_back(join(rank, 100 + static_cast<uint64_t>(rank)));
    }
    for (auto ticket : tickets) attend(ticket);
    clear();
  }
  // Takes the answer, which must be a place, as the membership that the client makes of it.
  Membership membership(MemberTable::Ticket ticket) {
    const auto place = std::get<MemberTable::Place>(*member_table.take_answer(ticket));
    Membership membership;
    membership.group.generation = place.generation;
    membership.group.rank = place.rank;
    membership.group.peers = member_table.peers();
    membership.state_source = place.state_source;
    membership.progress = place.progress;
    return membership;
  }
  // The same, and beats.
  Membership attend(MemberTable::Ticket ticket) {
    auto taken = membership(ticket);
    member_table.beat(taken.group.generation, taken.group.rank, {}, now);
    return taken;
  }
  // The sentence of a refusal; empty: none yet, or a membership.
  std::string error(MemberTable::Ticket ticket) {
    const auto answer = member_table.take_answer(ticket);
    if (!answer || !std::holds_alternative<Error>(*answer)) return "";
    return std::get<Error>(*answer).what();
  }

  // Moves the clock by small steps, while all that are in `alive` beat.
  void advance(std::chrono::milliseconds time, const std::map<int, MemberBeat>& alive = {}) {
    for (const auto end = now + time; now < end;) {
      now += 100ms;
      for (const auto& [rank, beat] : alive) {
        auto moved = beat;
        if (beat.is_waiting())
          moved.waiting = std::chrono::floor<std::chrono::milliseconds>(now - started_);
        member_table.beat(member_table.generation(), rank, moved, now);
      }
      member_table.tick(now);
    }
  }
  // Waiting times of `advance` are counted from here.
  void mark() { started_ = now; }

  // "rank: code: sentence" of the faults that were ordered since the last call.
  std::vector<std::string> faults() {
    std::vector<std::string> lines;
    for (const auto& order : member_table.take_orders()) {
      if (!order.fault) {
        stalls.push_back(str_cat(order.rank, ": ", order.stall));
        continue;
      }
      lines.push_back(
          str_cat(order.rank, ": ", name(order.fault->code()), ": ", order.fault->what()));
    }
    return lines;
  }
  void clear() {
    member_table.take_orders();
    member_table.take_log();
  }
  int world_size() const { return options_.world_size; }

  std::chrono::steady_clock::time_point now = std::chrono::steady_clock::time_point(1h);

 private:
  const CoordinatorOptions options_;
  std::chrono::steady_clock::time_point started_ = now;

 public:
  MemberTable member_table;
  std::vector<std::string> stalls;  // seen by faults()
};

}  // namespace trireme::testing
