// How workers of the strategy parameter_server, who do not talk to each other, stop together.
#pragma once

namespace trireme {

// The table with one element through which they vote to stop. A step pushes its worker's vote and
// reads the sum of those before it.
inline constexpr char kVotesTable[] = "stop_votes";

}  // namespace trireme
