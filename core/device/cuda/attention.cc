#include "core/base/error.h"
#include "core/device/attention_layout.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/kernels/attention_shape.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

AttentionRows rows_of(const AttentionLayout::Rows& rows) {
  return {rows.offset, rows.batch_step, rows.position_step};
}

AttentionShape shape_of(const KernelSpec& spec, const AttentionLayout& l) {
  if (l.dim > kMostAttentionDim || l.value_dim > kMostAttentionDim) {
    throw invalid_argument(spec.where(), ": expected heads of at most ", kMostAttentionDim,
                           " numbers on a GPU, found keys of ", l.dim, " and values of ",
                           l.value_dim, "; use more heads, or place it on the CPU");
  }
  return {l.batch,
          l.heads,
          l.kv_heads,
          l.q_len,
          l.k_len,
          l.dim,
          l.value_dim,
          rows_of(l.q),
          rows_of(l.k),
          rows_of(l.v),
          rows_of(l.y),
          l.mask_batch,
          l.mask_head,
          l.mask_query,
          l.scale,
          int32_t{l.causal},
          0};
}

LaunchShape blocks(const KernelSpec& spec, int64_t rows, int64_t heads) {
  constexpr int64_t kMostHeads = 65535;  // the grid's second axis
  if (heads > kMostHeads) {
    throw invalid_argument(spec.where(), ": expected at most ", kMostHeads,
                           " heads of all examples on a GPU, found ", heads,
                           "; use a smaller batch");
  }
  return {.grid_x = static_cast<uint32_t>((rows + kAttentionRows - 1) / kAttentionRows),
          .grid_y = static_cast<uint32_t>(heads),
          .block_x = 32 * kAttentionWarps};
}

void* mask_of(const AttentionLayout& l, const KernelArgs& args) {
  return l.mask_input < 0 ? nullptr : args.inputs[l.mask_input];
}

PreparedKernel attention(const KernelSpec& spec) {
  const AttentionLayout l(spec, 0);
  const AttentionShape shape = shape_of(spec, l);
  const Kernel kernel(kernel_name("attention", spec.inputs[0].dtype));
  return {[=, launch = blocks(spec, l.q_len, l.batch * l.heads)](const KernelArgs& args) {
    if (l.batch * l.q_len == 0) return;
    kernel.launch(cuda_stream(args), launch, args.inputs[l.q.input], args.inputs[l.k.input],
                  args.inputs[l.v.input], mask_of(l, args), args.outputs[0], args.outputs[1],
                  shape);
  }};
}

PreparedKernel attention_grad(const KernelSpec& spec) {
  const AttentionLayout l(spec, 3);
  const AttentionShape shape = shape_of(spec, l);
  const DType dtype = spec.inputs[0].dtype;
  const int64_t queries = l.batch * l.heads * l.q_len;
  return {[=, centre = Kernel(kernel_name("attention_centre", dtype)),
           of_queries = Kernel(kernel_name("attention_grad_queries", dtype)),
           of_keys = Kernel(kernel_name("attention_grad_keys", dtype)),
           by_warp = spread(cuda_device(spec), queries * 32),
           query_blocks = blocks(spec, l.q_len, l.batch * l.heads),
           key_blocks = blocks(spec, l.k_len, l.batch * l.kv_heads)](const KernelArgs& args) {
            CudaStream& stream = cuda_stream(args);
            void *const dy = args.inputs[0], *const log_sum_exp = args.inputs[2];
            void *const q = args.inputs[l.q.input], *const k = args.inputs[l.k.input],
                        *const v = args.inputs[l.v.input], *const mask = mask_of(l, args);
            if (queries > 0) {
              centre.launch(stream, by_warp, dy, args.inputs[1], args.scratch, shape);
              of_queries.launch(stream, query_blocks, dy, log_sum_exp, args.scratch, q, k, v, mask,
                                args.outputs[0], shape);
            }
            if (l.batch * l.k_len == 0) return;
            of_keys.launch(stream, key_blocks, dy, log_sum_exp, args.scratch, q, k, v, mask,
                           args.outputs[l.packed ? 0 : 1], args.outputs[l.packed ? 0 : 2], shape);
          },
          static_cast<size_t>(queries) * sizeof(float)};
}

}  // namespace

void register_attention(KernelTable& table) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    add_kernel(table, "Attention", kCudaKind, dtype, attention);
    add_kernel(table, "AttentionGrad", kCudaKind, dtype, attention_grad);
  }
}

}  // namespace trireme::cuda
