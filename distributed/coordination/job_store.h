// The JobStore: the barriers of a generation and the keys and values of a job.
//
// Plain state: it says what is there and what is missing, and whoever owns it does the waiting. Not
// thread-safe: the owner holds a lock. What it keeps is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

class JobStore {
 public:
  // A new generation of `size` ranks: forgets all barriers.
  void reset(int size);

  // `rank` has come to the barrier `name`; the same name can be used again and again. Returns the
  // round that it waits for. Throws Error{kInvalidArgument} for a bad name, kResourceExhausted when
  // there are too many.
  int64_t arrive(const std::string& name, int rank);
  // All have come to the round. Takes the same time for any number of ranks, as arrive() does.
  bool complete(const std::string& name, int64_t round) const;
  // The ranks that have not.
  std::vector<int> missing(const std::string& name, int64_t round) const;
  // `rank` waits no longer for a round that is not complete.
  void withdraw(const std::string& name, int rank);

  // Throws Error{kInvalidArgument} for a bad key or a value that is too long, kResourceExhausted
  // when there is too much.
  void put(const std::string& key, std::string value);
  std::optional<std::string> get(const std::string& key) const;

 private:
  struct Barrier {
    std::vector<int64_t> counts;     // how often each rank has come
    int64_t complete = 0;            // the last round to which all have come
    std::map<int64_t, int> arrived;  // of the rounds after it: how many ranks have come
  };
  int size_ = 0;
  std::map<std::string, Barrier> barriers_;
  std::map<std::string, std::string> values_;
  size_t bytes_ = 0;  // of values_
};

}  // namespace trireme
