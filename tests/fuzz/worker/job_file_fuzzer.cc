// Job files: any text is a job or one clear Error. A line of NUL separates overrides from the file.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.h"
#include "worker/job_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  std::vector<std::string> overrides;
  if (split != std::string::npos) overrides.push_back(input.substr(split + 1));
  try {
    trireme::JobFile::parse(input.substr(0, split), "fuzz.textproto", overrides);
  } catch (const trireme::Error&) {
    // What is expected of wrong input.
  }
  return 0;
}
