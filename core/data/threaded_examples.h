// Examples that take long to make, such as pictures that are decoded: a data set of them is read by
// several threads ahead of its consumer, as one with a map() is.
#pragma once

#include "core/data/dataset.h"

namespace trireme::data {

class ThreadedExamples : public IndexedExamples {
 public:
  virtual int threads() const = 0;  // as MapOptions::threads
};

}  // namespace trireme::data
