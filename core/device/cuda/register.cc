#include "core/device/cuda/register.h"

#include "core/device/cuda/cuda.h"

namespace trireme {

void register_cuda_kernels(KernelTable& table) {
  cuda::register_copy(table);
  cuda::register_reduction(table);
  cuda::register_shaping(table);
  cuda::register_indexing(table);
  cuda::register_axis_indexing(table);
  cuda::register_sorting(table);
  cuda::register_random(table);
  cuda::register_update(table);
  cuda::register_linear(table);
  cuda::register_attention(table);
  cuda::register_recurrent(table);
  cuda::register_convolution(table);
  cuda::register_pooling(table);
  cuda::register_images(table);
  cuda::register_hashing(table);
  cuda::register_normalization(table);
  cuda::register_layer_norm(table);
  cuda::register_loss(table);
  cuda::register_pairwise_dots(table);
  cuda::register_elementwise(table);
}

}  // namespace trireme
