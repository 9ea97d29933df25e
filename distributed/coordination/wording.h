// How the coordinator names ranks and times, and how it bounds what others say.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "distributed/cluster/peer.h"

namespace trireme {

// "rank 3", "ranks 0, 1, 3"; of many the first: "ranks 3, 7, 9, 11 and 187 others"
std::string name_ranks(const std::vector<int>& ranks);
// "rank 1 (host a, pid 1) and rank 2 (host b, pid 2)"; of many the first, and how many others.
// `name` gives that of the i-th of `count`, and is asked only for those that are shown.
std::string name_some(size_t count, const std::function<std::string(size_t)>& name);
std::string join_words(const std::vector<std::string>& words);
// "12.0 s"
std::string seconds_text(std::chrono::steady_clock::duration duration);
// At most `limit` bytes of `text`, without control characters: fit for a line of a log.
std::string clean(std::string_view text, size_t limit);
// Two values that differ, each short enough for a message; long ones from where they differ.
std::pair<std::string, std::string> show_difference(const std::string& a, const std::string& b);
// "slot 3", "slots 3, 7 and 9"; of many the first: "slots 3, 7, 9, 12, 13, 20, 21, 22 and 180
// others"
std::string name_numbered(const std::string& noun, const std::vector<int>& numbers);

}  // namespace trireme
