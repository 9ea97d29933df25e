// An answer of a parameter server: any bytes are the rows that were asked for, or an Error.
#include <cstddef>
#include <cstdlib>

#include "ps/protocol/wire.h"
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
    // A server may say kInternal of itself; here nothing may go wrong that way.
    uint32_t code = 0;
    const auto at = offsetof(AnswerHeader, code);
    if (message.bytes.size() >= sizeof(AnswerHeader)) {
      std::memcpy(&code, message.bytes.data() + at, sizeof(code));
    }
    const bool carried = code == static_cast<uint32_t>(AnswerCode::kError);
    if (!carried && error.code() != trireme::ErrorCode::kDataLoss) std::abort();
  }
  return 0;
}
