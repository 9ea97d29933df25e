#include "core/io/hdf5_writer.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/byte_record.h"
#include "core/io/hdf5_format.h"
#include "core/io/input_file.h"

namespace trireme::io {
namespace {

using hdf5::kUndefined;

constexpr size_t kSuperblockBytes = 48;
constexpr size_t kMaxMessageBytes = 65'535;
constexpr size_t kDataAlignment = 64;
constexpr size_t kMinHeapBytes = 4096;
constexpr size_t kMaxHeapObjects = 60'000;  // a number of 16 bits counts them

std::string fixed_point(uint32_t bytes, bool is_signed) {
  ByteRecord type;
  type.add<uint8_t>(0x10 | hdf5::kFixedPoint).add<uint8_t>(is_signed ? 8 : 0).add<uint16_t>(0);
  type.add<uint32_t>(bytes).add<uint16_t>(0).add<uint16_t>(static_cast<uint16_t>(8 * bytes));
  return type.bytes();
}

std::string floating_point(uint32_t bytes, uint8_t exponent_bits, uint8_t mantissa_bits) {
  ByteRecord type;
  // The mantissa's first bit is implied; then the place of the sign.
  type.add<uint8_t>(0x10 | hdf5::kFloatingPoint).add<uint8_t>(0x20);
  type.add<uint8_t>(static_cast<uint8_t>(8 * bytes - 1)).add<uint8_t>(0).add<uint32_t>(bytes);
  type.add<uint16_t>(0).add<uint16_t>(static_cast<uint16_t>(8 * bytes));
  type.add<uint8_t>(mantissa_bits).add<uint8_t>(exponent_bits).add<uint8_t>(0);
  type.add<uint8_t>(mantissa_bits).add<uint32_t>((uint32_t{1} << (exponent_bits - 1)) - 1);
  return type.bytes();
}

// As h5py has bool: an enumeration of i8.
std::string boolean() {
  ByteRecord type;
  type.add<uint8_t>(0x10 | hdf5::kEnumeration).add<uint8_t>(2).add<uint16_t>(0).add<uint32_t>(1);
  type.add(fixed_point(1, true)).add(std::string_view("FALSE\0\0\0TRUE\0\0\0\0\0\1", 18));
  return type.bytes();
}

std::string opaque(uint32_t bytes) {
  ByteRecord type;
  type.add<uint8_t>(0x10 | hdf5::kOpaqueBytes).add<uint8_t>(0).add<uint16_t>(0);
  return type.add<uint32_t>(bytes).bytes();
}

// UTF-8 in the global heap: length, address of the collection, number in it.
std::string variable_string() {
  ByteRecord type;
  type.add<uint8_t>(0x10 | hdf5::kVariableLength).add<uint8_t>(1).add<uint8_t>(1).add<uint8_t>(0);
  return type.add<uint32_t>(16).add(fixed_point(1, false)).bytes();
}

std::string datatype_of(DType dtype, const std::string& path) {
  switch (dtype) {
    case DType::kFloat16:
      return floating_point(2, 5, 10);
    case DType::kBFloat16:
      return opaque(2);
    case DType::kFloat32:
      return floating_point(4, 8, 23);
    case DType::kFloat64:
      return floating_point(8, 11, 52);
    case DType::kInt32:
      return fixed_point(4, true);
    case DType::kInt64:
      return fixed_point(8, true);
    case DType::kUInt8:
      return fixed_point(1, false);
    case DType::kBool:
      return boolean();
    case DType::kString:
      break;
  }
  throw invalid_argument("the HDF5 dataset ", quote_name(path),
                         ": expected numbers, found strings, which are written as attributes only");
}

std::string dataspace_of(std::span<const int64_t> dims) {
  ByteRecord space;
  space.add<uint8_t>(2).add<uint8_t>(static_cast<uint8_t>(dims.size())).add<uint8_t>(0);
  space.add<uint8_t>(dims.empty() ? 0 : 1);
  for (int64_t dim : dims) space.add<uint64_t>(static_cast<uint64_t>(dim));
  return space.bytes();
}

}  // namespace

// What is written: metadata as bytes, then the tensors, each at its place.
struct Hdf5Writer::Layout {
  struct Header {
    std::string messages;                             // what of them is known before addresses are
    std::vector<std::pair<size_t, size_t>> children;  // where an address goes, of which header
    std::optional<Tensor> value;
    size_t value_address_at = 0;
    uint64_t address = 0, value_address = 0;
  };
  struct HeapObject {
    size_t header = 0, at = 0;  // where its reference goes
    std::string text;
  };
  std::vector<Header> headers;
  std::vector<HeapObject> strings;
  std::string metadata;
  uint64_t size = 0;

  void add_message(Header& header, uint16_t kind, const std::string& body,
                   const std::string& path) {
    if (body.size() > kMaxMessageBytes) {
      throw invalid_argument("the HDF5 object ", quote_name(path), ": expected at most ",
                             kMaxMessageBytes, " bytes in a name or an attribute, found ",
                             body.size());
    }
    ByteRecord record;
    record.add<uint8_t>(static_cast<uint8_t>(kind))
        .add<uint16_t>(static_cast<uint16_t>(body.size()));
    header.messages += record.add<uint8_t>(0).add(body).bytes();
  }

  void add_attributes(size_t index, const Hdf5Attributes& attributes, const std::string& path) {
    for (const auto& [name, value] : attributes) {
      std::string type, space = dataspace_of({}), data;
      std::vector<std::string> texts;
      if (const auto* text = std::get_if<std::string>(&value)) {
        texts = {*text};
      } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
        texts = *list;
        const auto count = static_cast<int64_t>(list->size());
        space = dataspace_of({&count, 1});
      } else if (const auto* integer = std::get_if<int64_t>(&value)) {
        type = fixed_point(8, true);
        data = ByteRecord().add<int64_t>(*integer).bytes();
      } else {
        type = floating_point(8, 11, 52);
        data = ByteRecord().add<double>(std::get<double>(value)).bytes();
      }
      if (type.empty()) {
        type = variable_string();
        data.resize(16 * texts.size());
      }
      ByteRecord body;
      body.add<uint8_t>(3).add<uint8_t>(0).add<uint16_t>(static_cast<uint16_t>(name.size() + 1));
      body.add<uint16_t>(static_cast<uint16_t>(type.size()));
      body.add<uint16_t>(static_cast<uint16_t>(space.size())).add<uint8_t>(1);
      body.add(name).add<uint8_t>(0).add(type).add(space).add(data);
      Header& header = headers[index];
      add_message(header, hdf5::kAttribute, body.bytes(), path);
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t at = header.messages.size() - 16 * (texts.size() - i);
        strings.push_back({index, at, std::move(texts[i])});
      }
    }
  }

  size_t add_dataset(const Hdf5Contents::Dataset& dataset, const std::string& path) {
    const size_t index = headers.size();
    headers.emplace_back();
    Hdf5Attributes attributes = dataset.attributes;
    if (dataset.value.dtype() == DType::kBFloat16) attributes["dtype"] = std::string("bfloat16");
    {
      Header& header = headers.back();
      header.value = dataset.value;
      add_message(header, hdf5::kDataspace, dataspace_of(dataset.value.shape().dims()), path);
      add_message(header, hdf5::kDatatype, datatype_of(dataset.value.dtype(), path), path);
      // Space is allocated late, and filled where a value is given; none is.
      add_message(header, hdf5::kFillValue, ByteRecord().add<uint8_t>(3).add<uint8_t>(0x0a).bytes(),
                  path);
      ByteRecord layout;
      layout.add<uint8_t>(3).add<uint8_t>(1).add<uint64_t>(kUndefined);
      layout.add<uint64_t>(dataset.value.bytes());
      add_message(header, hdf5::kLayout, layout.bytes(), path);
      header.value_address_at = header.messages.size() - 16;
    }
    add_attributes(index, attributes, path);
    return index;
  }

  size_t add_group(const Hdf5Contents& group, const std::string& path) {
    const size_t index = headers.size();
    headers.emplace_back();
    ByteRecord info;
    info.add<uint8_t>(0).add<uint8_t>(0).add<uint64_t>(kUndefined).add<uint64_t>(kUndefined);
    add_message(headers[index], hdf5::kLinkInfo, info.bytes(), path);
    add_message(headers[index], hdf5::kGroupInfo, std::string(2, '\0'), path);
    const auto link = [&](const std::string& name, size_t child) {
      if (name.empty() || name == "." || name.find('/') != std::string::npos ||
          name.find('\0') != std::string::npos) {
        throw invalid_argument("the HDF5 group ", quote_name(path), ": ", quote_name(name),
                               " is no name for one of its objects");
      }
      ByteRecord body;
      body.add<uint8_t>(1).add<uint8_t>(0x12).add<uint8_t>(1);  // UTF-8, a length of 4 bytes
      body.add<uint32_t>(static_cast<uint32_t>(name.size())).add(name).add<uint64_t>(0);
      add_message(headers[index], hdf5::kLink, body.bytes(), path);
      headers[index].children.emplace_back(headers[index].messages.size() - 8, child);
    };
    const std::string prefix = path.empty() ? "" : path + "/";
    for (const auto& [name, child] : group.groups) link(name, add_group(child, prefix + name));
    for (const auto& [name, child] : group.datasets) {
      if (group.groups.contains(name)) {
        throw invalid_argument("the HDF5 group ", quote_name(path), ": ", quote_name(name),
                               " is a group and a dataset");
      }
      link(name, add_dataset(child, prefix + name));
    }
    add_attributes(index, group.attributes, path);
    return index;
  }

  static void put(std::string& bytes, size_t at, uint64_t value) {
    std::copy_n(reinterpret_cast<const char*>(&value), sizeof value, &bytes[at]);
  }

  // Collections of the global heap, from the end of the superblock.
  std::string heaps() {
    std::string all;
    for (size_t begin = 0; begin < strings.size();) {
      ByteRecord collection;
      const uint64_t address = kSuperblockBytes + all.size();
      uint16_t number = 0;
      for (; begin < strings.size() && number < kMaxHeapObjects; ++begin) {
        const HeapObject& object = strings[begin];
        std::string& messages = headers[object.header].messages;
        // A string of no bytes is no object.
        if (!object.text.empty()) {
          ++number;
          collection.add<uint16_t>(number).add<uint16_t>(1).add<uint32_t>(0);
          collection.add<uint64_t>(object.text.size()).add(object.text).pad_to(8);
        }
        const std::string reference = ByteRecord()
                                          .add<uint32_t>(static_cast<uint32_t>(object.text.size()))
                                          .add<uint64_t>(object.text.empty() ? 0 : address)
                                          .add<uint32_t>(object.text.empty() ? 0 : number)
                                          .bytes();
        messages.replace(object.at, 16, reference);
      }
      const size_t size = std::max(kMinHeapBytes, 16 + collection.size() + 16);
      ByteRecord whole;
      whole.add("GCOL").add<uint32_t>(1).add<uint64_t>(size).add(collection.bytes());
      // Object 0 is the space that is left.
      whole.add<uint64_t>(0).add<uint64_t>(size - 16 - collection.size());
      all += whole.bytes();
      all.resize(address - kSuperblockBytes + size);
    }
    return all;
  }

  explicit Layout(const Hdf5Contents& contents) {
    add_group(contents, "");
    const std::string heap = heaps();
    // "OHDR", version, flags, size of the messages in 4 bytes, messages, checksum.
    constexpr size_t kPrefix = 10, kChecksum = 4;
    uint64_t end = kSuperblockBytes + heap.size();
    for (Header& header : headers) {
      header.address = end;
      end += kPrefix + header.messages.size() + kChecksum;
    }
    const uint64_t metadata_end = end;
    for (Header& header : headers) {
      if (!header.value || header.value->bytes() == 0) continue;
      end = (end + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
      header.value_address = end;
      put(header.messages, header.value_address_at, end);
      end += header.value->bytes();
    }
    size = end;

    ByteRecord superblock;
    superblock.add(hdf5::kSignature).add<uint8_t>(2).add<uint8_t>(8).add<uint8_t>(8);
    superblock.add<uint8_t>(0).add<uint64_t>(0).add<uint64_t>(kUndefined).add<uint64_t>(size);
    superblock.add<uint64_t>(headers[0].address);
    superblock.add<uint32_t>(hdf5::checksum(superblock.bytes().data(), superblock.size()));
    metadata.reserve(metadata_end);
    metadata = superblock.bytes() + heap;
    for (Header& header : headers) {
      for (const auto& [at, child] : header.children) {
        put(header.messages, at, headers[child].address);
      }
      ByteRecord record;
      record.add("OHDR").add<uint8_t>(2).add<uint8_t>(2);
      record.add<uint32_t>(static_cast<uint32_t>(header.messages.size())).add(header.messages);
      record.add<uint32_t>(hdf5::checksum(record.bytes().data(), record.size()));
      metadata += record.bytes();
      header.messages = {};
    }
    TRIREME_CHECK(metadata.size() == metadata_end);
  }
};

Hdf5Writer::Hdf5Writer(const Hdf5Contents& contents)
    : layout_(std::make_unique<Layout>(contents)) {}
Hdf5Writer::~Hdf5Writer() = default;

uint64_t Hdf5Writer::size() const { return layout_->size; }

void Hdf5Writer::write(const ByteSink& sink) const {
  const std::string zeros(kDataAlignment, '\0');
  sink(layout_->metadata.data(), layout_->metadata.size());
  uint64_t done = layout_->metadata.size();
  for (const Layout::Header& header : layout_->headers) {
    if (header.value_address == 0) continue;
    sink(zeros.data(), header.value_address - done);
    sink(header.value->raw(), header.value->bytes());
    done = header.value_address + header.value->bytes();
  }
}

Hdf5Contents& Hdf5Contents::group(std::string_view path) {
  Hdf5Contents* at = this;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    at = &at->groups[std::string(path.substr(begin, end - begin))];
    begin = end + 1;
  }
  return *at;
}

void Hdf5Contents::add(std::string_view path, Tensor value) {
  const size_t slash = path.rfind('/');
  Hdf5Contents& owner = slash == std::string_view::npos ? *this : group(path.substr(0, slash));
  const bool is_new =
      owner.datasets.try_emplace(std::string(path.substr(slash + 1)), Dataset{std::move(value), {}})
          .second;
  TRIREME_CHECK(is_new, "two datasets of the path ", path);
}

void write_hdf5(const Hdf5Contents& contents, const std::string& path) {
  const Hdf5Writer writer(contents);
  AtomicFile file(path);
  writer.write([&](const void* data, size_t size) { file.append(data, size); });
  file.commit();
}

std::string hdf5_bytes(const Hdf5Contents& contents) {
  const Hdf5Writer writer(contents);
  std::string bytes;
  bytes.reserve(writer.size());
  writer.write(
      [&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); });
  return bytes;
}

}  // namespace trireme::io
