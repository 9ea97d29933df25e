// What the communicators of one machine share: calls that are checked against each other, waits
// that name who is missing, and causes that reach every rank. local.cc and shm_communicator.cc add
// how bytes move.
//
// Each collective is a row of stages of a StageBoard, the same on every rank. Threads as
// Communicator.
#pragma once

#include <string>
#include <vector>

#include "distributed/collective/communicator.h"
#include "distributed/collective/stage_board.h"

namespace trireme {

enum class CallKind { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kBarrier };

class BoardCommunicator : public Communicator {
 protected:
  // `cores`: that the ranks have between them.
  BoardCommunicator(Group group, CommunicatorOptions options, StageCell* cells, int cores);

  // Tells the others which call this rank makes. Before the first publish() of the call.
  void begin_call(CallKind kind, TensorSpan data, int detail = 0);
  void publish() { board_.publish(); }
  // Until all ranks have published as often as this one. The first of a call also checks that all
  // make the same call; throws Error{kDataLoss} naming one that does not. Throws
  // Error{kUnavailable} naming a rank that is gone, kDeadlineExceeded naming the late ones, and
  // what another rank failed with.
  void wait();

  void wake() override;
  // Throws what some other rank failed with, when one did.
  void throw_farewell() const;
  // To be called by the destructor of the derived class, while the cells are there.
  void leave();

  // Whether the process of this rank has ended; asked for now and then while waiting.
  virtual bool is_gone(int /*rank*/) const { return false; }

 private:
  void check_calls();
  [[noreturn]] void throw_late() const;
  void throw_if_lost() const;
  void throw_farewell_of(const std::vector<int>& ranks) const;

  StageBoard board_;
  uint64_t call_ = 0;  // packed; compared with the others'
  uint64_t calls_ = 0;
  bool checked_ = true;
};

// "ranks 1, 3 (host n1, pid 7)": for messages.
std::string list_of(const std::vector<Peer>& peers, const std::vector<int>& ranks);

}  // namespace trireme
