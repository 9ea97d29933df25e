// What a path may be, and that nothing that a user names makes the program wait for ever.
#include "core/base/input_stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "core/base/error.h"
#include "tests/support/process.h"

namespace trireme {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr InputOptions kPipe{.pipes = true, .writer_timeout = 20ms, .data_timeout = 20ms};

std::string refusal(const std::string& path, InputOptions options = {}) {
  try {
    read_whole(path, 100, "a text", options);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2) << error.what();
    return error.what();
  }
  return "(no error)";
}

class InputStreamTest : public ::testing::Test {
 protected:
  std::string make_pipe() const {
    EXPECT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    return folder_ / "pipe";
  }
  const trireme::testing::TemporaryDirectory folder_;
};

// A device may never end, or do something when it is opened.
TEST_F(InputStreamTest, RefusesWhatIsNoFileByItsKind) {
  EXPECT_EQ(refusal("/dev/zero"), "/dev/zero: expected a file, found a character device");
  EXPECT_EQ(refusal("/dev/zero", kPipe), "/dev/zero: expected a file, found a character device");
  EXPECT_EQ(refusal(folder_.path()), folder_.path() + ": expected a file, found a directory");
  EXPECT_THAT(refusal(folder_ / "none"),
              EndsWith("/none: cannot be opened: No such file or directory"));
  EXPECT_THAT(refusal(make_pipe()),
              HasSubstr("expected a file, found a pipe, which can be read only once"));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string name = folder_ / "socket";
  ASSERT_LT(name.size(), sizeof address.sun_path);
  name.copy(address.sun_path, name.size());
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(refusal(name, kPipe), name + ": expected a file, found a socket");
  ::close(socket);
}

// 100 GB that take no room on the disk: refused by their size, before a byte is read.
TEST_F(InputStreamTest, RefusesALargeFileBeforeReadingIt) {
  const std::string sparse = folder_.write("sparse", "x");
  std::filesystem::resize_file(sparse, uintmax_t{100} << 30);
  EXPECT_EQ(refusal(sparse),
            sparse + ": expected a text of at most 100 bytes, found 107374182400 bytes");
}

// open() of a pipe blocks until somebody writes; nobody may ever do.
TEST_F(InputStreamTest, APipeWithoutAWriterEndsWithAnError) {
  EXPECT_EQ(refusal(make_pipe(), kPipe),
            folder_ / "pipe" + ": nobody opened this pipe for writing within 0.02 s");
}

TEST_F(InputStreamTest, APipeWhoseWriterHangsEndsWithAnError) {
  const std::string pipe = make_pipe();
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  const int writer = ::open(pipe.c_str(), O_WRONLY);
  ASSERT_EQ(::write(writer, "abc", 3), 3);
  EXPECT_EQ(refusal(pipe, kPipe),
            pipe + ": the writer of this pipe gave nothing for 0.02 s after 3 bytes");
  ::close(reader);
  ::close(writer);
}

TEST_F(InputStreamTest, ReadsAPipeToItsEndAndNoFurtherThanAllowed) {
  const std::string pipe = make_pipe();
  const InputOptions patient{.pipes = true, .writer_timeout = 60s, .data_timeout = 60s};
  const auto write = [&](size_t bytes) {
    const int fd = ::open(pipe.c_str(), O_WRONLY);
    for (size_t i = 0; i < bytes; ++i) {
      if (::write(fd, "x", 1) != 1) break;  // the reader has seen enough
    }
    ::close(fd);
  };
  std::thread short_writer(write, 100);
  EXPECT_EQ(read_whole(pipe, 100, "a text", patient), std::string(100, 'x'));
  short_writer.join();
  std::thread long_writer(write, 101);
  EXPECT_EQ(refusal(pipe, patient), pipe + ": expected a text of at most 100 bytes, found more");
  long_writer.join();
}

TEST_F(InputStreamTest, ReadsFilesOfProc) {
  // Their size is 0 until they are read.
  EXPECT_THAT(read_whole("/proc/self/comm", 100, "a text"), EndsWith("\n"));
}

}  // namespace
}  // namespace trireme
