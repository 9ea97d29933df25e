// A slot by itself, with what it needs, and requests made by hand.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/ps.pb.h"
#include "ps/protocol/setup.h"
#include "ps/server/slot.h"
#include "tests/ps/protocol/messages.h"

namespace trireme::ps::testing {

using namespace std::chrono_literals;
using Rows = std::map<int64_t, std::vector<float>>;  // by key

// What a request was answered, now or later.
class Reply {
 public:
  Reply() : state_(std::make_shared<State>()), future_(state_->promise.get_future().share()) {}

  std::unique_ptr<Responder> responder() const {
    class Taking final : public Responder {
     public:
      explicit Taking(std::shared_ptr<State> state) : state_(std::move(state)) {}
      void answer(OutMessage message) override { state_->promise.set_value(joined(message)); }

     private:
      std::shared_ptr<State> state_;
    };
    return std::make_unique<Taking>(state_);
  }
  bool is_there() const { return future_.wait_for(0s) == std::future_status::ready; }
  Message message() const {
    if (future_.wait_for(20s) != std::future_status::ready) {
      throw Error(ErrorCode::kDeadlineExceeded, "a request has no answer");
    }
    return future_.get();
  }
  AnswerHeader header() const {
    AnswerHeader header;
    std::memcpy(&header, message().bytes.data(), sizeof(header));
    return header;
  }
  AnswerCode code() const { return header().code; }
  // Of a pull of one section.
  std::vector<float> rows(int64_t dim) const {
    const Message all = message();
    const int64_t bytes = static_cast<int64_t>(all.bytes.size() - sizeof(AnswerHeader));
    const int64_t count = bytes / (dim * int64_t{sizeof(float)});
    const ExpectedRows expected{count, dim};
    const Answer answer = parse_answer(all, RowType::kFloat32, {&expected, 1});
    std::vector<float> rows(static_cast<size_t>(count * dim));
    std::memcpy(rows.data(), answer.rows[0].data(), answer.rows[0].size());
    return rows;
  }
  Error error() const {
    try {
      parse_answer(message(), RowType::kFloat32, {});
    } catch (const Error& error) {
      return error;
    }
    return {ErrorCode::kInternal, "no error"};
  }

 private:
  struct State {
    std::promise<Message> promise;
  };
  std::shared_ptr<State> state_;
  std::shared_future<Message> future_;
};

inline TableSpec sum_table(const std::string& name = "sums", int64_t dim = 2) {
  return {.name = name, .dim = dim};
}

inline proto::Setup setup_of(const std::vector<TableSpec>& tables, int workers,
                             proto::Setup::Consistency consistency) {
  proto::Setup setup;
  for (const TableSpec& table : tables) to_proto(table, *setup.add_tables());
  setup.set_workers(workers);
  setup.set_dense(consistency);
  setup.set_sparse(consistency);
  setup.set_timeout_s(10);
  return setup;
}

// Keys in the order of the wire, each once.
inline std::vector<int64_t> in_wire_order(const ShardMap& shards, int table,
                                          std::vector<int64_t> keys) {
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::ranges::stable_sort(keys, {}, [&](int64_t key) { return shards.shard_of(table, key); });
  return keys;
}

inline Message pull_message(const RequestHeader& header, int table, int64_t dim,
                            const std::vector<int64_t>& keys, bool with_keys = true) {
  RequestHeader request = header;
  request.kind = RequestKind::kPull;
  request.section_count = 1;
  MessageBytes bytes;
  bytes.add(request).add(SectionHeader{.table = static_cast<uint32_t>(table),
                                       .has_keys = with_keys ? 1U : 0U,
                                       .list_id = key_list_id(table, keys),
                                       .count = static_cast<int64_t>(keys.size()),
                                       .dim = dim});
  if (with_keys) bytes.add(keys);
  return bytes.message();
}

struct PushSection {
  int table = 0;
  int64_t dim = 2;
  std::vector<int64_t> keys;  // in wire order
  std::vector<float> rows;
  bool with_keys = true;
};
inline Message push_message(const RequestHeader& header, const std::vector<PushSection>& sections) {
  RequestHeader request = header;
  request.kind = RequestKind::kPush;
  request.section_count = static_cast<uint32_t>(sections.size());
  MessageBytes bytes;
  bytes.add(request);
  for (const PushSection& section : sections) {
    bytes.add(SectionHeader{.table = static_cast<uint32_t>(section.table),
                            .has_keys = section.with_keys ? 1U : 0U,
                            .list_id = key_list_id(section.table, section.keys),
                            .count = static_cast<int64_t>(section.keys.size()),
                            .dim = section.dim});
    if (section.with_keys) bytes.add(section.keys);
    bytes.add(section.rows);
  }
  return bytes.message();
}

// One slot, with all virtual shards unless told otherwise.
class SlotRig {
 public:
  explicit SlotRig(int64_t memory_limit = int64_t{1} << 40, int threads = 2,
                   ShardSet shards = all_shards(kVirtualShards),
                   std::shared_ptr<const OpTable> ops = nullptr)
      : threads_(threads), budget_(memory_limit) {
    slot_ = std::make_unique<Slot>(
        SlotOptions{.index = 0,
                    .epoch = 1,
                    .shards = shards,
                    .servers = 1,
                    .threads = threads_,
                    .budget = budget_,
                    .buffers = buffers_,
                    .view = view_,
                    .failed = [this](const Error& error) { failure_ = error.what(); },
                    .ops = std::move(ops)});
  }

  Slot& operator*() { return *slot_; }
  Slot* operator->() { return slot_.get(); }
  MemoryBudget& budget() { return budget_; }
  ShardThreads& threads() { return threads_; }
  std::string failure() const { return failure_; }

  void set_up(const proto::Setup& setup) {
    slot_->promote(1);
    std::promise<bool> done;
    slot_->set_up(setup.SerializeAsString(), [&](bool ok) { done.set_value(ok); });
    if (!done.get_future().get()) throw failed("the setup was not taken");
  }

  Reply push(const Message& message) {
    Reply reply;
    auto responder = reply.responder();
    try {
      slot_->push(message, responder);
    } catch (const Error& error) {
      responder->answer(error_answer(error, 1));
    }
    return reply;
  }
  // All of `rows` to table 0; sequence counts on by worker as clients do.
  Reply push(int worker, int64_t step, const Rows& rows, int part = 0, int parts = 1,
             uint64_t sequence = 0, float learning_rate = 0, bool with_keys = true) {
    const auto setup = slot_->setup();
    std::vector<int64_t> keys;
    for (const auto& [key, row] : rows) keys.push_back(key);
    keys = in_wire_order(setup->shards, 0, keys);
    PushSection section{.dim = setup->dim(0), .keys = keys, .with_keys = with_keys};
    for (const int64_t key : keys) {
      section.rows.insert(section.rows.end(), rows.at(key).begin(), rows.at(key).end());
    }
    const RequestHeader header{
        .worker = worker,
        .incarnation = 7,
        .sequence = sequence > 0 ? sequence : static_cast<uint64_t>((step - 1) * parts + part + 1),
        .step = step,
        .part = part,
        .parts = parts,
        .learning_rate = learning_rate};
    return push(push_message(header, {section}));
  }

  Reply pull(const Message& message) {
    Reply reply;
    auto responder = reply.responder();
    try {
      slot_->pull(message, responder);
    } catch (const Error& error) {
      responder->answer(error_answer(error, 1));
    }
    return reply;
  }
  Reply ask(int worker, int64_t step, std::vector<int64_t> keys, int64_t snapshot = 0,
            int64_t acknowledged_step = 0) {
    const auto setup = slot_->setup();
    return pull(pull_message({.worker = worker,
                              .step = step,
                              .snapshot = snapshot,
                              .acknowledged_step = acknowledged_step},
                             0, setup->dim(0), in_wire_order(setup->shards, 0, std::move(keys))));
  }
  // As they are now.
  Rows rows(std::vector<int64_t> keys, int64_t snapshot = 0) {
    const auto setup = slot_->setup();
    keys = in_wire_order(setup->shards, 0, std::move(keys));
    const auto dim = static_cast<size_t>(setup->dim(0));
    const auto values = ask(0, 0, keys, snapshot).rows(setup->dim(0));
    Rows rows;
    for (size_t i = 0; i < keys.size(); ++i) {
      rows[keys[i]].assign(values.begin() + static_cast<std::ptrdiff_t>(i * dim),
                           values.begin() + static_cast<std::ptrdiff_t>((i + 1) * dim));
    }
    return rows;
  }

  std::shared_ptr<const Cut> open_cut() {
    std::promise<std::shared_ptr<const Cut>> opened;
    slot_->open_cut([&](std::shared_ptr<const Cut> cut) { opened.set_value(std::move(cut)); });
    return opened.get_future().get();
  }
  SlotStatistics statistics() {
    std::promise<SlotStatistics> done;
    slot_->statistics([&](SlotStatistics statistics) { done.set_value(std::move(statistics)); });
    return done.get_future().get();
  }

 private:
  ShardThreads threads_;
  MemoryBudget budget_;
  BufferPool buffers_;
  std::atomic<int64_t> view_{1};
  std::string failure_;
  std::unique_ptr<Slot> slot_;
};

}  // namespace trireme::ps::testing
