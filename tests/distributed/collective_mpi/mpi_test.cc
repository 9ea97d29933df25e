// What only the mpi backend does; its conformance is tested with that of the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "distributed/collective/mpi_endpoint.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(MpiTest, SaysHowToStartWhenMpirunDidNot) {
  try {
    make_mpi_endpoint({.backend = "mpi", .secret = ""});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("mpirun -np N"));
  }
  EXPECT_THROW(mpi_broadcast_from_rank0("here"), Error);
}

// MPI itself would wait for ever.
TEST(MpiTest, NamesTheRankThatIsLate) {
  const TemporaryDirectory folder;
  const ProcessResult result =
      run({"/usr/bin/mpirun", "-np", "4", "--oversubscribe", "--allow-run-as-root",
           TRIREME_RANK_PROGRAM, folder.path(), "-1", "0", "mpi", "late", "1000"},
          // Open MPI keeps what MPI_Init made, and a sanitizer of leaks would report that.
          {"ASAN_OPTIONS=detect_leaks=0"});
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("failed: rank 2 ("), HasSubstr("has not come")));
}

}  // namespace
}  // namespace trireme::testing
