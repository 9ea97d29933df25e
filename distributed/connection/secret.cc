#include "distributed/connection/secret.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "core/base/text_file.h"
#include "distributed/connection/greeting.h"

namespace trireme {
namespace {

constexpr size_t kLongestName = 1024;
constexpr char kHowToMake[] = "export TRIREME_SECRET=$(openssl rand -hex 32)";

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

}  // namespace

void check_secret(const std::string& secret, const std::string& from) {
  const bool printable = is_printable(secret);
  if (printable && secret.size() >= kShortestSecret && secret.size() <= kLongestSecret) return;
  const std::string found = printable ? str_cat(secret.size()) : "other characters";
  throw invalid_argument(from, ": a job's secret is one line of ", kShortestSecret, " to ",
                         kLongestSecret, " printable ASCII characters without spaces, found ",
                         found, "; make one: ", kHowToMake);
}

std::string draw_secret() {
  const Nonce random = draw_nonce();
  std::string text;
  for (const std::byte byte : random) {
    text += "0123456789abcdef"[static_cast<unsigned>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<unsigned>(byte) & 15];
  }
  return text;
}

std::string read_secret_file(const std::string& path, const std::string& from) {
  const std::string name = str_cat(from, " ", path);
  struct stat about {};
  if (stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077) != 0) {
    throw invalid_argument(name, ": others may read or change it, so it is no secret: chmod 600 ",
                           path, ", and make a new one if this machine has other users");
  }
  std::string secret;
  try {
    // A line end may be behind it.
    secret = read_text_file(path, kLongestSecret + 2, "a secret", {.pipes = true});
  } catch (const Error& error) {
    throw Error(error.code(), str_cat(from, " ", error.what()));
  }
  while (!secret.empty() && std::isspace(static_cast<unsigned char>(secret.back())) != 0) {
    secret.pop_back();
  }
  check_secret(secret, name);
  return secret;
}

void check_job_name(const std::string& name) {
  if (is_printable(name) && name.size() <= kLongestName) return;
  throw invalid_argument("the job's name must have at most ", kLongestName,
                         " printable ASCII characters, without spaces");
}

Error no_secret(const std::string& who) {
  return invalid_argument(
      who, " can be reached from other hosts, and the job has no secret: anybody could take part. ",
      "Give all tasks the same one, before mpirun -x TRIREME_SECRET or srun: ", kHowToMake,
      "; or trireme launch --secret-file");
}

}  // namespace trireme
