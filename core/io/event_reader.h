// Reads TensorBoard's event files: records of proto/tf/event.proto in TFRecord's framing.
//
// A file may still be written, or its writer may have been killed: bytes at the end that are no
// whole record are no error, tail_bytes() says how many. A damaged record is Error{kDataLoss}
// "FILE: record 17 at byte 1234: …". Memory stays below twice the largest record that is really
// there. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/input_file.h"
#include "core/io/record_framing.h"

namespace trireme::io {

// Views last until the next event is read.
struct Event {
  enum class Kind { kOther, kVersion, kGraph, kSummary, kStart, kRunMetadata };
  double wall_time = 0;  // seconds since 1970
  int64_t step = 0;
  Kind kind = Kind::kOther;
  std::string_view body;  // the version's text, a GraphDef, a Summary, TaggedRunMetadata
};

// A value of a summary.
struct EventValue {
  std::string_view tag;
  std::string_view plugin;  // of the metadata, which only a tag's first value need have
  std::string_view plugin_content, display_name, description;
  std::string_view tensor;             // a TensorProto; empty: there is none
  std::optional<double> simple_value;  // of older writers
  bool is_older_kind = false;          // an image, a histogram or a sound of TensorFlow 1

  // A tensor of one number, or simple_value; nothing: the value is something else.
  std::optional<double> scalar() const;
};

// A tensor of a value. Shapes are those that were written.
struct EventTensor {
  int dtype = 0;  // proto/tf/types.proto
  std::vector<int64_t> shape;
  std::vector<double> numbers;            // of number types
  std::vector<std::string_view> strings;  // of DT_STRING
};
// Throws Error{kDataLoss} without a place where it is none, or of a type that summaries do not
// have.
EventTensor parse_event_tensor(std::string_view tensor);

// Calls `visit` for each value of a Summary; false where the bytes are none.
bool for_each_value(std::string_view summary, const std::function<void(const EventValue&)>& visit);
// The same for one value after the other without a call through a pointer.
class EventValues {
 public:
  explicit EventValues(std::string_view summary) : summary_(summary) {}
  bool next(EventValue& value);
  bool is_damaged() const { return damaged_; }

 private:
  std::string_view summary_;
  bool damaged_ = false;
};

// False where the bytes are no event.
bool parse_event(std::string_view record, Event& event);

class EventReader {
 public:
  explicit EventReader(const std::string& path, uint64_t max_record_bytes = kMaxRecordBytes);
  // Of a file in memory, which must outlive it; `name` is for messages.
  EventReader(std::string_view bytes, std::string_view name,
              uint64_t max_record_bytes = kMaxRecordBytes);

  // False at the end.
  bool next(Event& event);
  std::string_view record() const { return record_; }  // of the event that was given last

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  // When next() was false: bytes behind the last whole record.
  uint64_t tail_bytes() const { return size_ - offset_; }
  // Of the event that was given last: "FILE: record 17 at byte 1234".
  std::string place() const;

 private:
  const char* fill(uint64_t bytes);
  bool next_record();

  std::string name_;
  std::unique_ptr<InputFile> file_;
  std::string_view memory_;
  uint64_t size_ = 0, max_record_bytes_;
  std::vector<char> buffer_;
  uint64_t buffer_offset_ = 0, buffered_ = 0;
  uint64_t offset_ = 0, record_offset_ = 0;  // of the next record, and of the last one
  int64_t number_ = -1;
  std::string_view record_;
};

// Whether the file begins as event files do. Does not throw.
bool is_event_file(const std::string& path);

// The event files of a folder, oldest first, which is the order in which they are to be read. Empty
// where there are none.
std::vector<std::string> event_files(const std::string& folder);

struct ScalarPoint {
  int64_t step;
  double wall_time;
  double value;
};
// The scalars of a run, by tag. Values that a later start of the same training made out of date are
// not among them.
struct RunScalars {
  std::map<std::string, std::vector<ScalarPoint>, std::less<>> tags;
  std::vector<std::string> notes;  // what could not be read: "FILE: the last 17 bytes are no …"
};
RunScalars read_scalars(const std::string& folder);

}  // namespace trireme::io
