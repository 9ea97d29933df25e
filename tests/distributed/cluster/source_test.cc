// Every source by itself.
#include <gtest/gtest.h>

#include "tests/distributed/cluster/environments.h"

namespace trireme::cluster {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(SourceTest, NothingMeansASingleProcess) {
  const ClusterSpec spec = resolve({});
  EXPECT_EQ(spec.source, "single process");
  EXPECT_TRUE(spec.is_single_process());
  EXPECT_EQ(spec.rank, 0);
  EXPECT_EQ(spec.world_size, 1);
  EXPECT_EQ(spec.listen, "127.0.0.1");
  EXPECT_EQ(spec.host, "n2");
  EXPECT_EQ(spec.job_id, "process-77");
  EXPECT_FALSE(spec.hosts_coordinator);
  EXPECT_THAT(spec.reasons, Contains("torchrun: not set"));
}

TEST(SourceTest, Flags) {
  const ClusterSpec spec = resolve({}, {.rank = 1, .world_size = 3, .coordinator = "n1:2222"});
  EXPECT_EQ(spec.source, "flags");
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.world_size, 3);
  EXPECT_EQ(spec.coordinator, "n1:2222");
  EXPECT_EQ(spec.listen, "10.0.0.2");
  EXPECT_EQ(spec.local_size, -1);
  EXPECT_EQ(spec.job_id, "n1:2222");
  EXPECT_FALSE(spec.hosts_coordinator);
}

TEST(SourceTest, IncompleteFlagsAreRefused) {
  EXPECT_THAT(refusal({}, {.rank = 1}), HasSubstr("--rank 1 needs --world-size"));
  EXPECT_THAT(refusal({}, {.world_size = 2}), HasSubstr("--world-size 2 needs --rank"));
  EXPECT_THAT(refusal({}, {.rank = 0, .world_size = 2}), HasSubstr("give --coordinator HOST:PORT"));
  EXPECT_THAT(refusal({}, {.coordinator = "n1:1"}), HasSubstr("nothing says which task this is"));
  EXPECT_THAT(refusal({}, {.rank = 2, .world_size = 2, .coordinator = "n1:1"}),
              HasSubstr("--rank 2: expected a rank below 2"));
  EXPECT_THAT(refusal({}, {.rank = 0, .world_size = 2, .coordinator = "n1"}),
              HasSubstr("--coordinator: expected host:port, found 'n1'"));
}

TEST(SourceTest, TriremeVariables) {
  const ClusterSpec spec = resolve({{"TRIREME_RANK", "1"},
                                    {"TRIREME_WORLD_SIZE", "4"},
                                    {"TRIREME_PARAMETER_SERVERS", "2"},
                                    {"TRIREME_TASK_TYPE", "ps"},
                                    {"TRIREME_LOCAL_RANK", "5"},
                                    {"TRIREME_LOCAL_SIZE", "6"},
                                    {"TRIREME_COORDINATOR", "127.0.0.1:4000"},
                                    {"TRIREME_HOSTS_COORDINATOR", "0"},
                                    {"TRIREME_JOB_ID", "j"},
                                    {"TRIREME_SECRET", "s"}});
  EXPECT_EQ(spec.source, "TRIREME_*");
  EXPECT_EQ(spec.task_type, TaskType::kParameterServer);
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.parameter_servers, 2);
  EXPECT_EQ(spec.local_rank, 5);
  EXPECT_EQ(spec.local_size, 6);
  EXPECT_EQ(spec.listen, "127.0.0.1");
  EXPECT_EQ(spec.job_id, "j");
  EXPECT_EQ(spec.secret, "s");
}

// What a launcher keeps watching has a coordinator, however small it is.
TEST(SourceTest, OneTaskOfALauncherKeepsItsCoordinator) {
  const ClusterSpec spec = resolve({{"TRIREME_RANK", "0"},
                                    {"TRIREME_WORLD_SIZE", "1"},
                                    {"TRIREME_COORDINATOR", "127.0.0.1:4000"},
                                    {"TRIREME_HOSTS_COORDINATOR", "0"}});
  EXPECT_FALSE(spec.is_single_process());
  EXPECT_FALSE(spec.hosts_coordinator);
}

TEST(SourceTest, MalformedTriremeVariablesAreRefused) {
  const Environment good = {{"TRIREME_RANK", "0"},
                            {"TRIREME_WORLD_SIZE", "2"},
                            {"TRIREME_COORDINATOR", "127.0.0.1:4000"}};
  EXPECT_EQ(refusal(good), "");
  const auto with = [&](const std::string& name, const std::string& value) {
    return refusal(good + Environment{{name, value}});
  };
  EXPECT_THAT(with("TRIREME_RANK", "x"), HasSubstr("TRIREME_RANK=x: expected a whole number"));
  EXPECT_THAT(with("TRIREME_RANK", "1e0"), HasSubstr("TRIREME_RANK=1e0"));
  EXPECT_THAT(with("TRIREME_RANK", "-1"), HasSubstr("TRIREME_RANK=-1: expected a number from 0"));
  EXPECT_THAT(with("TRIREME_RANK", "2"), HasSubstr("TRIREME_RANK=2: expected a rank below 2"));
  EXPECT_THAT(with("TRIREME_RANK", ""), HasSubstr("TRIREME_RANK is not set"));
  EXPECT_THAT(with("TRIREME_WORLD_SIZE", "99999999999999999999"), HasSubstr("from 1 to 65536"));
  EXPECT_THAT(with("TRIREME_TASK_TYPE", "chief"), HasSubstr("expected worker, ps or evaluator"));
  EXPECT_THAT(with("TRIREME_TASK_TYPE", "ps"), HasSubstr("number of parameter servers"));
  EXPECT_THAT(with("TRIREME_COORDINATOR", "n1:0"), HasSubstr("expected a port from 1 to 65535"));
  EXPECT_THAT(with("TRIREME_HOSTS_COORDINATOR", "yes"), HasSubstr("TRIREME_HOSTS_COORDINATOR=yes"));
  EXPECT_THAT(with("TRIREME_LISTEN", "0.0.0.0"), HasSubstr("peers cannot connect to it"));
}

TEST(SourceTest, TfConfigWithAChief) {
  const std::string cluster =
      R"("cluster": {"chief": ["n1:2222"], "worker": ["n2:2222", "n2:2223"], "ps": ["n3:1"]})";
  const ClusterSpec worker = resolve({{"TF_CONFIG", "{" + cluster + R"(,
      "task": {"type": "worker", "index": 1}})"}});
  EXPECT_EQ(worker.source, "TF_CONFIG");
  EXPECT_EQ(worker.rank, 2);
  EXPECT_EQ(worker.world_size, 3);
  EXPECT_EQ(worker.parameter_servers, 1);
  EXPECT_EQ(worker.local_rank, 1);
  EXPECT_EQ(worker.local_size, 2);
  EXPECT_EQ(worker.coordinator, "n1:2222");
  EXPECT_EQ(worker.listen, "10.0.0.2");
  EXPECT_FALSE(worker.hosts_coordinator);

  const ClusterSpec chief =
      resolve({{"TF_CONFIG", "{" + cluster + R"(, "task": {"type": "chief", "index": 0}})"}});
  EXPECT_EQ(chief.rank, 0);
  EXPECT_TRUE(chief.hosts_coordinator);

  const ClusterSpec server =
      resolve({{"TF_CONFIG", "{" + cluster + R"(, "task": {"type": "ps", "index": 0}})"}});
  EXPECT_EQ(server.task_type, TaskType::kParameterServer);
  EXPECT_EQ(server.rank, 0);
  EXPECT_FALSE(server.hosts_coordinator);
}

TEST(SourceTest, TfConfigWithoutClusterOrWithOneWorkerIsASingleProcess) {
  EXPECT_EQ(resolve({{"TF_CONFIG", "{}"}}).source, "single process");
  const ClusterSpec one =
      resolve({{"TF_CONFIG",
                R"({"cluster": {"worker": ["n2:1"]}, "task": {"type": "worker", "index": 0}})"}});
  EXPECT_EQ(one.source, "TF_CONFIG");
  EXPECT_TRUE(one.is_single_process());
}

TEST(SourceTest, MalformedTfConfigIsRefused) {
  const auto config = [](const std::string& text) { return refusal({{"TF_CONFIG", text}}); };
  const auto task = [&](const std::string& text) {
    return config(R"({"cluster": {"worker": ["n1:1", "n2:1"]}, "task": )" + text + "}");
  };
  EXPECT_THAT(config(R"({"cluster": )"), HasSubstr("TF_CONFIG: not JSON at byte 13 of 12"));
  EXPECT_THAT(config("[]"), HasSubstr("expected a JSON object, found a JSON array"));
  EXPECT_THAT(config(R"({"cluster": 3})"), HasSubstr("\"cluster\" to be an object"));
  EXPECT_THAT(config(R"({"cluster": {"worker": ["n1:1"]}})"), HasSubstr("not \"task\""));
  EXPECT_THAT(config(R"({"cluster": {"worker": "n1:1"}, "task": {}})"),
              HasSubstr("cluster.worker"));
  EXPECT_THAT(config(R"({"cluster": {"worker": [1]}, "task": {}})"), HasSubstr("worker 0"));
  EXPECT_THAT(config(R"({"cluster": {"worker": ["n1"]}, "task": {}})"),
              HasSubstr("the address of worker 0: expected host:port, found 'n1'"));
  EXPECT_THAT(config(R"({"cluster": {"ps": ["n1:1"]}, "task": {}})"),
              HasSubstr("neither chief nor"));
  EXPECT_THAT(config(R"({"cluster": {"chief": ["n1:1", "n2:1"]}, "task": {}})"),
              HasSubstr("at most one chief"));
  EXPECT_THAT(task(R"({"type": "worker", "index": 2})"), HasSubstr("task worker 2 is not in the"));
  EXPECT_THAT(task(R"({"type": "worker", "index": -1})"), HasSubstr("task.index -1"));
  EXPECT_THAT(task(R"({"type": "worker", "index": 18446744073709551615})"),
              HasSubstr("task.index"));
  EXPECT_THAT(task(R"({"type": "worker", "index": "x"})"), HasSubstr("task.index"));
  EXPECT_THAT(task(R"({"type": "master", "index": 0})"), HasSubstr("found 'master'"));
  EXPECT_THAT(task(R"({"type": 3})"), HasSubstr("task.type"));
}

// Whoever is listed under another name would be waited for by nobody.
TEST(SourceTest, TfConfigWithAnUnknownJobNameIsRefused) {
  for (const std::string name : {"worker_hosts", "master", "Worker"}) {
    EXPECT_THAT(refusal({{"TF_CONFIG", R"({"cluster": {"worker": ["n1:1"], ")" + name +
                                           R"(": ["n2:1"]}, "task": {"type": "worker"}})"}}),
                HasSubstr("TF_CONFIG: cluster." + name + ": expected chief, worker, ps or eval"));
  }
}

// As in TensorFlow, it need not be listed, and is in no group.
TEST(SourceTest, TfConfigMayNameAnEvaluator) {
  const ClusterSpec spec = resolve({{"TF_CONFIG", R"({"cluster": {"worker": ["n1:1", "n3:1"]},
                                 "task": {"type": "evaluator", "index": 0}})"}});
  EXPECT_EQ(spec.task_type, TaskType::kEvaluator);
  EXPECT_TRUE(spec.is_single_process());
  EXPECT_FALSE(spec.hosts_coordinator);
  EXPECT_THAT(describe(spec), HasSubstr("evaluator 0, which evaluates each new checkpoint"));
}

// The classic mistake of a first try on one machine.
TEST(SourceTest, TfConfigWithSeveralTasksAtOneAddressIsRefused) {
  EXPECT_THAT(
      refusal({{"TF_CONFIG", R"({"cluster": {"worker": ["localhost:2222", "127.0.0.1:2222"]},
                                         "task": {"type": "worker", "index": 0}})"}}),
      HasSubstr("worker 0 and worker 1 have one address, 127.0.0.1:2222"));
}

TEST(SourceTest, TfConfigOnOneMachineStaysOnLoopback) {
  const ClusterSpec spec =
      resolve({{"TF_CONFIG", R"({"cluster": {"worker": ["localhost:2222", "localhost:2223"]},
                                 "task": {"type": "worker", "index": 1}})"}});
  EXPECT_EQ(spec.listen, "127.0.0.1");
  EXPECT_EQ(spec.local_rank, 1);
  EXPECT_EQ(spec.local_size, 2);
}

TEST(SourceTest, Torchrun) {
  const ClusterSpec spec =
      resolve(torchrun(3, 4) + Environment{{"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}});
  EXPECT_EQ(spec.source, "torchrun");
  EXPECT_EQ(spec.rank, 3);
  EXPECT_EQ(spec.world_size, 4);
  EXPECT_EQ(spec.local_rank, 1);
  EXPECT_EQ(spec.local_size, 2);
  EXPECT_EQ(spec.coordinator, "n1:29500");
  EXPECT_EQ(spec.job_id, "n1:29500");
  EXPECT_EQ(spec.listen, "10.0.0.2");
  EXPECT_TRUE(resolve(torchrun(0, 4)).hosts_coordinator);
}

// torchrun's agent listens on MASTER_PORT itself.
TEST(SourceTest, TorchrunWithAnAgentTakesTheNextPort) {
  const ClusterSpec spec =
      resolve(torchrun(0, 2) + Environment{{"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  EXPECT_EQ(spec.coordinator, "n1:29501");
}

TEST(SourceTest, IncompleteTorchrunIsRefused) {
  EXPECT_THAT(refusal({{"RANK", "0"}}), HasSubstr("WORLD_SIZE is not set, but RANK=0 is"));
  EXPECT_THAT(refusal({{"WORLD_SIZE", "2"}}), HasSubstr("RANK is not set, but WORLD_SIZE=2 is"));
  EXPECT_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), HasSubstr("MASTER_ADDR is not set"));
  EXPECT_THAT(refusal(torchrun(0, 2) + Environment{{"MASTER_PORT", "70000"}}),
              HasSubstr("MASTER_PORT=70000: expected a number from 1 to 65535"));
  EXPECT_THAT(refusal(torchrun(2, 2)), HasSubstr("RANK=2: expected a rank below 2 (WORLD_SIZE=2)"));
  EXPECT_THAT(refusal(torchrun(0, 2) + Environment{{"MASTER_ADDR", "http://n1"}}),
              HasSubstr("MASTER_ADDR: expected an address without a URL scheme"));
  EXPECT_EQ(resolve({{"MASTER_ADDR", "n1"}, {"MASTER_PORT", "1"}}).source, "single process");
}

TEST(SourceTest, TorchrunTakesIpv6AddressesWithAndWithoutBrackets) {
  for (const std::string host : {"::1", "[::1]"}) {
    const ClusterSpec spec = resolve(torchrun(1, 2) + Environment{{"MASTER_ADDR", host}});
    EXPECT_EQ(spec.coordinator, "[::1]:29500");
    EXPECT_EQ(spec.listen, "::1");
  }
}

TEST(SourceTest, OpenMpi) {
  const ClusterSpec spec = resolve(open_mpi(3, 4, 1, 2));
  EXPECT_EQ(spec.source, "Open MPI");
  EXPECT_EQ(spec.rank, 3);
  EXPECT_EQ(spec.world_size, 4);
  EXPECT_EQ(spec.local_rank, 1);
  EXPECT_EQ(spec.local_size, 2);
  EXPECT_EQ(spec.coordinator, "mpi");
  EXPECT_EQ(spec.job_id, "1311375361");
  EXPECT_EQ(spec.listen, "10.0.0.2");
  EXPECT_THAT(spec.reasons, Contains("PMIx: agrees: PMIX_RANK=3"));
  EXPECT_EQ(resolve(open_mpi(1, 2, 1, 2)).listen, "127.0.0.1");
  EXPECT_TRUE(resolve(open_mpi(0, 1, 0, 1)).is_single_process());
  EXPECT_THAT(refusal({{"OMPI_COMM_WORLD_RANK", "0"}}),
              HasSubstr("OMPI_COMM_WORLD_SIZE is not set"));
}

TEST(SourceTest, PmiByItselfMeetsByMpi) {
  const ClusterSpec spec = resolve(
      {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "1"}});
  EXPECT_EQ(spec.source, "PMI");
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.coordinator, "mpi");
  EXPECT_EQ(spec.local_size, 1);
  EXPECT_EQ(spec.listen, "192.168.7.2");
}

TEST(SourceTest, PmiAndPmixOfSrunMeetWhereSlurmSays) {
  const Environment step = srun(2, 3, 1, "2,1");
  const std::string meeting = resolve(step).coordinator;
  const ClusterSpec pmi = resolve(step + Environment{{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}});
  EXPECT_EQ(pmi.source, "PMI");
  EXPECT_EQ(pmi.coordinator, meeting);
  const ClusterSpec pmix =
      resolve(step + Environment{{"PMIX_RANK", "2"}, {"PMIX_NAMESPACE", "slurm.pmix.3.0"}});
  EXPECT_EQ(pmix.source, "PMIx");
  EXPECT_EQ(pmix.world_size, 3);
  EXPECT_EQ(pmix.local_size, 1);
  EXPECT_EQ(pmix.coordinator, meeting);
  EXPECT_EQ(pmix.job_id, "3.0");
}

TEST(SourceTest, PmixWithoutACountIsRefused) {
  EXPECT_THAT(refusal({{"PMIX_RANK", "1"}}),
              AllOf(StartsWith("PMIX_RANK=1"), HasSubstr("nothing says how many tasks")));
}

TEST(SourceTest, Slurm) {
  const ClusterSpec spec = resolve(srun(2, 3, 1, "2,1"));
  EXPECT_EQ(spec.source, "Slurm");
  EXPECT_EQ(spec.rank, 2);
  EXPECT_EQ(spec.world_size, 3);
  EXPECT_EQ(spec.local_rank, 0);
  EXPECT_EQ(spec.local_size, 1);
  EXPECT_EQ(spec.coordinator, "n1:20303");
  EXPECT_EQ(spec.listen, "10.0.0.2");
  EXPECT_EQ(spec.job_id, "3.0");
  EXPECT_EQ(spec.host, "n2");
  EXPECT_EQ(resolve(srun(0, 3, 0, "2,1")).local_size, 2);
}

// Otherwise two jobs, or two steps of a job, that share a node would meet each other's tasks.
TEST(SourceTest, SlurmsPortFollowsJobAndStep) {
  const Environment step = srun(0, 3, 0, "2,1");
  EXPECT_EQ(resolve(step + Environment{{"SLURM_STEP_ID", "1"}}).coordinator, "n1:20304");
  EXPECT_EQ(resolve(step + Environment{{"SLURM_JOB_ID", "4"}}).coordinator, "n1:20404");
  EXPECT_EQ(resolve(step + Environment{{"SLURM_JOB_ID", "98765432"}}).coordinator, "n1:28632");
}

TEST(SourceTest, SlurmOnOneNodeNeedsNoNetwork) {
  const ClusterSpec spec = resolve(srun(1, 4, 0, "4", "nowhere7"));
  EXPECT_EQ(spec.coordinator, "127.0.0.1:20303");
  EXPECT_EQ(spec.listen, "127.0.0.1");
  EXPECT_EQ(spec.local_size, 4);
}

TEST(SourceTest, SlurmIsAskedForAnAddressWhenANodesNameDoesNotResolve) {
  Machine machine = machine_n2();
  std::string asked;
  machine.slurm_node_address = [&](const std::string& node) {
    asked = node;
    return std::string("10.0.0.3");
  };
  const ClusterSpec spec = resolve({}, srun(1, 2, 1, "1(x2)", "alias[7-8]"), machine);
  EXPECT_EQ(asked, "alias7");
  EXPECT_EQ(spec.coordinator, "10.0.0.3:20303");
  EXPECT_EQ(spec.listen, "10.0.0.2");
}

TEST(SourceTest, ABatchScriptsShellIsNoTask) {
  const ClusterSpec spec = resolve(batch_shell());
  EXPECT_EQ(spec.source, "single process");
  EXPECT_EQ(spec.world_size, 1);
  EXPECT_THAT(spec.reasons,
              Contains(AllOf(StartsWith("Slurm: not used: this is a shell of job 3"),
                             HasSubstr("SLURM_NTASKS=4 is what the job may start: use srun"))));
  // The step of salloc's shell.
  const Environment interactive = {{"SLURM_STEP_ID", "4294967290"}};
  EXPECT_EQ(resolve(batch_shell() + interactive).source, "single process");
}

TEST(SourceTest, MalformedSlurmVariablesAreRefused) {
  const Environment step = srun(0, 3, 0, "2,1");
  const auto with = [&](const std::string& name, const std::string& value) {
    return refusal(step + Environment{{name, value}});
  };
  EXPECT_THAT(with("SLURM_PROCID", ""), HasSubstr("SLURM_PROCID is not set"));
  EXPECT_THAT(with("SLURM_STEP_NODELIST", "n[1-"), HasSubstr("SLURM_STEP_NODELIST=n[1-: expected"));
  EXPECT_THAT(with("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
              HasSubstr("SLURM_STEP_TASKS_PER_NODE=2(x2) is 4 tasks, but SLURM_STEP_NUM_TASKS=3"));
  EXPECT_THAT(with("SLURM_JOB_ID", "x"), HasSubstr("SLURM_JOB_ID=x"));
  EXPECT_THAT(with("SLURM_LOCALID", "2"), HasSubstr("must be below the number of tasks on it, 2"));
}

}  // namespace
}  // namespace trireme::cluster
