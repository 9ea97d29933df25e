// SHA-256 of files, as manifests of exported models have it.
#pragma once

#include <string>

namespace trireme {

// Of the whole file, in hexadecimal digits. Throws Error when it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace trireme
