// Pods, by the variables that each of Kubernetes' controllers sets.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/distributed/cluster/environments.h"

namespace trireme::cluster {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

Environment kubeflow(const std::string& nodes, const std::string& rank,
                     const std::string& processes = "1") {
  return {{"PET_NNODES", nodes},
          {"PET_NODE_RANK", rank},
          {"PET_NPROC_PER_NODE", processes},
          {"PET_MASTER_ADDR", "demo-node-0-0.demo"},
          {"PET_MASTER_PORT", "29400"},
          {kCompletionIndex, rank}};
}

TEST(KubernetesTest, KubeflowTrainersPodsAreTasks) {
  const ClusterSpec spec = resolve(kubeflow("3", "2"));
  EXPECT_EQ(spec.source, "Kubeflow");
  EXPECT_EQ(spec.rank, 2);
  EXPECT_EQ(spec.world_size, 3);
  EXPECT_EQ(spec.coordinator, "demo-node-0-0.demo:29400");
  EXPECT_EQ(spec.listen, "192.168.7.2");  // the name is not in DNS yet
  EXPECT_FALSE(spec.hosts_coordinator);
  EXPECT_TRUE(resolve(kubeflow("3:3", "0", "auto")).hosts_coordinator);
  EXPECT_TRUE(resolve(kubeflow("1", "0")).is_single_process());
}

TEST(KubernetesTest, KubeflowPodsOfSeveralProcessesNeedALauncher) {
  EXPECT_THAT(refusal(kubeflow("2", "1", "4")),
              HasSubstr("trireme launch --workers 4 --nodes 2 --node-rank 1"));
  EXPECT_THAT(refusal(kubeflow("1:4", "0")), HasSubstr("expected one number of nodes"));
  EXPECT_THAT(refusal(kubeflow("2", "2")), HasSubstr("PET_NODE_RANK=2: expected a rank below 2"));
  Environment no_address = kubeflow("2", "0");
  no_address.erase("PET_MASTER_ADDR");
  EXPECT_THAT(refusal(no_address), HasSubstr("PET_MASTER_ADDR is not set"));
}

// torchrun in such a pod starts tasks of its own; so do mpirun and trireme launch.
TEST(KubernetesTest, WhatALauncherInAPodSaysCounts) {
  const ClusterSpec spec = resolve(kubeflow("2", "1", "2") + torchrun(3, 4) +
                                   Environment{{"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}});
  EXPECT_EQ(spec.source, "torchrun");
  EXPECT_EQ(spec.rank, 3);
  EXPECT_EQ(spec.world_size, 4);
  EXPECT_EQ(resolve(kubeflow("2", "0") + open_mpi(5, 6, 1, 2)).source, "Open MPI");
}

// Without torchrun only one of the processes that WORLD_SIZE counts would be there.
TEST(KubernetesTest, APodThatIsToRunSeveralProcessesIsNotOneTaskOfTorchrun) {
  EXPECT_THAT(refusal(kubeflow("2", "1", "4") + torchrun(1, 8)), HasSubstr("PET_NPROC_PER_NODE=4"));
}

TEST(KubernetesTest, JaxVariables) {
  const ClusterSpec spec = resolve({{"JAX_NUM_PROCESSES", "4"},
                                    {"JAX_PROCESS_ID", "3"},
                                    {"JAX_COORDINATOR_ADDRESS", "demo-node-0-0.demo:6666"},
                                    {kCompletionIndex, "3"}});
  EXPECT_EQ(spec.source, "JAX");
  EXPECT_EQ(spec.rank, 3);
  EXPECT_EQ(spec.world_size, 4);
  EXPECT_EQ(spec.coordinator, "demo-node-0-0.demo:6666");
  const Environment job = {{"NUM_PROCESSES", "2"},
                           {"PROCESS_ID", "1"},
                           {"COORDINATOR_ADDRESS", "demo-worker-0"},
                           {"COORDINATOR_PORT", "6666"}};
  EXPECT_EQ(resolve(job).coordinator, "demo-worker-0:6666");
  EXPECT_EQ(resolve({{"NUM_PROCESSES", "2"}}).source, "single process");
  EXPECT_THAT(refusal({{"JAX_NUM_PROCESSES", "2"}}), HasSubstr("JAX_PROCESS_ID is not set"));
}

Environment volcano(const std::string& index) {
  return {{"VC_TASK_INDEX", index},
          {"VK_TASK_INDEX", index},
          {"VC_WORKER_HOSTS", "demo-worker-0.demo,demo-worker-1.demo"},
          {"VC_WORKER_NUM", "2"},
          {"VC_MASTER_HOSTS", "demo-master-0.demo"},
          {"VC_MASTER_NUM", "1"},
          {"VC_PS_HOSTS", "demo-ps-0.demo,demo-ps-1.demo"},
          {"VC_PS_NUM", "2"}};
}

TEST(KubernetesTest, VolcanosListsSayWhichTaskAPodIs) {
  const auto as = [](const std::string& host, const std::string& index) {
    Machine machine = machine_n2();
    machine.host_name = host;
    return resolve({}, volcano(index), machine);
  };
  const ClusterSpec worker = as("demo-worker-1", "1");
  EXPECT_EQ(worker.source, "Volcano");
  EXPECT_EQ(worker.task_type, TaskType::kWorker);
  EXPECT_EQ(worker.rank, 2);  // behind the master
  EXPECT_EQ(worker.world_size, 3);
  EXPECT_EQ(worker.parameter_servers, 2);
  EXPECT_EQ(worker.coordinator, "demo-master-0.demo:2222");
  EXPECT_TRUE(as("demo-master-0", "0").hosts_coordinator);
  const ClusterSpec server = as("demo-ps-1", "1");
  EXPECT_EQ(server.task_type, TaskType::kParameterServer);
  EXPECT_EQ(server.rank, 1);
  EXPECT_THAT(refusal(volcano("0")), HasSubstr("this host, n2, is in none of the lists"));
  Machine other = machine_n2();
  other.host_name = "demo-worker-1";
  EXPECT_THAT(refusal(volcano("0"), {}, other), HasSubstr("VC_TASK_INDEX=0, but this host"));
}

TEST(KubernetesTest, AnMpiJobsHostFileSaysWhichTaskAPodIs) {
  const std::string path = ::testing::TempDir() + "trireme-hostfile";
  const Environment environment{{"OMPI_MCA_orte_default_hostfile", path}};
  std::ofstream(path)
      << "# made by the operator\nn1.demo.default.svc slots=1\nn2.demo.default.svc slots=1\n";
  const ClusterSpec spec = resolve(environment);
  EXPECT_EQ(spec.source, "MPIJob");
  EXPECT_EQ(spec.rank, 1);
  EXPECT_EQ(spec.world_size, 2);
  EXPECT_EQ(spec.coordinator, "n1.demo.default.svc:2222");
  // mpirun itself hands the variable on.
  EXPECT_EQ(resolve(environment + open_mpi(0, 2, 0, 1)).source, "Open MPI");
  std::ofstream(path) << "n1:2\nn2:2\n";
  EXPECT_THAT(refusal(environment), HasSubstr("mpirun -np 4"));
  std::ofstream(path) << "n3\nn4\n";
  EXPECT_THAT(refusal(environment), HasSubstr("this is their launcher"));
  std::ofstream(path) << "n1 slots=x\n";
  EXPECT_THAT(refusal(environment), HasSubstr(path + ":1"));
  std::ofstream(path).flush();
  EXPECT_THAT(refusal(environment), HasSubstr("names no host"));
  std::remove(path.c_str());
  EXPECT_THAT(refusal(environment), HasSubstr("cannot be read"));
}

TEST(KubernetesTest, PodsOfAnIndexedJobMeetInPodZero) {
  Machine machine = machine_n2();
  machine.host_name = "demo-3";
  machine.full_host_name = [] { return std::string("demo-3.svc.ns.svc.cluster.local"); };
  const Environment pod = {{kCompletionIndex, "3"}};
  for (const bool by_flag : {true, false}) {
    const ClusterSpec spec =
        by_flag ? resolve({.world_size = 4}, pod, machine)
                : resolve({}, pod + Environment{{"TRIREME_WORLD_SIZE", "4"}}, machine);
    EXPECT_EQ(spec.source, "Indexed Job");
    EXPECT_EQ(spec.rank, 3);
    EXPECT_EQ(spec.world_size, 4);
    EXPECT_EQ(spec.coordinator, "demo-0.svc.ns.svc.cluster.local:2222");
    EXPECT_EQ(spec.job_id, spec.coordinator);
  }
  EXPECT_TRUE(resolve({.world_size = 1}, {{kCompletionIndex, "0"}}, machine).is_single_process());
  EXPECT_EQ(resolve({.world_size = 4, .coordinator = "demo-0.svc:9"}, pod, machine).coordinator,
            "demo-0.svc:9");
  EXPECT_THAT(refusal(pod, {}, machine), HasSubstr("nothing says how many there are"));
  EXPECT_THAT(refusal(pod, {.world_size = 2}, machine), HasSubstr("expected a rank below 2"));
  EXPECT_THAT(refusal(pod, {.world_size = 4}), HasSubstr("a host name that ends in -3"));
}

// Else a flag that says another number would be passed over.
TEST(KubernetesTest, AWorldSizeThatContradictsThePodIsRefused) {
  EXPECT_THAT(refusal(kubeflow("3", "2"), {.world_size = 4}),
              HasSubstr("--world-size 4, but PET_NNODES=3"));
}

}  // namespace
}  // namespace trireme::cluster
