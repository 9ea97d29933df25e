#include "core/passes/program.h"

namespace trireme {

ProgramRewrite::ProgramRewrite(Program from)
    : from_(std::move(from)),
      to_(std::make_unique<Graph>(from_.graph->ops())),
      copier_(*from_.graph, *to_) {
  for (const Value& value : from_.fetches) roots_.insert(value.node);
  for (const Node* node : from_.targets) roots_.insert(node);
  for (const Value& value : from_.feeds) {
    roots_.insert(value.node);
    fed_.insert(value.node);
  }
}

Program ProgramRewrite::finish() {
  Program result;
  result.fetches = copier_.map(from_.fetches);
  result.feeds = copier_.map(from_.feeds);
  for (const Node* node : from_.targets) result.targets.push_back(&copier_.map(*node));
  result.graph = std::move(to_);
  return result;
}

}  // namespace trireme
