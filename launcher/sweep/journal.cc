#include "launcher/sweep/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/io/atomic_file.h"
#include "core/io/crc32c.h"
#include "core/io/input_file.h"

namespace trireme::sweep {
namespace {

using nlohmann::ordered_json;

constexpr std::array kKinds = {"start", "result", "promote", "interrupted", "killed", "failed"};
constexpr std::string_view kCrc = ",\"crc\":\"";
constexpr size_t kCrcDigits = 8;
constexpr size_t kMaxLine = 1 << 20;

// JSON has no number for these.
ordered_json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}
double number_of(const ordered_json& json) {
  return json.is_string() ? std::strtod(json.get<std::string>().c_str(), nullptr)
                          : json.get<double>();
}

std::string crc_text(std::string_view text) {
  std::array<char, kCrcDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", io::crc32c(text));
  return digits.data();
}

}  // namespace

std::string to_line(const Event& event) {
  ordered_json json = {{"event", kKinds.at(static_cast<size_t>(event.kind))},
                       {"trial", event.trial},
                       {"target", event.target}};
  if (!event.runner.empty()) json["runner"] = event.runner;
  if (event.kind != EventKind::kStart) json["seconds"] = event.seconds;
  if (!event.error.empty()) json["error"] = event.error;
  if (event.kind == EventKind::kResult) {
    json["epochs"] = event.result.epochs;
    json["steps"] = event.result.steps;
    json["finished"] = event.result.finished;
    json["values"] = ordered_json::object();
    for (const auto& [name, value] : event.result.values) json["values"][name] = number(value);
  }
  std::string text = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  const std::string crc = crc_text(text);
  text.pop_back();  // the brace
  return str_cat(text, kCrc, crc, "\"}\n");
}

Event parse_line(std::string_view line) {
  const size_t tail = kCrc.size() + kCrcDigits + 2;
  if (line.size() < tail || line.substr(line.size() - tail, kCrc.size()) != kCrc ||
      !line.ends_with("\"}")) {
    throw data_loss("has no checksum at its end");
  }
  const std::string text = std::string(line.substr(0, line.size() - tail)) + "}";
  if (crc_text(text) != line.substr(line.size() - kCrcDigits - 2, kCrcDigits)) {
    throw data_loss("is not what was written: its checksum is another");
  }
  try {
    const auto json = ordered_json::parse(text);
    Event event;
    const auto kind = json.at("event").get<std::string>();
    const auto* const found = std::ranges::find(kKinds, kind);
    if (found == kKinds.end()) throw data_loss("has an event '", kind, "' that is not known");
    event.kind = static_cast<EventKind>(found - kKinds.begin());
    event.trial = json.at("trial").get<int64_t>();
    event.target = json.at("target").get<int64_t>();
    event.runner = json.value("runner", "");
    event.seconds = json.value("seconds", 0.0);
    event.error = json.value("error", "");
    if (event.kind == EventKind::kResult) {
      event.result.epochs = json.at("epochs").get<int64_t>();
      event.result.steps = json.at("steps").get<int64_t>();
      event.result.finished = json.at("finished").get<bool>();
      for (const auto& [name, value] : json.at("values").items()) {
        event.result.values[name] = number_of(value);
      }
    }
    return event;
  } catch (const nlohmann::json::exception& error) {
    throw data_loss("is no event: ", error.what());
  }
}

Journal::Journal(std::string path) : path_(std::move(path)) {}

std::vector<Event> Journal::refresh() {
  std::vector<Event> events;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return events;
  if (fd < 0) throw io::file_error("open it", path_, errno);
  std::string rest;
  std::array<char, 64 * 1024> bytes;
  try {
    for (auto at = static_cast<off_t>(end_);;) {
      const ssize_t count = ::pread(fd, bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw io::file_error("read it", path_, errno);
      if (count == 0) break;
      at += count;
      rest.append(bytes.data(), static_cast<size_t>(count));
      size_t begin = 0;
      for (size_t end = 0; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
        ++lines_;
        try {
          events.push_back(parse_line(std::string_view(rest).substr(begin, end - begin)));
        } catch (const Error& error) {
          throw data_loss(path_, ":", lines_, ": the line ", error.what(),
                          "; sweep anew in another folder (--output-dir)");
        }
        end_ += end + 1 - begin;
      }
      rest.erase(0, begin);
      if (rest.size() > kMaxLine) {
        throw data_loss(path_, ":", lines_ + 1, ": the line is longer than any event");
      }
    }
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
  return events;
}

void Journal::append(const Event& event) {
  const int fd = open_log_file(path_);
  const std::string line = to_line(event);
  const bool done = ::ftruncate(fd, static_cast<off_t>(end_)) == 0 &&
                    write_all(fd, line.data(), line.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!done) throw io::file_error("append to it", path_, error);
  if (end_ == 0) io::sync_directory(io::directory_of(path_));
  end_ += line.size();
  ++lines_;
}

}  // namespace trireme::sweep
