/* The contract between the engine and the kernels.
 *
 * A kernel computes n rows of one batch. A row is the value of one node (of one
 * element of it, where the node holds a manual minibatch): `size` numbers,
 * contiguous, row-major, anywhere in memory. Kernels never see nodes, graphs or
 * threads: the engine hands every thread rows of its own, so a kernel may write
 * y, and add to dx, without a lock.
 *
 * The kernels are compiled once per (instruction set, number type); `real` is
 * float or double. `p` holds the numbers that the op's declaration computed once
 * for the form (dimensions, strides; doubles by their bits, see AB_DOUBLE).
 */
#ifndef AB_KERNEL_H
#define AB_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ab_update.h"

#define AB_SCATTERED INT64_MIN /* ab_rows.stride of rows without a common stride */

static inline double
ab_double(int64_t word)
{
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

typedef struct ab_rows {
    void *const *row; /* row[i]: address of row i */
    int64_t stride;   /* bytes from row i to row i + 1 if the same for all i (0: all
                         rows are one), AB_SCATTERED otherwise */
} ab_rows;

typedef struct ab_call {
    int64_t n;                  /* rows */
    int32_t nin;                /* operands */
    int32_t wrt;                /* backward: the operand whose gradient is wanted */
    const int64_t *p;           /* parameters of the form */
    const ab_rows *x;           /* [nin] operands. Where a form reduces over the manual
                                   minibatch (`batch_aware`), x[j].row has n * B entries */
    ab_rows y;                  /* result rows */
    const int64_t *const *data; /* data[i]: the data words of row i's node */
    ab_rows dy;                 /* backward: gradient of y */
    ab_rows dx;                 /* backward: gradient of x[wrt], to be added to */
    const ab_rows *dxs;         /* joint: [nin] gradients of all operands, to be added to */
    void *scratch;              /* at least scratch(p, n) bytes, 64-byte aligned, this thread's */
    const void *self;           /* ab_kernel.self */
} ab_call;

typedef void (*ab_kernel_fn)(const ab_call *call);

typedef struct ab_kernel {
    const char *name;
    ab_kernel_fn forward;
    ab_kernel_fn backward; /* adds the gradient of operand call->wrt to dx; NULL: none */
    size_t (*scratch)(const int64_t *p, int64_t n); /* NULL: none */
    const void *self;                               /* private to the kernel */
    /* backward: what it reads for the gradient of each operand: bit j for x[j], AB_READS_Y
     * for y. Rows that are not read are not looked up. NULL: all. */
    const uint32_t *reads;
    /* The gradients of all operands in one pass, for ops whose gradients have most of their
     * work in common; no two of a row overlap. NULL: one operand after the other. */
    ab_kernel_fn joint;
} ab_kernel;

#define AB_READS_Y (UINT32_C(1) << 31)

/* The matrix kernel, called by the engine directly where rows do not describe the
 * work: a slice of the outputs (few rows, several threads), packing, and the
 * gradient of a weight, which is one product over all rows of a backward pass. */
typedef struct ab_matrix_kernels {
    /* Bytes of the packed form of an (outputs x inner) matrix. */
    size_t (*packed_bytes)(int64_t outputs, int64_t inner);
    /* Packs w[o * stride_o + i * stride_i] (strides in elements). Panels [first, last)
     * of `panel` outputs each, so that threads can share the work. */
    void (*pack)(void *packed, const void *w, int64_t outputs, int64_t inner, int64_t stride_o,
                 int64_t stride_i, int64_t first_panel, int64_t last_panel);
    int64_t panel; /* outputs per panel */
    /* y[i] (+)= W x[i] for outputs of panels [first, last); y[i] starts from bias
     * (may be NULL) where accumulate is 0, from its own value otherwise. */
    void (*product)(const void *packed, int64_t outputs, int64_t inner, int64_t n, void *const *x,
                    void *const *y, const void *bias, int accumulate, int64_t first_panel,
                    int64_t last_panel);
    /* The same on the weight as it lies (strides in elements), for a wide weight
     * that few rows use: packing would not pay. Outputs [first, last). */
    void (*product_unpacked)(const void *w, int64_t stride_o, int64_t stride_i, int64_t inner,
                             int64_t n, void *const *x, void *const *y, const void *bias,
                             int accumulate, int64_t first, int64_t last);
    /* dw[o * stride_o + i * stride_i] += sum over r of dy[r][o] * x[r][i], for
     * outputs o in [first, last) and i in [0, inner): the gradient of a weight over
     * all n rows of a backward pass. One of the strides is 1. scratch:
     * outer_scratch(outputs, inner) bytes. */
    void (*outer)(void *dw, int64_t stride_o, int64_t stride_i, int64_t inner, int64_t n,
                  void *const *dy, void *const *x, int64_t first, int64_t last, void *scratch);
    size_t (*outer_scratch)(int64_t outputs, int64_t inner);
} ab_matrix_kernels;

/* All kernels of one (instruction set, number type); the same order in each. */
typedef struct ab_kernel_table {
    const char *isa; /* "baseline", "avx2", "avx512" */
    int32_t itemsize;
    int32_t count;
    const ab_kernel *kernels;
    const ab_matrix_kernels *matrix;
    const ab_update_kernels *update;
} ab_kernel_table;

/* Defined by kernels/cpu, one per build. */
extern const ab_kernel_table ab_table_baseline_f32, ab_table_baseline_f64;
extern const ab_kernel_table ab_table_avx2_f32, ab_table_avx2_f64;
extern const ab_kernel_table ab_table_avx512_f32, ab_table_avx512_f64;

/* The table of an instruction set, or of the best that this processor has (isa NULL), for
 * numbers of 4 or 8 bytes. NULL: unknown, or the processor has it not. */
const ab_kernel_table *ab_table_select(const char *isa, int itemsize);

/* Place of a kernel in every table; -1 if there is none of that name. */
int ab_kernel_index(const char *name);

#endif
