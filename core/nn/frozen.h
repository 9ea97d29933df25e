// FrozenNames: which variables a training leaves as they are, by patterns of their names.
//
// A pattern is an ECMAScript regular expression that must match a variable's whole name, or that of
// a layer which it is in: of "encoder/dense/kernel" "encoder/.*", "encoder" and ".*/kernel" do.
// Belongs to the thread that builds the model.
#pragma once

#include <string>
#include <vector>

namespace trireme::nn {

class FrozenNames {
 public:
  // Throws Error{kInvalidArgument} for what is no pattern.
  void set(std::vector<std::string> patterns);
  bool contains(const std::string& variable);
  // Throws Error{kInvalidArgument} naming a pattern that has matched nothing that was asked for.
  void require_used() const;

 private:
  struct Pattern {
    std::string text;
    bool matched = false;
  };
  std::vector<Pattern> patterns_;
};

// Whether the pattern matches a variable's name, or that of a layer which it is in.
bool matches_variable(const std::string& pattern, const std::string& variable);

}  // namespace trireme::nn
