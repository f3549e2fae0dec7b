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

static const uint32_t reads_nothing[8] = {0};

/* The same order in every build: a kernel's place is its number. */
static const ab_kernel AB_NAME(kernels)[] = {
    AB_ELEMENTWISE_KERNELS{"fill", fill_forward, NULL, NULL, NULL, reads_nothing},
    {"one_hot", one_hot_forward, NULL, NULL, NULL, NULL},
    {"affine", affine_forward, affine_backward, affine_scratch, NULL, NULL},
    {"matmul", matmul_forward, matmul_backward, matmul_scratch, NULL, NULL},
    {"dot", dot_forward, dot_backward, NULL, NULL, NULL},
    {"reduce_sum", reduce_sum_forward, reduce_sum_backward, NULL, NULL, reads_nothing},
    {"reduce_mean", reduce_mean_forward, reduce_mean_backward, NULL, NULL, reads_nothing},
    {"reduce_max", reduce_max_forward, reduce_max_backward, NULL, NULL, NULL},
    {"reduce_min", reduce_min_forward, reduce_min_backward, NULL, NULL, NULL},
    {"reduce_argmax", reduce_argmax_forward, NULL, NULL, NULL, NULL},
    {"reduce_logsumexp", reduce_logsumexp_forward, reduce_logsumexp_backward, NULL, NULL, NULL},
    {"reduce_norm", reduce_norm_forward, reduce_norm_backward, NULL, NULL, NULL},
    {"softmax", softmax_forward, softmax_backward, NULL, NULL, NULL},
    {"log_softmax", log_softmax_forward, log_softmax_backward, NULL, NULL, NULL},
    {"cross_entropy", cross_entropy_forward, cross_entropy_backward, NULL, NULL, NULL},
    {"cross_entropy_soft", cross_entropy_soft_forward, cross_entropy_soft_backward, NULL, NULL,
     NULL},
    {"hinge", hinge_forward, hinge_backward, NULL, NULL, NULL},
    {"squared_error", squared_error_forward, squared_error_backward, NULL, NULL, NULL},
    {"nary_sum", nary_sum_forward, nary_sum_backward, NULL, NULL, reads_nothing},
    {"nary_max", nary_max_forward, nary_max_backward, NULL, NULL, NULL},
    {"batch_sum", batch_sum_forward, batch_sum_backward, NULL, NULL, reads_nothing},
    {"concat", concat_forward, concat_backward, NULL, NULL, reads_nothing},
    {"copy", copy_forward, copy_backward, NULL, NULL, reads_nothing},
    {"copy_strided", copy_strided_forward, copy_strided_backward, NULL, NULL, reads_nothing},
    {"gather_rows", gather_rows_forward, gather_rows_backward, NULL, NULL, reads_nothing},
    {"dropout", dropout_forward, dropout_backward, NULL, NULL, NULL},
    {"cumsum", cumsum_forward, cumsum_backward, NULL, NULL, NULL},
    {"reduce_std", reduce_std_forward, reduce_std_backward, NULL, NULL, NULL},
    {"reduce_moment", reduce_moment_forward, reduce_moment_backward, NULL, NULL, NULL},
    {"hardmax", hardmax_forward, NULL, NULL, NULL, NULL},
    {"kmax", kmax_forward, kmax_backward, NULL, NULL, NULL},
    {"layer_norm", layer_norm_forward, layer_norm_backward, NULL, NULL, NULL},
    {"absolute_error", absolute_error_forward, absolute_error_backward, NULL, NULL, NULL},
    {"huber", huber_forward, huber_backward, NULL, NULL, NULL},
    {"sparsemax", sparsemax_forward, sparsemax_backward, NULL, NULL, NULL},
    {"constrained_softmax", constrained_softmax_forward, constrained_softmax_backward, NULL, NULL,
     NULL},
    {"log_softmax_restricted", log_softmax_restricted_forward, log_softmax_restricted_backward,
     NULL, NULL, NULL},
    {"random_uniform", random_uniform_forward, NULL, NULL, NULL, NULL},
    {"random_normal", random_normal_forward, NULL, NULL, NULL, NULL},
    {"random_gumbel", random_gumbel_forward, NULL, NULL, NULL, NULL},
    {"random_bernoulli", random_bernoulli_forward, NULL, NULL, NULL, NULL},
    {"gather_axis", gather_axis_forward, gather_axis_backward, NULL, NULL, NULL},
    {"batch_stack", batch_stack_forward, batch_stack_backward, NULL, NULL, NULL},
    {"unfold2d", unfold2d_forward, unfold2d_backward, NULL, NULL, NULL},
    {"max_pool2d", max_pool2d_forward, max_pool2d_backward, NULL, NULL, NULL},
    {"circular", circular_forward, circular_backward, NULL, NULL, NULL},
    {"lstm_cell", lstm_cell_forward, lstm_cell_backward, NULL, NULL, NULL},
};

const ab_kernel_table AB_NAME(ab_table) = {
    .isa = AB_ISA,
    .itemsize = sizeof(real),
    .count = sizeof AB_NAME(kernels) / sizeof AB_NAME(kernels)[0],
    .kernels = AB_NAME(kernels),
    .matrix = &AB_NAME(matrix_kernels),
    .update = &AB_NAME(update_kernels),
};
