#include "launcher/sweep/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/error.h"
#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme::sweep {
namespace {

using ::testing::HasSubstr;

std::vector<Event> some_events() {
  Event result{.kind = EventKind::kResult, .trial = 1, .target = 3, .seconds = 1.5};
  result.result = {.epochs = 3,
                   .steps = 30,
                   .finished = true,
                   .values = {{"val_loss", 0.1},
                              {"loss", std::nan("")},
                              {"auc", std::numeric_limits<double>::infinity()}}};
  return {{.kind = EventKind::kStart, .trial = 1, .target = 3, .runner = "r"},
          result,
          {.kind = EventKind::kFailed, .trial = 2, .target = 1, .error = "\"quotes\"\n\xff"}};
}

TEST(SweepJournalTest, GivesBackWhatWasWritten) {
  const testing::TemporaryDirectory folder;
  Journal journal(folder / "journal");
  EXPECT_TRUE(journal.refresh().empty());
  for (const Event& event : some_events()) journal.append(event);
  const auto read = Journal(folder / "journal").refresh();
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].runner, "r");
  EXPECT_EQ(read[1].result.values.at("val_loss"), 0.1);
  EXPECT_TRUE(std::isnan(read[1].result.values.at("loss")));
  EXPECT_TRUE(std::isinf(read[1].result.values.at("auc")));
  EXPECT_TRUE(read[1].result.finished);
  EXPECT_EQ(read[1].seconds, 1.5);
  EXPECT_THAT(read[2].error, HasSubstr("\"quotes\"\n"));
  EXPECT_TRUE(journal.refresh().empty());  // its own events are no news
}

// SIGKILL or a full disk may cut the last line anywhere.
TEST(SweepJournalTest, ALineThatIsNotWholeIsCutOff) {
  const testing::TemporaryDirectory folder;
  {
    Journal journal(folder / "journal");
    for (const Event& event : some_events()) journal.append(event);
  }
  const std::string whole = testing::read_text(folder / "journal");
  const std::string two = whole.substr(0, whole.find('\n', whole.find('\n') + 1) + 1);
  for (size_t size = two.size(); size < whole.size(); ++size) {
    const std::string path = folder.write("cut", whole.substr(0, size));
    Journal journal(path);
    ASSERT_EQ(journal.refresh().size(), 2u) << size;
    journal.append(some_events()[2]);
    ASSERT_EQ(testing::read_text(path), whole) << size;
  }
}

TEST(SweepJournalTest, ADamagedLineIsFoundByItsChecksum) {
  const testing::TemporaryDirectory folder;
  Journal journal(folder / "journal");
  for (const Event& event : some_events()) journal.append(event);
  const std::string whole = testing::read_text(folder / "journal");
  const size_t second = whole.find('\n') + 1;
  for (size_t i = second; whole[i] != '\n'; ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    if (damaged[i] == '\n') continue;
    Journal other(folder.write("damaged", damaged));
    try {
      other.refresh();
      ADD_FAILURE() << i;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kDataLoss);
      ASSERT_THAT(error.what(), HasSubstr("damaged:2: the line "));
    }
  }
}

// Tasks of an array append in turn.
TEST(SweepJournalTest, ReadsWhatOthersHaveAppended) {
  const testing::TemporaryDirectory folder;
  Journal one(folder / "journal"), other(folder / "journal");
  one.append(some_events()[0]);
  EXPECT_EQ(other.refresh().size(), 1u);
  other.append(some_events()[1]);
  EXPECT_EQ(one.refresh().size(), 1u);
  one.append(some_events()[2]);
  EXPECT_EQ(Journal(folder / "journal").refresh().size(), 3u);
}

}  // namespace
}  // namespace trireme::sweep
