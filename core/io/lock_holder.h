// Which process holds a lock, in words that other processes and hosts can check. Private to
// core/io.
#pragma once

#include <string>

namespace trireme::io {

struct LockHolder {
  std::string host;
  std::string boot;  // tells hosts of one name apart, and a host from its last life
  std::string pids;  // the namespace that `pid` is of: containers have their own
  std::string pid;
  std::string start;  // of the process: a number is given to another one some day
  std::string job;    // empty: the process is all of it
  std::string since;

  static LockHolder this_process(const std::string& job);
  // From text(), of any version; what is not there is empty.
  static LockHolder parse(const std::string& text);
  std::string text() const;

  bool is_of_same_host(const LockHolder& other) const;
  // Whether its number means this process to `other`, too.
  bool is_of_same_namespace(const LockHolder& other) const;
  bool runs() const;         // REQUIRES: is_of_same_namespace(this process)
  std::string name() const;  // "process 12 on host n1 (job 7), since …"
};

}  // namespace trireme::io
