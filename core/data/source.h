// A source of data as a job file names it: what a training and its validation read.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/catalog/catalog.h"

namespace trireme::data {

class Source : public Component {
 public:
  static constexpr std::string_view kFamily = "data";

  void describe_common(OptionVisitor& visitor) override;

  bool keep_order = false;
  int64_t take = 0, validation_take = 0;  // 0: all
};
void register_core_sources(Catalog<Source>& catalog);

}  // namespace trireme::data
