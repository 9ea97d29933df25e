#include "core/io/checkpoint.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/philox.h"
#include "core/io/checkpoint_state.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::map<std::string, Tensor> state_at(int64_t step) {
  const int64_t n = 1 + (step * 7919) % 20'000;
  Tensor weights(DType::kFloat32, {n});
  for (int64_t i = 0; i < n; ++i) weights.flat<float>()[static_cast<size_t>(i)] = float(step + i);
  return {{"step", Tensor::scalar<int64_t>(step)}, {"weights", weights}};
}

void expect_state_at(const std::map<std::string, Tensor>& state, int64_t step) {
  ASSERT_EQ(state.at("step").item<int64_t>(), step);
  const auto expected = state_at(step);
  ASSERT_TRUE(
      std::ranges::equal(state.at("weights").flat<float>(), expected.at("weights").flat<float>()));
}

std::vector<int64_t> steps(const std::vector<CheckpointInfo>& list) {
  std::vector<int64_t> result;
  for (const auto& info : list) result.push_back(info.step);
  return result;
}

TEST(Checkpoint, KeepsTheLast) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir / "run/checkpoints", {.keep_last = 2});
  EXPECT_FALSE(manager.latest());
  for (int64_t step : {5, 10, 100}) manager.save(step, state_at(step));
  EXPECT_THAT(files_in(dir / "run/checkpoints"),
              ElementsAre("checkpoint", "ckpt-10.data-00000-of-00001", "ckpt-10.index",
                          "ckpt-100.data-00000-of-00001", "ckpt-100.index"));
  EXPECT_EQ(contents(dir / "run/checkpoints/checkpoint"),
            "model_checkpoint_path: \"ckpt-100\"\n"
            "all_model_checkpoint_paths: \"ckpt-10\"\n"
            "all_model_checkpoint_paths: \"ckpt-100\"\n");
  EXPECT_THAT(steps(manager.list()), ElementsAre(10, 100));
  EXPECT_EQ(manager.latest()->step, 100);
  expect_state_at(load_checkpoint(dir / "run/checkpoints"), 100);
}

// A training that goes on from an older one leaves those after it behind, also when it dies before
// the list of checkpoints knows what it saved.
TEST(Checkpoint, OfATrainingThatGoesOnFromAnOlderOneIsNewer) {
  TemporaryDirectory dir;
  for (int64_t step : {10, 20, 30}) CheckpointManager(dir.path()).save(step, state_at(step));
  make_newest(dir / "ckpt-10");
  EXPECT_THAT(steps(list_checkpoints(dir.path())), ElementsAre(20, 30, 10));
  const std::string before = contents(dir / "checkpoint");
  CheckpointManager(dir.path()).save(15, state_at(15));
  overwrite(dir / "checkpoint", before);
  EXPECT_THAT(steps(list_checkpoints(dir.path())), ElementsAre(20, 30, 10, 15));
}

TEST(Checkpoint, KeepsTheBest) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path(), {.keep_last = 1});
  manager.save(1, state_at(1));
  manager.mark_best(1);
  manager.save(2, state_at(2));
  manager.save(3, state_at(3));
  EXPECT_THAT(steps(manager.list()), ElementsAre(1, 3));
  EXPECT_EQ(CheckpointManager(dir.path()).best()->step, 1);
  manager.mark_best(3);
  manager.save(4, state_at(4));
  EXPECT_THAT(steps(manager.list()), ElementsAre(3, 4));
  EXPECT_EQ(error_of([&] { manager.mark_best(2); }).code(), ErrorCode::kNotFound);
}

// After going back to an earlier step, what is saved then is newer than what has a higher number.
TEST(Checkpoint, NewestIsTheLastSaved) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path(), {.keep_last = 2});
  for (int64_t step : {50, 100, 60}) manager.save(step, state_at(step));
  EXPECT_THAT(steps(manager.list()), ElementsAre(100, 60));
  EXPECT_EQ(resolve_checkpoint(dir.path()), dir / "ckpt-60");
}

TEST(Checkpoint, SavingAStepAgainReplacesIt) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path());
  manager.save(1, state_at(1));
  manager.save(1, {{"other", Tensor::scalar<float>(2)}});
  EXPECT_TRUE(load_checkpoint(dir.path()).contains("other"));
  EXPECT_THAT(files_in(dir.path()),
              ElementsAre("checkpoint", "ckpt-1.data-00000-of-00001", "ckpt-1.index"));
}

// What a crash leaves between linking the previous files and renaming the new ones.
TEST(Checkpoint, ReplacedStepIsFoundWhileTheNewOneIsMissing) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path());
  manager.save(1, state_at(1));
  manager.save(2, state_at(2));
  std::filesystem::rename(dir / "ckpt-2.index", dir / "ckpt-2.replaced.index");
  std::filesystem::rename(dir / "ckpt-2.data-00000-of-00001",
                          dir / "ckpt-2.replaced.data-00000-of-00001");
  EXPECT_EQ(manager.latest()->step, 2);
  expect_state_at(load_checkpoint(dir.path()), 2);
  manager.save(3, state_at(3));
  EXPECT_EQ(manager.latest()->step, 3);
}

TEST(Checkpoint, StaleOrDamagedStateFile) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path());
  for (int64_t step : {8, 9, 10}) manager.save(step, state_at(step));
  const std::string state = contents(dir / "checkpoint");
  std::filesystem::remove(dir / "checkpoint");
  EXPECT_EQ(manager.latest()->step, 10);
  overwrite(dir / "checkpoint", "model_checkpoint_path: \"ckpt-7\" nonsense {");
  EXPECT_EQ(manager.latest()->step, 10);
  overwrite(dir / "checkpoint", "model_checkpoint_path: \"ckpt-777\"\n");
  EXPECT_EQ(manager.latest()->step, 10);
  // Written by TensorFlow, with absolute paths of another machine: the names count.
  overwrite(dir / "checkpoint",
            "model_checkpoint_path: \"/elsewhere/ckpt-9\"\n"
            "all_model_checkpoint_paths: \"/elsewhere/ckpt-10\"\n"
            "all_model_checkpoint_paths: \"/elsewhere/ckpt-9\"\n"
            "all_model_checkpoint_timestamps: 1795165315.4\nlast_preserved_timestamp: 1.5\n");
  EXPECT_EQ(manager.latest()->step, 9);
  overwrite(dir / "checkpoint", state);
  EXPECT_EQ(manager.latest()->step, 10);
}

TEST(Checkpoint, PartialOnesDoNotCount) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path());
  for (int64_t step : {1, 2, 3, 4}) manager.save(step, state_at(step));
  std::filesystem::remove(dir / "ckpt-4.data-00000-of-00001");
  std::filesystem::resize_file(dir / "ckpt-3.data-00000-of-00001", 10);
  std::filesystem::remove(dir / "ckpt-2.index");
  overwrite(dir / "ckpt-9.index.tmp-1-1", "x");
  EXPECT_THAT(steps(manager.list()), ElementsAre(1));
  expect_state_at(load_checkpoint(dir.path()), 1);
  manager.save(5, state_at(5));
  EXPECT_FALSE(std::filesystem::exists(dir / "ckpt-9.index.tmp-1-1"));
}

TEST(Checkpoint, PathsThatMeanOne) {
  TemporaryDirectory dir;
  CheckpointManager(dir.path()).save(7, state_at(7));
  for (const char* path : {"", "/ckpt-7", "/ckpt-7.index", "/ckpt-7.data-00000-of-00001"}) {
    EXPECT_EQ(resolve_checkpoint(dir.path() + path), dir / "ckpt-7");
  }
  const Error error = error_of([&] { resolve_checkpoint(dir / "ckpt-8"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr(dir / "ckpt-8.index"));
  EXPECT_EQ(resolve_checkpoint(dir / "checkpoint"), dir / "ckpt-7");  // the file that names it
  create_directories(dir / "empty");
  EXPECT_THAT(error_of([&] { resolve_checkpoint(dir / "empty"); }).what(),
              HasSubstr("found no complete one"));
}

TEST(Checkpoint, DifferencesAreListed) {
  TemporaryDirectory dir;
  BundleWriter writer(dir / "m");
  writer.add("kernel", Tensor::zeros(DType::kFloat32, {784, 64}));
  writer.add("bias", Tensor::zeros(DType::kFloat32, {64}));
  writer.add("beyond", Tensor::zeros(DType::kFloat32, {1}));
  writer.finish();
  const BundleReader reader(dir / "m");
  std::vector<NamedType> expected = {{"kernel", {DType::kFloat32, {-1, 64}}},
                                     {"bias", {DType::kFloat32, {64}}}};
  check_compatible(expected, reader);
  expected[0].type.shape = {784, 128};
  expected[1].type.dtype = DType::kFloat16;
  for (int i = 0; i < 6; ++i) expected.push_back({str_cat("slot", i), {DType::kFloat32, {}}});
  const Error error = error_of([&] { check_compatible(expected, reader); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("\"kernel\": expected f32[784, 128], found f32[784, 64]"));
  EXPECT_THAT(error.what(), HasSubstr("\"bias\": expected f16[64], found f32[64]"));
  EXPECT_THAT(error.what(), HasSubstr("\"slot2\": expected f32[], it is not in the checkpoint"));
  EXPECT_THAT(error.what(), HasSubstr("and 3 more"));
  EXPECT_THAT(error.what(), Not(HasSubstr("slot3")));
}

TEST(Checkpoint, FullDiskKeepsWhatWasThere) {
  TemporaryDirectory dir;
  if (::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "a file system of 1 MiB cannot be mounted here: " << std::strerror(errno);
  }
  CheckpointManager manager(dir.path(), {.keep_last = 1});
  manager.save(1, state_at(1));
  const Error error = error_of([&] {
    manager.save(2, {{"large", Tensor::zeros(DType::kFloat32, {400'000})}});
  });
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  expect_state_at(load_checkpoint(dir.path()), 1);
  EXPECT_EQ(files_in(dir.path()).size(), 3u);
  manager.save(3, state_at(3));
  expect_state_at(load_checkpoint(dir.path()), 3);
  EXPECT_EQ(::umount(dir.path().c_str()), 0);
}

TEST(Checkpoint, WrongOptions) {
  EXPECT_EQ(error_of([] { CheckpointManager("x", {.name = "a/b"}); }).code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of([] { CheckpointManager("x", {.keep_last = -1}); }).code(),
            ErrorCode::kInvalidArgument);
  TemporaryDirectory dir;
  EXPECT_EQ(error_of([&] { CheckpointManager(dir.path()).save(-1, {}); }).code(),
            ErrorCode::kInvalidArgument);
}

// A child saves without end and tells after each save; it is killed at random moments. Whenever
// that is, the parent finds a complete checkpoint, with right checksums and contents, at least as
// new as the last one that the child told. Every second step is saved twice, so that replacing is
// under test too.
TEST(Checkpoint, SurvivesBeingKilled) {
  // In memory where possible: a save then takes a fraction of a millisecond, and more kills hit
  // each of its steps.
  TemporaryDirectory dir(std::filesystem::exists("/dev/shm") ? "/dev/shm" : testing::TempDir());
  PhiloxGenerator random(static_cast<uint64_t>(::getpid()));
  int64_t last_told = 0;
  CheckpointManager reader(dir.path(), {.keep_last = 1});
  reader.save(0, state_at(0));
  for (int round = 0; round < 50; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe_ends[0]);
      CheckpointManager manager(dir.path(), {.keep_last = 1});
      for (int64_t step = last_told;; ++step) {
        for (int i = 0; i <= step % 2; ++i) manager.save(step, state_at(step));
        if (::write(pipe_ends[1], &step, sizeof(step)) < 0) ::_exit(1);
      }
    }
    ASSERT_GT(child, 0);
    ::close(pipe_ends[1]);
    const timespec moment = {0, static_cast<long>(random.below(20'000'000))};
    ::nanosleep(&moment, nullptr);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";
    for (int64_t step; ::read(pipe_ends[0], &step, sizeof(step)) == sizeof(step);) last_told = step;
    ::close(pipe_ends[0]);

    const auto latest = reader.latest();
    ASSERT_TRUE(latest) << "round " << round;
    ASSERT_GE(latest->step, last_told);
    expect_state_at(load_checkpoint(dir.path()), latest->step);
  }
  EXPECT_GT(last_told, 10) << "the child never got far: nothing was tested";
  reader.save(last_told + 100, state_at(last_told + 100));
  EXPECT_THAT(files_in(dir.path()), ::testing::SizeIs(3))
      << "something of the killed writers is left";
}

}  // namespace
}  // namespace trireme::io
