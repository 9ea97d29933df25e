#include "core/data/stages.h"

#include "core/base/error.h"
#include "core/data/permutation.h"

namespace trireme::data {

NodePtr make_stream(NodePtr child, ElementSpec spec, std::string name,
                    std::function<std::unique_ptr<Stream>(uint64_t pass)> start, int64_t size) {
  return std::make_shared<StreamNode>(StreamNode::Options{.spec = std::move(spec),
                                                          .size = size,
                                                          .name = std::move(name),
                                                          .children = {std::move(child)},
                                                          .start = std::move(start)});
}

uint64_t first_pass(uint64_t epoch, int64_t count) {
  return count == kForever ? epoch : epoch * static_cast<uint64_t>(count);
}

int64_t place_in_block(uint64_t seed, uint64_t epoch, int64_t number, int64_t index, int64_t size) {
  const uint64_t of_block = seed ^ (static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15ull);
  return Permutation(size, of_block, epoch)(index);
}

ElementSpec merged_spec(const ElementSpec& a, const ElementSpec& b, std::string_view what) {
  const auto shown = [](const ElementSpec& spec) {
    std::string text;
    for (const ComponentSpec& component : spec) {
      text += str_cat(text.empty() ? "" : ", ", component.name, ' ',
                      TensorType{component.dtype, component.shape});
    }
    return text;
  };
  bool alike = a.size() == b.size();
  ElementSpec merged = a;
  for (size_t i = 0; alike && i < a.size(); ++i) {
    alike = a[i].name == b[i].name && a[i].dtype == b[i].dtype &&
            a[i].shape.rank() == b[i].shape.rank();
    for (int d = 0; alike && d < a[i].shape.rank(); ++d) {
      if (a[i].shape[d] != b[i].shape[d]) merged[i].shape.set(d, -1);
    }
  }
  if (!alike) {
    throw invalid_argument(what, ": expected elements of the same names, types and ranks, found (",
                           shown(a), ") and (", shown(b), ")");
  }
  return merged;
}

}  // namespace trireme::data
