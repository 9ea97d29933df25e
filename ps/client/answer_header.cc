#include "ps/client/answer_header.h"

#include <cstring>

namespace trireme::ps {

AnswerHeader header_of(const Message& answer) {
  AnswerHeader header;
  if (answer.bytes.size() < sizeof(header)) {
    throw data_loss("an answer of a parameter server of ", answer.bytes.size(),
                    " bytes: expected a header of ", sizeof(header));
  }
  std::memcpy(&header, answer.bytes.data(), sizeof(header));
  if (header.magic != kWireMagic) throw data_loss("what a parameter server answered is no answer");
  if (header.code > AnswerCode::kDropped) {
    throw data_loss("an answer of a parameter server: expected a code from 0 to 4, found ",
                    static_cast<uint32_t>(header.code));
  }
  return header;
}

Error error_of(const Message& answer) {
  try {
    parse_answer(answer, RowType::kFloat32, {});
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "an error without a text"};
}

}  // namespace trireme::ps
