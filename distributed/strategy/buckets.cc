#include "distributed/strategy/buckets.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/error.h"

namespace trireme {

std::vector<Bucket> make_buckets(const std::vector<BucketItem>& items, int64_t first_bytes,
                                 int64_t bytes) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    return items[a].value.node->id() < items[b].value.node->id();
  });
  std::vector<Bucket> buckets;
  struct Open {
    size_t bucket;
    int64_t bytes;
  };
  std::map<DType, Open> open;
  for (size_t item : order) {
    const TensorType& type = items[item].value.type();
    const auto size = static_cast<int64_t>(type.bytes());
    const auto it = open.find(type.dtype);
    const int64_t limit = it != open.end() && it->second.bucket == 0 ? first_bytes : bytes;
    if (it == open.end() || it->second.bytes + size > limit) {
      open[type.dtype] = {buckets.size(), size};
      buckets.push_back({{item}, ""});
    } else {
      it->second.bytes += size;
      buckets[it->second.bucket].items.push_back(item);
    }
  }
  for (size_t i = 0; i < buckets.size(); ++i) {
    const auto& members = buckets[i].items;
    const std::string& first = items[members.front()].name;
    buckets[i].label = members.size() == 1
                           ? str_cat("bucket ", i, " (", first, ")")
                           : str_cat("bucket ", i, " (", first, members.size() > 2 ? " … " : ", ",
                                     items[members.back()].name, ")");
  }
  return buckets;
}

}  // namespace trireme
