// A coordinator with members that are threads of the test, with short times.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/collective/communicator.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/coordinator_client.h"

namespace trireme::testing {

using namespace std::chrono_literals;

inline constexpr char kSecret[] = "s3cret";

// What the coordinator has said.
class Lines {
 public:
  void add(const std::string& line) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    lines_.push_back(line);
    changed_.notify_all();
  }
  std::vector<std::string> all() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return lines_;
  }
  // The first line with `text`, or nothing when it does not come in time.
  std::string wait_for(const std::string& text, std::chrono::milliseconds timeout = 5s)
      EXCLUDES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    for (;;) {
      for (const auto& line : lines_) {
        if (line.find(text) != std::string::npos) return line;
      }
      if (!changed_.wait_until(mutex_, deadline) && std::chrono::steady_clock::now() >= deadline) {
        return "";
      }
    }
  }

 private:
  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

inline CoordinatorOptions coordinator_options(int world_size, Lines* lines, int min_workers = 0) {
  CoordinatorOptions options;
  options.secret = kSecret;
  options.job_id = "job";
  options.world_size = world_size;
  options.min_workers = min_workers;
  options.join_timeout = 10s;
  options.stall_warning = 300ms;
  options.collective_timeout = 10s;
  options.heartbeat_timeout = 1s;
  options.log = [lines](const std::string& line) { lines->add(line); };
  return options;
}

inline ClientOptions client_options(const std::string& address) {
  ClientOptions options;
  options.address = address;
  options.secret = kSecret;
  options.job_id = "job";
  options.connect_timeout = 10s;
  options.heartbeat_interval = 50ms;
  return options;
}

class TestMember {
 public:
  TestMember(const std::string& address, int rank, int world_size)
      : TestMember(client_options(address), rank, world_size) {}
  TestMember(const ClientOptions& options, int rank, int world_size)
      : client_(std::make_unique<CoordinatorClient>(options)) {
    request.rank = rank;
    request.world_size = world_size;
    request.handshake = {{"graph", "1a2b"}};
    request.host = "thread";
    request.pid = 1000 + rank;
  }

  // Joins and attends.
  Membership join() {
    auto membership = client_->join(request);
    watch = std::make_shared<CollectiveWatch>();
    {
      MutexLock lock(mutex_);
      faults_.clear();
    }
    client_->attend(watch, [this](const Error& error) {
      MutexLock lock(mutex_);
      faults_.push_back(error);
      changed_.notify_all();
    });
    return membership;
  }
  std::future<Membership> join_later() {
    return std::async(std::launch::async, [this] { return join(); });
  }
  // Waits for the fault of this generation.
  std::optional<Error> wait_for_fault(std::chrono::milliseconds timeout = 5s) EXCLUDES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (faults_.empty()) {
      if (!changed_.wait_until(mutex_, deadline) && std::chrono::steady_clock::now() >= deadline) {
        return std::nullopt;
      }
    }
    return faults_.front();
  }
  size_t faults() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return faults_.size();
  }
  CoordinatorClient& client() { return *client_; }
  void leave() { client_.reset(); }

  JoinRequest request;
  std::shared_ptr<CollectiveWatch> watch;

 private:
  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::vector<Error> faults_ GUARDED_BY(mutex_);
  std::unique_ptr<CoordinatorClient> client_;  // last: its threads call on_fault
};

// All of them join side by side.
inline std::vector<std::unique_ptr<TestMember>> join_all(const std::string& address, int count,
                                                         int world_size) {
  std::vector<std::unique_ptr<TestMember>> members;
  std::vector<std::future<Membership>> joins;
  for (int rank = 0; rank < count; ++rank) {
    members.push_back(std::make_unique<TestMember>(address, rank, world_size));
    joins.push_back(members.back()->join_later());
  }
  for (auto& join : joins) join.get();
  return members;
}

// The Error that `call` throws; kInternal "nothing was thrown" otherwise.
template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

}  // namespace trireme::testing
