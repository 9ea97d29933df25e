// What is added to a source's claim: addresses, the job's id, its secret; and the way back.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/distributed/cluster/environments.h"

namespace trireme::cluster {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ResolveTest, GivesBackWhatItWasGiven) {
  ClusterSpec spec;
  spec.task_type = TaskType::kParameterServer;
  spec.rank = 1;
  spec.world_size = 3;
  spec.parameter_servers = 2;
  spec.ps_replicas = 2;
  spec.local_rank = 4;
  spec.local_size = 5;
  spec.coordinator = "[fd00::1]:4000";
  spec.hosts_coordinator = false;
  spec.listen = "fd00::2";
  spec.job_id = "job 7";
  spec.secret = "a b=c";
  spec.tls = {.mode = "on",
              .files = {.ca = "ca.pem", .certificate = "c.pem", .key = "k.pem", .name = "n"}};
  const ClusterSpec again = resolve(to_environment(spec));
  EXPECT_EQ(again.tls, spec.tls);
  EXPECT_EQ(again.source, "TRIREME_*");
  EXPECT_EQ(again.task_type, spec.task_type);
  EXPECT_EQ(again.rank, spec.rank);
  EXPECT_EQ(again.world_size, spec.world_size);
  EXPECT_EQ(again.parameter_servers, spec.parameter_servers);
  EXPECT_EQ(again.ps_replicas, spec.ps_replicas);
  EXPECT_EQ(again.local_rank, spec.local_rank);
  EXPECT_EQ(again.local_size, spec.local_size);
  EXPECT_EQ(again.coordinator, spec.coordinator);
  EXPECT_EQ(again.hosts_coordinator, spec.hosts_coordinator);
  EXPECT_EQ(again.listen, spec.listen);
  EXPECT_EQ(again.job_id, spec.job_id);
  EXPECT_EQ(again.secret, spec.secret);
}

TEST(ResolveTest, EverySourceSurvivesTheRoundTrip) {
  for (const Environment& environment : {Environment{}, torchrun(0, 2), torchrun(1, 2),
                                         open_mpi(1, 4, 1, 2), srun(2, 3, 1, "2,1")}) {
    const ClusterSpec spec = resolve(environment);
    const Environment variables = to_environment(spec);
    EXPECT_EQ(to_environment(resolve(variables)), variables) << describe(spec);
  }
}

// Before any of them waits for the others.
TEST(ResolveTest, RefusesMoreServersThanAJobMayHave) {
  ClusterSpec spec;
  spec.world_size = 2000;
  spec.parameter_servers = 1024;
  spec.coordinator = "127.0.0.1:4000";
  spec.secret = "0123456789abcdef";
  EXPECT_EQ(resolve_cluster({}, to_environment(spec)).parameter_servers, 1024);
  spec.parameter_servers = 1025;
  try {
    resolve_cluster({}, to_environment(spec));
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              std::string("a job with 1025 parameter servers: expected at most 1024"));
  }
}

// Else each would take all of its cores.
TEST(ResolveTest, TasksThatMeetOnLoopbackShareThisHost) {
  Environment by_hand = torchrun(1, 3) + Environment{{"MASTER_ADDR", "localhost"}};
  by_hand.erase("LOCAL_RANK");
  by_hand.erase("LOCAL_WORLD_SIZE");
  ClusterSpec spec = resolve(by_hand);
  EXPECT_EQ(spec.local_rank, 1);
  EXPECT_EQ(spec.local_size, 3);
  spec = resolve(by_hand + Environment{{"MASTER_ADDR", "n1"}});
  EXPECT_EQ(spec.local_size, -1);
}

TEST(ResolveTest, FlagsMayAddAnAddressToAnySource) {
  const ClusterSpec spec = resolve(open_mpi(0, 2, 0, 1), {.coordinator = "n2:9", .listen = "n2"});
  EXPECT_EQ(spec.source, "Open MPI");
  EXPECT_EQ(spec.coordinator, "n2:9");
  EXPECT_EQ(spec.listen, "n2");
  EXPECT_TRUE(spec.hosts_coordinator);
  EXPECT_THAT(refusal({}, {.listen = "0.0.0.0"}), HasSubstr("--listen 0.0.0.0"));
}

// mpirun and srun start equal tasks: the last ones serve.
TEST(ResolveTest, TheLastTasksServeWhenALauncherStartsThemAlike) {
  ClusterSpec spec = resolve(open_mpi(1, 5, 1, 5), {.parameter_servers = 2, .ps_replicas = 2});
  EXPECT_EQ(spec.task_type, TaskType::kWorker);
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.world_size, 3);
  EXPECT_EQ(spec.parameter_servers, 2);
  EXPECT_EQ(spec.ps_replicas, 2);
  spec = resolve(open_mpi(4, 5, 4, 5), {.parameter_servers = 2});
  EXPECT_EQ(spec.task_type, TaskType::kParameterServer);
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.world_size, 3);
  EXPECT_EQ(spec.local_size, 5);
  EXPECT_FALSE(spec.hosts_coordinator);
  spec = resolve(open_mpi(1, 2, 1, 2), {.parameter_servers = 1});
  EXPECT_EQ(spec.task_type, TaskType::kParameterServer);
  EXPECT_EQ(spec.coordinator, "mpi");
  EXPECT_THAT(refusal(open_mpi(0, 2, 0, 2), {.parameter_servers = 2}),
              HasSubstr("at least one must train"));
  EXPECT_THAT(refusal({}, {.parameter_servers = 2}), HasSubstr("trireme launch --ps 2"));
  EXPECT_THAT(refusal(open_mpi(0, 2, 0, 2), {.parameter_servers = 1, .ps_replicas = 2}),
              HasSubstr("--ps-replicas 2: expected 1, or 2 with at least two"));
}

// A server by hand says which of how many servers it is.
TEST(ResolveTest, FlagsMayNameAServer) {
  const ClusterSpec spec = resolve(
      {}, {.rank = 1, .is_server = true, .parameter_servers = 2, .coordinator = "127.0.0.1:9"});
  EXPECT_EQ(spec.task_type, TaskType::kParameterServer);
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.parameter_servers, 2);
  EXPECT_EQ(spec.coordinator, "127.0.0.1:9");
}

TEST(ResolveTest, TheFirstHostsOwnAddressIsTheOneThatItsNameResolvesTo) {
  Environment first = torchrun(0, 2);
  first["MASTER_ADDR"] = "n2";
  EXPECT_EQ(resolve(first).listen, "10.0.0.2");
}

TEST(ResolveTest, LoopbackCoordinatorsKeepServersOnLoopback) {
  for (const std::string host : {"localhost", "127.0.0.1"}) {
    EXPECT_EQ(resolve(torchrun(1, 2) + Environment{{"MASTER_ADDR", host}}).listen, "127.0.0.1");
  }
  EXPECT_EQ(resolve({}, {.rank = 0, .world_size = 2, .coordinator = "[::1]:5"}).listen, "::1");
}

// Debian lists a host's own name as 127.0.1.1; peers on other hosts see another address. The
// coordinator must be where either kind of peer looks for it.
TEST(ResolveTest, AnOwnNameThatIsLoopbackIsNotToldToOtherHosts) {
  Machine machine = machine_n2();
  machine.address_of = [](const std::string&) { return std::string("127.0.1.1"); };
  machine.route_to = [](const std::string&) { return std::string("127.0.0.1"); };
  Environment spread = torchrun(0, 4) + Environment{{"MASTER_ADDR", "n2"}};
  for (const std::string here : {"", "2"}) {  // "": nothing says whether there are other hosts
    spread["LOCAL_WORLD_SIZE"] = here;
    const ClusterSpec spec = resolve({}, spread, machine);
    EXPECT_EQ(spec.listen, "192.168.7.2");
    EXPECT_EQ(spec.coordinator, "192.168.7.2:29500");
    EXPECT_EQ(spec.coordinator_listen, "0.0.0.0");
    EXPECT_EQ(spec.job_id, "n2:29500");  // as on the other hosts
  }
  machine.interface_address = [] { return std::string(); };
  ClusterSpec spec = resolve({}, spread, machine);
  EXPECT_EQ(spec.coordinator, "n2:29500");
  EXPECT_EQ(spec.coordinator_listen, "0.0.0.0");
  // All on this host: they dial the address that the name has here.
  spread["LOCAL_WORLD_SIZE"] = "4";
  spec = resolve({}, spread, machine);
  EXPECT_EQ(spec.listen, "127.0.0.1");
  EXPECT_EQ(spec.coordinator, "n2:29500");
  EXPECT_EQ(spec.coordinator_listen, "127.0.1.1");
}

TEST(ResolveTest, ACoordinatorWhoseNameIsNotKnownYetIsWaitedForLater) {
  const ClusterSpec spec = resolve(torchrun(1, 2) + Environment{{"MASTER_ADDR", "later.svc"}});
  EXPECT_EQ(spec.coordinator, "later.svc:29500");
  EXPECT_EQ(spec.listen, "192.168.7.2");
}

// A service's address in TF_CONFIG is not one that this task could bind.
TEST(ResolveTest, AnOwnNameThatIsElsewhereIsNotBound) {
  const ClusterSpec spec = resolve({{"TF_CONFIG", R"({"cluster": {"worker": ["n1:1", "n3:1"]},
                                 "task": {"type": "worker", "index": 1}})"}});
  EXPECT_EQ(spec.listen, "192.168.7.2");
}

TEST(ResolveTest, OnLoopbackTheSecretIsTheSameForAllTasksOfAJobAndForThemOnly) {
  const std::string secret = resolve(srun(0, 2, 0, "2", "n1")).secret;
  EXPECT_EQ(secret.size(), 32u);
  EXPECT_EQ(resolve(srun(1, 2, 0, "2", "n1")).secret, secret);
  EXPECT_NE(resolve(srun(0, 2, 0, "2", "n1") + Environment{{"SLURM_JOB_ID", "4"}}).secret, secret);
  Machine other_user = machine_n2();
  other_user.user_id = 1001;
  EXPECT_NE(resolve({}, srun(0, 2, 0, "2", "n1"), other_user).secret, secret);
  EXPECT_EQ(resolve({{"TRIREME_SECRET", "mine"}}).secret, "mine");
}

// What others can guess would keep nobody out.
TEST(ResolveTest, BetweenHostsNoSecretIsMadeUp) {
  const ClusterSpec slurm = resolve(srun(0, 3, 0, "2,1"));
  EXPECT_EQ(slurm.secret, "");
  EXPECT_THAT(describe(slurm), HasSubstr("secret: none, so the task will not start: export "
                                         "TRIREME_SECRET=$(openssl rand -hex 32)"));
  const ClusterSpec mpi = resolve(open_mpi(0, 2, 0, 2));
  EXPECT_EQ(mpi.secret, "");
  EXPECT_THAT(describe(mpi), HasSubstr("secret: drawn by rank 0, which tells it by MPI"));
}

TEST(ResolveTest, TheDescriptionHasEverythingButTheSecret) {
  const ClusterSpec spec =
      resolve(srun(0, 3, 0, "2,1") + Environment{{"TRIREME_SECRET", "hush-hush"}});
  const std::string text = describe(spec);
  for (const char* part :
       {"source              Slurm", "worker 0 of 3", "n1:20303, in this task", "10.0.0.2", "3.0",
        "Slurm: taken: SLURM_PROCID=0", "secret: set by TRIREME_SECRET"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("hush-hush")));
  const ClusterSpec derived = resolve(srun(0, 2, 0, "2", "n1"));
  EXPECT_THAT(describe(derived), HasSubstr("secret: derived"));
  EXPECT_THAT(describe(derived), Not(HasSubstr(derived.secret)));
}

TEST(ResolveTest, ReadsTheProcesssOwnEnvironment) {
  ASSERT_EQ(setenv("TRIREME_CLUSTER_TEST", "a=b", 1), 0);
  EXPECT_EQ(process_environment().at("TRIREME_CLUSTER_TEST"), "a=b");
  unsetenv("TRIREME_CLUSTER_TEST");
}

}  // namespace
}  // namespace trireme::cluster
