// The scripts of cluster_configs/ that need no scheduler, as a user runs them.
#include "tests/cluster_configs/small_job.h"
#include "tests/support/free_ports.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;

class ScriptsTest : public SmallJob {};

TEST_F(ScriptsTest, OneMachine) {
  const auto result = Process(script("one_machine/run", {"2"}, "out"), environment()).wait(60s);
  expect_trained(result, "out", 2);
}

// Two launchers on one machine are two nodes to each other.
TEST_F(ScriptsTest, NodesWithoutAScheduler) {
  const std::string coordinator = "127.0.0.1:" + std::to_string(free_ports());
  const Words with_secret = environment({"TRIREME_SECRET=known-to-both"});
  const auto node = [&](const std::string& rank) {
    return script("one_machine/run_node", {"2", rank, coordinator}, "out");
  };
  Process one(node("1"), with_secret);
  expect_trained(Process(node("0"), with_secret).wait(60s), "out", 2);
  const ProcessResult other = one.wait(20s);
  EXPECT_EQ(other.exit_code, 0) << other.err;
}

TEST_F(ScriptsTest, NodesWithoutAJointSecretAreNotStarted) {
  const auto result = Process(script("one_machine/run_node", {"2", "0", "127.0.0.1:1"}, "out"),
                              environment({"TRIREME_SECRET="}))
                          .wait(20s);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, ::testing::HasSubstr("set it to the same text on all machines"));
}

// Open MPI asks whoever runs it as root, as containers do, to say so.
TEST_F(ScriptsTest, Mpirun) {
  const auto result =
      Process(script("mpirun/run", {"2", kScripts + "mpirun/hosts"}, "out"),
              environment({"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}))
          .wait(60s);
  expect_trained(result, "out", 2);
}

TEST_F(ScriptsTest, ParameterServersOfThisMachine) {
  const auto result =
      Process(script("one_machine/run", {"2"}, "out", kServed), environment({"SERVERS=2"}))
          .wait(60s);
  expect_trained(result, "out", 2);
}

// The last two of mpirun's four tasks serve.
TEST_F(ScriptsTest, ParameterServersUnderMpirun) {
  Words more = kServed;
  more.insert(more.end(), {"--ps", "2"});
  const auto result =
      Process(script("mpirun/run", {"4", kScripts + "mpirun/hosts"}, "out", more),
              environment({"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}))
          .wait(60s);
  expect_trained(result, "out", 2);
}

TEST_F(ScriptsTest, TfConfig) {
  const std::string port = std::to_string(free_ports(2));
  const auto result =
      Process(script("tf_config/run", {}, "out"), environment({"PORT=" + port})).wait(60s);
  expect_trained(result, "out", 2);
}

TEST_F(ScriptsTest, TorchrunsVariables) {
  const std::string port = std::to_string(free_ports());
  const auto result =
      Process(script("torchrun/run", {}, "out"), environment({"MASTER_PORT=" + port})).wait(60s);
  expect_trained(result, "out", 2);
}

// A worker that fails is not hidden behind one that does not.
TEST_F(ScriptsTest, AFailureIsTheScriptsExitCode) {
  for (const char* path : {"tf_config/run", "torchrun/run"}) {
    const std::string port = std::to_string(free_ports(2));
    const auto result = Process(script(path, {}, "out", {"--set", "no_such_field=1"}),
                                environment({"PORT=" + port, "MASTER_PORT=" + port}))
                            .wait(60s);
    EXPECT_EQ(result.exit_code, 2) << path << result.err;
  }
}

}  // namespace
}  // namespace trireme::testing
