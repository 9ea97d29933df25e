// Where files of data are looked for.
#pragma once

#include <string>
#include <vector>

namespace trireme::data {

// An existing file or folder for `name`. A relative one is looked for below `data_dir`; when that
// is empty below $TRIREME_DATA_DIR, and without that below the current folder and ./data. Throws
// Error{kNotFound} naming the places, and Error{kInvalidArgument} for a pipe.
std::string find_data(const std::string& name, const std::string& data_dir);

// Existing files for a name in which * ? and [ ] stand for others, as in a shell, in the order of
// their names; of the first place that has any. Throws as find_data().
std::vector<std::string> find_data_files(const std::string& pattern, const std::string& data_dir);

}  // namespace trireme::data
