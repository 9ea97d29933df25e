#include "core/data/source.h"

namespace trireme::data {

void Source::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "keep_order", .help = "does not shuffle the training data"}, keep_order);
  visitor.field({.name = "take",
                 .help = "only the first so many training examples; 0: all",
                 .range = at_least(0)},
                take);
  visitor.field({.name = "validation_take",
                 .help = "only the first so many validation examples; 0: all",
                 .range = at_least(0)},
                validation_take);
}

}  // namespace trireme::data
