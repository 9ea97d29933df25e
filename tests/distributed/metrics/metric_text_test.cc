#include "distributed/metrics/metric_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "core/base/error.h"
#include "distributed/metrics/metrics_address.h"
#include "distributed/metrics/process_metrics.h"
#include "tests/support/exposition.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using trireme::testing::parse_exposition;

// Prometheus refuses a whole scrape for one line that it does not understand.
TEST(MetricTextTest, WritesWhatItsReaderUnderstands) {
  MetricText text(MetricLabels{{"job_name", "a\"b\\c\nd"}});
  text.counter("x_total", "Things.", 12345678901.0, {{"kind", "one"}});
  text.counter("x_total", "Things.", 0.1, {{"kind", "two"}});
  text.gauge("y", "Others.", std::numeric_limits<double>::quiet_NaN());
  text.gauge("z", "More.", -std::numeric_limits<double>::infinity());
  const auto read = parse_exposition(text.str());
  EXPECT_THAT(read.problems, IsEmpty());
  EXPECT_EQ(read.value("x_total", {{"job_name", "a\"b\\c\nd"}, {"kind", "one"}}), 12345678901.0);
  EXPECT_EQ(read.value("x_total", {{"kind", "two"}}), 0.1);
  EXPECT_THAT(text.str(), HasSubstr("} 12345678901\n"));
  EXPECT_THAT(text.str(), HasSubstr("} NaN\n"));
  EXPECT_THAT(text.str(), HasSubstr("} -Inf\n"));
  EXPECT_EQ(trireme::testing::promtool_findings(text.str()), "");
}

// The reader of the tests must see what Prometheus would refuse, or its findings mean nothing.
TEST(MetricTextTest, TheTestsReaderFindsFaults) {
  const std::string fine = "# HELP a Help.\n# TYPE a gauge\na{x=\"1\"} 1\n";
  EXPECT_THAT(parse_exposition(fine).problems, IsEmpty());
  for (const std::string& wrong :
       {fine + "a{x=\"1\"} 2\n", fine + "b 1\n", fine + "a{x=\"2\"} one\n", fine + "a{x=2} 1\n",
        fine + "a{x=\"2\"} nan\n", fine + "# TYPE a gauge\n", fine + "a 1",
        std::string("# HELP a Help.\n# TYPE a counter\na 1\n"),
        std::string("# TYPE a gauge\na 1\n"),
        std::string("# HELP a_total T.\n# TYPE a_total "
                    "gauge\na_total 1\n")}) {
    EXPECT_FALSE(parse_exposition(wrong).problems.empty()) << wrong;
  }
}

TEST(ProcessMetricsTest, TellsWhatTheSystemTells) {
  ProcessMetrics metrics;
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  const auto cpu = [](const rusage& use) {
    return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
  };
  const auto read = parse_exposition(metrics.text());
  EXPECT_THAT(read.problems, IsEmpty());
  EXPECT_NEAR(read.value("process_cpu_seconds_total"), cpu(before), 0.25);
  const double now = static_cast<double>(time(nullptr));
  EXPECT_LT(read.value("process_start_time_seconds"), now + 1);
  EXPECT_GT(read.value("process_start_time_seconds"), now - 600);
  EXPECT_GT(read.value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_LE(read.value("process_resident_memory_bytes"),
            read.value("process_virtual_memory_bytes"));
  EXPECT_EQ(read.value("trireme_build_info"), 1);
  const int more = dup(0);
  EXPECT_EQ(parse_exposition(metrics.text()).value("process_open_fds"),
            read.value("process_open_fds") + 1);
  close(more);
}

TEST(MetricsAddressTest, ReadsPortsAndHosts) {
  const auto read = [](const std::string& text) {
    const MetricsAddress address = parse_metrics_address(text, "--metrics");
    return str_cat(address.host, " ", address.port);
  };
  EXPECT_EQ(read("9100"), "127.0.0.1 9100");
  EXPECT_EQ(read("0"), "127.0.0.1 0");
  EXPECT_EQ(read("10.0.0.1:9100"), "10.0.0.1 9100");
  EXPECT_EQ(read("n1:0"), "n1 0");
  EXPECT_EQ(read("[::1]:9100"), "::1 9100");
  for (const std::string wrong :
       {"", "n1", ":9100", "n1:", "n1:65536", "-1", "9100x", "::1:9100", "[::1]", "http://n1:80"}) {
    EXPECT_THROW(read(wrong), Error) << wrong;
  }
}

TEST(MetricsAddressTest, GivesEachTaskOfAHostItsPort) {
  const MetricsAddress first{"h", 9100}, any{"h", 0}, high{"h", 65530};
  ClusterSpec task;
  task.source = "Slurm";
  task.coordinator = "n1:2222";
  task.local_rank = 7;
  EXPECT_EQ(metrics_address(first, task).port, 9107);
  EXPECT_EQ(metrics_address(any, task).port, 0);
  EXPECT_THROW(metrics_address(high, task), Error);
  // The port is then that of this very task.
  task.source = "flags";
  EXPECT_EQ(metrics_address(first, task).port, 9100);
  task.source = "Slurm";
  task.local_rank = -1;
  EXPECT_EQ(metrics_address(first, task).port, 9100);
}

}  // namespace
}  // namespace trireme
