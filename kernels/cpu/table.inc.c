/* All kernels of one (instruction set, number type). The including file defines
 *
 *   AB_ISA           name of the instruction set, a string
 *   AB_NAME(noun)    the noun with the suffix of this build
 *   real, AB_F64     float and 0, or double and 1
 *   AB_VECTOR_BYTES  bytes of a vector register
 */
#include "ab_kernel.h"
#include "ab_update.h"
#include "vmath.h"

#include "rows.inc.c"
#include "elementwise.inc.c"
#include "reduce.inc.c"
#include "softmax.inc.c"
#include "loss.inc.c"
#include "shape.inc.c"
#include "combine.inc.c"
#include "dropout.inc.c"
#include "recurrent.inc.c"
#include "matrix.inc.c"
#include "update.inc.c"
#include "product.inc.c"
#include "random.inc.c"
#include "sparse.inc.c"
#include "statistics.inc.c"
#include "window.inc.c"
#include "algebra.inc.c"

static const uint32_t reads_nothing[8] = {0};

/* The same order in every build: a kernel's place is its number. */
static const ab_kernel AB_NAME(kernels)[] = {
    AB_ELEMENTWISE_KERNELS{.name = "fill", .forward = fill_forward, .reads = reads_nothing},
    {.name = "one_hot", .forward = one_hot_forward},
    {.name = "affine",
     .forward = affine_forward,
     .backward = affine_backward,
     .scratch = affine_scratch},
    {.name = "matmul",
     .forward = matmul_forward,
     .backward = matmul_backward,
     .scratch = matmul_scratch},
    {.name = "dot", .forward = dot_forward, .backward = dot_backward},
    {.name = "inverse",
     .forward = inverse_forward,
     .backward = inverse_backward,
     .scratch = algebra_scratch,
     .reads = reads_nothing},
    {.name = "logdet",
     .forward = logdet_forward,
     .backward = logdet_backward,
     .scratch = algebra_scratch},
    {.name = "reduce_sum",
     .forward = reduce_sum_forward,
     .backward = reduce_sum_backward,
     .reads = reads_nothing},
    {.name = "reduce_mean",
     .forward = reduce_mean_forward,
     .backward = reduce_mean_backward,
     .reads = reads_nothing},
    {.name = "reduce_max", .forward = reduce_max_forward, .backward = reduce_max_backward},
    {.name = "reduce_min", .forward = reduce_min_forward, .backward = reduce_min_backward},
    {.name = "reduce_argmax", .forward = reduce_argmax_forward},
    {.name = "reduce_logsumexp",
     .forward = reduce_logsumexp_forward,
     .backward = reduce_logsumexp_backward},
    {.name = "reduce_norm", .forward = reduce_norm_forward, .backward = reduce_norm_backward},
    {.name = "softmax", .forward = softmax_forward, .backward = softmax_backward},
    {.name = "log_softmax", .forward = log_softmax_forward, .backward = log_softmax_backward},
    {.name = "cross_entropy", .forward = cross_entropy_forward, .backward = cross_entropy_backward},
    {.name = "cross_entropy_soft",
     .forward = cross_entropy_soft_forward,
     .backward = cross_entropy_soft_backward},
    {.name = "hinge", .forward = hinge_forward, .backward = hinge_backward},
    {.name = "squared_error", .forward = squared_error_forward, .backward = squared_error_backward},
    {.name = "nary_sum",
     .forward = nary_sum_forward,
     .backward = nary_sum_backward,
     .reads = reads_nothing},
    {.name = "nary_max", .forward = nary_max_forward, .backward = nary_max_backward},
    {.name = "batch_sum",
     .forward = batch_sum_forward,
     .backward = batch_sum_backward,
     .reads = reads_nothing},
    {.name = "concat",
     .forward = concat_forward,
     .backward = concat_backward,
     .reads = reads_nothing},
    {.name = "copy", .forward = copy_forward, .backward = copy_backward, .reads = reads_nothing},
    {.name = "copy_strided",
     .forward = copy_strided_forward,
     .backward = copy_strided_backward,
     .reads = reads_nothing},
    {.name = "gather_rows",
     .forward = gather_rows_forward,
     .backward = gather_rows_backward,
     .reads = reads_nothing},
    {.name = "dropout", .forward = dropout_forward, .backward = dropout_backward},
    {.name = "cumsum", .forward = cumsum_forward, .backward = cumsum_backward},
    {.name = "reduce_std", .forward = reduce_std_forward, .backward = reduce_std_backward},
    {.name = "reduce_moment", .forward = reduce_moment_forward, .backward = reduce_moment_backward},
    {.name = "hardmax", .forward = hardmax_forward},
    {.name = "kmax", .forward = kmax_forward, .backward = kmax_backward},
    {.name = "layer_norm", .forward = layer_norm_forward, .backward = layer_norm_backward},
    {.name = "absolute_error",
     .forward = absolute_error_forward,
     .backward = absolute_error_backward},
    {.name = "huber", .forward = huber_forward, .backward = huber_backward},
    {.name = "sparsemax", .forward = sparsemax_forward, .backward = sparsemax_backward},
    {.name = "constrained_softmax",
     .forward = constrained_softmax_forward,
     .backward = constrained_softmax_backward},
    {.name = "log_softmax_restricted",
     .forward = log_softmax_restricted_forward,
     .backward = log_softmax_restricted_backward},
    {.name = "random_uniform", .forward = random_uniform_forward},
    {.name = "random_normal", .forward = random_normal_forward},
    {.name = "random_gumbel", .forward = random_gumbel_forward},
    {.name = "random_bernoulli", .forward = random_bernoulli_forward},
    {.name = "gather_axis", .forward = gather_axis_forward, .backward = gather_axis_backward},
    {.name = "batch_stack",
     .forward = batch_stack_forward,
     .backward = batch_stack_backward,
     .reads = reads_nothing},
    {.name = "unfold2d", .forward = unfold2d_forward, .backward = unfold2d_backward},
    {.name = "max_pool2d", .forward = max_pool2d_forward, .backward = max_pool2d_backward},
    {.name = "circular", .forward = circular_forward, .backward = circular_backward},
    {.name = "lstm_cell",
     .forward = lstm_cell_forward,
     .backward = lstm_cell_backward,
     .joint = lstm_cell_joint},
};

const ab_kernel_table AB_NAME(ab_table) = {
    .isa = AB_ISA,
    .itemsize = sizeof(real),
    .count = sizeof AB_NAME(kernels) / sizeof AB_NAME(kernels)[0],
    .kernels = AB_NAME(kernels),
    .matrix = &AB_NAME(matrix_kernels),
    .update = &AB_NAME(update_kernels),
};
