#include "core/data/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/base/error.h"
#include "core/data/byte_stream.h"
#include "core/io/atomic_file.h"
#include "core/io/growing_buffer.h"
#include "core/io/input_file.h"
#include "core/io/zip_reader.h"

namespace trireme::data {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMaxHeaderBytes = size_t{64} << 10;

struct Header {
  char order = '|', kind = ' ';  // of "<f4": '<' and 'f'
  int64_t item_bytes = 0;        // of U: characters
  bool fortran = false;
  Shape shape;
  size_t bytes = 0;  // of the whole header

  int64_t width() const { return kind == 'U' ? 4 * item_bytes : item_bytes; }
};

// A header is the text of a Python dictionary of three entries.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

  Header parse() {
    Header header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        has_type = true;
        parse_type(header);
      } else if (key == "fortran_order") {
        has_order = true;
        header.fortran = boolean();
      } else if (key == "shape") {
        has_shape = true;
        parse_shape(header);
      } else {
        throw damaged();
      }
      if (!take(',') && rest_.find_first_not_of(' ') != std::string_view::npos && peek() != '}') {
        throw damaged();
      }
    }
    if (!has_type || !has_order || !has_shape) throw damaged();
    return header;
  }

 private:
  Error damaged() const {
    return data_loss(name_,
                     ": expected a header as NumPy writes it (descr, fortran_order, shape), "
                     "found another text");
  }
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size()));
  }
  char peek() {
    skip_blanks();
    if (rest_.empty()) throw damaged();
    return rest_[0];
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) throw damaged();
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') throw damaged();
    const size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) throw damaged();
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip_blanks();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    throw damaged();
  }
  int64_t integer() {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < 0) throw damaged();
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }

  void parse_type(Header& header) {
    if (peek() == '[' || peek() == '(') {
      throw data_loss(name_, ": expected an array of numbers, found one of records");
    }
    const std::string_view type = string();
    const auto refuse = [&](std::string_view why) {
      return data_loss(name_, ": cannot read the type ", io::quote_name(type), ": ", why);
    };
    if (type.size() < 2) throw refuse("it is none of NumPy's");
    header.order = type[0];
    header.kind = type[1];
    const std::string_view digits = type.substr(2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), header.item_bytes);
    const bool has_size = error == std::errc() && end == digits.data() + digits.size();
    if (header.kind == 'O') throw refuse("it holds Python objects, which are programs");
    if (header.kind == 'c') throw refuse("it holds complex numbers");
    const bool known_order =
        header.order == '<' || header.order == '>' || header.order == '|' || header.order == '=';
    const int64_t n = header.item_bytes;
    const bool known = header.kind == 'f' ? n == 2 || n == 4 || n == 8
                       : header.kind == 'i' || header.kind == 'u'
                           ? n == 1 || n == 2 || n == 4 || n == 8
                       : header.kind == 'b'                       ? n == 1
                       : header.kind == 'S' || header.kind == 'U' ? n >= 0 && n <= 1 << 20
                                                                  : false;
    if (!known || !has_size || !known_order) {
      throw refuse("expected numbers of 1 to 8 bytes, bool or strings");
    }
  }

  void parse_shape(Header& header) {
    expect('(');
    while (!take(')')) {
      if (header.shape.rank() == Shape::kMaxRank) {
        throw data_loss(name_, ": expected at most ", Shape::kMaxRank, " dimensions, found more");
      }
      skip_blanks();
      header.shape.push_back(integer());
      if (!take(',') && peek() != ')') throw damaged();
    }
  }

  std::string_view rest_;
  std::string_view name_;
};

Header parse_header(std::span<const uint8_t> bytes, std::string_view name) {
  const auto text = [&](size_t begin, size_t size) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()) + begin, size);
  };
  if (bytes.size() < 10 || text(0, kMagic.size()) != kMagic) {
    throw data_loss(name, ": expected an array of NumPy (.npy), found other bytes");
  }
  const int version = bytes[6];
  if (version < 1 || version > 3 || (version > 1 && bytes.size() < 12)) {
    throw data_loss(name, ": expected version 1 to 3 of .npy, found ", version);
  }
  size_t length = bytes[8] | size_t{bytes[9]} << 8, begin = 10;
  if (version > 1) {
    length |= size_t{bytes[10]} << 16 | size_t{bytes[11]} << 24;
    begin = 12;
  }
  if (length > kMaxHeaderBytes || length > bytes.size() - begin) {
    throw data_loss(name, ": expected a header of at most ", kMaxHeaderBytes, " bytes, it says ",
                    length, ", the file has ", bytes.size() - begin, " behind it");
  }
  Header header = HeaderParser(text(begin, length), name).parse();
  header.bytes = begin + length;
  return header;
}

// The bytes that the values take. Throws Error when no file can be that long.
uint64_t value_bytes(const Header& header, std::string_view name) {
  uint64_t bytes = static_cast<uint64_t>(header.width()), elements = 1;
  for (const int64_t size : header.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes) ||
        __builtin_mul_overflow(elements, static_cast<uint64_t>(size), &elements) ||
        elements > uint64_t{1} << 48) {
      throw data_loss(name, ": its shape ", header.shape, " cannot be");
    }
  }
  // Strings of no characters take no bytes, but memory.
  if (header.width() == 0 && elements > uint64_t{1} << 20) {
    throw data_loss(name, ": expected at most ", 1 << 20, " empty strings, found ", elements);
  }
  return bytes;
}

template <typename T>
T swapped(T value) {
  uint8_t bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  std::reverse(bytes, bytes + sizeof(T));
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// What the converters write with.
struct Source {
  const uint8_t* data;
  bool swap;
  const Header& header;
  std::string_view name;
};

template <typename From, typename To>
void convert(const Source& in, Tensor& out) {
  const std::span<To> values = out.flat<To>();
  for (size_t i = 0; i < values.size(); ++i) {
    From value;
    std::memcpy(&value, in.data + i * sizeof(From), sizeof(From));
    if (in.swap) value = swapped(value);
    if constexpr (std::is_same_v<From, uint64_t>) {
      if (value > static_cast<uint64_t>(INT64_MAX)) {
        throw data_loss(in.name, ": expected integers of at most 2^63 - 1, found ", value,
                        " as element ", i);
      }
    }
    values[i] = static_cast<To>(value);
  }
}

void convert_bools(const Source& in, Tensor& out) {
  const std::span<bool> values = out.flat<bool>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = in.data[i] != 0;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
            static_cast<char>(0x80 | (c & 0x3f))};
  } else {
    out += {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
            static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
  }
}

// NUL characters at the end are padding.
void convert_strings(const Source& in, Tensor& out) {
  const auto width = static_cast<size_t>(in.header.width());
  const std::span<std::string> values = out.flat<std::string>();
  for (size_t i = 0; i < values.size(); ++i) {
    const uint8_t* const item = in.data + i * width;
    std::string text;
    if (in.header.kind == 'S') {
      text.assign(reinterpret_cast<const char*>(item), width);
    } else {
      for (size_t at = 0; at < width; at += 4) {
        uint32_t c;
        std::memcpy(&c, item + at, 4);
        if (in.swap) c = swapped(c);
        if (c > 0x10ffff) throw data_loss(in.name, ": element ", i, " is no text");
        append_utf8(text, c);
      }
    }
    text.erase(text.find_last_not_of('\0') + 1);
    values[i] = std::move(text);
  }
}

using Converter = void (*)(const Source&, Tensor&);
struct Conversion {
  DType dtype;
  Converter convert;
  bool is_copy;  // the same bytes
};
Conversion conversion_of(const Header& header) {
  const int64_t n = header.item_bytes;
  switch (header.kind) {
    case 'f':
      if (n == 2) {
        // As whole numbers: only bytes are moved.
        return {DType::kFloat16,
                [](const Source& in, Tensor& out) {
                  const std::span<Half> values = out.flat<Half>();
                  for (size_t i = 0; i < values.size(); ++i) {
                    uint16_t bits;
                    std::memcpy(&bits, in.data + 2 * i, 2);
                    values[i].bits = in.swap ? swapped(bits) : bits;
                  }
                },
                true};
      }
      if (n == 4) return {DType::kFloat32, convert<float, float>, true};
      return {DType::kFloat64, convert<double, double>, true};
    case 'i':
      if (n == 1) return {DType::kInt32, convert<int8_t, int32_t>, false};
      if (n == 2) return {DType::kInt32, convert<int16_t, int32_t>, false};
      if (n == 4) return {DType::kInt32, convert<int32_t, int32_t>, true};
      return {DType::kInt64, convert<int64_t, int64_t>, true};
    case 'u':
      if (n == 1) return {DType::kUInt8, convert<uint8_t, uint8_t>, true};
      if (n == 2) return {DType::kInt32, convert<uint16_t, int32_t>, false};
      if (n == 4) return {DType::kInt64, convert<uint32_t, int64_t>, false};
      return {DType::kInt64, convert<uint64_t, int64_t>, false};
    case 'b':
      return {DType::kBool, convert_bools, false};
    default:
      return {DType::kString, convert_strings, false};
  }
}

// From the order in which the first axis is the fastest.
template <typename Value>
void transpose(const Tensor& from, Tensor& to) {
  const Shape& shape = to.shape();
  const auto* in = static_cast<const Value*>(from.raw());
  auto* out = static_cast<Value*>(to.raw());
  std::array<int64_t, Shape::kMaxRank> at{}, stride{};
  int64_t step = 1;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    stride[static_cast<size_t>(axis)] = step;
    step *= shape[axis];
  }
  int64_t place = 0;
  for (int64_t i = 0; i < to.elements(); ++i) {
    out[i] = in[place];
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<size_t>(axis);
      place += stride[a];
      if (++at[a] < shape[axis]) break;
      place -= stride[a] * shape[axis];
      at[a] = 0;
    }
  }
}

Tensor in_row_order(const Tensor& tensor) {
  Tensor result(tensor.dtype(), tensor.shape());
  switch (size_of(tensor.dtype())) {
    case 1:
      transpose<uint8_t>(tensor, result);
      break;
    case 2:
      transpose<uint16_t>(tensor, result);
      break;
    case 4:
      transpose<uint32_t>(tensor, result);
      break;
    case 8:
      transpose<uint64_t>(tensor, result);
      break;
    default:
      transpose<std::string>(tensor, result);
  }
  return result;
}

// `contents`: what the bytes lie in, where a tensor may share it.
Tensor parse(std::span<const uint8_t> bytes, std::string_view name,
             const std::shared_ptr<Buffer>& contents) {
  const Header header = parse_header(bytes, name);
  const uint64_t expected = value_bytes(header, name);
  if (const uint64_t found = bytes.size() - header.bytes; found != expected) {
    throw data_loss(name, ": expected ", expected, " bytes of values (shape ", header.shape,
                    "), found ", found,
                    found < expected ? "; the file is cut off: copy it anew" : "");
  }
  const Conversion conversion = conversion_of(header);
  const bool swap = header.order == '>' && header.width() > 1;
  Tensor tensor;
  if (conversion.is_copy && !swap && contents && header.bytes % kAlignment == 0) {
    tensor = Tensor(conversion.dtype, header.shape, contents, header.bytes);
  } else {
    tensor = Tensor(conversion.dtype, header.shape);
    if (tensor.elements() > 0) {
      conversion.convert({bytes.data() + header.bytes, swap, header, name}, tensor);
    }
  }
  return header.fortran && header.shape.rank() > 1 ? in_row_order(tensor) : tensor;
}

std::string_view type_text(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "<f2";
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
    case DType::kInt32:
      return "<i4";
    case DType::kInt64:
      return "<i8";
    case DType::kUInt8:
      return "|u1";
    case DType::kBool:
      return "|b1";
    case DType::kBFloat16:
    case DType::kString:
      break;
  }
  return "";
}

}  // namespace

Tensor read_npy(const std::string& path) {
  ByteStream in(path);
  io::GrowingBuffer contents(path);
  if (in.size()) io::check_fits_memory(*in.size(), path);
  for (;;) {
    constexpr size_t kPiece = size_t{4} << 20;
    const std::span<uint8_t> piece = contents.add(kPiece);
    const size_t found = in.read(piece);
    contents.drop(kPiece - found);
    if (found < kPiece) break;
  }
  const size_t size = contents.size();
  const std::shared_ptr<Buffer> buffer = contents.take();
  return parse({static_cast<const uint8_t*>(buffer->data()), size}, path, buffer);
}

Tensor parse_npy(std::span<const uint8_t> bytes, std::string_view name) {
  return parse(bytes, name, nullptr);
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const std::string_view type = type_text(tensor.dtype());
  if (type.empty()) {
    throw invalid_argument(path, ": expected numbers or bool to write as .npy, found ",
                           tensor.type());
  }
  std::string shape;
  for (const int64_t size : tensor.shape()) shape += str_cat(size, ", ");
  if (tensor.shape().rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.shape().rank() == 1) shape.pop_back();
  std::string text =
      str_cat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", shape, "), }");
  // Values begin at a multiple of 64 bytes, behind a line's end.
  constexpr size_t kPreamble = 10;
  text.append(63 - (kPreamble + text.size()) % 64, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {1, 0, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  io::AtomicFile file(path);
  file.append(header + text);
  file.append(tensor.raw(), tensor.bytes());
  file.commit();
}

NpzFile::NpzFile(const std::string& path) : zip_(std::make_unique<io::ZipReader>(path)) {}
NpzFile::~NpzFile() = default;

namespace {

std::string_view without_suffix(std::string_view name) {
  return name.ends_with(".npy") ? name.substr(0, name.size() - 4) : name;
}

}  // namespace

std::vector<std::string> NpzFile::names() const {
  std::vector<std::string> names;
  for (const io::ZipReader::Member& member : zip_->members()) {
    names.emplace_back(without_suffix(member.name));
  }
  return names;
}

bool NpzFile::has(std::string_view name) const {
  return std::ranges::any_of(zip_->members(), [&](const io::ZipReader::Member& member) {
    return without_suffix(member.name) == name;
  });
}

Tensor NpzFile::read(std::string_view name) const {
  std::string there;
  for (const io::ZipReader::Member& member : zip_->members()) {
    if (without_suffix(member.name) == name) {
      const std::shared_ptr<Buffer> contents = zip_->read(member);
      return parse({static_cast<const uint8_t*>(contents->data()), member.size},
                   str_cat(zip_->name(), ": ", io::quote_name(member.name)), contents);
    }
    there += (there.empty() ? "" : ", ") + io::quote_name(without_suffix(member.name));
  }
  throw not_found(zip_->name(), ": there is no array ", io::quote_name(name), "; it has ", there);
}

}  // namespace trireme::data
