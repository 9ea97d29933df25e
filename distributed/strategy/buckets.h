// Which gradients are reduced together. Private to the strategies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

struct BucketItem {
  Value value;
  std::string name;  // of the variable
};

struct Bucket {
  std::vector<size_t> items;  // positions in what was given
  std::string label;          // "bucket 3 (conv2/kernel … logits/bias)"
};

// Cuts `items` into buckets of one dtype and at most `bytes` (the first: `first_bytes`; one item
// that is larger has a bucket to itself), in the order in which the values are made.
std::vector<Bucket> make_buckets(const std::vector<BucketItem>& items, int64_t first_bytes,
                                 int64_t bytes);

}  // namespace trireme
