// Several sources at once: which one wins, which differences are fine and which are not.
#include <gtest/gtest.h>

#include "tests/distributed/cluster/environments.h"

namespace trireme::cluster {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

const Environment kTrireme = {{"TRIREME_RANK", "1"},
                              {"TRIREME_WORLD_SIZE", "3"},
                              {"TRIREME_COORDINATOR", "127.0.0.1:4000"},
                              {"TRIREME_HOSTS_COORDINATOR", "0"}};
const Environment kTfConfig = {{"TF_CONFIG", R"({"cluster": {"worker": ["n1:1", "n2:1", "n3:1"]},
                      "task": {"type": "worker", "index": 1}})"}};

TEST(AgreementTest, TheEarlierSourceWins) {
  Environment all = srun(1, 3, 0, "2,1") + Environment{{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}} +
                    open_mpi(1, 3, 1, 2) + torchrun(1, 3) + kTfConfig + kTrireme;
  EXPECT_EQ(resolve(all, {.rank = 1, .world_size = 3, .coordinator = "n1:1"}).source, "flags");
  const auto without = [&](const std::vector<std::string>& prefixes) {
    for (const std::string& prefix : prefixes)
      std::erase_if(all, [&](const auto& item) { return item.first.starts_with(prefix); });
    return resolve(all);
  };
  const ClusterSpec own = resolve(all);
  EXPECT_EQ(own.source, "TRIREME_*");
  EXPECT_THAT(own.reasons, Contains("Slurm: agrees: SLURM_PROCID=1, SLURM_STEP_NUM_TASKS=3"));
  EXPECT_EQ(without({"TRIREME_"}).source, "TF_CONFIG");
  EXPECT_EQ(without({"TF_CONFIG"}).source, "torchrun");
  EXPECT_EQ(without({"RANK", "WORLD_SIZE"}).source, "Open MPI");
  EXPECT_EQ(without({"OMPI_"}).source, "PMI");
  all["PMIX_NAMESPACE"] = "slurm.pmix.3.0";
  EXPECT_EQ(without({"PMI_"}).source, "PMIx");
  EXPECT_EQ(without({"PMIX_"}).source, "Slurm");
  EXPECT_EQ(without({"SLURM_"}).source, "single process");
}

TEST(AgreementTest, DifferentRanksAreRefused) {
  // The environment of one task, given to all.
  EXPECT_THAT(refusal(srun(1, 2, 1, "1(x2)") + torchrun(0, 2)),
              AllOf(HasSubstr("torchrun and Slurm disagree about which task this is"),
                    HasSubstr("RANK=0, but SLURM_PROCID=1")));
  EXPECT_THAT(refusal(srun(0, 3, 0, "2,1") + kTfConfig), HasSubstr("TF_CONFIG and Slurm disagree"));
  EXPECT_THAT(refusal(open_mpi(0, 2, 0, 2) + torchrun(1, 2)),
              HasSubstr("RANK=1, but OMPI_COMM_WORLD_RANK=0"));
}

TEST(AgreementTest, DifferentWorldSizesAreRefused) {
  EXPECT_THAT(refusal(open_mpi(0, 3, 0, 3) + torchrun(0, 2)),
              AllOf(HasSubstr("torchrun and Open MPI disagree about the number of tasks"),
                    HasSubstr("WORLD_SIZE=2, but OMPI_COMM_WORLD_SIZE=3")));
  EXPECT_THAT(
      refusal(srun(0, 2, 0, "2", "n1"), {.rank = 0, .world_size = 4, .coordinator = "n1:1"}),
      AllOf(HasSubstr("--world-size 4, but SLURM_STEP_NUM_TASKS=2"),
            HasSubstr("wait for others that nobody started")));
}

// `srun -n4 mpirun -np 1 …`: four times a world of one.
TEST(AgreementTest, SeveralTasksThatWouldEachBeAloneAreRefused) {
  EXPECT_THAT(refusal(srun(2, 4, 1, "2(x2)") + open_mpi(0, 1, 0, 1)),
              AllOf(HasSubstr("OMPI_COMM_WORLD_SIZE=1, but SLURM_STEP_NUM_TASKS=4"),
                    HasSubstr("each would be a world of its own")));
  EXPECT_THAT(refusal(srun(1, 2, 1, "1(x2)") + torchrun(0, 1)), HasSubstr("a world of its own"));
  EXPECT_THAT(refusal(open_mpi(1, 2, 1, 2), {.world_size = 1}), HasSubstr("a world of its own"));
}

// mpirun in a batch script: the script's variables describe the allocation.
TEST(AgreementTest, MpirunInABatchShellIsFine) {
  const ClusterSpec spec = resolve(batch_shell() + open_mpi(1, 2, 1, 2));
  EXPECT_EQ(spec.source, "Open MPI");
  EXPECT_EQ(spec.world_size, 2);
}

// On the other nodes mpirun starts its daemons with srun, and the tasks inherit that step.
TEST(AgreementTest, TheStepOfMpirunsDaemonsIsNotThatOfTheTasks) {
  const Environment daemon = {
      {"OMPI_MCA_orte_local_daemon_uri", "1311375360.1;tcp://10.0.0.2:40000"}};
  const Environment step = srun(0, 2, 0, "1(x2)");
  EXPECT_EQ(resolve(step + open_mpi(1, 2, 0, 1) + daemon).rank, 1);
  EXPECT_EQ(resolve(step + open_mpi(3, 4, 1, 2) + daemon).rank, 3);
  EXPECT_THAT(resolve(step + open_mpi(1, 2, 0, 1) + daemon).reasons,
              Contains(HasSubstr("describe what started this task's launcher")));
}

// `srun --pty bash`, and then any launcher.
TEST(AgreementTest, AStepOfOneTaskMayHoldALauncher) {
  const Environment shell = srun(0, 1, 0, "1", "n1");
  EXPECT_EQ(resolve(shell + open_mpi(3, 4, 3, 4)).rank, 3);
  EXPECT_EQ(resolve(shell + kTrireme).rank, 1);
}

// `srun --ntasks-per-node=1 torchrun --nproc-per-node=4 …`, or `trireme launch --nodes 2`.
TEST(AgreementTest, AStepOfOneTaskAHostMayHoldLaunchers) {
  const Environment step = srun(1, 2, 1, "1(x2)");
  const ClusterSpec spec =
      resolve(step + torchrun(6, 8) + Environment{{"LOCAL_RANK", "2"}, {"LOCAL_WORLD_SIZE", "4"}});
  EXPECT_EQ(spec.rank, 6);
  EXPECT_EQ(spec.local_rank, 2);
  // But not when each of them started the whole world.
  EXPECT_THAT(
      refusal(step + torchrun(2, 4) + Environment{{"LOCAL_RANK", "2"}, {"LOCAL_WORLD_SIZE", "4"}}),
      HasSubstr("WORLD_SIZE=4, but SLURM_STEP_NUM_TASKS=2"));
}

TEST(AgreementTest, ParameterServersAreTasksOfALauncherToo) {
  const Environment config = {
      {"TF_CONFIG", R"({"cluster": {"worker": ["n1:1", "n2:1"], "ps": ["n3:1"]},
                        "task": {"type": "worker", "index": 1}})"}};
  EXPECT_EQ(resolve(srun(2, 3, 1, "2,1") + config).rank, 1);
}

TEST(AgreementTest, ASourceThatIsNotNeededMayBeUnreadable) {
  const ClusterSpec spec = resolve(kTrireme + Environment{{"TF_CONFIG", "{"}});
  EXPECT_EQ(spec.source, "TRIREME_*");
  EXPECT_THAT(spec.reasons, Contains(HasSubstr("TF_CONFIG: not needed, and not readable")));
}

}  // namespace
}  // namespace trireme::cluster
