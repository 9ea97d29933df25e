// A file of elements that can be read in any order: what save(), snapshot() and cache(path) keep.
// For core/data only.
//
// A header with the elements' spec and the fingerprint of the chain that made them; the elements,
// each with a check sum; a table of where each begins; a footer. A file that is damaged, or of
// another machine's byte order, is Error{kDataLoss} that names it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/data/node.h"
#include "core/io/input_file.h"

namespace trireme::data {

// Reads one pass of `node` and writes it to `path`, which appears when it is whole.
void write_elements(const NodePtr& node, const std::string& path);

// Any thread.
class ElementFile {
 public:
  explicit ElementFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const ElementSpec& spec() const { return spec_; }
  uint64_t fingerprint() const { return fingerprint_; }
  int64_t size() const { return size_; }
  // False past the end. `origin`: the number of the example in its source. `bytes` is memory that
  // the caller keeps from call to call.
  bool read(int64_t index, Element& out, int64_t& origin, std::string& bytes) const;
  int64_t origin(int64_t index) const;  // REQUIRES: 0 ≤ index < size()

 private:
  std::pair<uint64_t, uint64_t> place(int64_t index) const;

  io::InputFile file_;
  ElementSpec spec_;
  uint64_t fingerprint_ = 0;
  int64_t size_ = 0;
  uint64_t table_ = 0;  // where the table begins
};

NodePtr make_load(const std::string& path);
// What is in `path`, written there first when it is missing: now, or when it is first read.
NodePtr make_snapshot(NodePtr child, const std::string& path);
NodePtr make_cache_file(NodePtr child, const std::string& path);

}  // namespace trireme::data
