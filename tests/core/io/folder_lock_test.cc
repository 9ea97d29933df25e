#include "core/io/folder_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/lock_holder.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kName[] = ".trireme.lock";

std::string message_of(const std::string& folder, FolderLockOptions options = {}) {
  const Error error = error_of([&] { FolderLock lock(folder, options); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  return error.what();
}

// A holder on a host that this one only shares the folder with.
LockHolder elsewhere(const std::string& job = "") {
  LockHolder holder = LockHolder::this_process(job);
  holder.host = "n2";
  holder.boot = "another-boot";
  holder.pid = "4711";
  return holder;
}

void set_age(const std::string& path, int seconds) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  now.tv_sec -= seconds;
  const timespec times[] = {now, now};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

// Two that write to one folder lose each other's log and checkpoints.
TEST(FolderLock, NamesTheHolder) {
  TemporaryDirectory dir;
  {
    FolderLock lock(dir.path(), {.job = "first"});
    const LockHolder self = LockHolder::this_process("");
    EXPECT_THAT(message_of(dir.path(), {.job = "second"}),
                AllOf(HasSubstr(dir.path()), HasSubstr("process " + self.pid + " on host"),
                      HasSubstr(self.host), HasSubstr("job first"), HasSubstr("since 20")));
    EXPECT_THAT(message_of(dir.path()), HasSubstr("job first"));
    lock.check();
    EXPECT_THAT(files_in(dir.path()), testing::ElementsAre(kName));
  }
  EXPECT_TRUE(files_in(dir.path()).empty());
  FolderLock again(dir.path(), {});
}

// A job that was killed must not lock its folder for ever.
TEST(FolderLock, OfADeadProcessIsTakenOver) {
  TemporaryDirectory dir;
  const pid_t child = ::fork();
  if (child == 0) {
    new FolderLock(dir.path(), {.job = "dead"});
    ::_exit(0);  // no destructor runs
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(contents(dir / kName), HasSubstr("pid=" + std::to_string(child)));
  FolderLock lock(dir.path(), {.job = "next"});
  EXPECT_THAT(contents(dir / kName), HasSubstr("pid=" + std::to_string(::getpid())));
}

// Where flock does not reach, the process is looked for; its number may be another's by now.
TEST(FolderLock, WithoutFlockTheProcessItselfIsLookedFor) {
  TemporaryDirectory dir;
  LockHolder holder = LockHolder::this_process("one");
  overwrite(dir / kName, holder.text());
  EXPECT_THAT(message_of(dir.path()), HasSubstr("job one"));
  holder.start += "1";
  overwrite(dir / kName, holder.text());
  FolderLock lock(dir.path(), {});
}

// Of another host only the lease can tell.
TEST(FolderLock, OfAnotherHostIsTakenOverWhenItsLeaseHasRunOut) {
  TemporaryDirectory dir;
  overwrite(dir / kName, elsewhere("far").text());
  set_age(dir / kName, 12);
  EXPECT_THAT(message_of(dir.path()),
              AllOf(HasSubstr("process 4711 on host n2"), HasSubstr("last seen 1"),
                    HasSubstr("its lock ends in 1")));
  set_age(dir / kName, 31);
  FolderLock lock(dir.path(), {});
}

// Another host sees a holder's life in the file's time alone.
TEST(FolderLock, IsRenewed) {
  TemporaryDirectory dir;
  FolderLock lock(dir.path(), {.renewal = std::chrono::milliseconds(5)});
  set_age(dir / kName, 1000);
  struct stat info {};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  do {
    ASSERT_EQ(::stat((dir / kName).c_str(), &info), 0);
  } while (info.st_mtime < std::time(nullptr) - 500 && std::chrono::steady_clock::now() < deadline);
  EXPECT_GE(info.st_mtime, std::time(nullptr) - 500);
}

// Whoever becomes rank 0 writes; the folder stays the job's all the time.
TEST(FolderLock, IsSharedByAJobAndHandedOn) {
  TemporaryDirectory dir;
  auto first = std::make_unique<FolderLock>(dir.path(), FolderLockOptions{.job = "j"});
  FolderLock second(dir.path(), {.job = "j"});
  second.check();
  EXPECT_THAT(message_of(dir.path(), {.job = "k"}), HasSubstr("job j"));
  first.reset();
  second.check();  // takes it
  EXPECT_THAT(message_of(dir.path(), {.job = "k"}), HasSubstr("job j"));
}

// A process that slept through its lease must not write into what is another's now.
TEST(FolderLock, SaysThatItWasTaken) {
  TemporaryDirectory dir;
  FolderLock lock(dir.path(), {.job = "slept"});
  overwrite(dir / "new", elsewhere("other").text());
  std::filesystem::rename(dir / "new", dir / kName);
  const Error error = error_of([&] { lock.check(); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("process 4711 on host n2"), HasSubstr("job other")));
}

// A user may clear a folder that is in use.
TEST(FolderLock, ThatWasRemovedIsMadeAgain) {
  TemporaryDirectory dir;
  FolderLock lock(dir.path(), {});
  std::filesystem::remove(dir / kName);
  lock.check();
  EXPECT_THAT(message_of(dir.path()), HasSubstr("another training"));
}

// In a folder that others may write to, a link could lead anywhere.
TEST(FolderLock, FollowsNoLink) {
  TemporaryDirectory dir;
  overwrite(dir / "target", "mine");
  std::filesystem::create_symlink(dir / "target", dir / kName);
  EXPECT_THAT(error_of([&] { FolderLock lock(dir.path(), {}); }).what(), HasSubstr(kName));
  EXPECT_EQ(contents(dir / "target"), "mine");
}

}  // namespace
}  // namespace trireme::io
