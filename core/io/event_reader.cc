#include "core/io/event_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "core/io/wire.h"
#include "core/tensor/dtype.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPiece = uint64_t{256} << 10;  // stays in a core's cache
constexpr std::string_view kVersion = "brain.Event:";
// How most writers say a tensor of one f32, whose 4 bytes come behind.
constexpr std::string_view kFloatScalar{"\x08\x01\x12\x00\x2a\x04", 6};
// Of TensorProto and of the summaries' types: proto/tf/types.proto.
enum DataType { kFloat = 1, kDouble = 2, kInt32 = 3, kString = 7, kInt64 = 9, kBool = 10 };
enum ShortFloat { kBFloat16 = 14, kHalf = 19 };
constexpr size_t kMaxRank = 16;

template <typename T>
double number_at(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<double>(value);
}

// Bytes of a number in tensor_content; 0: the type is none that summaries have.
size_t content_bytes(int dtype) {
  switch (dtype) {
    case kDouble:
    case kInt64:
      return 8;
    case kFloat:
    case kInt32:
      return 4;
    case kBFloat16:
    case kHalf:
      return 2;
    case kBool:
      return 1;
    default:
      return 0;
  }
}

double short_float(int dtype, uint16_t bits) {
  return dtype == kHalf ? static_cast<float>(std::bit_cast<Half>(bits))
                        : static_cast<float>(std::bit_cast<BFloat16>(bits));
}

double content_number(int dtype, const char* bytes) {
  switch (dtype) {
    case kDouble:
      return number_at<double>(bytes);
    case kInt64:
      return number_at<int64_t>(bytes);
    case kFloat:
      return number_at<float>(bytes);
    case kInt32:
      return number_at<int32_t>(bytes);
    case kBFloat16:
    case kHalf: {
      uint16_t bits;
      std::memcpy(&bits, bytes, sizeof bits);
      return short_float(dtype, bits);
    }
    default:
      return *bytes != 0;
  }
}

// Of TensorProto: half_val, float_val, double_val, int_val, int64_val and bool_val, whose numbers
// are packed or stand alone. Calls `put` with each.
template <typename Put>
bool typed_numbers(const WireFields& field, int dtype, const Put& put) {
  const auto varints = [&](std::string_view bytes, auto convert) {
    // A packed list is a row of varints; each is read as the value of a field would be.
    while (!bytes.empty()) {
      uint64_t value = 0;
      int shift = 0;
      size_t used = 0;
      for (;; ++used, shift += 7) {
        if (used == bytes.size() || shift > 63) return false;
        const auto byte = static_cast<unsigned char>(bytes[used]);
        value |= uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) break;
      }
      bytes.remove_prefix(used + 1);
      put(convert(value));
    }
    return true;
  };
  const auto as_integer = [](uint64_t v) { return static_cast<double>(static_cast<int64_t>(v)); };
  const auto as_short = [&](uint64_t v) { return short_float(dtype, static_cast<uint16_t>(v)); };
  switch (field.number()) {
    case 5:
      if (field.is(5, WireFields::kFixed32)) put(field.fixed_float());
      if (!field.is(5, WireFields::kBytes)) return field.is(5, WireFields::kFixed32);
      if (field.bytes().size() % 4 != 0) return false;
      for (size_t i = 0; i < field.bytes().size(); i += 4) {
        put(number_at<float>(field.bytes().data() + i));
      }
      return true;
    case 6:
      if (field.is(6, WireFields::kFixed64)) put(field.fixed_double());
      if (!field.is(6, WireFields::kBytes)) return field.is(6, WireFields::kFixed64);
      if (field.bytes().size() % 8 != 0) return false;
      for (size_t i = 0; i < field.bytes().size(); i += 8) {
        put(number_at<double>(field.bytes().data() + i));
      }
      return true;
    case 7:
    case 10:
    case 11:
      if (field.is(field.number(), WireFields::kVarint)) {
        put(as_integer(field.varint()));
        return true;
      }
      return field.is(field.number(), WireFields::kBytes) && varints(field.bytes(), as_integer);
    case 13:
      if (field.is(13, WireFields::kVarint)) {
        put(as_short(field.varint()));
        return true;
      }
      return field.is(13, WireFields::kBytes) && varints(field.bytes(), as_short);
    default:
      return true;
  }
}

void parse_metadata(std::string_view metadata, EventValue& value) {
  for (WireFields fields(metadata); fields.next();) {
    if (fields.is(2, WireFields::kBytes)) value.display_name = fields.bytes();
    if (fields.is(3, WireFields::kBytes)) value.description = fields.bytes();
    if (!fields.is(1, WireFields::kBytes)) continue;
    for (WireFields plugin(fields.bytes()); plugin.next();) {
      if (plugin.is(1, WireFields::kBytes)) value.plugin = plugin.bytes();
      if (plugin.is(2, WireFields::kBytes)) value.plugin_content = plugin.bytes();
    }
  }
}

bool parse_value(std::string_view bytes, EventValue& value) {
  value = {};
  WireFields fields(bytes);
  while (fields.next()) {
    switch (fields.number()) {
      case 1:
        if (fields.is(1, WireFields::kBytes)) value.tag = fields.bytes();
        break;
      case 2:
        if (fields.is(2, WireFields::kFixed32)) value.simple_value = fields.fixed_float();
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        value.is_older_kind = true;
        break;
      case 8:
        if (fields.is(8, WireFields::kBytes)) value.tensor = fields.bytes();
        break;
      case 9:
        if (fields.is(9, WireFields::kBytes)) parse_metadata(fields.bytes(), value);
        break;
      default:
        break;
    }
  }
  return !fields.is_damaged();
}

bool parse_session(std::string_view bytes, Event& event) {
  WireFields fields(bytes);
  while (fields.next()) {
    if (fields.is(1, WireFields::kVarint) && fields.varint() == 1) event.kind = Event::Kind::kStart;
  }
  return !fields.is_damaged();
}

}  // namespace

bool parse_event(std::string_view record, Event& event) {
  event = {};
  WireFields fields(record);
  const auto is = [&](uint32_t number, Event::Kind kind) {
    if (!fields.is(number, WireFields::kBytes)) return;
    event.kind = kind;
    event.body = fields.bytes();
  };
  while (fields.next()) {
    switch (fields.number()) {
      case 1:
        if (fields.is(1, WireFields::kFixed64)) event.wall_time = fields.fixed_double();
        break;
      case 2:
        if (fields.is(2, WireFields::kVarint)) event.step = fields.integer();
        break;
      case 3:
        is(3, Event::Kind::kVersion);
        break;
      case 4:
        is(4, Event::Kind::kGraph);
        break;
      case 5:
        is(5, Event::Kind::kSummary);
        break;
      case 7:
        if (fields.is(7, WireFields::kBytes) && !parse_session(fields.bytes(), event)) return false;
        break;
      case 8:
        is(8, Event::Kind::kRunMetadata);
        break;
      default:
        break;
    }
  }
  return !fields.is_damaged();
}

bool EventValues::next(EventValue& value) {
  WireFields fields(summary_);
  while (fields.next()) {
    if (!fields.is(1, WireFields::kBytes)) continue;
    const std::string_view bytes = fields.bytes();
    summary_.remove_prefix(static_cast<size_t>(bytes.data() + bytes.size() - summary_.data()));
    if (parse_value(bytes, value)) return true;
    damaged_ = true;
    return false;
  }
  damaged_ = fields.is_damaged();
  summary_ = {};
  return false;
}

bool for_each_value(std::string_view summary, const std::function<void(const EventValue&)>& visit) {
  EventValues values(summary);
  for (EventValue value; values.next(value);) visit(value);
  return !values.is_damaged();
}

std::optional<double> EventValue::scalar() const {
  if (simple_value) return simple_value;
  if (tensor.empty()) return std::nullopt;
  if (tensor.size() == kFloatScalar.size() + 4 && tensor.starts_with(kFloatScalar)) {
    return number_at<float>(tensor.data() + kFloatScalar.size());
  }
  int dtype = 0;
  std::optional<double> number;
  int64_t elements = 1;
  WireFields fields(tensor);
  while (fields.next()) {
    if (fields.is(1, WireFields::kVarint)) {
      dtype = static_cast<int>(fields.varint());
    } else if (fields.is(2, WireFields::kBytes)) {
      for (WireFields dims(fields.bytes()); dims.next();) {
        if (!dims.is(2, WireFields::kBytes)) continue;
        int64_t size = 0;
        for (WireFields dim(dims.bytes()); dim.next();) {
          if (dim.is(1, WireFields::kVarint)) size = dim.integer();
        }
        if (size != 1) elements = 0;
      }
    } else if (fields.is(4, WireFields::kBytes)) {
      const size_t size = content_bytes(dtype);
      if (size == 0 || fields.bytes().size() != size) return std::nullopt;
      number = content_number(dtype, fields.bytes().data());
    } else if (!number) {
      if (!typed_numbers(fields, dtype, [&](double value) {
            if (!number) number = value;
          })) {
        return std::nullopt;
      }
    }
  }
  if (fields.is_damaged() || elements != 1 || content_bytes(dtype) == 0) return std::nullopt;
  return number.value_or(0);  // protobuf leaves zeros out
}

EventTensor parse_event_tensor(std::string_view bytes) {
  EventTensor tensor;
  WireFields fields(bytes);
  std::string_view content;
  while (fields.next()) {
    if (fields.is(1, WireFields::kVarint)) {
      tensor.dtype = static_cast<int>(fields.varint());
    } else if (fields.is(2, WireFields::kBytes)) {
      for (WireFields dims(fields.bytes()); dims.next();) {
        if (!dims.is(2, WireFields::kBytes)) continue;
        int64_t size = 0;
        for (WireFields dim(dims.bytes()); dim.next();) {
          if (dim.is(1, WireFields::kVarint)) size = dim.integer();
        }
        if (size < 0 || tensor.shape.size() == kMaxRank) throw data_loss("a shape that is none");
        tensor.shape.push_back(size);
      }
    } else if (fields.is(4, WireFields::kBytes)) {
      content = fields.bytes();
    } else if (fields.is(8, WireFields::kBytes)) {
      tensor.strings.push_back(fields.bytes());
    } else if (!typed_numbers(fields, tensor.dtype,
                              [&](double value) { tensor.numbers.push_back(value); })) {
      throw data_loss("a list of numbers that is none");
    }
  }
  if (fields.is_damaged()) throw data_loss("a tensor that is no such message");
  if (tensor.dtype == kString) return tensor;
  const size_t size = content_bytes(tensor.dtype);
  if (size == 0) throw data_loss("a tensor of the type ", tensor.dtype);
  if (content.size() % size != 0) throw data_loss("a tensor of ", content.size(), " bytes");
  for (size_t i = 0; i < content.size(); i += size) {
    tensor.numbers.push_back(content_number(tensor.dtype, content.data() + i));
  }
  return tensor;
}

EventReader::EventReader(const std::string& path, uint64_t max_record_bytes)
    : name_(path),
      file_(std::make_unique<InputFile>(path)),
      size_(file_->size()),
      max_record_bytes_(max_record_bytes) {}

EventReader::EventReader(std::string_view bytes, std::string_view name, uint64_t max_record_bytes)
    : name_(name), memory_(bytes), size_(bytes.size()), max_record_bytes_(max_record_bytes) {}

std::string EventReader::place() const {
  return str_cat(name_, ": record ", number_, " at byte ", record_offset_);
}

// The `bytes` from offset_ on; null: the file ends before.
const char* EventReader::fill(uint64_t bytes) {
  if (bytes > size_ - offset_) return nullptr;
  if (!file_) return memory_.data() + offset_;
  if (offset_ < buffer_offset_ || offset_ + bytes > buffer_offset_ + buffered_) {
    const uint64_t wanted = std::min(size_ - offset_, std::max(bytes, kPiece));
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    file_->read(offset_, buffer_.data(), wanted);
    buffer_offset_ = offset_;
    buffered_ = wanted;
  }
  return buffer_.data() + (offset_ - buffer_offset_);
}

bool EventReader::next_record() {
  const auto bytes_at = [](const char* at) { return reinterpret_cast<const uint8_t*>(at); };
  const char* header = fill(kRecordHeaderBytes);
  if (header == nullptr) return false;
  const uint64_t length = record_length({bytes_at(header), kRecordHeaderBytes}, max_record_bytes_);
  const uint64_t frame_bytes = kRecordHeaderBytes + length + kRecordFooterBytes;
  const char* const frame = fill(frame_bytes);
  if (frame == nullptr) return false;
  record_ = {frame + kRecordHeaderBytes, static_cast<size_t>(length)};
  check_record(record_, bytes_at(frame + kRecordHeaderBytes + length));
  offset_ += frame_bytes;
  return true;
}

bool EventReader::next(Event& event) {
  record_offset_ = offset_;
  ++number_;
  try {
    if (!next_record()) {
      --number_;
      return false;
    }
    if (!parse_event(record_, event)) throw data_loss("expected an event, found another message");
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(name_)) throw;
    throw error.with_context(place());
  }
  return true;
}

bool is_event_file(const std::string& path) {
  try {
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) return false;
    EventReader reader(path, 1 << 16);
    Event event;
    return reader.next(event) && event.kind == Event::Kind::kVersion &&
           event.body.starts_with(kVersion);
  } catch (const Error&) {
    return false;
  }
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().find("tfevents") != std::string::npos &&
        at->is_regular_file(error)) {
      files.push_back(at->path().string());
    }
  }
  std::ranges::sort(files);
  return files;
}

RunScalars read_scalars(const std::string& folder) {
  RunScalars run;
  std::vector<int64_t> starts;  // the steps of them, in the order of the files
  struct Series {
    std::vector<ScalarPoint> points;
    std::vector<size_t> starts_before;  // of each point
  };
  std::map<std::string, Series, std::less<>> found;
  for (const std::string& path : event_files(folder)) {
    try {
      EventReader reader(path);
      for (Event event; reader.next(event);) {
        if (event.kind == Event::Kind::kStart) starts.push_back(event.step);
        if (event.kind != Event::Kind::kSummary) continue;
        EventValues values(event.body);
        for (EventValue value; values.next(value);) {
          const auto number = value.scalar();
          if (!number) continue;
          auto series = found.find(value.tag);
          if (series == found.end()) {
            series = found.emplace(std::string(value.tag), Series()).first;
          }
          series->second.points.push_back({event.step, event.wall_time, *number});
          series->second.starts_before.push_back(starts.size());
        }
      }
      if (reader.tail_bytes() > 0) {
        run.notes.push_back(str_cat(path, ": the last ", reader.tail_bytes(),
                                    " bytes are no whole record, as after a writer that was killed "
                                    "or still writes; what stands before them was read"));
      }
    } catch (const Error& error) {
      run.notes.push_back(error.what());
    }
  }
  // Of each start: the least step of it and those behind it, which ends what stands before.
  int64_t least = std::numeric_limits<int64_t>::max();
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    *start = least = std::min(least, *start);
  }
  for (auto& [tag, series] : found) {
    std::vector<ScalarPoint> kept;
    for (size_t i = 0; i < series.points.size(); ++i) {
      const size_t start = series.starts_before[i];
      if (start < starts.size() && series.points[i].step >= starts[start]) continue;
      kept.push_back(series.points[i]);
    }
    if (!kept.empty()) run.tags.emplace(tag, std::move(kept));
  }
  return run;
}

}  // namespace trireme::io
