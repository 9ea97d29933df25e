// A folder that appears whole or not at all.
//
// Files go into temporary(), a folder beside the final one; commit() makes them durable and renames
// it. Until then, and after an error, who looks at the final name sees what was there before.
// Without commit() the destructor removes the temporary folder; after a SIGKILL the next
// AtomicFolder of that name does. One thread. Errors as AtomicFile's.
#pragma once

#include <functional>
#include <string>

namespace trireme::io {

class AtomicFolder {
 public:
  // Creates the parents of `path` where they are missing. What is there already is replaced by
  // commit() if it is an empty folder, or a folder that `may_replace` agrees to; else throws
  // Error{kInvalidArgument}.
  AtomicFolder(std::string path, const std::function<bool(const std::string&)>& may_replace);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& temporary() const { return temporary_; }
  // REQUIRES: the files in it are durable, as those of AtomicFile are.
  void commit();

 private:
  std::string path_, temporary_;
};

}  // namespace trireme::io
