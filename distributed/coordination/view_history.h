// How a ServerView that changes gets to many tasks: as a whole once, then what has changed.
//
// Each message has a revision, and a change says the revision that it begins from and the digest of
// the view that it leads to. Whoever has another revision, or arrives at another digest, refuses
// the change and asks for the whole view: a task never goes on with a view that the coordinator
// does not have.
//
// A message is made once for all tasks that begin from the same revision. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distributed/coordination/server_view.h"

namespace trireme {

namespace directory {
class View;
}

// The sender's side.
class ViewHistory {
 public:
  using Bytes = std::shared_ptr<const std::string>;  // of a directory::View

  // Takes what holds now, `view.session` aside; true when that is another revision.
  // `session`: of the tables, the same one each time. `workers`: how many are connected.
  bool update(const ServerView& view, const std::string& session, int workers);
  int64_t revision() const { return revision_; }
  // What brings a task from the revision `base` to this one; 0: from nothing.
  Bytes message_since(int64_t base);

 private:
  Bytes whole() const;
  Bytes change_since(int64_t base) const;
  void begin_message(directory::View* message) const;

  ServerView view_;
  int workers_ = -1;
  int64_t revision_ = 0;
  int64_t structure_changed_ = 0;  // the revision since which there are so many entries
  std::vector<int64_t> server_changed_, slot_changed_, place_changed_;  // the revision, by entry
  uint64_t entries_ = 0;                                                // their digest
  std::map<int64_t, Bytes> messages_;                                   // to revision_, by base
};

// The receiver's side.
class ViewReplica {
 public:
  // False: it is a change that does not fit what is here, and nothing is here until the whole view
  // has come. Throws Error{kDataLoss} for a whole view that makes no sense.
  bool apply(const directory::View& message);
  const ServerView& view() const { return view_; }

 private:
  bool apply_change(const directory::View& message);

  ServerView view_;
  int64_t revision_ = 0;  // 0: none
  uint64_t entries_ = 0;
};

}  // namespace trireme
