#include "core/io/hdf5_metadata.h"

#include <algorithm>
#include <limits>

#include "core/io/input_file.h"

namespace trireme::io::hdf5 {
namespace {

constexpr int kMaxContinuations = 1000;
constexpr size_t kMaxMessages = 1 << 20;
constexpr size_t kMaxDims = 32;

void check_sum(std::span<const uint8_t> bytes, const Cursor& where) {
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // no mutation finds a checksum by chance
  uint32_t expected;
  std::memcpy(&expected, &bytes[bytes.size() - 4], sizeof expected);
  if (checksum(bytes.data(), bytes.size() - 4) != expected) {
    throw where.damaged("its checksum is another");
  }
#else
  (void)bytes, (void)where;
#endif
}

}  // namespace

std::span<const uint8_t> Cursor::take(uint64_t count) {
  if (count > bytes_.size()) {
    throw damaged(str_cat("expected ", count, " bytes more, found ", bytes_.size()));
  }
  const auto part = bytes_.first(static_cast<size_t>(count));
  bytes_ = bytes_.subspan(part.size());
  done_ += part.size();
  return part;
}

uint64_t Cursor::get_sized(size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, take(bytes).data(), bytes);
  return value;
}

std::string Cursor::text() {
  const auto end = std::ranges::find(bytes_, uint8_t{0});
  if (end == bytes_.end()) throw damaged("a name without an end");
  const auto length = static_cast<size_t>(end - bytes_.begin());
  const auto part = take(length + 1);
  return {part.begin(), part.begin() + static_cast<std::ptrdiff_t>(length)};
}

Error Cursor::damaged(const std::string& what) const {
  return data_loss(place_, ": ", what, "; the file is damaged or cut off");
}

Metadata::Metadata(ByteSourcePtr bytes)
    // Metadata is read once or twice, and names are made of it.
    : bytes_(std::move(bytes)), budget_(8 * bytes_->size() + (1 << 16)) {}

std::string Metadata::place(const std::string& what, uint64_t address) const {
  return str_cat(bytes_->name(), ": the HDF5 ", what, " at byte ", address);
}

std::vector<uint8_t> Metadata::read(uint64_t address, uint64_t size, const std::string& what) {
  if (address > bytes_->size() || size > bytes_->size() - address) {
    throw data_loss(place(what, address), ": expected ", size, " bytes, the file has ",
                    bytes_->size(), "; it is damaged or cut off");
  }
  spend(size, what, address);
  std::vector<uint8_t> out(static_cast<size_t>(size));
  bytes_->read(address, out.data(), out.size());
  return out;
}

void Metadata::spend(uint64_t size, const std::string& what, uint64_t address) {
  if (size > budget_) {
    throw data_loss(place(what, address), ": the file refers to its parts again and again");
  }
  budget_ -= size;
}

uint64_t Metadata::root_address() {
  const uint64_t size = std::min<uint64_t>(bytes_->size(), 96);
  const std::vector<uint8_t> block = read(0, size, "superblock");
  Cursor in(block, place("superblock", 0));
  if (block.size() < 16 || std::memcmp(block.data(), kSignature.data(), kSignature.size()) != 0) {
    throw data_loss(bytes_->name(), ": expected an HDF5 file, found other contents");
  }
  in.skip(kSignature.size());
  const auto version = in.get<uint8_t>();
  if (version > 3) {
    throw in.damaged(str_cat("expected version 0 to 3, found ", static_cast<int>(version)));
  }
  uint8_t address_bytes = 0, length_bytes = 0;
  if (version < 2) {
    in.skip(4);
    address_bytes = in.get<uint8_t>();
    length_bytes = in.get<uint8_t>();
    in.skip(version == 0 ? 9 : 13);
  } else {
    address_bytes = in.get<uint8_t>();
    length_bytes = in.get<uint8_t>();
    in.skip(1);
  }
  if (address_bytes != 8 || length_bytes != 8) {
    throw in.damaged(str_cat("expected addresses and lengths of 8 bytes, found ",
                             static_cast<int>(address_bytes), " and ",
                             static_cast<int>(length_bytes)));
  }
  if (in.get<uint64_t>() != 0) throw in.damaged("expected addresses from byte 0");
  in.skip(8);  // free space, or the extension
  const auto end = in.get<uint64_t>();
  if (end > bytes_->size()) {
    throw in.damaged(str_cat("expected ", end, " bytes in the file, found ", bytes_->size()));
  }
  if (version < 2) {
    in.skip(16);  // the driver's block, the name of the root
    return in.get<uint64_t>();
  }
  const auto root = in.get<uint64_t>();
  in.skip(4);
  check_sum(std::span(block).first(48), in);
  return root;
}

void Metadata::add_old_messages(std::span<const uint8_t> block, const std::string& place,
                                std::vector<HeaderMessage>& messages) {
  Cursor in(block, place);
  while (in.left() >= 8) {
    HeaderMessage message;
    message.kind = in.get<uint16_t>();
    const auto size = in.get<uint16_t>();
    message.flags = in.get<uint8_t>();
    in.skip(3);
    const auto body = in.take(size);
    message.body.assign(body.begin(), body.end());
    messages.push_back(std::move(message));
    if (messages.size() > kMaxMessages) throw in.damaged("it has too many messages");
  }
}

void Metadata::add_messages(std::span<const uint8_t> block, bool has_order,
                            const std::string& place, std::vector<HeaderMessage>& messages) {
  Cursor in(block, place);
  while (in.left() >= (has_order ? 6U : 4U)) {  // less is a gap
    HeaderMessage message;
    message.kind = in.get<uint8_t>();
    const auto size = in.get<uint16_t>();
    message.flags = in.get<uint8_t>();
    if (has_order) in.skip(2);
    const auto body = in.take(size);
    message.body.assign(body.begin(), body.end());
    messages.push_back(std::move(message));
    if (messages.size() > kMaxMessages) throw in.damaged("it has too many messages");
  }
}

std::vector<HeaderMessage> Metadata::header(uint64_t address, const std::string& object) {
  const std::string what = "object " + quote_name(object);
  std::vector<HeaderMessage> messages;
  std::vector<uint8_t> block = read(address, 16, what);
  const bool is_old = std::memcmp(block.data(), "OHDR", 4) != 0;
  bool has_order = false;
  {
    Cursor in(block, place(what, address));
    if (is_old) {
      if (in.get<uint8_t>() != 1) throw in.damaged("expected the header of an object");
      in.skip(7);
      const auto size = in.get<uint32_t>();
      add_old_messages(read(address + 16, size, what), in.place(), messages);
    } else {
      in.skip(4);
      if (in.get<uint8_t>() != 2) throw in.damaged("expected version 2 of its header");
      const auto flags = in.get<uint8_t>();
      has_order = (flags & 4) != 0;
      const size_t size_bytes = size_t{1} << (flags & 3);
      const size_t before = 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
      block = read(address, before + size_bytes, what);
      Cursor prefix(block, in.place());
      prefix.skip(before);
      const uint64_t size = prefix.get_sized(size_bytes);
      if (size > bytes_->size()) throw in.damaged("its header is longer than the file");
      block = read(address, block.size() + size + 4, what);
      check_sum(block, in);
      add_messages(std::span(block).subspan(before + size_bytes, size), has_order, in.place(),
                   messages);
    }
  }
  int continuations = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].kind != kContinuation) continue;
    Cursor in(messages[i].body, place(what, address));
    if (++continuations > kMaxContinuations) throw in.damaged("its header has too many parts");
    const auto at = in.get<uint64_t>(), size = in.get<uint64_t>();
    block = read(at, size, what);
    if (is_old) {
      add_old_messages(block, in.place(), messages);
      continue;
    }
    if (size < 8 || std::memcmp(block.data(), "OCHK", 4) != 0) {
      throw in.damaged(str_cat("expected a part of its header at byte ", at));
    }
    check_sum(block, in);
    add_messages(std::span(block).subspan(4, size - 8), has_order, in.place(), messages);
  }
  return messages;
}

std::string Metadata::heap_text(uint64_t collection, uint32_t number, uint32_t size) {
  if (size == 0 || collection == 0) return "";
  auto found = heaps_.find(collection);
  if (found == heaps_.end()) {
    const std::string what = "heap of strings";
    const std::vector<uint8_t> head = read(collection, 16, what);
    Cursor in(head, place(what, collection));
    if (std::memcmp(in.take(4).data(), "GCOL", 4) != 0 || in.get<uint8_t>() != 1) {
      throw in.damaged("expected a collection of strings");
    }
    in.skip(3);
    const auto bytes = in.get<uint64_t>();
    if (bytes < 16) throw in.damaged("it is too short");
    const std::vector<uint8_t> block = read(collection, bytes, what);
    Cursor rest({block.data() + 16, block.size() - 16}, in.place());
    Heap heap;
    while (rest.left() >= 16) {
      const auto index = rest.get<uint16_t>();
      rest.skip(6);
      const auto length = rest.get<uint64_t>();
      if (index == 0) break;  // free space is last
      const auto text = rest.take(length);
      heap[index].assign(text.begin(), text.end());
      rest.skip(std::min<uint64_t>((8 - length % 8) % 8, rest.left()));
    }
    found = heaps_.emplace(collection, std::move(heap)).first;
  }
  const auto object = found->second.find(static_cast<uint16_t>(number));
  if (number > 0xffff || object == found->second.end() || object->second.size() < size) {
    throw data_loss(place("heap of strings", collection), ": expected ", size, " bytes as object ",
                    number, ", found no such object; the file is damaged");
  }
  spend(size, "heap of strings", collection);
  return {object->second.begin(), object->second.begin() + size};
}

uint64_t Dataspace::elements(const Cursor& where) const {
  if (is_null) return 0;
  if (std::ranges::find(dims, 0U) != dims.end()) return 0;
  uint64_t count = 1;
  for (uint64_t dim : dims) {
    if (dim > (uint64_t{1} << 58) / count) {
      throw where.damaged("it declares more elements than any memory has");
    }
    count *= dim;
  }
  return count;
}

Dataspace parse_dataspace(Cursor& in) {
  Dataspace space;
  const auto version = in.get<uint8_t>();
  const auto rank = in.get<uint8_t>();
  in.skip(1);  // flags
  if (version == 1) {
    in.skip(5);
  } else if (version == 2) {
    space.is_null = in.get<uint8_t>() == 2;
  } else {
    throw in.damaged(str_cat("a shape of the unknown version ", static_cast<int>(version)));
  }
  if (rank > kMaxDims) throw in.damaged(str_cat("a shape of ", static_cast<int>(rank), " axes"));
  for (int i = 0; i < rank; ++i) space.dims.push_back(in.get<uint64_t>());
  return space;
}

std::optional<Hdf5Element> parse_datatype(Cursor& in) {
  const auto kind = in.get<uint8_t>();
  const auto bits = in.get<uint8_t>();
  in.skip(2);
  const auto bytes = in.get<uint32_t>();
  Hdf5Element element{.bytes = bytes};
  using Kind = Hdf5Element::Kind;
  switch (kind & 0xf) {
    case kFixedPoint: {
      const auto offset = in.get<uint16_t>(), precision = in.get<uint16_t>();
      const bool is_whole = offset == 0 && precision == 8 * bytes;
      if (!is_whole || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)) return std::nullopt;
      element.kind = Kind::kInteger;
      element.big_endian = (bits & 1) != 0;
      element.is_signed = (bits & 8) != 0;
      return element;
    }
    case kFloatingPoint: {
      in.skip(4);
      const auto exponent_at = in.get<uint8_t>(), exponent = in.get<uint8_t>();
      const auto mantissa_at = in.get<uint8_t>(), mantissa = in.get<uint8_t>();
      const auto bias = in.get<uint32_t>();
      const bool is_ieee = mantissa_at == 0 && exponent_at == mantissa && (bits & 0x40) == 0 &&
                           ((bytes == 2 && exponent == 5 && mantissa == 10 && bias == 15) ||
                            (bytes == 4 && exponent == 8 && mantissa == 23 && bias == 127) ||
                            (bytes == 8 && exponent == 11 && mantissa == 52 && bias == 1023));
      if (!is_ieee) return std::nullopt;
      element.kind = Kind::kFloat;
      element.big_endian = (bits & 1) != 0;
      return element;
    }
    case kFixedString:
      element.kind = Kind::kString;
      if (bytes == 0) return std::nullopt;
      return element;
    case kOpaqueBytes:
      element.kind = Kind::kOpaque;
      if (bytes == 0) return std::nullopt;
      return element;
    case kEnumeration: {
      // bool, as h5py has it.
      const std::optional<Hdf5Element> base = parse_datatype(in);
      if (bits != 2 || bytes != 1 || !base || base->kind != Kind::kInteger) return std::nullopt;
      if (in.text() != "FALSE") return std::nullopt;
      if ((kind >> 4) < 3) in.skip(2);  // names are padded to 8 bytes
      if (in.text() != "TRUE") return std::nullopt;
      element.kind = Kind::kBool;
      return element;
    }
    case kVariableLength:
      if ((bits & 0xf) != 1 || bytes != 16) return std::nullopt;
      element.kind = Kind::kVariableString;
      return element;
    default:
      return std::nullopt;
  }
}

std::vector<std::string> parse_strings(Metadata& metadata, const Hdf5Element& element,
                                       std::span<const uint8_t> data, uint64_t count) {
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < count; ++i) {
    const auto item = data.subspan(i * element.bytes, element.bytes);
    if (element.kind == Hdf5Element::Kind::kString) {
      // Ends at a zero byte, or is padded with zeros or spaces.
      auto end = std::ranges::find(item, uint8_t{0});
      texts.emplace_back(item.begin(), end);
      continue;
    }
    Cursor in(item, metadata.bytes().name());
    const auto size = in.get<uint32_t>();
    const auto collection = in.get<uint64_t>();
    texts.push_back(metadata.heap_text(collection, in.get<uint32_t>(), size));
  }
  return texts;
}

}  // namespace trireme::io::hdf5
