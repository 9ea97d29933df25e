// A disk that a test fills.
#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace trireme::testing {

// A small disk of its own for the job's output, where one can be made.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=16m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  void fill() const {
    std::ofstream ballast(ballast_path(), std::ios::binary);
    const std::string block(1 << 16, 'x');
    while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void empty() const { std::filesystem::remove(ballast_path()); }

 private:
  std::string ballast_path() const { return path_ + "/ballast"; }
  std::string path_;
  bool mounted_ = false;
};

}  // namespace trireme::testing
