// What workers ask of a slot: rows to be pulled, gradients to be pushed.
#include <cstring>

#include "ps/server/slot.h"

namespace trireme::ps {
namespace {

// Upper bound of what a row adds to a table before the table grows as a whole: with its key,
// version, frequency and its place in the index.
int64_t row_cost(const TableSpec& spec) {
  return 64 + spec.dim * static_cast<int64_t>(sizeof(float)) * (1 + spec.slots());
}

struct PushAnswer {
  std::shared_ptr<Responder> responder;
  AnswerCode code = AnswerCode::kOk;
  int64_t step = 0;
};

std::shared_ptr<Ack> ack_of(const std::shared_ptr<PushAnswer>& answer,
                            const std::atomic<int64_t>& view) {
  return std::make_shared<Ack>([answer, &view](bool acknowledged) {
    answer->responder->answer(acknowledged ? plain_answer(answer->code, view.load(), answer->step)
                                           : plain_answer(AnswerCode::kWrongView, view.load()));
  });
}

}  // namespace

std::shared_ptr<const ResolvedList> Slot::list_of(const Section& section, const JobSetup& setup) {
  const SectionHeader& header = section.header;
  if (header.count == 0) {
    auto empty = std::make_shared<ResolvedList>();
    empty->table = static_cast<int>(header.table);
    return empty;
  }
  if (header.has_keys == 1) return lists_.add(header, section.keys, setup.shards);
  auto list = lists_.find(header.list_id);
  if (list == nullptr) return nullptr;
  if (list->table != static_cast<int>(header.table) ||
      list->keys.size() != static_cast<size_t>(header.count)) {
    throw invalid_argument("table \"", setup.tables[header.table].name, "\": expected the ",
                           list->keys.size(), " keys of table ", list->table,
                           " that this list's id was given for, found ", header.count,
                           " keys of table ", header.table);
  }
  return list;
}

void Slot::pull(const Message& message, std::unique_ptr<Responder>& responder) {
  const auto setup = require_setup();
  const Request request = parse_request(message, setup->tables, setup->shards);
  auto pull = std::make_unique<Pull>();
  pull->header = request.header;
  if (request.header.worker >= setup->workers) {
    throw invalid_argument("a pull of worker ", request.header.worker, ": the job has ",
                           setup->workers, " workers, counted from 0");
  }
  size_t bytes = 0;
  for (const Section& section : request.sections) {
    auto list = list_of(section, *setup);
    if (list == nullptr) {
      return responder->answer(plain_answer(AnswerCode::kNeedKeys, options_.view.load()));
    }
    bytes += list->keys.size() * row_bytes(request.header.row_type, section.header.dim);
    pull->shards |= list->shards;
    pull->lists.push_back(std::move(list));
  }
  if (bytes > kMaxMessageBytes) {
    throw invalid_argument("a pull of worker ", request.header.worker, ": its answer would have ",
                           bytes, " bytes, a message has at most ", kMaxMessageBytes,
                           "; pull fewer rows at a time");
  }

  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  const RequestHeader& header = pull->header;
  if (!primary_) return refuse_view(responder, dispatch);
  if (header.snapshot != 0) {
    const Cut* const cut = cuts_.get();
    if (cut == nullptr || cut->id != header.snapshot || !cut->shards.contains(pull->shards)) {
      throw not_found("slot ", options_.index, ": snapshot ", header.snapshot,
                      " is not open (any more): open another one");
    }
    cuts_.touch();
  } else if (!members_.present().contains(pull->shards)) {
    return refuse_view(responder, dispatch);
  }
  if (header.step > 0) pass_lost_steps(header, dispatch);
  pull->responder = std::move(responder);
  if (!first_pulled_ && header.step > 0) first_pulled_ = before_first_step(header.step);
  if (is_ready(*pull)) {
    dispatch.add(pull_job(shards_, setup, std::move(pull), answer_header(), options_.buffers));
  } else {
    waiting_.push_back({Clock::now() + setup->timeout, std::move(pull)});
  }
  dispatch.post();
}

// What was acknowledged to a worker and is not here was lost with an earlier server.
void Slot::pass_lost_steps(const RequestHeader& header, Dispatch& dispatch) {
  const int64_t here = ledger_.clock(header.worker).value_or(0);
  if (header.acknowledged_step <= here) return;
  if (options_.lost_steps) options_.lost_steps(epoch_, header.acknowledged_step - here);
  note_lost_steps(header.acknowledged_step);
  enter({.header = {.kind = EntryKind::kClock},
         .body = bytes_of(Step{header.acknowledged_step, header.worker})},
        nullptr, dispatch);
  serve_waiting(dispatch);
}

void Slot::hear(const RequestHeader& header) {
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (!primary_ || setup_ == nullptr || header.worker >= setup_->workers) return;
  pass_lost_steps(header, dispatch);
  dispatch.post();
}

bool Slot::is_ready(const Pull& pull) const {
  const RequestHeader& header = pull.header;
  if (header.step == 0 || header.snapshot != 0) return true;
  bool sync = false, bounded = false;
  for (const auto& list : pull.lists) {
    const Mode mode = setup_->mode(list->table);
    sync = sync || mode == Mode::kSync;
    bounded = bounded || mode == Mode::kBounded;
  }
  const int64_t first = first_pulled_.value_or(0);
  if (sync && gate_.done().value_or(first) < header.step - 1) return false;
  return !bounded || ledger_.slowest(first) >= header.step - 1 - setup_->staleness;
}

std::string Slot::waits_for(const Pull& pull) const {
  const int64_t first = first_pulled_.value_or(0);
  const int64_t step = pull.header.step - 1;
  if (gate_.done().value_or(first) < step && setup_->any_sync) {
    return str_cat("the pushes of ", gate_.missing(step, ledger_));
  }
  return str_cat("the pushes up to step ", step - setup_->staleness, " of ",
                 ledger_.behind(step - setup_->staleness, first));
}

void Slot::serve_waiting(Dispatch& dispatch) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->pull->header.snapshot == 0 && !members_.present().contains(it->pull->shards)) {
      refuse_view(it->pull->responder, dispatch);
      it = waiting_.erase(it);
      continue;
    }
    if (!is_ready(*it->pull)) {
      ++it;
      continue;
    }
    dispatch.add(pull_job(shards_, setup_, std::move(it->pull), answer_header(), options_.buffers));
    it = waiting_.erase(it);
  }
  start_cut(dispatch);
}

std::shared_ptr<Push> Slot::make_push(const Message& message, const Request& request,
                                      const JobSetup& setup, std::span<const int64_t> more_keys) {
  auto push = std::make_shared<Push>();
  push->header = request.header;
  push->message = message;
  for (const Section& section : request.sections) {
    if (section.header.count == 0) continue;
    if (section.header.has_keys == 0 && !more_keys.empty()) {
      const auto count = static_cast<size_t>(section.header.count);
      if (more_keys.size() < count) {
        throw invalid_argument("an entry of a log: expected ", count, " keys, found ",
                               more_keys.size());
      }
      const auto keys = more_keys.first(count);
      check_key_list(static_cast<int>(section.header.table), section.header.list_id, keys,
                     setup.tables[section.header.table], setup.shards);
      lists_.add(section.header, keys, setup.shards);
      more_keys = more_keys.subspan(count);
    }
    auto list = list_of(section, setup);
    if (list == nullptr) return nullptr;
    if (const ShardSet more = list->shards - unpack_shards(request.header.shards, shard_count());
        more.any()) {
      throw invalid_argument("table \"", setup.tables[section.header.table].name,
                             "\": found rows of virtual shard ", more.first(),
                             ", which the push does not say that it has");
    }
    push->sections.push_back({std::move(list), section.rows.data(), section.header.has_keys == 1});
  }
  if (!more_keys.empty()) {
    throw invalid_argument("an entry of a log: found ", more_keys.size(),
                           " keys more than its lists have");
  }
  return push;
}

void Slot::refuse_view(std::unique_ptr<Responder>& responder, Dispatch& dispatch) {
  dispatch.then(
      [this, r = std::shared_ptr<Responder>(std::move(responder))] { r->answer(wrong_view()); });
}

// The shards of this slot that a push is complete for.
ShardSet Slot::shards_of(const RequestHeader& push) const {
  return unpack_shards(push.shards, shard_count()) & members_.owned();
}

bool Slot::answer_known(const RequestHeader& header, std::unique_ptr<Responder>& responder,
                        Dispatch& dispatch) {
  // What has left, or is about to, may have this push or not: its worker asks again, there.
  const ShardSet wanted = unpack_shards(header.shards, shard_count());
  if (!primary_ || !members_.unfrozen().contains(wanted)) {
    refuse_view(responder, dispatch);
    return true;
  }
  const WorkerLedger::Known known = ledger_.knows(header, wanted);
  if (known == WorkerLedger::Known::kNo) return false;
  const bool dropped = known == WorkerLedger::Known::kDropped;
  const auto ack = ack_of(
      std::make_shared<PushAnswer>(PushAnswer{
          std::move(responder), dropped ? AnswerCode::kDropped : AnswerCode::kOk, finished()}),
      options_.view);
  // It may be on its way to the backup still.
  log_.acknowledge_after(log_.index(), ack);
  dispatch.then([ack] { ack->arrive(); });
  return true;
}

void Slot::push(const Message& message, std::unique_ptr<Responder>& responder) {
  const auto setup = require_setup();
  const RequestHeader header = parse_header(message);
  {
    Dispatch dispatch(shards_);
    MutexLock lock(mutex_);
    if (answer_known(header, responder, dispatch)) return;
  }
  const Request request = parse_request(message, setup->tables, setup->shards);
  auto push = make_push(message, request, *setup);
  if (push == nullptr) {
    return responder->answer(plain_answer(AnswerCode::kNeedKeys, options_.view.load()));
  }
  if (admit(push, responder)) order(std::move(push), responder);
}

// False: it answers itself, later.
bool Slot::admit(const std::shared_ptr<Push>& push, std::unique_ptr<Responder>& responder) {
  MemoryBudget& budget = options_.budget;
  const auto setup = require_setup();
  const auto own_bytes = static_cast<int64_t>(push->message.bytes.size());
  int64_t bound = own_bytes;
  const Push::Section* largest = nullptr;
  for (const Push::Section& section : push->sections) {
    const TableSpec& spec = setup->tables[static_cast<size_t>(section.list->table)];
    bound += static_cast<int64_t>(section.list->keys.size()) * row_cost(spec);
    if (largest == nullptr || section.list->keys.size() > largest->list->keys.size()) {
      largest = &section;
    }
  }
  if (largest == nullptr) return true;
  const auto room = [this, &budget] {
    return std::min(budget.limit() - budget.used() - budget.reserved(),
                    backup_room_.load(std::memory_order_relaxed));
  };
  // A table that grows may take as much again for a moment: far from the limit nobody looks closer.
  if (budget.used() + bound <= room()) {
    push->memory = MemoryBudget::Reservation(budget, bound);
    return true;
  }
  const std::string& name = setup->tables[static_cast<size_t>(largest->list->table)].name;
  auto later = std::make_shared<std::unique_ptr<Responder>>(std::move(responder));
  Dispatch dispatch(shards_);
  dispatch.add(growth_job(
      shards_, push, [this, push, later, room, own_bytes, name, &budget](int64_t growth) {
        try {
          if (growth > 0 && growth > room()) {
            throw Error(
                ErrorCode::kResourceExhausted,
                str_cat("table \"", name, "\": a push would add up to ", growth,
                        " bytes of rows; the tables of this server have ", budget.used(), " of ",
                        budget.limit(), " bytes",
                        backup_room_.load() < budget.limit() ? ", or its backup has no more" : "",
                        "; raise the memory limit, add servers, or let the table evict rows"));
          }
          push->memory = MemoryBudget::Reservation(budget, growth + own_bytes);
          order(push, *later);
        } catch (const Error& error) {
          (*later)->answer(error_answer(error, options_.view.load()));
        }
      }));
  dispatch.post();
  return false;
}

void Slot::order(std::shared_ptr<Push> push, std::unique_ptr<Responder>& responder) {
  const RequestHeader header = push->header;
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (answer_known(header, responder, dispatch)) return;
  ledger_.check(header);
  if (setup_->any_sync) gate_.check(header);
  note_lost_steps(header.step - 1);

  const auto answer = std::make_shared<PushAnswer>(PushAnswer{std::move(responder)});
  const auto ack = ack_of(answer, options_.view);
  const int64_t index = log_.index() + 1;
  log_.set_index(index);
  if (log_.is_replicated()) log_.replicate(entry_of(EntryKind::kPush, *push, index));
  enter_push(std::move(push), index, ack, dispatch);
  if (ledger_.knows(header, shards_of(header)) == WorkerLedger::Known::kDropped) {
    answer->code = AnswerCode::kDropped;
  }
  answer->step = finished();
  log_.acknowledge_after(index, ack);
  serve_waiting(dispatch);
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
}

}  // namespace trireme::ps
