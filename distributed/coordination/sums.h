// The Sums: values that all workers of a job add up under a name.
//
// Plain state: it says what is there and who is missing, and whoever owns it does the waiting. Not
// thread-safe: the owner holds a lock. What it keeps is bounded.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trireme {

class Sums {
 public:
  // The values of one worker. Again by the same worker, before all have come: the later ones count;
  // after that: nothing changes, so that a worker that died and does its work again hears what the
  // others heard. Throws Error{kInvalidArgument} for a rank, count or name that does not fit,
  // kResourceExhausted when too many sums are unfinished.
  void add(const std::string& name, int worker, int workers, std::span<const double> values);
  // Added in the order of the ranks, once all have come.
  const std::vector<double>* find(const std::string& name) const;
  // Who has not come to it.
  std::vector<int> missing(const std::string& name) const;

 private:
  struct Entry {
    std::vector<std::optional<std::vector<double>>> parts;  // by rank; dropped when all are there
    std::optional<std::vector<double>> sum;
  };
  std::map<std::string, Entry> entries_;
  std::deque<std::string> finished_;  // oldest first
};

}  // namespace trireme
