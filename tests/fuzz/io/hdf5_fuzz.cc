// Any bytes as an HDF5 file: only a trireme::Error may come out of reading its tree and its
// datasets. Checksums of metadata are not compared in builds for fuzzing.
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "core/io/hdf5_file.h"

namespace {

void read_all(const trireme::io::Hdf5File& file, const trireme::io::Hdf5Group& group) {
  for (const auto& [name, dataset] : group.datasets) {
    try {
      (void)file.read(dataset);
    } catch (const trireme::Error& error) {
      if (error.code() == trireme::ErrorCode::kInternal) std::abort();
    }
  }
  for (const auto& [name, child] : group.groups) read_all(file, child);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const trireme::io::Hdf5File file(trireme::io::memory_bytes({data, size}, "fuzz"));
    read_all(file, file.root());
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
