// An answer of a parameter server: any bytes are the rows that were asked for, or an Error.
#include <cstdlib>

#include "ps/protocol/wire.h"
#include "tests/fuzz/data/fuzz.h"
#include "tests/fuzz/ps/ps.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::ps;
  if (size < 1) return 0;
  const auto type = static_cast<RowType>(data[0] % 4);
  std::vector<ExpectedRows> expected;
  if ((data[0] & 4) != 0) expected.push_back({2, 3});
  if ((data[0] & 8) != 0) expected.push_back({1, 8});
  const Message message = trireme::fuzz::aligned_message(data + 1, size - 1);
  try {
    const Answer answer = parse_answer(message, type, expected);
    if (answer.header.code != AnswerCode::kOk) return 0;
    if (answer.rows.size() != expected.size()) std::abort();
    for (size_t i = 0; i < expected.size(); ++i) {
      std::vector<float> rows(static_cast<size_t>(expected[i].count * expected[i].dim));
      decode_rows(type, expected[i].dim, answer.rows[i], rows.data());
    }
  } catch (const trireme::Error& error) {
    // A server may say kInternal, but only in an answer of its own.
    const std::string_view text = error.what();
    if (error.code() == trireme::ErrorCode::kInternal && text.find("check failed") != text.npos) {
      std::abort();
    }
  }
  return 0;
}
