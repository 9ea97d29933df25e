#include "ps/server/control.h"

#include <algorithm>
#include <cmath>

#include "core/base/logging.h"
#include "proto/ps.pb.h"
#include "ps/server/restore.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {
namespace {

// Answers one request, whoever comes to it. Does not own the slot: a slot must not end on one of
// its threads, whose queue it would wait for.
class Reply {
 public:
  Reply(const ControlContext& context, std::unique_ptr<Responder> responder)
      : index_(context.slot->index()), view_(context.view), responder_(std::move(responder)) {}

  void answer(const proto::ControlAnswer& answer) {
    responder_->answer(body_answer(answer.SerializeAsString(), view_.load(), answer.step()));
  }
  void refuse(const Error& error) {
    log_warning(str_cat("slot ", index_, " refuses a request: ", error.what()));
    responder_->answer(error_answer(error, view_.load()));
  }
  void not_here() { responder_->answer(plain_answer(AnswerCode::kWrongView, view_.load())); }
  std::unique_ptr<Responder> give_back() { return std::move(responder_); }

 private:
  const int index_;
  const std::atomic<int64_t>& view_;
  std::unique_ptr<Responder> responder_;
};

// When the slot has acknowledged it.
Slot::Done when_done(Slot& slot, const std::shared_ptr<Reply>& reply, int64_t worker_step = 0) {
  return [&slot, reply, worker_step](bool ok) {
    if (!ok) return reply->not_here();
    proto::ControlAnswer answer;
    answer.set_step(slot.finished_step());
    answer.set_worker_step(worker_step);
    reply->answer(answer);
  };
}

// On the background thread, where the errors of files come up.
template <typename Work>
void in_background(const ControlContext& context, const std::shared_ptr<Reply>& reply, Work work) {
  context.background([reply, slot = context.slot, slots = context.slots, work] {
    try {
      work(*slot, slots, *reply);
    } catch (const Error& error) {
      reply->refuse(error);
    } catch (const std::exception& error) {
      reply->refuse(Error(ErrorCode::kResourceExhausted, error.what()));
    }
  });
}

void open_snapshot(const ControlContext& context, int worker, int64_t step,
                   const std::shared_ptr<Reply>& reply) {
  context.slot->open_cut(
      [reply, shards = context.slot->shard_count()](const std::shared_ptr<const Cut>& cut) {
        if (cut == nullptr) return reply->not_here();
        proto::ControlAnswer answer;
        answer.set_snapshot(cut->id);
        answer.set_step(cut->step);
        answer.set_shards(pack_shards(cut->shards, shards));
        reply->answer(answer);
      },
      {.worker = worker, .step = step, .refused = [reply](const Error& error) {
         reply->refuse(error);
       }});
}

void save_snapshot(const ControlContext& context, const proto::SaveSnapshot& request,
                   const std::shared_ptr<Reply>& reply) {
  const auto cut = context.slot->use_cut(request.snapshot());
  in_background(context, reply, [cut, request](Slot& slot, int slots, Reply& to) {
    struct EndUse {
      Slot& slot;
      ~EndUse() { slot.end_use(); }
    } end{slot};
    proto::ControlAnswer answer;
    const std::string bundle = snapshot_part(request.prefix(), slot.index(), slots);
    answer.set_rows_written(
        write_snapshot(*cut, bundle, request.changed_since(),
                       {.job = request.job(), .save = request.save(), .step = request.step()}));
    answer.set_step(cut->step);
    const io::CheckpointPart found = io::verify_bundle(bundle);
    proto::SnapshotPart& part = *answer.mutable_part();
    part.set_name(found.name);
    part.set_index_bytes(found.index.bytes);
    part.set_index_crc(found.index.crc);
    part.set_data_bytes(found.data.bytes);
    part.set_data_crc(found.data.crc);
    to.answer(answer);
  });
}

void restore_snapshot(const ControlContext& context, const proto::RestoreSnapshot& request,
                      const std::shared_ptr<Reply>& reply) {
  if (request.prefix().empty()) {
    return context.slot->clear(0, false, when_done(*context.slot, reply));
  }
  in_background(context, reply, [request](Slot& slot, int, Reply& to) {
    proto::ControlAnswer answer;
    const Restored restored = restore_checkpoint(slot, request.prefix(), request.step());
    answer.set_step(restored.step);
    answer.set_shards(pack_shards(restored.shards, slot.shard_count()));
    answer.set_restored(true);
    to.answer(answer);
  });
}

void status(const ControlContext& context, const std::shared_ptr<Reply>& reply) {
  const auto setup = context.slot->setup();
  context.slot->statistics([reply, setup, metrics = context.metrics, &slot = *context.slot,
                            background = context.background](const SlotStatistics& statistics) {
    proto::ControlAnswer answer;
    answer.set_step(slot.finished_step());
    // A setup that came in between is not in `setup`.
    const size_t tables = setup == nullptr ? 0 : setup->tables.size();
    for (size_t i = 0; i < std::min(tables, statistics.tables.size()); ++i) {
      const ShardStatistics& from = statistics.tables[i];
      proto::TableStatus& table = *answer.add_tables();
      table.set_name(setup->tables[i].name);
      table.set_rows(from.rows);
      table.set_bytes(from.bytes);
      table.set_waiting(from.waiting);
      table.set_evicted(from.evicted);
      table.set_oldest(from.oldest);
      table.set_norm(std::sqrt(from.squares));
    }
    // It waits for the threads of the shards, one of which this is.
    background([reply, answer, metrics]() mutable {
      answer.set_metrics(metrics());
      reply->answer(answer);
    });
  });
}

void load(const Slot& slot, Reply& reply) {
  proto::ControlAnswer answer;
  const ShardSet shards = slot.shard_set();
  for_each_shard(shards, [&](int shard) {
    const ShardLoad& rows = slot.load(shard);
    proto::ShardRows& to = *answer.add_loads();
    to.set_shard(shard);
    to.set_pulled(rows.rows_pulled.load());
    to.set_pushed(rows.rows_pushed.load());
  });
  reply.answer(answer);
}

void last_sequence(const ControlContext& context, int worker, const std::shared_ptr<Reply>& reply) {
  context.slot->last_push(
      worker, [reply, shards = context.slot->shard_count()](bool ok, const Slot::LastPush& last) {
        if (!ok) return reply->not_here();
        proto::ControlAnswer answer;
        answer.set_last_sequence(last.sequence);
        answer.set_step(last.step);
        answer.set_shards(pack_shards(last.shards, shards));
        answer.set_trained(last.trained);
        reply->answer(answer);
      });
}

constexpr size_t kMostPath = 4096, kMostId = 1024;

void check(const RequestHeader& header, const proto::ControlRequest& request, const Slot& slot) {
  const auto range = [](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value >= least && value <= most) return;
    throw invalid_argument("a control request: expected ", name, " from ", least, " to ", most,
                           ", found ", value);
  };
  const auto path = [](const std::string& prefix) {
    if (prefix.size() <= kMostPath && prefix.find('\0') == std::string::npos) return;
    throw invalid_argument("a control request: expected a path of at most ", kMostPath,
                           " bytes, none of which is 0, found ", prefix.size());
  };
  const auto setup = slot.setup();
  if (setup != nullptr) range("a worker", header.worker, 0, setup->workers - 1);
  if (request.has_open_snapshot()) {
    range("a step", request.open_snapshot().step(), 0, kMostSteps);
  } else if (request.has_save_snapshot()) {
    const proto::SaveSnapshot& save = request.save_snapshot();
    path(save.prefix());
    range("the length of a path", static_cast<int64_t>(save.prefix().size()), 1, kMostPath);
    range("a step", save.step(), 0, kMostSteps);
    range("a step or -1", save.changed_since(), -1, kMostSteps);
    range("the length of a job's name", static_cast<int64_t>(save.job().size()), 0, kMostId);
    range("the length of a save's name", static_cast<int64_t>(save.save().size()), 0, kMostId);
  } else if (request.has_restore_snapshot()) {
    path(request.restore_snapshot().prefix());
    range("a step or -1", request.restore_snapshot().step(), -1, kMostSteps);
  } else if (request.has_last_sequence() && setup != nullptr) {
    range("a worker", request.last_sequence().worker(), 0, setup->workers - 1);
  }
}

}  // namespace

void control(const ControlContext& context, const Request& request,
             std::unique_ptr<Responder>& responder) {
  if (!context.slot->is_primary()) {
    return responder->answer(plain_answer(AnswerCode::kWrongView, context.view.load()));
  }
  proto::ControlRequest message;
  if (!message.ParseFromArray(request.body.data(), static_cast<int>(request.body.size()))) {
    throw invalid_argument("a control request of ", request.body.size(),
                           " bytes: it is no message of that kind");
  }
  Slot& slot = *context.slot;
  check(request.header, message, slot);
  const auto reply = std::make_shared<Reply>(context, std::move(responder));
  try {
    switch (message.request_case()) {
      case proto::ControlRequest::kSetup:
        slot.set_up(message.setup().SerializeAsString(),
                    when_done(slot, reply, slot.worker_step(request.header.worker)));
        return slot.hear(request.header);
      case proto::ControlRequest::kOpenSnapshot:
        return open_snapshot(context, request.header.worker, message.open_snapshot().step(), reply);
      case proto::ControlRequest::kCloseSnapshot:
        slot.close_cut(message.close_snapshot().snapshot());
        return reply->answer({});
      case proto::ControlRequest::kSaveSnapshot:
        return save_snapshot(context, message.save_snapshot(), reply);
      case proto::ControlRequest::kRestoreSnapshot:
        return restore_snapshot(context, message.restore_snapshot(), reply);
      case proto::ControlRequest::kStatus:
        return status(context, reply);
      case proto::ControlRequest::kLastSequence:
        return last_sequence(context, message.last_sequence().worker(), reply);
      case proto::ControlRequest::kEvict:
        return slot.evict(when_done(slot, reply));
      case proto::ControlRequest::kAssign:
        return slot.assign(message.assign().SerializeAsString(), when_done(slot, reply));
      case proto::ControlRequest::kLoad:
        return load(slot, *reply);
      case proto::ControlRequest::REQUEST_NOT_SET:
        break;
    }
    throw invalid_argument("a control request that asks for nothing this server knows");
  } catch (const Error&) {
    responder = reply->give_back();
    throw;
  }
}

}  // namespace trireme::ps
