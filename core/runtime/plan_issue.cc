#include "core/runtime/plan_issue.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace trireme {

void IssueList::add(Instruction instruction, std::vector<int> depends) {
  const size_t stream = stream_of(instruction);
  std::vector<int> clock(streams_, -1);
  for (int i = next() - 1; i >= 0; --i) {
    if (stream_of(instructions_[static_cast<size_t>(i)]) != stream) continue;
    clock = clocks_[static_cast<size_t>(i)];
    clock[stream] = i;
    break;
  }
  std::ranges::sort(depends, std::greater<>());  // the latest first: it often covers the others
  for (int dependency : depends) {
    const auto& other = instructions_[static_cast<size_t>(dependency)];
    if (clock[stream_of(other)] >= dependency) continue;
    instruction.waits.push_back(dependency);
    const auto& theirs = clocks_[static_cast<size_t>(dependency)];
    for (size_t s = 0; s < clock.size(); ++s) clock[s] = std::max(clock[s], theirs[s]);
    clock[stream_of(other)] = std::max(clock[stream_of(other)], dependency);
  }
  clocks_.push_back(std::move(clock));
  instructions_.push_back(std::move(instruction));
}

}  // namespace trireme
