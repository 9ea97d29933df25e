// Writes TensorBoard's event files: one writer a folder, which is a run of TensorBoard's.
//
// What is written goes into a queue; a thread of the writer's ("events") makes records of it and
// writes them every `flush_seconds` and at flush(). A write is of whole records, so a process that
// is killed at any moment leaves a file that can be read up to its last flush. The system has the
// bytes then: they outlive the process; the disk has them after close(). A full queue waits for the
// thread.
//
// A disk that is full, fails, or takes nothing for a minute ends the writing, not the training: the
// file is cut behind its last whole record, one warning says so, and what comes later is dropped.
//
// TensorBoard follows the newest file of a folder. A file's name has a later second than those that
// are there, so a writer that goes on in a folder comes behind the earlier ones.
//
// Any thread may write; records of one thread keep their order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace trireme::io {

// Going on in a folder that has values of later steps, which become out of date.
struct EventStart {
  int64_t step = 0;  // the first that is written again
  // Of the values that are there: whether one stays. A folder whose tags count different things
  // (steps, epochs) says so here; null: values of earlier steps stay.
  std::function<bool(std::string_view tag, int64_t step)> keeps = {};
};

struct EventWriterOptions {
  double flush_seconds = 10;
  // Of scalars; the queue of other records has 64 MiB.
  size_t queue_scalars = 1 << 16;
  std::optional<EventStart> start = {};
  std::string suffix = ".v2";  // of the file's name
};

class EventWriter {
 public:
  // A scalar's tag within its writer.
  using Tag = uint32_t;
  struct Scalar {
    Tag tag;
    float value;
  };

  // Makes the folder and the file. Throws Error.
  explicit EventWriter(const std::string& folder, EventWriterOptions options = {});
  ~EventWriter();  // close()
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  const std::string& path() const;

  Tag tag(std::string_view name);  // the same for the same name
  // No allocation, and no system call but a clock's unless the thread has to be woken.
  void scalars(int64_t step, std::span<const Scalar> values);
  void scalar(Tag tag, int64_t step, double value) {
    const Scalar one{tag, static_cast<float>(value)};
    scalars(step, {&one, 1});
  }
  void scalar(std::string_view name, int64_t step, double value) { scalar(tag(name), step, value); }
  // A record of core/io/event_records.h: what stands behind an event's time and step.
  void add(int64_t step, std::string what);

  // Everything that was given so far is written soon; does not wait.
  void flush();
  // Waits until it is. False: the writing has ended with error().
  bool sync();
  // Writes what is left, and waits until the disk has it. Nothing may be written afterwards.
  void close();
  // Why the writing ended, if it did.
  std::optional<Error> error() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // its thread's, too
};

}  // namespace trireme::io
