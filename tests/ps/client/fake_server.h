// A parameter server in a thread of the test that keeps sums in a map, and does not answer as it
// should when it is told not to.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/coordination/directory_client.h"
#include "proto/ps.pb.h"
#include "ps/protocol/setup.h"
#include "ps/protocol/wire.h"
#include "ps/table/shard_set.h"

namespace trireme::ps::testing {

inline constexpr char kSecret[] = "s3cret";

class FakeServer {
 public:
  struct Behaviour {
    int silent = 0;        // so many pushes and pulls get no answer
    int wrong_view = 0;    // so many are told that the slot is elsewhere
    int forget_lists = 0;  // so many are told that their keys are not known
    int unavailable = 0;   // so many: not now
    int without_setup = 0;
    int shard_away = 0;       // so many answers about pushes are not about one of its shards
    bool drops = false;       // pushes come too late
    std::string error;        // to all pushes
    bool is_hanging = false;  // no answer to any
    bool is_stopped = false;  // nor to any control request
  };

  FakeServer(const std::string& coordinator, int index, int servers, uint64_t incarnation = 1)
      : index_(index) {
    for (size_t shard = 0; shard < kVirtualShards; ++shard) {
      shards_.set(shard, static_cast<int>(shard) * servers / kVirtualShards == index);
    }
    rpc_ = make_rpc_server({.secret = kSecret, .job_id = "job"},
                           [this](Message request, std::unique_ptr<Responder> responder) {
                             handle(request, std::move(responder));
                           });
    DirectoryClientOptions options;
    options.address = coordinator;
    options.secret = kSecret;
    options.job_id = "job";
    options.is_server = true;
    options.index = index;
    options.incarnation = incarnation;
    options.server_address = rpc_->address();
    options.host = "here";
    options.shared_memory_host = rpc_->shared_memory_host();
    options.servers = servers;
    directory_ = std::make_unique<DirectoryClient>(options);
  }

  void behave(Behaviour behaviour) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    behaviour_ = std::move(behaviour);
  }
  std::map<int64_t, std::vector<float>> rows(int table = 0) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return tables_.size() > static_cast<size_t>(table) ? rows_[table]
                                                       : std::map<int64_t, std::vector<float>>();
  }
  int pushes() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return pushes_;
  }
  int sections_without_keys() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return without_keys_;
  }
  std::set<RowType> row_types() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return row_types_;
  }
  int64_t acknowledged_step() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return acknowledged_step_;
  }
  // The connection ends, and the rows stay.
  std::map<int64_t, std::vector<float>> stop() {
    directory_.reset();
    rpc_.reset();
    return rows();
  }

 private:
  void handle(const Message& message, std::unique_ptr<Responder> responder) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    try {
      const ShardMap shards(tables_);
      const Request request = parse_request(message, tables_, shards);
      if (behaviour_.is_stopped) {
        silenced_.push_back(std::move(responder));
        return;
      }
      if (request.header.kind == RequestKind::kControl) {
        responder->answer(control(request));
        return;
      }
      if (behaviour_.is_hanging || behaviour_.silent > 0) {
        behaviour_.silent -= behaviour_.silent > 0 ? 1 : 0;
        silenced_.push_back(std::move(responder));
        return;
      }
      responder->answer(transfer(request));
    } catch (const Error& error) {
      responder->answer(error_answer(error, 1));
    }
  }

  OutMessage control(const Request& request) REQUIRES(mutex_) {
    proto::ControlRequest control;
    control.ParseFromArray(request.body.data(), static_cast<int>(request.body.size()));
    if (control.has_setup()) {
      const auto tables = tables_of(control.setup());
      if (!tables_.empty() && tables.size() != tables_.size()) {
        throw invalid_argument("set up differently: ", tables_.size(), " tables");
      }
      tables_ = tables;
    }
    proto::ControlAnswer answer;
    if (control.has_last_sequence()) {
      const bool is_away = behaviour_.shard_away > 0 && behaviour_.shard_away-- > 0;
      ShardSet shards = shards_;
      if (is_away) shards.reset(shards.first());
      answer.set_shards(shards.first_64());
      // It is the one that has not had all of them.
      answer.set_last_sequence(last_sequence_ + (is_away ? 100 : 0));
    }
    return body_answer(answer.SerializeAsString(), 1);
  }

  OutMessage transfer(const Request& request) REQUIRES(mutex_) {
    const auto happens = [](int& count) { return count > 0 && count-- > 0; };
    if (happens(behaviour_.wrong_view)) return plain_answer(AnswerCode::kWrongView, 1);
    if (happens(behaviour_.unavailable)) throw Error(ErrorCode::kUnavailable, "catching up");
    if (happens(behaviour_.without_setup)) throw not_found("this slot has no tables");
    if (happens(behaviour_.forget_lists)) lists_.clear();
    acknowledged_step_ = request.header.acknowledged_step;
    for (const Section& section : request.sections) {
      if (section.header.has_keys == 1) {
        lists_[section.header.list_id].assign(section.keys.begin(), section.keys.end());
      } else if (!lists_.contains(section.header.list_id)) {
        return plain_answer(AnswerCode::kNeedKeys, 1);
      } else {
        ++without_keys_;
      }
    }
    row_types_.insert(request.header.row_type);
    return request.header.kind == RequestKind::kPush ? push(request) : pull(request);
  }

  OutMessage push(const Request& request) REQUIRES(mutex_) {
    if (!behaviour_.error.empty()) throw failed(behaviour_.error);
    if (behaviour_.drops) return plain_answer(AnswerCode::kDropped, 1);
    const uint64_t sequence = request.header.sequence;
    if (!sequences_.insert({request.header.worker, sequence}).second) {
      return plain_answer(AnswerCode::kOk, 1);
    }
    last_sequence_ = std::max(last_sequence_, sequence);
    ++pushes_;
    for (const Section& section : request.sections) {
      const auto dim = static_cast<size_t>(section.header.dim);
      std::vector<float> rows(static_cast<size_t>(section.header.count) * dim);
      decode_rows(request.header.row_type, section.header.dim, section.rows, rows.data());
      const auto& keys = lists_[section.header.list_id];
      for (size_t i = 0; i < rows.size(); ++i) {
        auto& row = rows_[static_cast<int>(section.header.table)][keys[i / dim]];
        row.resize(dim);
        row[i % dim] += rows[i];
      }
    }
    return plain_answer(AnswerCode::kOk, 1, request.header.step);
  }

  OutMessage pull(const Request& request) REQUIRES(mutex_) {
    AnswerHeader header{.section_count = static_cast<uint32_t>(request.sections.size()), .view = 1};
    std::vector<std::byte> bytes(sizeof(header));
    std::memcpy(bytes.data(), &header, sizeof(header));
    for (const Section& section : request.sections) {
      const auto dim = static_cast<size_t>(section.header.dim);
      const auto& keys = lists_[section.header.list_id];
      std::vector<float> rows(keys.size() * dim);
      for (size_t i = 0; i < rows.size(); ++i) {
        auto& row = rows_[static_cast<int>(section.header.table)][keys[i / dim]];
        row.resize(dim);
        rows[i] = row[i % dim];
      }
      const size_t at = bytes.size();
      bytes.resize(at + (keys.size() * row_bytes(request.header.row_type, section.header.dim) + 7) /
                            8 * 8);
      encode_rows(request.header.row_type, section.header.dim, rows, bytes.data() + at);
    }
    OutMessage message;
    message.pieces.push_back(own(std::move(bytes)));
    return message;
  }

  const int index_;
  ShardSet shards_;
  Mutex mutex_;
  Behaviour behaviour_ GUARDED_BY(mutex_);
  std::vector<TableSpec> tables_ GUARDED_BY(mutex_);
  std::map<uint64_t, std::vector<int64_t>> lists_ GUARDED_BY(mutex_);
  std::map<int, std::map<int64_t, std::vector<float>>> rows_ GUARDED_BY(mutex_);  // by table
  std::set<std::pair<int, uint64_t>> sequences_ GUARDED_BY(mutex_);
  std::set<RowType> row_types_ GUARDED_BY(mutex_);
  uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  int64_t acknowledged_step_ GUARDED_BY(mutex_) = 0;
  int pushes_ GUARDED_BY(mutex_) = 0, without_keys_ GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Responder>> silenced_ GUARDED_BY(mutex_);
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<DirectoryClient> directory_;
};

}  // namespace trireme::ps::testing
