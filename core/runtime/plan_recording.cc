#include "core/runtime/plan_recording.h"

#include <algorithm>

#include "core/runtime/plan.h"

namespace trireme {
namespace {

// To replay one or two kernels takes as long as to launch them.
constexpr size_t kFewest = 3;

}  // namespace

PlanRecording::PlanRecording(const DeviceSet& devices, std::vector<Instruction>& instructions)
    : devices_(devices), instructions_(instructions) {
  const auto& all = devices_.all();
  while (origin_device_ < all.size() && !all[origin_device_]->can_record()) ++origin_device_;
  if (origin_device_ == all.size()) return;
  origin_ = &all[origin_device_]->stream(kComputeStream);
  fork_ = all[origin_device_]->make_event();
  done_ = all[origin_device_]->make_event();
  for (size_t begin = 0; begin < instructions_.size();) {
    size_t end = begin;
    bool settles = false;  // a collective of this piece must settle before variables change
    while (end < instructions_.size() && records(instructions_[end])) {
      if (settles && instructions_[end].changes_variables()) break;
      settles = settles || instructions_[end].kernel.settle;
      ++end;
    }
    if (end - begin >= kFewest) {
      Piece& piece = pieces_.emplace_back();
      piece.begin = begin;
      piece.end = end;
      recorded_instructions_ += static_cast<int>(end - begin);
    }
    begin = std::max(end, begin + 1);
  }
  for (Piece& piece : pieces_) describe(piece);
}

bool PlanRecording::records(const Instruction& instruction) const {
  if (!devices_.all()[instruction.device]->can_record()) return false;
  switch (instruction.kind) {
    case Instruction::Kind::kKernel:
      return true;
    case Instruction::Kind::kCopy:
      return instruction.copy_kind == CopyKind::kDeviceToDevice;
    case Instruction::Kind::kFeed:
      return false;
  }
  return false;
}

Stream& PlanRecording::stream_of(const Instruction& instruction) const {
  return devices_.all()[instruction.device]->stream(instruction.stream);
}

void PlanRecording::describe(Piece& piece) {
  const auto inside = [&](int index) {
    return static_cast<size_t>(index) >= piece.begin && static_cast<size_t>(index) < piece.end;
  };
  for (size_t i = 0; i < instructions_.size(); ++i) {
    const Instruction& instruction = instructions_[i];
    const bool is_member = inside(static_cast<int>(i));
    for (int wait : instruction.waits) {
      if (is_member && !inside(wait)) piece.waits.push_back(wait);
      if (!is_member && inside(wait)) piece.awaited.push_back(wait);
    }
    if (!is_member) continue;
    if (instruction.kernel.version) piece.versioned.push_back(i);
    if (instruction.kernel.settle) piece.collectives.push_back(i);
    join(piece, instruction);
  }
  for (auto* list : {&piece.waits, &piece.awaited}) {
    std::ranges::sort(*list);
    list->erase(std::ranges::unique(*list).begin(), list->end());
  }
}

void PlanRecording::join(Piece& piece, const Instruction& instruction) {
  Stream* stream = &stream_of(instruction);
  const auto is_same = [&](const Join& join) { return join.stream == stream; };
  if (stream == origin_ || std::ranges::any_of(piece.joins, is_same)) return;
  // Where all work before is recorded too, that was joined after its replay.
  const auto is_recorded = [&](size_t i) {
    return std::ranges::any_of(pieces_, [&](const Piece& p) { return i >= p.begin && i < p.end; });
  };
  bool busy = false;
  for (size_t i = 0; i < piece.begin && !busy; ++i) {
    busy = !is_recorded(i) && &stream_of(instructions_[i]) == stream;
  }
  piece.joins.push_back({stream, devices_.all()[instruction.device]->make_event(), busy});
}

std::vector<int64_t> PlanRecording::versions(const Piece& piece) const {
  std::vector<int64_t> numbers;
  for (size_t i : piece.versioned) numbers.push_back(instructions_[i].kernel.version());
  return numbers;
}

void PlanRecording::record(Piece& piece) {
  origin_->begin_recording();
  if (!piece.joins.empty()) origin_->record(*fork_);
  for (Join& join : piece.joins) join.stream->wait(*fork_);
  for (size_t i = piece.begin; i < piece.end; ++i) {
    Instruction& instruction = instructions_[i];
    Stream& stream = stream_of(instruction);
    for (int wait : instruction.waits) {
      if (static_cast<size_t>(wait) < piece.begin) continue;  // the replay waits for those
      stream.wait(*instructions_[static_cast<size_t>(wait)].event);
    }
    if (instruction.kind == Instruction::Kind::kCopy) {
      stream.copy(instruction.output_addresses[0], instruction.input_addresses[0],
                  instruction.copy_bytes, instruction.copy_kind);
    } else {
      stream.launch(instruction.kernel, instruction.args);
    }
    for (int k : instruction.records) {
      const Instruction& recorded = instructions_[static_cast<size_t>(k)];
      stream_of(recorded).record(*recorded.event);
    }
  }
  for (Join& join : piece.joins) {
    join.stream->record(*join.event);
    origin_->wait(*join.event);
  }
  piece.recording = origin_->end_recording();
  ++recordings_;
}

void PlanRecording::replay(Piece& piece) {
  for (int wait : piece.waits) origin_->wait(*instructions_[static_cast<size_t>(wait)].event);
  for (Join& join : piece.joins) {
    if (!join.busy_before) continue;
    join.stream->record(*join.event);
    origin_->wait(*join.event);
  }
  origin_->replay(*piece.recording);
  if (!piece.joins.empty()) origin_->record(*done_);
  for (Join& join : piece.joins) join.stream->wait(*done_);
  // An event that was recorded in a recording says nothing outside of it.
  for (int i : piece.awaited) {
    const Instruction& instruction = instructions_[static_cast<size_t>(i)];
    stream_of(instruction).record(*instruction.event);
  }
}

void PlanRecording::run(const Calls& calls) {
  auto piece = pieces_.begin();
  for (size_t i = 0; i < instructions_.size();) {
    if (piece == pieces_.end() || i < piece->begin) {
      calls.issue(instructions_[i++]);
      continue;
    }
    std::vector<int64_t> now = versions(*piece);
    if (now != piece->versions) {
      piece->versions = std::move(now);
      piece->recording.reset();
      while (i < piece->end) calls.issue(instructions_[i++]);
    } else {
      calls.settle();
      if (!piece->recording) record(*piece);
      replay(*piece);
      for (size_t k : piece->collectives) calls.issued(instructions_[k]);
      i = piece->end;
    }
    ++piece;
  }
}

void PlanRecording::forget() {
  for (Piece& piece : pieces_) piece.recording.reset();
}

}  // namespace trireme
