// How a command of a user reaches a job that runs: a small file in the folder of the job's logs,
// which only its owner may read, since the job's secret is in it.
//
//   TRIREME_COORDINATOR=127.0.0.1:41234
//   TRIREME_JOB_ID=job-1f3a
//   TRIREME_SECRET=…
//   and TRIREME_TLS…, where they are set
#pragma once

#include <string>

#include "distributed/connection/tls_settings.h"

namespace trireme {

struct JobAddress {
  std::string coordinator, job_id, secret;
  TlsSettings tls;
};

// Removes the file when it goes: with the job.
class JobAddressFile {
 public:
  // Throws Error{kFailed} when it cannot be written.
  JobAddressFile(const std::string& folder, const JobAddress& address);
  ~JobAddressFile();
  JobAddressFile(const JobAddressFile&) = delete;

 private:
  const std::string path_;
};

// `where`: a folder with that file, or HOST:PORT of the coordinator, whose secret and name are in
// TRIREME_SECRET and TRIREME_JOB_ID. Throws Error{kInvalidArgument} naming what is missing.
JobAddress find_job(const std::string& where);

}  // namespace trireme
