#include "launcher/job_address.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/base/text_file.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/connection/secret.h"

namespace trireme {
namespace {

constexpr char kName[] = "job.env";

std::string value_of(const std::map<std::string, std::string>& variables, const std::string& name,
                     const std::string& where) {
  const auto found = variables.find(name);
  if (found == variables.end() || found->second.empty()) {
    throw invalid_argument(where, ": expected ", name, ", found nothing");
  }
  return found->second;
}

}  // namespace

JobAddressFile::JobAddressFile(const std::string& folder, const JobAddress& address)
    : path_(folder + "/" + kName) {
  ::unlink(path_.c_str());  // an earlier job's, or somebody's link
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  std::string text =
      str_cat("TRIREME_COORDINATOR=", address.coordinator, "\nTRIREME_JOB_ID=", address.job_id,
              "\nTRIREME_SECRET=", address.secret, "\n");
  for (const auto& [name, value] : to_environment(address.tls)) {
    text += str_cat(name, "=", value, "\n");
  }
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const std::string why = written ? "" : std::strerror(errno);
  if (file >= 0) ::close(file);
  if (!written) {
    throw Error(ErrorCode::kFailed, str_cat(path_, " cannot be written: ", why));
  }
}

JobAddressFile::~JobAddressFile() { ::unlink(path_.c_str()); }

JobAddress find_job(const std::string& where) {
  std::map<std::string, std::string> variables;
  std::string source = "the environment";
  if (std::filesystem::is_directory(where)) {
    source = where + "/" + kName;
    if (kind_of_file(source) == "nothing") {
      throw invalid_argument(source, " is not there: expected the folder of the logs of a job ",
                             "with parameter servers that `trireme launch` runs now");
    }
    std::istringstream in(read_text_file(source, 64 << 10, "the address of a job"));
    for (std::string line; std::getline(in, line);) {
      const size_t at = line.find('=');
      if (at != std::string::npos) variables[line.substr(0, at)] = line.substr(at + 1);
    }
  } else {
    if (where.find(':') == std::string::npos) {
      throw invalid_argument(where, ": expected the folder of a job's logs, or HOST:PORT of its ",
                             "coordinator");
    }
    for (const auto& [name, value] : process_environment()) variables[name] = value;
    variables["TRIREME_COORDINATOR"] = where;
  }
  JobAddress job{.coordinator = value_of(variables, "TRIREME_COORDINATOR", source),
                 .job_id = value_of(variables, "TRIREME_JOB_ID", source),
                 .secret = value_of(variables, "TRIREME_SECRET", source),
                 .tls = resolve_tls({}, variables, {})};
  check_secret(job.secret, "TRIREME_SECRET of " + source);
  return job;
}

}  // namespace trireme
