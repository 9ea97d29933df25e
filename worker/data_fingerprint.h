// What a task reads, so that the tasks of a job can tell whether they read the same. Private to
// worker/.
#pragma once

#include <map>
#include <string>

#include "worker/build_data.h"

namespace trireme {

class JobFile;

// By the job's field ("data.csv.file"): name, bytes and a checksum of the contents of each file
// that it means, without the folder, which may be another on each host; and how many examples there
// are. Of a file above 64 MiB 64 pieces of 64 KiB are read, spread evenly over it. With sharding by
// file a worker may have its own files only: then their names count, and nothing else.
std::map<std::string, std::string> data_fingerprint(const JobFile& file, const JobData& data,
                                                    const std::string& data_dir);

}  // namespace trireme
