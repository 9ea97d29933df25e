#include "core/data/source.h"

namespace trireme::data {

void register_core_sources(Catalog<Source>&) {}

}  // namespace trireme::data
