# What of the CUDA toolkit Trireme is built with: nvcc and headers. No library: they are opened at run time
# (core/device/cuda/libraries.h). Looked for in CUDAToolkit_ROOT, CUDA_PATH, beside an nvcc on the PATH, /usr/local/cuda;
# cuDNN and NCCL also where PyPI's wheels put them, in folders beside the toolkit's.
#
# Sets CudaToolkitParts_FOUND, CUDA_NVCC, CUDA_INCLUDE_DIRS, CUDA_VERSION, CUDA_LIBRARY_DIR, and NCCL_INCLUDE_DIR when NCCL is there.

find_program(CUDA_NVCC nvcc HINTS ${CUDAToolkit_ROOT}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
set(cuda_hints ${CUDAToolkit_ROOT} $ENV{CUDA_PATH} /usr/local/cuda)
if(CUDA_NVCC)
  file(REAL_PATH ${CUDA_NVCC} cuda_nvcc_path)
  cmake_path(GET cuda_nvcc_path PARENT_PATH cuda_bin)
  cmake_path(GET cuda_bin PARENT_PATH cuda_root)
  list(PREPEND cuda_hints ${cuda_root} ${cuda_root}/../cudnn ${cuda_root}/../nccl)
  execute_process(COMMAND ${CUDA_NVCC} --version OUTPUT_VARIABLE cuda_nvcc_says)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${cuda_nvcc_says}")
  set(CUDA_VERSION ${CMAKE_MATCH_1})
  string(REGEX MATCH "^[0-9]+" cuda_major "${CUDA_VERSION}")
endif()
find_path(CUDA_HEADERS cuda.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_path(CUBLAS_LT_INCLUDE_DIR cublasLt.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_path(NVRTC_INCLUDE_DIR nvrtc.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_path(CUDA_LIBRARY_DIR NAMES libnvrtc.so.${cuda_major} HINTS ${cuda_hints} PATH_SUFFIXES lib64 lib)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudaToolkitParts
  REQUIRED_VARS CUDA_NVCC CUDA_HEADERS CUBLAS_LT_INCLUDE_DIR NVRTC_INCLUDE_DIR CUDNN_INCLUDE_DIR
  VERSION_VAR CUDA_VERSION)
set(CUDA_INCLUDE_DIRS ${CUDA_HEADERS} ${CUBLAS_LT_INCLUDE_DIR} ${NVRTC_INCLUDE_DIR} ${CUDNN_INCLUDE_DIR})
list(REMOVE_DUPLICATES CUDA_INCLUDE_DIRS)
mark_as_advanced(CUDA_NVCC CUDA_HEADERS CUBLAS_LT_INCLUDE_DIR NVRTC_INCLUDE_DIR CUDNN_INCLUDE_DIR NCCL_INCLUDE_DIR CUDA_LIBRARY_DIR)
