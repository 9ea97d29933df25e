// The scripts of cluster_configs/ that need no scheduler, as a user runs them.
#include <memory>
#include <sstream>

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
  const Words with_secret = environment({"TRIREME_SECRET=known-to-both-nodes"});
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

// Two pods of Kubeflow Trainer, on one machine.
TEST_F(ScriptsTest, PodsOfKubernetes) {
  const std::string port = std::to_string(free_ports());
  const auto pod = [&](const std::string& rank) {
    Words words = {TRIREME_PROGRAM, "train"};
    for (const std::string& word : job("out")) words.push_back(word);
    return std::make_unique<Process>(
        words, environment({"PET_NNODES=2", "PET_NPROC_PER_NODE=auto", "PET_NODE_RANK=" + rank,
                            "PET_MASTER_ADDR=localhost", "PET_MASTER_PORT=" + port,
                            "JOB_COMPLETION_INDEX=" + rank}));
  };
  const auto one = pod("1"), zero = pod("0");
  expect_trained(zero->wait(60s), "out", 2);
  EXPECT_EQ(one->wait(20s).exit_code, 0);
}

// It starts before the training, ends with it, and sees each checkpoint once.
TEST_F(ScriptsTest, AnEvaluatorOfTfConfigEvaluatesEachCheckpoint) {
  const std::string task = R"("task": {"type": "evaluator", "index": 0}})";
  Words train = {TRIREME_PROGRAM, "train"};
  for (const std::string& word : job("out")) train.push_back(word);
  Process evaluator(
      train, environment({R"(TF_CONFIG={"cluster": {"worker": ["n1:1", "n2:1"]}, )" + task}));
  ASSERT_TRUE(evaluator.wait_for_error_output("waiting for checkpoints in", 20s));
  ASSERT_EQ(run(train, environment()).exit_code, 0);
  const ProcessResult result = evaluator.wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<double> log = numbers(read_log(out("out") + "/log.csv"));
  std::istringstream lines(result.out);
  std::vector<double> losses;
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find("\"val_loss\":");
    ASSERT_NE(at, std::string::npos) << line;
    losses.push_back(std::stod(line.substr(at + 11)));
  }
  ASSERT_FALSE(losses.empty());
  EXPECT_LE(losses.size(), 3u);
  EXPECT_NEAR(losses.back(), log[3 + 2 * 5], 1e-4 * log[3 + 2 * 5]);  // of the last epoch
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
