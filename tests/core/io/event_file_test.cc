#include "core/io/event_file.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/io/event_inspector.h"
#include "core/io/event_reader.h"
#include "core/io/event_records.h"
#include "core/io/hparams.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

// "step:value" of a tag in the order of the files.
std::vector<std::string> values_of(const RunScalars& run, const std::string& tag) {
  std::vector<std::string> values;
  const auto found = run.tags.find(tag);
  if (found == run.tags.end()) return values;
  for (const ScalarPoint& point : found->second) {
    values.push_back(str_cat(point.step, ":", point.value));
  }
  return values;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

int64_t records_of(std::string_view bytes) {
  EventReader reader(bytes, "bytes");
  int64_t records = 0;
  for (Event event; reader.next(event);) ++records;
  return records;
}

TEST(EventFileTest, GivesBackWhatWasWritten) {
  TemporaryDirectory dir;
  EventWriter writer(dir.path());
  const EventWriter::Tag loss = writer.tag("loss");
  for (int step = 1; step <= 3; ++step) {
    writer.scalar(loss, step, 1.0 / step);
    writer.scalar("accuracy", -step, step);
  }
  writer.scalar(loss, int64_t{1} << 40, std::numeric_limits<double>::quiet_NaN());
  writer.close();
  EXPECT_FALSE(writer.error());
  const RunScalars run = read_scalars(dir.path());
  EXPECT_THAT(values_of(run, "loss"),
              ElementsAre("1:1", "2:0.5", "3:0.333333", "1099511627776:nan"));
  EXPECT_THAT(values_of(run, "accuracy"), ElementsAre("-1:1", "-2:2", "-3:3"));
  EXPECT_TRUE(run.notes.empty());
  EXPECT_THAT(writer.path(), ContainsRegex("events\\.out\\.tfevents\\.[0-9]{10}\\..*\\.v2"));
}

// A process that is killed leaves any number of bytes of its last write.
TEST(EventFileTest, ReadsUpToTheLastWholeRecordOfACutFile) {
  TemporaryDirectory dir;
  std::string path;
  {
    EventWriter writer(dir.path());
    for (int step = 0; step < 20; ++step) writer.scalar("loss", step, step);
    path = writer.path();
  }
  const std::string bytes = bytes_of(path);
  EXPECT_EQ(records_of(bytes), 21);
  int64_t before = 0;
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const int64_t records = records_of(std::string_view(bytes).substr(0, size));
    EXPECT_GE(records, before);
    EXPECT_LE(records, before + 1);
    before = records;
  }
  overwrite(path, bytes.substr(0, bytes.size() - 1));
  const RunScalars run = read_scalars(dir.path());
  EXPECT_EQ(values_of(run, "loss").size(), 19u);
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("are no whole record")));
}

// A number must not change without a word.
TEST(EventFileTest, NamesTheDamagedRecord) {
  TemporaryDirectory dir;
  std::string path;
  {
    EventWriter writer(dir.path());
    for (int step = 0; step < 3; ++step) writer.scalar("loss", step, step);
    path = writer.path();
  }
  std::string bytes = bytes_of(path);
  bytes[bytes.size() - 6] ^= 1;
  overwrite(path, bytes);
  const RunScalars run = read_scalars(dir.path());
  EXPECT_EQ(values_of(run, "loss").size(), 2u);
  EXPECT_THAT(run.notes, ElementsAre(AllOf(HasSubstr(path), HasSubstr(": record 3 at byte "),
                                           HasSubstr("the file is damaged"))));
}

// The queue is bounded: a thread that gives faster than the disk takes waits, and loses nothing.
TEST(EventFileTest, KeepsTheOrderThroughAFullQueue) {
  TemporaryDirectory dir;
  {
    EventWriter writer(dir.path(), {.flush_seconds = 100, .queue_scalars = 8});
    const EventWriter::Tag loss = writer.tag("loss");
    for (int step = 0; step < 1000; ++step) {
      writer.scalar(loss, step, step);
      if (step % 100 == 0) writer.add(step, text_record("note", "a note"));
    }
  }
  const RunScalars run = read_scalars(dir.path());
  const auto& points = run.tags.at("loss");
  ASSERT_EQ(points.size(), 1000u);
  for (int64_t step = 0; step < 1000; ++step) {
    EXPECT_EQ(points[static_cast<size_t>(step)].step, step);
  }
}

// What was flushed outlives the process, whenever it is killed.
TEST(EventFileTest, AKilledWriterLosesNothingThatWasFlushed) {
  TemporaryDirectory dir;
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    EventWriter writer(dir.path(), {.flush_seconds = 0.001});
    const EventWriter::Tag loss = writer.tag("loss");
    for (int64_t step = 0;; ++step) {
      writer.scalar(loss, step, static_cast<double>(step));
      if (step % 1000 != 999) continue;
      if (!writer.sync() || ::write(pipe_ends[1], &step, sizeof step) != sizeof step) _exit(1);
    }
  }
  close(pipe_ends[1]);
  int64_t flushed = 0, step;
  for (int i = 0; i < 20 && read(pipe_ends[0], &step, sizeof step) == sizeof step; ++i) {
    flushed = step;
  }
  kill(child, SIGKILL);
  while (read(pipe_ends[0], &step, sizeof step) == sizeof step) flushed = step;
  int status = 0;
  waitpid(child, &status, 0);
  close(pipe_ends[0]);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_GE(flushed, 19999);
  const RunScalars run = read_scalars(dir.path());
  const auto& points = run.tags.at("loss");
  ASSERT_GT(points.size(), static_cast<size_t>(flushed));
  for (size_t i = 0; i < points.size(); ++i) {
    ASSERT_EQ(points[i].step, static_cast<int64_t>(i));
    ASSERT_EQ(points[i].value, static_cast<float>(i));
  }
}

// A full disk must not end a training, nor leave half a record.
TEST(EventFileTest, EndsWithAWholeRecordWhereTheDiskIsFull) {
  TemporaryDirectory dir;
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {10'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::optional<Error> error;
  {
    EventWriter writer(dir.path());
    for (int step = 0; step < 50; ++step) writer.scalar("loss", step, step);
    EXPECT_TRUE(writer.sync());
    for (int step = 50; step < 1000; ++step) writer.scalar("loss", step, step);
    EXPECT_FALSE(writer.sync());
    writer.scalar("loss", 1000, 1000);  // is dropped
    writer.close();
    error = writer.error();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_DFL);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(error->what(), HasSubstr("cannot write"));
  const RunScalars run = read_scalars(dir.path());
  EXPECT_TRUE(run.notes.empty());
  EXPECT_EQ(run.tags.at("loss").size(), 50u);
}

// Steps that are done again take the place of what was written before; epochs, which are counted
// apart, must not fall with the steps.
TEST(EventFileTest, AResumedTrainingSupersedesItsLaterSteps) {
  TemporaryDirectory dir;
  const auto write = [&](EventWriter& writer, int first, int last, double value) {
    for (int step = first; step <= last; ++step) {
      writer.scalar("batch", step, value);
      if (step % 10 == 0) writer.scalar("epoch", step / 10 - 1, value);
    }
  };
  const auto going_on = [&](int64_t step, int64_t epoch) {
    return EventWriterOptions{
        .start = EventStart{.step = step + 1, .keeps = [=](std::string_view tag, int64_t at) {
                              return tag == "batch" ? at <= step : at < epoch;
                            }}};
  };
  {
    EventWriter writer(dir.path());
    write(writer, 1, 34, 1);
  }
  {
    EventWriter writer(dir.path(), going_on(20, 2));  // nothing of epochs 0 and 1 is repeated
    write(writer, 21, 40, 2);
  }
  {
    EventWriter writer(dir.path(), going_on(15, 1));  // within epoch 1
    write(writer, 16, 22, 3);
  }
  const auto files = event_files(dir.path());
  ASSERT_EQ(files.size(), 3u);
  const RunScalars run = read_scalars(dir.path());
  const auto& batch = run.tags.at("batch");
  ASSERT_EQ(batch.size(), 22u);
  for (size_t i = 0; i < batch.size(); ++i) {
    EXPECT_EQ(batch[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(batch[i].value, i < 15 ? 1 : 3);
  }
  EXPECT_THAT(values_of(run, "epoch"), ElementsAre("0:1", "1:3"));
  EXPECT_THAT(
      inspect(files[1], std::vector{event_inspector()}),
      HasSubstr("begins at step 2: what earlier files have of it and later is out of date"));
}

TEST(HistogramTest, CountsAsTensorFlowDoes) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 4, NAN, INFINITY};
  const Histogram histogram = make_histogram(values, 4);
  EXPECT_EQ(histogram.not_finite, 2);
  std::vector<std::string> buckets;
  for (const HistogramBucket& b : histogram.buckets) {
    buckets.push_back(str_cat(b.left, "-", b.right, ":", b.count));
  }
  EXPECT_THAT(buckets, ElementsAre("0-1:1", "1-2:1", "2-3:1", "3-4:3"));
  const Histogram constant = make_histogram(std::vector<float>{7, 7}, 3);
  EXPECT_EQ(constant.buckets.front().count, 0);
  EXPECT_EQ(constant.buckets.back().count, 2);
  EXPECT_EQ(constant.buckets.back().right, 7);
  EXPECT_TRUE(make_histogram({}).buckets.empty());
}

TEST(EventInspectorTest, PrintsTagsAndTheValuesOfOne) {
  TemporaryDirectory dir;
  std::string path;
  {
    EventWriter writer(dir.path());
    for (int step = 1; step <= 5; ++step) writer.scalar("loss", step * 10, 0.5 / step);
    writer.add(7, text_record("job", "name: \"x\"\nepochs: 3"));
    writer.add(8, histogram_record("dense/kernel", make_histogram(std::vector<float>{1, 2, 3}, 2)));
    writer.add(9, image_record("input", 28, 27, std::vector<std::string>{"png"}));
    writer.add(0, graph_record(std::vector<GraphNode>{{.name = "x", .op = "Placeholder"}}));
    path = writer.path();
  }
  const std::string text = inspect(path, std::vector{event_inspector()});
  EXPECT_THAT(text, ContainsRegex("loss +scalars +5 +10 +50 +0.1\n"));
  EXPECT_THAT(text, ContainsRegex("job +text +1 +7 +7 +name: \"x\" epochs: 3\n"));
  EXPECT_THAT(text, ContainsRegex("dense/kernel +histograms +1 +8 +8 +3 values from 1 to 3\n"));
  EXPECT_THAT(text, ContainsRegex("input +images +1 +9 +9 +28 × 27, 1 image\n"));
  EXPECT_THAT(text, HasSubstr("graphs: 1\n"));
  std::ostringstream csv;
  print_tag(dir.path(), "loss", csv);
  EXPECT_THAT(csv.str(), ContainsRegex("^step,wall_time,value\n10,[0-9.]+,0.5\n20,[0-9.]+,0.25\n"));
  std::ostringstream buckets;
  print_tag(path, "dense/kernel", buckets);
  EXPECT_THAT(buckets.str(), ContainsRegex("8,[0-9.]+,2,3,2\n"));
  EXPECT_THAT(
      error_of([&] { print_tag(path, "lost", csv); }).what(),
      HasSubstr("expected values of the tag \"lost\", found dense/kernel, input, job, loss"));
}

// The file of a seed was written by TensorFlow's summary writer (tests/fuzz/make_seeds).
TEST(EventReaderTest, ReadsWhatTensorFlowWrote) {
  const std::string path =
      std::string(TRIREME_SOURCE_DIR) + "/tests/fuzz/seeds/fuzz_io_event/summaries";
  ASSERT_TRUE(is_event_file(path));
  const std::string text = inspect(path, std::vector{event_inspector()});
  EXPECT_THAT(text, ContainsRegex("loss +scalars +1 +3 +3 +0.5\n"));
  EXPECT_THAT(text, ContainsRegex("weights +histograms +1 +3 +3 +3 values from 1 to 4\n"));
  EXPECT_THAT(text, ContainsRegex("job +text +1 +3 +3 +a \\| b\n"));
  EXPECT_THAT(text, ContainsRegex("input +images +1 +3 +3 +2 × 2, 1 image\n"));
}

// Lengths and shapes of a file are believed only as far as its bytes go.
TEST(EventReaderTest, RefusesWhatIsNoEventFile) {
  TemporaryDirectory dir;
  overwrite(dir / "text", std::string(100, 'x'));
  EXPECT_FALSE(is_event_file(dir / "text"));
  EXPECT_FALSE(is_event_file(dir / "nothing"));
  EXPECT_THAT(error_of([&] {
                EventReader reader(dir / "text");
                Event event;
                reader.next(event);
              }).what(),
              HasSubstr("text: record 0 at byte 0: expected the CRC-32C"));
  // A record that is none behind its checksum.
  std::string other(kRecordHeaderBytes, '\0');
  other += "\xff\xff";
  close_record(other, 0);
  EXPECT_THAT(error_of([&] { records_of(other); }).what(), HasSubstr("expected an event"));
}

// Trials of a sweep have different parameters, of different types.
TEST(HParamsTest, UnitesTheParametersOfAllTrials) {
  const std::vector<HParamValues> trials = {
      {{"rate", 0.1}, {"units", 32.0}},
      {{"rate", 0.2}, {"optimizer", std::string("adam")}, {"bias", true}},
      {{"optimizer", 3.0}, {"bias", false}}};
  const std::vector<HParam> united = unite(trials);
  std::vector<std::string> names;
  for (const HParam& hparam : united)
    names.push_back(str_cat(hparam.name, ":", hparam.values.size()));
  EXPECT_THAT(names, ElementsAre("bias:2", "optimizer:2", "rate:2", "units:1"));
  std::vector<HParamValues> many;
  for (int i = 0; i < 20; ++i) many.push_back({{"rate", 0.01 * i}});
  const std::vector<HParam> interval = unite(many);
  ASSERT_TRUE(interval[0].interval);
  EXPECT_EQ(interval[0].interval->first, 0);
}

// What is written again replaces what was there, since TensorBoard believes the first it finds.
TEST(HParamsTest, ASessionThatIsWrittenAgainReplacesTheFirst) {
  TemporaryDirectory dir;
  write_experiment(dir.path(), unite({}), {});
  write_session(dir.path(), {.values = {{"rate", 0.1}}, .status = SessionStatus::kRunning});
  write_session(dir.path(), {.values = {{"rate", 0.1}}, .metrics = {{"loss", 0.5}}, .step = 3});
  const auto files = event_files(dir.path());
  EXPECT_EQ(files.size(), 2u);
  EXPECT_THAT(values_of(read_scalars(dir.path()), "loss"), ElementsAre("3:0.5"));
}

}  // namespace
}  // namespace trireme::io
