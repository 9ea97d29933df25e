/* MPI_Allreduce itself, for `trireme bench allreduce --backend mpi-native`: the same sizes,
   repetitions and lines as benchmarks/allreduce_bench.cc. Started by mpirun. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  int rank, n;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n);
  for (size_t bytes = 4; bytes <= (size_t)64 << 20; bytes *= 8) {
    const int count = (int)(bytes / sizeof(float));
    const int repetitions = bytes < 1 << 17 ? 200 : 20;
    double us[200];
    float* values = malloc(bytes);
    for (int warmup = 0; warmup < 3; ++warmup) {
      for (int i = 0; i < count; ++i) values[i] = (float)(rank + i % 7);
      MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      for (int i = 0; i < count; ++i) {
        if (values[i] != (float)(n * (n - 1) / 2 + n * (i % 7))) {
          fprintf(stderr, "wrong result at element %d of %d\n", i, count);
          MPI_Abort(MPI_COMM_WORLD, 1);
        }
      }
    }
    for (int i = 0; i < count; ++i) values[i] = 0;
    for (int i = 0; i < repetitions; ++i) {
      const double start = MPI_Wtime();
      MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      us[i] = (MPI_Wtime() - start) * 1e6;
    }
    qsort(us, (size_t)repetitions, sizeof(double), compare);
    const double median = us[repetitions / 2];
    if (rank == 0) {
      printf(
          "{\"peer\":\"mpi\",\"backend\":\"mpi-native\",\"workers\":%d,\"bytes\":%zu,"
          "\"us\":%.2f,\"busbw_gb_s\":%.3f}\n",
          n, bytes, median, (double)bytes / median * 2 * (n - 1) / n / 1e3);
      fflush(stdout);
    }
    free(values);
  }
  MPI_Finalize();
  return 0;
}
