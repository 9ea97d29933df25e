// DIR/journal.jsonl: what happened to the trials of a sweep, a line of JSON an event, each with a
// checksum and on the disk before anything follows from it.
//
// Whoever appends holds the sweep's folder (io::FolderLock); between the turns of several,
// refresh() reads what the others have appended. A last line that is not whole is what a writer
// left that died: it is cut off before the next one is appended. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/sweep/state.h"

namespace trireme::sweep {

std::string to_line(const Event& event);  // with its end
// Throws Error{kDataLoss} that says what is wrong with the line.
Event parse_line(std::string_view line);

class Journal {
 public:
  explicit Journal(std::string path);

  // The events behind those that were read or appended. Throws Error{kDataLoss} with the line's
  // number for one that is damaged, but for a last one that is not whole.
  std::vector<Event> refresh();

  // REQUIRES: refresh() has read all that is there. Throws Error when it cannot be written.
  void append(const Event& event);

 private:
  const std::string path_;
  uint64_t end_ = 0;  // behind the last whole line that was read
  int64_t lines_ = 0;
};

}  // namespace trireme::sweep
