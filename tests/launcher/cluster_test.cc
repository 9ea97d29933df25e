// `trireme cluster`, as each launcher's tasks run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ProcessResult;
using testing::run;

ProcessResult cluster(const std::vector<std::string>& environment,
                      std::vector<std::string> arguments = {}) {
  arguments.insert(arguments.begin(), {TRIREME_PROGRAM, "cluster"});
  return run(arguments, environment);
}

TEST(ClusterCommandTest, SaysWhichSourceWonAndWhy) {
  const ProcessResult result = cluster({"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=localhost",
                                        "MASTER_PORT=29500", "TRIREME_SECRET=hush-hush"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("source              torchrun"), HasSubstr("worker 1 of 2"),
                    HasSubstr("localhost:29500"), HasSubstr("torchrun: taken: RANK=1"),
                    HasSubstr("secret: set by TRIREME_SECRET"), Not(HasSubstr("hush-hush"))));
}

TEST(ClusterCommandTest, FlagsComeFirst) {
  const ProcessResult result =
      cluster({}, {"--rank", "0", "--world-size", "2", "--coordinator", "127.0.0.1:4000"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("source              flags"),
                                HasSubstr("127.0.0.1:4000, in this task")));
}

TEST(ClusterCommandTest, WrongInputIsOneLineAndExitsWith2) {
  const ProcessResult disagreement =
      cluster({"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=localhost", "MASTER_PORT=29500",
               "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2"});
  EXPECT_EQ(disagreement.exit_code, 2);
  EXPECT_EQ(disagreement.out, "");
  EXPECT_THAT(disagreement.err, HasSubstr("RANK=0, but OMPI_COMM_WORLD_RANK=1"));
  EXPECT_EQ(cluster({}, {"--rank", "-1"}).exit_code, 2);
  EXPECT_EQ(cluster({"TF_CONFIG={"}).exit_code, 2);
}

TEST(ClusterCommandTest, HelpShowsAnExample) {
  const ProcessResult result = cluster({}, {"--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* part : {"--rank", "--world-size", "--coordinator", "--listen", "Example"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
}

// The real mpirun: both tasks find their place, and agree on the job.
TEST(ClusterCommandTest, MpirunsTasksFindTheirPlace) {
  const ProcessResult result =
      run({TRIREME_MPIRUN, "--oversubscribe", "-np", "2", TRIREME_PROGRAM, "cluster"},
          {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("source              Open MPI"), HasSubstr("worker 0 of 2"),
                    HasSubstr("worker 1 of 2"), HasSubstr("tells its address by MPI")));
}

}  // namespace
}  // namespace trireme
