// What a job's `strategy` becomes for the cluster that is there.
#include "worker/task_strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/runtime/device_options.h"
#include "distributed/strategy/strategies.h"
#include "proto/job.pb.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

ClusterSpec cluster_of(int workers, int servers = 0) {
  ClusterSpec cluster;
  cluster.world_size = workers;
  cluster.parameter_servers = servers;
  if (workers > 1 || servers > 0) cluster.coordinator = "127.0.0.1:1";
  return cluster;
}

const StrategyDef& resolve(const std::string& text, const ClusterSpec& cluster, int devices = 1) {
  const JobFile file = JobFile::parse("data { digits {} } model { layers { flatten {} } }\n" + text,
                                      "job.textproto");
  return resolve_strategy(file, cluster, *make_devices({.cpu_devices = devices}));
}

std::string error_of(const std::string& text, const ClusterSpec& cluster) {
  try {
    resolve(text, cluster);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// A strategy that is in one list only could not be asked for, or would be found by nobody.
TEST(TaskStrategyTest, JobFilesNameEachStrategyAndNoOther) {
  size_t named = 0;
  for (int value = job::Strategy_MIN; value <= job::Strategy_MAX; ++value) {
    if (!job::Strategy_IsValid(value) || value == job::AUTO) continue;
    const std::string name = job::Strategy_Name(static_cast<job::Strategy>(value));
    EXPECT_NE(find_strategy_or_null(name), nullptr) << name;
    ++named;
  }
  EXPECT_EQ(named, strategies().size());
}

TEST(TaskStrategyTest, AutoUsesWhatIsThere) {
  EXPECT_EQ(&resolve("", cluster_of(1)), &kOneDeviceStrategy);
  EXPECT_EQ(&resolve("", cluster_of(1), 2), &kMirroredStrategy);
  EXPECT_EQ(&resolve("", cluster_of(2)), &kMultiWorkerStrategy);
  EXPECT_EQ(&resolve("", cluster_of(2, 1)), &kParameterServerStrategy);
}

// What a cluster lacks for the strategy, or the strategy for the cluster, is found before the first
// step.
TEST(TaskStrategyTest, RefusesAClusterThatDoesNotFit) {
  EXPECT_THAT(error_of("strategy: ONE_DEVICE", cluster_of(3)),
              HasSubstr("strategy ONE_DEVICE: each of the 3 workers would train by itself; use "
                        "multi_worker"));
  for (const char* name : {"MIRRORED", "CENTRAL_STORAGE"}) {
    EXPECT_THAT(error_of(std::string("strategy: ") + name, cluster_of(2)),
                HasSubstr("uses the devices of one process; several workers need multi_worker"));
  }
  for (const char* name : {"PARAMETER_SERVER", "HYBRID"}) {
    EXPECT_THAT(error_of(std::string("strategy: ") + name, cluster_of(2)),
                HasSubstr("there are no parameter servers"));
    EXPECT_THAT(error_of(std::string("early_stopping { restore_best: true } strategy: ") + name,
                         cluster_of(2, 1)),
                HasSubstr("do not go back to an earlier epoch"));
  }
  EXPECT_THAT(error_of("strategy: MULTI_WORKER", cluster_of(2, 2)),
              HasSubstr("the job's 2 parameter servers would have nothing to do; use "
                        "parameter_server or hybrid"));
  EXPECT_THAT(error_of("strategy: HYBRID distributed { min_workers: 1 }", cluster_of(2, 1)),
              HasSubstr("a lost one must come back"));
  EXPECT_EQ(error_of("strategy: MULTI_WORKER distributed { min_workers: 1 }", cluster_of(2)), "");
}

// A typo in a job file is found where it stands, with the names that there are.
TEST(TaskStrategyTest, AnUnknownNameIsAnErrorAtItsPlace) {
  const std::string message = error_of("strategy: MULTI_WORKR", cluster_of(1));
  EXPECT_THAT(message, HasSubstr("job.textproto:2:"));
  EXPECT_THAT(message, HasSubstr("MULTI_WORKER"));
}

}  // namespace
}  // namespace trireme
