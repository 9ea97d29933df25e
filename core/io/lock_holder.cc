#include "core/io/lock_holder.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "core/base/error.h"

namespace trireme::io {
namespace {

std::string line_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string link_of(const char* path) {
  std::array<char, 128> target{};
  const ssize_t size = ::readlink(path, target.data(), target.size());
  return size > 0 ? std::string(target.data(), static_cast<size_t>(size)) : "";
}

// When a process was started, in clock ticks since its host was; empty: it is gone.
std::string start_of(const std::string& pid) {
  const std::string stat = line_of("/proc/" + pid + "/stat");
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return "";
  std::istringstream rest(stat.substr(name_end + 1));
  std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr size_t kState = 0, kStart = 19;
  if (fields.size() <= kStart || fields[kState] == "Z" || fields[kState] == "X") return "";
  return fields[kStart];
}

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%F %T UTC", &utc);
  return text.data();
}

// Anybody may have written the file.
std::string printable(const std::string& text) {
  std::string shown = text.substr(0, 100);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return shown;
}

template <typename Holder, typename Visit>
void visit_fields(Holder& holder, Visit visit) {
  visit("host", holder.host);
  visit("boot", holder.boot);
  visit("pids", holder.pids);
  visit("pid", holder.pid);
  visit("start", holder.start);
  visit("job", holder.job);
  visit("since", holder.since);
}

}  // namespace

LockHolder LockHolder::this_process(const std::string& job) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const std::string pid = std::to_string(::getpid());
  return {.host = host.data(),
          .boot = line_of("/proc/sys/kernel/random/boot_id"),
          .pids = link_of("/proc/self/ns/pid"),
          .pid = pid,
          .start = start_of(pid),
          .job = job,
          .since = time_now()};
}

LockHolder LockHolder::parse(const std::string& text) {
  LockHolder holder;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    visit_fields(holder, [&](const std::string& name, std::string& value) {
      if (line.starts_with(name + "=")) value = line.substr(name.size() + 1);
    });
  }
  return holder;
}

std::string LockHolder::text() const {
  std::string text;
  visit_fields(*this, [&](const char* name, const std::string& value) {
    text += str_cat(name, "=", value, "\n");
  });
  return text;
}

bool LockHolder::is_of_same_host(const LockHolder& other) const {
  return !boot.empty() && boot == other.boot;
}

bool LockHolder::is_of_same_namespace(const LockHolder& other) const {
  return is_of_same_host(other) && !pids.empty() && pids == other.pids;
}

bool LockHolder::runs() const { return !start.empty() && start_of(pid) == start; }

std::string LockHolder::name() const {
  if (pid.empty()) return "a process that has not said its name yet";
  return str_cat("process ", printable(pid), " on host ", printable(host),
                 job.empty() ? "" : str_cat(" (job ", printable(job), ")"), ", since ",
                 printable(since));
}

}  // namespace trireme::io
