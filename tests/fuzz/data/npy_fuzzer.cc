// Arrays of NumPy, and archives of them.
#include "core/data/npy.h"
#include "core/io/zip_reader.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::data;
  trireme::fuzz::only_user_errors([&] {
    const trireme::Tensor tensor = parse_npy({data, size}, "fuzz");
    // Every value was there but for strings of no characters.
    if (tensor.dtype() != trireme::DType::kString &&
        tensor.elements() > static_cast<int64_t>(size)) {
      std::abort();
    }
  });
  trireme::fuzz::only_user_errors([&] {
    const trireme::io::ZipReader zip({data, size}, "fuzz");
    for (const trireme::io::ZipReader::Member& member : zip.members()) {
      trireme::fuzz::only_user_errors([&] {
        const auto contents = zip.read(member);
        (void)parse_npy(
            {static_cast<const uint8_t*>(contents->data()), static_cast<size_t>(member.size)},
            "fuzz");
      });
    }
  });
  return 0;
}
