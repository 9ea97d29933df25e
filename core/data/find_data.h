// Where files of data are looked for.
#pragma once

#include <string>

namespace trireme::data {

// An existing file or folder for `name`. A relative one is looked for below `data_dir`; when that
// is empty below $TRIREME_DATA_DIR, and without that below the current folder and ./data. Throws
// Error{kNotFound} naming the places, and Error{kInvalidArgument} for a pipe.
std::string find_data(const std::string& name, const std::string& data_dir);

}  // namespace trireme::data
