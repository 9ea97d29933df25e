#include <vector>

#include "core/data/cifar10.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Short inputs are stretched, so that the mutator reaches files of the right length.
  if (size == 0) return 0;
  std::vector<uint8_t> file(size % 4 == 0 ? size : size % 5 * trireme::data::kCifarRecordBytes);
  for (size_t i = 0; i < file.size(); ++i) file[i] = data[i % size];
  trireme::fuzz::only_user_errors([&] { trireme::data::parse_cifar10(file, "fuzz"); });
  return 0;
}
