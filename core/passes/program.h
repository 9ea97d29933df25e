// What the passes rewrite: a graph, and what is asked of it.
//
// A pass takes a Program and returns a new one with its own graph; handles into the old graph are
// void after that. The i-th fetch, target and feed of the result stand for those of the argument.
#pragma once

#include <memory>
#include <unordered_set>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/rewrite.h"

namespace trireme {

struct Program {
  std::unique_ptr<Graph> graph;
  std::vector<Value> fetches;  // values that the caller gets back
  std::vector<Node*> targets;  // nodes that run for their effect, such as updates
  std::vector<Value> feeds;  // values that the caller provides; they stay as they are, used or not
};

// One pass at work: the old program, a copier into a new graph, and at the end the new program.
class ProgramRewrite {
 public:
  explicit ProgramRewrite(Program from);

  const Program& from() const { return from_; }
  const std::vector<std::unique_ptr<Node>>& nodes() const { return from_.graph->nodes(); }
  GraphCopier& copier() { return copier_; }
  Graph& to() { return *to_; }

  // Fetched, fed or a target: its name, outputs and effect are seen from outside.
  bool is_root(const Node& node) const { return roots_.contains(&node); }
  bool is_fed(const Node& node) const { return fed_.contains(&node); }

  Program finish();  // REQUIRES: every fetch, target and feed has a counterpart

 private:
  Program from_;
  std::unique_ptr<Graph> to_;
  GraphCopier copier_;
  std::unordered_set<const Node*> roots_, fed_;
};

}  // namespace trireme
