// The folder of the parameter servers' snapshots, for as long as a launcher runs its job: nothing
// can go on from them afterwards, so they go with it. Those of launchers that were killed are
// removed by the next one that uses the same folder of logs.
#pragma once

#include <string>

namespace trireme {

class SnapshotFolder {
 public:
  // LOGS/snapshots-NAME. Throws Error{kInvalidArgument} when it cannot be made.
  SnapshotFolder(const std::string& logs, const std::string& name);
  ~SnapshotFolder();  // removes it
  SnapshotFolder(const SnapshotFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int lock_ = -1;  // held as long as this process lives
};

}  // namespace trireme
