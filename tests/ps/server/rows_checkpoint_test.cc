// Checkpoints that servers write together: when they are complete, and what is refused when one is
// read.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "core/io/checkpoint_parts.h"
#include "distributed/coordination/coordinator.h"
#include "ps/client/ps_client.h"
#include "ps/server/inspect_snapshot.h"
#include "ps/server/ps_server.h"
#include "ps/server/snapshot_file.h"
#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme::ps::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using trireme::testing::read_text;
using trireme::testing::TemporaryDirectory;

constexpr char kSecret[] = "s3cret";
const std::vector<int64_t> kKeys = {1, 2, 3, 50, 99, 1000, 12345};

// Two servers and their workers.
class Job {
 public:
  explicit Job(const std::string& id = "job", int workers = 1)
      : id_(id),
        workers_(workers),
        coordinator_({.secret = kSecret, .job_id = id, .log = [](const std::string&) {}}) {
    for (int i = 0; i < 2; ++i) {
      PsServerOptions options;
      options.coordinator = coordinator_.address();
      options.secret = kSecret;
      options.job_id = id;
      options.index = i;
      options.servers = 2;
      options.incarnation = static_cast<uint64_t>(i) + 1;
      options.host = "here";
      options.threads = 1;
      servers_.push_back(std::make_unique<PsServer>(options));
    }
  }

  std::unique_ptr<PsClient> client(int worker = 0) const {
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = id_;
    options.worker = worker;
    options.workers = workers_;
    options.incarnation = 100 + static_cast<uint64_t>(worker);
    options.servers = 2;
    options.tables = {{.name = "sparse", .dim = 4}};
    options.timeout = 20s;
    return std::make_unique<PsClient>(options);
  }

 private:
  std::string id_;
  int workers_;
  Coordinator coordinator_;
  std::vector<std::unique_ptr<PsServer>> servers_;
};

void push(PsClient& client, int64_t step, float value) {
  const std::vector<float> gradients(kKeys.size() * 4, value);
  const TableGradients pushed{
      .table = 0, .keys = client.prepare(0, kKeys), .rows = gradients.data()};
  client.push(step, 0, 1, 0.5, {&pushed, 1});
}

std::vector<float> pull(PsClient& client) {
  std::vector<float> rows(kKeys.size() * 4, -1);
  const TableKeys pulled{.table = 0, .keys = client.prepare(0, kKeys)};
  float* const target = rows.data();
  client.pull(0, {&pulled, 1}, {&target, 1});
  return rows;
}

void copy_part(const std::string& from, const std::string& to) {
  for (const char* suffix : {".index", ".data-00000-of-00001"}) {
    fs::copy_file(from + suffix, to + suffix, fs::copy_options::overwrite_existing);
  }
}

void change_byte(const std::string& path, size_t from_end) {
  std::string bytes = read_text(path);
  ASSERT_GT(bytes.size(), from_end);
  bytes[bytes.size() - 1 - from_end] ^= 4;
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kNotFound)
        << error.what();
    return error.what();
  }
  return "no error";
}

// The other worker is late with this step and then early with the next.
TEST(RowsCheckpoint, IsCompleteWhenAllSlotsHaveItsStep) {
  const TemporaryDirectory folder;
  const std::string prefix = folder / "ckpt-1";
  const Job job("job", 2);
  const auto first = job.client(0), second = job.client(1);
  push(*first, 1, 1);
  auto saved = std::async(std::launch::async, [&] { return first->save_checkpoint(1, prefix); });
  EXPECT_EQ(saved.wait_for(200ms), std::future_status::timeout);
  EXPECT_FALSE(fs::exists(prefix + ".ps"));
  push(*second, 1, 2);
  push(*second, 2, 40);
  const io::PartsManifest manifest = saved.get();
  EXPECT_EQ(manifest.step, 1);
  EXPECT_EQ(manifest.job, "job");
  EXPECT_EQ(manifest.rows, static_cast<int64_t>(kKeys.size()));
  EXPECT_EQ(manifest, io::read_manifest(prefix + ".ps"));
  for (int slot = 0; slot < 2; ++slot) {
    const SnapshotHead head = read_snapshot_head(snapshot_part(prefix, slot, 2));
    EXPECT_EQ(head.step, 1);
    EXPECT_EQ(head.label.step, 1);
    EXPECT_EQ(head.label.job, "job");
    EXPECT_EQ(head.label.save, manifest.save);
  }
  push(*first, 2, 50);
  EXPECT_THAT(pull(*first), Each(93.0F));
  const Job later("another");
  const auto reader = later.client();
  reader->restore_snapshot(prefix, 1);
  EXPECT_THAT(pull(*reader), Each(3.0F));
}

// A group that has lost a member forms anew before its successor can push.
TEST(RowsCheckpoint, WaitsOnlyAsLongAsItIsWanted) {
  const TemporaryDirectory folder;
  const Job job("job", 2);
  const auto first = job.client(0), second = job.client(1);
  push(*first, 1, 1);
  int asked = 0;
  try {
    first->save_checkpoint(1, folder / "ckpt-1", [&] { return ++asked > 2; });
    FAIL() << "step 1 is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled) << error.what();
  }
  push(*second, 1, 2);
  push(*first, 2, 0);
  push(*second, 2, 0);
  EXPECT_EQ(first->save_checkpoint(2, folder / "ckpt-2").step, 2);
}

class DamagedCheckpoint : public ::testing::Test {
 protected:
  DamagedCheckpoint() : client_(job_.client()) {
    for (int64_t step : {1, 2}) {
      push(*client_, step, 1);
      client_->save_checkpoint(step, prefix(step));
    }
  }

  std::string prefix(int64_t step) const { return folder_ / str_cat("ckpt-", step); }
  std::string part(int64_t step, int slot) const { return snapshot_part(prefix(step), slot, 2); }
  // What reading says of it; rows stay as they are.
  std::string refusal(int64_t step) {
    push(*client_, next_++, 1);
    const auto before = pull(*client_);
    const std::string found = message_of([&] { verify_checkpoint(prefix(step), step, true); });
    const std::string restored = message_of([&] { client_->restore_snapshot(prefix(step), step); });
    EXPECT_NE(restored, "no error") << found;
    EXPECT_EQ(pull(*client_), before);
    return found;
  }

  TemporaryDirectory folder_;
  Job job_;
  std::unique_ptr<PsClient> client_;
  int64_t next_ = 3;
};

TEST_F(DamagedCheckpoint, AWholeOneIsRead) {
  verify_checkpoint(prefix(1), 1, true);
  client_->restore_snapshot(prefix(1), 1);
  EXPECT_THAT(pull(*client_), Each(1.0F));
  const io::Inspector inspector = snapshot_inspector();
  EXPECT_THAT(inspector.print(prefix(1) + ".ps"), HasSubstr("of job \"job\""));
}

TEST_F(DamagedCheckpoint, APartOfAnotherStepIsNamed) {
  copy_part(part(1, 1), part(2, 1));
  EXPECT_THAT(refusal(2), AllOf(HasSubstr(part(2, 1)), HasSubstr("expected the part of step 2"),
                                HasSubstr("found one of step 1")));
  const io::Inspector inspector = snapshot_inspector();
  EXPECT_THAT(message_of([&] { inspector.print(prefix(2) + ".ps"); }), HasSubstr(part(2, 1)));
}

TEST_F(DamagedCheckpoint, APartOfAnotherJobIsNamed) {
  const Job other("other");
  const auto client = other.client();
  for (int64_t step : {1, 2}) push(*client, step, 7);
  client->save_checkpoint(2, folder_ / "other");
  copy_part(snapshot_part(folder_ / "other", 0, 2), part(2, 0));
  EXPECT_THAT(refusal(2), AllOf(HasSubstr(part(2, 0)), HasSubstr("that job \"job\" saved"),
                                HasSubstr("of job \"other\"")));
}

// The same step of the same job, saved again: still not what the manifest names.
TEST_F(DamagedCheckpoint, APartOfAnotherSaveIsNamed) {
  client_->save_checkpoint(2, folder_ / "again");
  copy_part(snapshot_part(folder_ / "again", 0, 2), part(2, 0));
  EXPECT_THAT(refusal(2), HasSubstr(part(2, 0)));
}

TEST_F(DamagedCheckpoint, EveryChangedByteIsFound) {
  for (int slot : {0, 1}) {
    for (const char* suffix : {".index", ".data-00000-of-00001"}) {
      const std::string path = part(2, slot) + suffix;
      const std::string whole = read_text(path);
      for (size_t from_end = 0; from_end < whole.size(); from_end += whole.size() / 20 + 1) {
        change_byte(path, from_end);
        EXPECT_THAT(message_of([&] { verify_checkpoint(prefix(2), 2, true); }), HasSubstr(path));
        std::ofstream(path, std::ios::binary) << whole;
      }
    }
  }
  verify_checkpoint(prefix(2), 2, true);
  change_byte(part(2, 1) + ".index", 60);
  EXPECT_THAT(refusal(2), HasSubstr(part(2, 1)));
}

TEST_F(DamagedCheckpoint, APartThatIsCutShortOrMissingIsNamed) {
  const std::string data = part(2, 1) + ".data-00000-of-00001";
  fs::resize_file(data, fs::file_size(data) - 1);
  EXPECT_THAT(refusal(2), HasSubstr(data));
  fs::remove(data);
  EXPECT_THAT(refusal(2), HasSubstr(data));
  fs::remove(part(1, 0) + ".index");
  EXPECT_THAT(refusal(1), HasSubstr(part(1, 0) + ".index"));
}

TEST_F(DamagedCheckpoint, AManifestOfAnotherStepIsRefused) {
  EXPECT_THAT(message_of([&] { client_->restore_snapshot(prefix(2), 1); }),
              AllOf(HasSubstr("expected the rows of step 1"), HasSubstr("step 2")));
  fs::copy_file(prefix(1) + ".ps", prefix(2) + ".ps", fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal(2), HasSubstr(prefix(2) + ".ps"));
}

// Nobody can tell whether its parts belong together.
TEST_F(DamagedCheckpoint, OneWithoutChecksumsIsRefused) {
  std::ofstream(prefix(2) + ".ps") << "slots 2\nrows 7\nchanged_since -1\n";
  EXPECT_THAT(refusal(2), AllOf(HasSubstr(prefix(2) + ".ps"), HasSubstr("had no checksums")));
}

}  // namespace
}  // namespace trireme::ps::testing
