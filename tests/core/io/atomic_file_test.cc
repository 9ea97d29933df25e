#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/io/atomic_stream.h"
#include "core/io/input_file.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(AtomicFile, AppearsOnlyWithCommit) {
  TemporaryDirectory dir;
  {
    AtomicFile file(dir / "a");
    file.append("hello ");
    file.append(std::string(1 << 20, 'x'));  // larger than the buffer
    file.append("!");
    EXPECT_EQ(file.size(), 6u + (1 << 20) + 1);
    file.sync();
    EXPECT_FALSE(std::filesystem::exists(dir / "a"));
    file.commit();
  }
  EXPECT_EQ(contents(dir / "a"), "hello " + std::string(1 << 20, 'x') + "!");
  EXPECT_THAT(files_in(dir.path()), ElementsAre("a"));
}

TEST(AtomicFile, WithoutCommitThePreviousFileStays) {
  TemporaryDirectory dir;
  write_file_atomically(dir / "a", "old");
  { AtomicFile(dir / "a").append("new"); }
  EXPECT_EQ(contents(dir / "a"), "old");
  EXPECT_THAT(files_in(dir.path()), ElementsAre("a"));
  write_file_atomically(dir / "a", "new");
  EXPECT_EQ(contents(dir / "a"), "new");
}

TEST(AtomicFile, MissingDirectoryIsNamed) {
  TemporaryDirectory dir;
  const Error error = error_of([&] { AtomicFile file(dir / "none/a"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr(dir / "none/a"));
}

// A file where a directory should be.
TEST(AtomicFile, DirectoryThatIsAFile) {
  TemporaryDirectory dir;
  write_file_atomically(dir / "a", "x");
  EXPECT_EQ(error_of([&] { create_directories(dir / "a"); }).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of([&] { create_directories(dir / "a/b"); }).code(), ErrorCode::kInvalidArgument);
  create_directories(dir / "c/d/e");
  EXPECT_TRUE(std::filesystem::is_directory(dir / "c/d/e"));
}

TEST(AtomicFile, FullDiskKeepsThePreviousFile) {
  TemporaryDirectory dir;
  if (::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "a file system of 1 MiB cannot be mounted here: " << std::strerror(errno);
  }
  write_file_atomically(dir / "a", std::string(500'000, 'o'));
  const Error error =
      error_of([&] { write_file_atomically(dir / "a", std::string(700'000, 'n')); });
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.what(), HasSubstr(dir / "a"));
  EXPECT_THAT(error.what(), HasSubstr("No space left"));
  EXPECT_THAT(error.what(), HasSubstr("KiB free"));
  EXPECT_EQ(contents(dir / "a"), std::string(500'000, 'o'));
  EXPECT_THAT(files_in(dir.path()), ElementsAre("a"));
  write_file_atomically(dir / "b", std::string(400'000, 'n'));  // the space came back
  EXPECT_EQ(::umount(dir.path().c_str()), 0);
}

// The limit on file sizes needs no rights, so this way of a failing write is tested everywhere.
TEST(AtomicFile, FileSizeLimitKeepsThePreviousFile) {
  TemporaryDirectory dir;
  write_file_atomically(dir / "a", "old");
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 100'000;
  const auto previous = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Error error =
      error_of([&] { write_file_atomically(dir / "a", std::string(300'000, 'n')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, previous);
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(error.what(), HasSubstr("ulimit"));
  EXPECT_EQ(contents(dir / "a"), "old");
  EXPECT_THAT(files_in(dir.path()), ElementsAre("a"));
}

// A killed writer leaves its temporary file; only such files go, not those of a writer at work.
TEST(AtomicFile, StaleTemporariesAreRemoved) {
  TemporaryDirectory dir;
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(dir / "dead");
    file.append("half");
    file.sync();
    ::_exit(0);  // no destructor runs
  }
  ASSERT_GT(child, 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  overwrite(dir / "user.tmp-file", "not ours");
  AtomicFile living(dir / "living");
  ASSERT_EQ(files_in(dir.path()).size(), 3u);
  EXPECT_EQ(remove_stale_temporaries(dir.path()), 1);
  living.append("whole");
  living.commit();
  EXPECT_THAT(files_in(dir.path()), ElementsAre("living", "user.tmp-file"));
}

// Whoever may write to the folder could let an output go into another file.
TEST(AtomicFile, ALinkIsReplacedNotFollowed) {
  TemporaryDirectory dir;
  overwrite(dir / "target", "untouched");
  std::filesystem::create_symlink(dir / "target", dir / "a");
  write_file_atomically(dir / "a", "new");
  EXPECT_EQ(contents(dir / "target"), "untouched");
  EXPECT_FALSE(std::filesystem::is_symlink(dir / "a"));
  EXPECT_EQ(contents(dir / "a"), "new");
}

// A rename over a FIFO or a device would take it from everybody.
TEST(AtomicFile, WhatIsNoFileIsWrittenAsItIs) {
  TemporaryDirectory dir;
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  const int reader = ::open((dir / "fifo").c_str(), O_RDONLY | O_NONBLOCK);
  write_file_atomically(dir / "fifo", "through");
  char bytes[16] = {};
  EXPECT_EQ(::read(reader, bytes, sizeof bytes), 7);
  EXPECT_STREQ(bytes, "through");
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(dir / "fifo"));
  write_file_atomically("/dev/null", "away");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_EQ(error_of([&] { write_file_atomically("/dev/full", "x"); }).code(),
            ErrorCode::kResourceExhausted);
  EXPECT_THAT(error_of([&] { AtomicFile file(dir.path()); }).what(), HasSubstr("a directory"));
}

TEST(AtomicFile, PermissionsAreKept) {
  TemporaryDirectory dir;
  overwrite(dir / "a", "secret");
  std::filesystem::permissions(dir / "a", std::filesystem::perms(0600));
  write_file_atomically(dir / "a", "new");
  EXPECT_EQ(std::filesystem::status(dir / "a").permissions(), std::filesystem::perms(0600));
}

// What a SIGKILL leaves, the next writer of that name removes, and nobody else's.
TEST(AtomicFile, TheNextWriterClearsUp) {
  TemporaryDirectory dir;
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile a(dir / "a"), b(dir / "b");
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_EQ(files_in(dir.path()).size(), 2u);
  write_file_atomically(dir / "a", "whole");
  const auto left = files_in(dir.path());
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0], "a");
  EXPECT_THAT(left[1], HasSubstr("b.tmp-"));
}

TEST(AtomicFile, ASignalLeavesNothing) {
  TemporaryDirectory dir;
  write_file_atomically(dir / "a", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(dir / "a");
    file.append("half");
    file.sync();
    remove_temporaries_at_signal();
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(files_in(dir.path()), ElementsAre("a"));
  EXPECT_EQ(contents(dir / "a"), "old");
}

// A stream that only remembers that it failed would lose the reason, and its caller the failure.
TEST(AtomicStream, ThrowsWhatWentWrong) {
  TemporaryDirectory dir;
  {
    AtomicStream out(dir / "a");
    out << "number " << 7 << std::endl;
    EXPECT_FALSE(std::filesystem::exists(dir / "a"));
    out.commit();
  }
  EXPECT_EQ(contents(dir / "a"), "number 7\n");
  const std::string large(1 << 20, 'x');
  AtomicStream full("/dev/full");
  EXPECT_EQ(error_of([&] { full << large; }).code(), ErrorCode::kResourceExhausted);
}

TEST(InputFile, EndIsNamed) {
  TemporaryDirectory dir;
  write_file_atomically(dir / "a", "12345");
  InputFile file(dir / "a");
  char bytes[8];
  const Error error = error_of([&] { file.read(2, bytes, 8); });
  EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
  EXPECT_THAT(error.what(), HasSubstr("expected 8 bytes from byte 2, the file ends at byte 5"));
  EXPECT_EQ(error_of([&] { read_file(dir / "a", 4); }).code(), ErrorCode::kDataLoss);
  EXPECT_EQ(error_of([&] { InputFile none(dir / "none"); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(error_of([&] { InputFile directory(dir.path()); }).code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace trireme::io
