// What a job file may say, as pages for people: the frame's fields and each component with its
// options. All of it follows from the schema.
#pragma once

#include <string>
#include <vector>

namespace trireme {

class JobSchema;

// One field or option.
struct DescribedOption {
  std::string name;      // "table.admit_after" where it is in a message of its own
  std::string type;      // "whole number", "one of VALID, SAME"
  std::string fallback;  // when it is absent; empty: nothing
  std::string range;     // "at least 1"; empty: any
  std::string help;
};
// A message's fields, or a component's options.
struct DescribedPart {
  int level = 1;      // of its heading: 1 for the job and each family, 2 for what is in them
  std::string name;   // "layer", "dense"
  std::string keras;  // Keras's name of it; empty: none, or the same
  std::string help;
  std::vector<DescribedOption> options;
};

// What `path` names: {} everything, in order; {"job"} the frame; {"layer"} or {"layers"} a family
// and its entries; {"layer", "dense"} an entry. Throws Error{kInvalidArgument} that lists the
// names.
std::vector<DescribedPart> describe(const JobSchema& schema, const std::vector<std::string>& path);

// For a terminal.
std::string to_text(const std::vector<DescribedPart>& parts);
// The families and the names of their entries, a few lines.
std::string overview(const JobSchema& schema);
// docs/reference.md.
std::string reference_page(const JobSchema& schema);

}  // namespace trireme
