// /metrics of the real program: whether the figures are right, and who can keep them from whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <regex>

#include "core/base/error.h"
#include "tests/launcher/program.h"
#include "tests/support/exposition.h"
#include "tests/support/free_ports.h"
#include "tests/support/http_client.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using namespace trireme::testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

const Words kEnvironment = {"OMP_NUM_THREADS=1"};

class MetricsTest : public ::testing::Test {
 protected:
  // Trains the job until it is told to stop, unless `more` says otherwise.
  Words train(const std::string& job, const Words& more) {
    Words words = {kProgram,  "train",        folder_.write("job", job),
                   "--quiet", "--output-dir", folder_ / "run"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words launch(const std::string& job, const Words& options, const Words& more = {}) {
    Words words = {kProgram, "launch", "--threads", "1", "--no-affinity"};
    words.insert(words.end(), options.begin(), options.end());
    for (const std::string& word : Words{folder_.write("job", job), "--output-dir", folder_ / "run",
                                         "--set", "epochs=1000000"}) {
      words.push_back(word);
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // Asks until the figures are as they should be. Throws Error when that takes too long.
  static Exposition scrape(const std::string& address,
                           const std::function<bool(const Exposition&)>& is_ready) {
    std::string last = "nothing";
    for (const auto begun = Clock::now(); Clock::now() - begun < 60s;) {
      try {
        const HttpAnswer answer = http_get(address);
        last = answer.body;
        const Exposition read = parse_exposition(answer.body);
        EXPECT_THAT(read.problems, IsEmpty());
        if (answer.status == 200 && is_ready(read)) return read;
      } catch (const Error& error) {
        last = error.what();  // it is not there yet
      }
    }
    throw Error(ErrorCode::kDeadlineExceeded, "the figures never came; last: " + last);
  }
  static std::function<bool(const Exposition&)> at_least(const std::string& name, double value,
                                                         const SampleLabels& labels = {}) {
    return [=](const Exposition& read) {
      return !read.find(name, labels).empty() && read.value(name, labels) >= value;
    };
  }

  static std::string on(int port) { return "127.0.0.1:" + std::to_string(port); }

  // The row of that epoch (from 1) in log.csv, and its header.
  std::map<std::string, double> log_row(int epoch) const {
    std::ifstream in(folder_ / "run" + "/log.csv");
    std::string header, line;
    std::getline(in, header);
    for (int i = 0; i < epoch; ++i) std::getline(in, line);
    std::map<std::string, double> row;
    std::istringstream names(header), values(line);
    for (std::string name, value;
         std::getline(names, name, ',') && std::getline(values, value, ',');) {
      if (name != "data_wait_ms") row[name] = std::stod(value);
    }
    return row;
  }

  static double time_of(const Exposition& read, const std::string& activity) {
    return read.value("trireme_worker_time_seconds_total", {{"activity", activity}});
  }
  static double all_time(const Exposition& read) {
    double sum = 0;
    for (const Sample& sample : read.find("trireme_worker_time_seconds_total")) {
      sum += sample.value;
    }
    return sum;
  }

  TemporaryDirectory folder_;
};

// Independent truth: the log, the job's numbers, the clock, the system's count of CPU time.
TEST_F(MetricsTest, FiguresOfOneProcessAreThoseOfItsLog) {
  const int port = free_ports();
  const auto begun = Clock::now();
  Process task(train(kWorkersJob, {"--metrics", std::to_string(port), "--set", "epochs=1000000"}),
               kEnvironment);
  const Exposition first = scrape(on(port), at_least("trireme_worker_epochs_total", 1));
  const Exposition read = scrape(
      on(port),
      at_least("trireme_worker_epochs_total", first.value("trireme_worker_epochs_total") + 3));
  const std::chrono::duration<double> wall = Clock::now() - begun;
  const std::string text = http_get(on(port)).body;
  EXPECT_EQ(promtool_findings(text), "");
  task.signal(SIGTERM);
  EXPECT_EQ(task.wait(60s).exit_code, 75);

  const auto epochs = static_cast<int>(read.value("trireme_worker_epochs_total"));
  const auto steps = static_cast<int>(read.value("trireme_worker_steps_total"));
  // 1248 examples in 20 batches: 19 of 64 and one of 32.
  EXPECT_GE(steps, 20 * epochs);
  EXPECT_LE(steps, 20 * epochs + 20);
  EXPECT_EQ(read.value("trireme_worker_examples_total"), 1248 * (steps / 20) + 64 * (steps % 20));
  EXPECT_EQ(read.value("trireme_worker_step"), steps);
  EXPECT_EQ(read.value("trireme_worker_epoch"), epochs);
  const auto row = log_row(epochs);
  ASSERT_EQ(row.size(), 5U);
  for (const auto& [figure, value] : row) {
    if (figure == "epoch") continue;
    EXPECT_NEAR(read.value("trireme_worker_epoch_figure", {{"figure", figure}}), value,
                1e-8 * std::abs(value))
        << figure << " of epoch " << epochs;
  }
  EXPECT_EQ(read.find("trireme_worker_epoch_figure").size(), 4U);
  EXPECT_GT(read.value("trireme_worker_loss"), 0);
  // Each moment counts once.
  EXPECT_LE(all_time(read), wall.count());
  EXPECT_GE(all_time(read), 0.5 * wall.count());
  EXPECT_LE(time_of(read, "compute") + time_of(read, "validation"), wall.count());
  EXPECT_GT(time_of(read, "compute"), 0);
  EXPECT_GT(time_of(read, "validation"), 0);
  EXPECT_GT(time_of(read, "checkpoints"), 0);
  EXPECT_EQ(time_of(read, "collectives"), 0);
  EXPECT_EQ(time_of(read, "parameter_servers"), 0);
  EXPECT_LE(read.value("process_cpu_seconds_total"), 2 * wall.count() + 1);
  // Each epoch is saved before and after its validation.
  EXPECT_GE(read.value("trireme_worker_checkpoints_total"), 2 * epochs - 1);
  EXPECT_LE(read.value("trireme_worker_checkpoint_step"), steps);
  EXPECT_NEAR(read.value("trireme_worker_checkpoint_timestamp_seconds"),
              static_cast<double>(time(nullptr)), 120);
  EXPECT_EQ(read.value("trireme_worker_members"), 1);
  EXPECT_EQ(read.value("trireme_worker_restarts_total"), 0);
  for (const Sample& sample : read.samples) {
    if (!sample.name.starts_with("trireme_worker_")) continue;
    EXPECT_EQ(sample.labels.at("job_name"), "workers");
    EXPECT_EQ(sample.labels.at("rank"), "0");
  }
}

// Counters are of this process; a zero that is not so would be a wrong figure.
TEST_F(MetricsTest, AResumedTrainingCountsItsOwnStepsAndKnowsTheOthers) {
  const int port = free_ports();
  Words words = train(kSmallJob, {});  // 2 epochs of 10 steps
  ASSERT_EQ(run(words, kEnvironment).exit_code, 0);
  words.insert(words.end(), {"--resume", "--metrics", std::to_string(port), "--set",
                             "epochs=1000000", "--set", "checkpoint.off=true"});
  Process task(words, kEnvironment);
  const Exposition read = scrape(on(port), at_least("trireme_worker_steps_total", 1));
  EXPECT_EQ(read.value("trireme_worker_step"), read.value("trireme_worker_steps_total") + 20);
  EXPECT_EQ(read.value("trireme_worker_epoch"), read.value("trireme_worker_epochs_total") + 2);
  EXPECT_EQ(read.value("trireme_worker_checkpoints_total"), 0);
  EXPECT_THAT(read.families(), Not(::testing::Contains("trireme_worker_checkpoint_step")));
  EXPECT_THAT(read.families(), Not(::testing::Contains("trireme_worker_generation")));
}

// A figure that does not exist is not 0, and one that is no number says so.
TEST_F(MetricsTest, ALossIsAbsentBeforeTheFirstStepAndNaNWhenItIsNone) {
  const int port = free_ports();
  std::string job = kSmallJob;
  job.replace(job.find("optimizer { adam {} }"), 21,
              "optimizer { learning_rate: 1e38 sgd {} } allow_nan: true");
  {
    // It waits for the others, and never takes a step.
    Process waits(train(job, {"--metrics", std::to_string(port), "--rank", "1", "--world-size", "2",
                              "--coordinator", on(free_ports())}),
                  kEnvironment);
    const Exposition before = scrape(on(port), [](const Exposition&) { return true; });
    EXPECT_EQ(before.value("trireme_worker_steps_total", {{"rank", "1"}}), 0);
    EXPECT_THAT(before.families(), Not(::testing::Contains("trireme_worker_loss")));
    EXPECT_THAT(before.families(), Not(::testing::Contains("trireme_worker_step")));
  }
  Process task(train(job, {"--metrics", std::to_string(port), "--set", "epochs=1000000"}),
               kEnvironment);
  const Exposition read = scrape(on(port), at_least("trireme_worker_steps_total", 20));
  EXPECT_EQ(read.find("trireme_worker_loss").at(0).text, "NaN");
}

// Each worker has its share of the examples, and all of its waits are those for the others.
TEST_F(MetricsTest, WorkersOfALaunchServeOnPortsInARow) {
  const int port = free_ports(2);
  Process job(launch(kWorkersJob,
                     {"--workers", "2", "--max-restarts", "1", "--metrics", std::to_string(port)}),
              kEnvironment);
  const auto begun = Clock::now();
  for (int rank = 0; rank < 2; ++rank) {
    const Exposition read = scrape(on(port + rank), at_least("trireme_worker_steps_total", 25));
    const auto steps = static_cast<int>(read.value("trireme_worker_steps_total"));
    EXPECT_EQ(read.value("trireme_worker_examples_total", {{"rank", std::to_string(rank)}}),
              624 * (steps / 20) + 32 * (steps % 20));
    EXPECT_EQ(read.value("trireme_worker_members"), 2);
    EXPECT_GE(read.value("trireme_worker_generation"), 1);
    EXPECT_GT(time_of(read, "collectives"), 0);
    EXPECT_GT(time_of(read, "compute"), 0);
    EXPECT_EQ(read.value("trireme_worker_checkpoints_total") > 0, rank == 0);
    const std::chrono::duration<double> wall = Clock::now() - begun;
    EXPECT_LE(all_time(read), wall.count());
  }
  const std::string targets = folder_ / "run" + "/logs/metrics-0.json";
  EXPECT_THAT(read_text(targets), HasSubstr("\"" + on(port + 1) + "\""));
  EXPECT_THAT(read_text(targets), HasSubstr("\"task\": \"worker-1\""));
  const Exposition before = scrape(on(port), at_least("trireme_worker_generation", 1));
  // Whoever comes again has its port again, and begins to count at 0.
  const double steps = scrape(on(port + 1), at_least("trireme_worker_steps_total", 50))
                           .value("trireme_worker_steps_total");
  ASSERT_EQ(kill(tasks_of(job.pid()).at(1), SIGKILL), 0);
  const Exposition again = scrape(on(port + 1), [&](const Exposition& read) {
    return at_least("trireme_worker_restarts_total", 1)(read) &&
           at_least("trireme_worker_steps_total", 1)(read);
  });
  EXPECT_LT(again.value("trireme_worker_steps_total"),
            again.value("trireme_worker_step") - steps + 1);
  const Exposition other =
      scrape(on(port),
             at_least("trireme_worker_generation", before.value("trireme_worker_generation") + 1));
  EXPECT_EQ(other.value("trireme_worker_restarts_total"), 0);
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(60s).exit_code, 75);
  EXPECT_EQ(read_text(targets), "");
  EXPECT_THROW(http_get(on(port)), Error);
}

// The worst moments to ask: rows and variables are written all the time, and in the end all tasks
// go while clients are connected.
TEST_F(MetricsTest, AnswersWhileCheckpointsAreWrittenAndEndsWithTheJob) {
  const int port = free_ports(3);
  Process job(launch(kSmallJob, {"--workers", "2", "--ps", "1", "--metrics", std::to_string(port)},
                     {"--strategy", "parameter_server", "--set", "checkpoint.every_steps=1"}),
              kEnvironment);
  for (int i = 0; i < 3; ++i) {
    scrape(on(port + i), [&](const Exposition& read) {
      return i == 2 ? at_least("trireme_ps_step", 2)(read)
                    : at_least("trireme_worker_steps_total", 2)(read);
    });
  }
  double steps = 0, checkpoints = 0, time = 0;
  Exposition worker, server;
  for (int i = 0; i < 50; ++i) {
    const auto begun = Clock::now();
    worker = scrape(on(port), [](const Exposition&) { return true; });
    server = scrape(on(port + 2), [](const Exposition&) { return true; });
    EXPECT_LT(Clock::now() - begun, 2s);
    const auto grows = [&](double& before, double now) {
      EXPECT_GE(now, before);
      before = now;
    };
    grows(steps, worker.value("trireme_worker_steps_total"));
    grows(checkpoints, worker.value("trireme_worker_checkpoints_total"));
    grows(time, time_of(worker, "checkpoints"));
    // A server is at most a step ahead of what rank 0 has counted, and at most one behind.
    EXPECT_NEAR(server.value("trireme_ps_step"), steps, 8);
  }
  EXPECT_GT(time_of(worker, "parameter_servers"), 0);
  EXPECT_EQ(worker.value("trireme_worker_lost_steps_total"), 0);
  EXPECT_EQ(promtool_findings(http_get(on(port + 2)).body), "");
  HttpClient silent(on(port)), silent_too(on(port + 2));
  silent.send("GET /metr");
  job.signal(SIGTERM);
  bool served = true;
  for (const auto begun = Clock::now(); served && Clock::now() - begun < 60s;) {
    try {
      http_get(on(port));
    } catch (const Error&) {
      served = false;
    }
  }
  const ProcessResult result = job.wait(60s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_TRUE(silent.is_closed_within(5s));
  EXPECT_TRUE(silent_too.is_closed_within(5s));
}

// Whoever can connect must not be able to keep the figures from others, or to hold the job up.
TEST_F(MetricsTest, FiveHundredSilentConnectionsKeepNobodyFromAnAnswer) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(1024, files.rlim_max);  // what most systems give
  setrlimit(RLIMIT_NOFILE, &files);
  const int port = free_ports(2);
  Process job(launch(kSmallJob, {"--workers", "1", "--ps", "1", "--metrics", std::to_string(port)},
                     {"--strategy", "parameter_server", "--set", "checkpoint.off=true"}),
              kEnvironment);
  for (const int of : {port, port + 1}) {
    const Exposition before = scrape(on(of), [&](const Exposition& read) {
      return of == port ? at_least("trireme_worker_steps_total", 10)(read)
                        : at_least("trireme_ps_step", 10)(read);
    });
    std::vector<HttpClient> silent;
    silent.reserve(500);
    for (int i = 0; i < 500; ++i) {
      silent.emplace_back(on(of));
      if (i % 3 == 1) silent.back().send("GET /metrics HTTP/1.1\r\n");
      if (i % 3 == 2) silent.back().send("\x16\x03\x01 garbage");
    }
    for (int i = 0; i < 5; ++i) EXPECT_EQ(http_get(on(of), "/metrics", 1s).status, 200);
    const char* counter = of == port ? "trireme_worker_steps_total" : "trireme_ps_step";
    const Exposition after = scrape(on(of), at_least(counter, before.value(counter) + 10));
    EXPECT_LT(after.value("process_resident_memory_bytes"),
              before.value("process_resident_memory_bytes") + (64 << 20));
    EXPECT_LT(after.value("process_open_fds"), before.value("process_open_fds") + 520);
  }
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(60s).exit_code, 75);
}

TEST_F(MetricsTest, APortThatIsTakenIsOneSentence) {
  const int port = free_ports();
  Process first(train(kSmallJob, {"--metrics", std::to_string(port), "--set", "epochs=1000000"}),
                kEnvironment);
  scrape(on(port), [](const Exposition&) { return true; });
  Words words = {kProgram,
                 "train",
                 folder_.write("second", kSmallJob),
                 "--output-dir",
                 folder_ / "second",
                 "--metrics",
                 std::to_string(port)};
  const ProcessResult second = run(words, kEnvironment);
  EXPECT_EQ(second.exit_code, 2) << second.err;
  EXPECT_THAT(second.err, HasSubstr("/metrics cannot be served on " + on(port)));
  words.back() = "nowhere.invalid:9100";
  EXPECT_THAT(run(words, kEnvironment).err, HasSubstr("does not resolve"));
  words.back() = "9100x";
  EXPECT_THAT(run(words, kEnvironment).err, HasSubstr("--metrics: expected PORT or HOST:PORT"));
  // Of two workers on a host the second is one too many.
  EXPECT_THAT(run({kProgram, "launch", "--workers", "2", "--metrics", "65535",
                   folder_.write("third", kSmallJob)},
                  kEnvironment)
                  .err,
              HasSubstr("ports end at 65535"));
}

// A page that names what is not there, or leaves out what is, misleads whoever builds on it.
TEST_F(MetricsTest, ThePageNamesWhatIsServed) {
  std::map<std::string, std::string> served;
  const auto add = [&](const Exposition& read) {
    served.insert(read.types.begin(), read.types.end());
  };
  const int port = free_ports(4);
  {
    Process group(launch(kWorkersJob, {"--workers", "2", "--metrics", std::to_string(port)}),
                  kEnvironment);
    add(scrape(on(port), at_least("trireme_worker_epochs_total", 1)));
    group.signal(SIGTERM);
    EXPECT_EQ(group.wait(60s).exit_code, 75);
  }
  {
    // The evaluator of a cluster that TF_CONFIG describes looks at the checkpoints of the first.
    const std::string config =
        R"({"cluster":{"worker":["127.0.0.1:1"],"evaluator":["127.0.0.1:2"]},)"
        R"("task":{"type":"evaluator","index":0}})";
    Process evaluator(
        train(kWorkersJob, {"--metrics", std::to_string(port), "--set", "epochs=1000000"}),
        {"OMP_NUM_THREADS=1", "TF_CONFIG=" + config});
    add(scrape(on(port), at_least("trireme_evaluator_evaluations_total", 1)));
    evaluator.signal(SIGTERM);
    evaluator.wait(60s);
  }
  {
    Process servers(
        launch(kSmallJob, {"--workers", "1", "--ps", "1", "--metrics", std::to_string(port)},
               {"--strategy", "parameter_server", "--overwrite"}),
        kEnvironment);
    add(scrape(on(port), at_least("trireme_worker_epochs_total", 1)));
    add(scrape(on(port + 1), at_least("trireme_ps_step", 1)));
    servers.signal(SIGTERM);
    EXPECT_EQ(servers.wait(60s).exit_code, 75);
  }
  std::map<std::string, std::string> documented;
  std::ifstream page(TRIREME_SOURCE_DIR "/docs/metrics.md");
  static const std::regex kRow(R"(^\| `([a-z_]+)` \| (counter|gauge|histogram) \| .+ \|$)");
  std::smatch match;
  for (std::string line; std::getline(page, line);) {
    if (std::regex_match(line, match, kRow)) documented[match[1]] = match[2];
  }
  EXPECT_EQ(served, documented);
  EXPECT_GT(served.size(), 40U);
}

}  // namespace
}  // namespace trireme
