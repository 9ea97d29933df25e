#include "core/data/csv_table.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::data;
  const std::string_view text = trireme::fuzz::text(data, size);
  for (const CsvHeader header : {CsvHeader::kAuto, CsvHeader::kPresent, CsvHeader::kAbsent}) {
    for (const CsvLabel kind : {CsvLabel::kNumber, CsvLabel::kClass}) {
      trireme::fuzz::only_user_errors([&] {
        const CsvOptions options{.header = header, .missing = CsvMissing::kMean, .label = "0"};
        CsvRows rows(csv_text(text), "fuzz", options);
        const CsvTable table = read_csv_table(rows, kind, options.missing);
        const CsvTransform transform = fit_csv_transform(
            table, table.rows(), kind, options, {.label = kind == CsvLabel::kNumber}, "fuzz");
        csv_dataset(table, transform, "fuzz");
        // The same file once more, by the columns that it decided itself.
        CsvRows again(csv_text(text), "fuzz", transform.schema, options, true);
        read_csv_table(again, kind, options.missing, &transform.classes);
      });
    }
  }
  return 0;
}
