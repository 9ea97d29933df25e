// Slurm's short forms of lists: of nodes, and of how many tasks each of them has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trireme::cluster {

// "n[1-3,7],m04,rack[01-02]-[1-2]": n1 n2 n3 n7 m04 rack01-1 rack01-2 rack02-1 rack02-2. A number
// is as wide as the first of its range is written; of several brackets the last one runs fastest.
// `name` is the variable, for messages. Throws Error{kInvalidArgument} with the position of what is
// malformed, and when there are more than 65536 nodes.
std::vector<std::string> parse_node_list(std::string_view text, const std::string& name);

// "2(x3),1": 2 2 2 1. Throws as above.
std::vector<int> parse_task_counts(std::string_view text, const std::string& name);

}  // namespace trireme::cluster
