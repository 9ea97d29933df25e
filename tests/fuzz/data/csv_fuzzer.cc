#include "core/data/csv.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using trireme::data::CsvHeader;
  const std::string_view text = trireme::fuzz::text(data, size);
  for (const CsvHeader header : {CsvHeader::kAuto, CsvHeader::kPresent, CsvHeader::kAbsent}) {
    for (const trireme::DType dtype : {trireme::DType::kFloat32, trireme::DType::kInt64}) {
      trireme::fuzz::only_user_errors([&] {
        trireme::data::parse_csv(text, "fuzz",
                                 {.header = header, .label = "0", .label_dtype = dtype});
      });
    }
  }
  return 0;
}
