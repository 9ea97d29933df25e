#include "distributed/connection/secret.h"

#include <algorithm>

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
