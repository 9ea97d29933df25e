#include "core/data/image_feature.h"

#include "core/data/feature_lists.h"

namespace trireme::data {

void ImageFeature::read(const FeatureValue& value, const RowView& out) const {
  const std::string_view bytes = read_only_string(value);
  options.read({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, out.as<float>());
}

}  // namespace trireme::data
