// TRIREME_HOST_DEVICE marks a function that GPU kernels call too: there it is compiled for both.
#pragma once

#ifdef __CUDACC__
#define TRIREME_HOST_DEVICE __host__ __device__
#else
#define TRIREME_HOST_DEVICE
#endif
