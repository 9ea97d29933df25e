#include "ps/server/log_entry.h"

#include <cstring>
#include <string_view>

namespace trireme::ps {
namespace {

size_t padding(size_t bytes) { return (8 - bytes % 8) % 8; }

template <typename Header>
void append(std::vector<std::byte>& bytes, const Header& header) {
  const auto* const from = reinterpret_cast<const std::byte*>(&header);
  bytes.insert(bytes.end(), from, from + sizeof(header));
}

}  // namespace

size_t LogEntry::bytes() const {
  size_t sum = sizeof(RequestHeader) + sizeof(EntryHeader) + body.bytes.size();
  for (const Message& piece : keys) sum += piece.bytes.size();
  return sum;
}

OutMessage entry_request(const LogEntry& entry, int slot, int64_t view, RequestKind kind) {
  std::vector<std::byte> head;
  head.reserve(sizeof(RequestHeader) + sizeof(EntryHeader));
  append(head, RequestHeader{.kind = kind, .slot = slot, .view = view});
  EntryHeader header = entry.header;
  header.body_bytes = entry.body.bytes.size();
  append(head, header);
  OutMessage message;
  message.pieces.push_back(own(std::move(head)));
  if (!entry.body.bytes.empty()) message.pieces.push_back(entry.body);
  if (const size_t pad = padding(entry.body.bytes.size()); pad > 0) {
    static constexpr std::byte kZeros[8] = {};
    message.pieces.push_back({nullptr, std::span(kZeros).first(pad)});
  }
  message.pieces.insert(message.pieces.end(), entry.keys.begin(), entry.keys.end());
  return message;
}

ReceivedEntry parse_entry(const Message& message, std::span<const std::byte> request_body) {
  ReceivedEntry entry;
  if (request_body.size() < sizeof(EntryHeader)) {
    throw invalid_argument("an entry of a log: expected ", sizeof(EntryHeader),
                           " bytes of its header, found ", request_body.size());
  }
  std::memcpy(&entry.header, request_body.data(), sizeof(EntryHeader));
  const auto rest = request_body.subspan(sizeof(EntryHeader));
  const size_t size = entry.header.body_bytes;
  if (size > rest.size() || size + padding(size) > rest.size()) {
    throw invalid_argument("an entry of a log: expected ", size, " bytes, found ", rest.size());
  }
  entry.body = {message.owner, rest.first(size)};
  const auto keys = rest.subspan(size + padding(size));
  if (keys.size() % sizeof(int64_t) != 0) {
    throw invalid_argument("an entry of a log: expected whole keys behind it, found ", keys.size(),
                           " bytes");
  }
  entry.keys = {reinterpret_cast<const int64_t*>(keys.data()), keys.size() / sizeof(int64_t)};
  return entry;
}

Message bytes_of(const Step& step) {
  std::vector<std::byte> bytes;
  append(bytes, step);
  return own(std::move(bytes));
}

Step step_of(const Message& body) {
  Step step;
  if (body.bytes.size() != sizeof(step)) {
    throw invalid_argument("an entry of a log: expected a step of ", sizeof(step), " bytes, found ",
                           body.bytes.size());
  }
  std::memcpy(&step, body.bytes.data(), sizeof(step));
  return step;
}

Message bytes_of(std::string_view text) {
  const auto* const from = reinterpret_cast<const std::byte*>(text.data());
  return own(std::vector<std::byte>(from, from + text.size()));
}

std::string_view body_text(const Message& body) {
  return {reinterpret_cast<const char*>(body.bytes.data()), body.bytes.size()};
}

}  // namespace trireme::ps
