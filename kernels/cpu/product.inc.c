/* Products of operands that differ from row to row: matmul, dot, and affine where the engine
 * has no packed weight. The work is done by the matrix kernels (matrix.inc.c), on the
 * operands as they lie. */

#define PRODUCT_BLOCK 64 /* row addresses that are prepared at a time */

/* A matrix inside a row: number (r, c) is at[r * row + c * column]. */
typedef struct product_matrix {
    real *at;
    int64_t row;
    int64_t column;
} product_matrix;

static inline product_matrix
product_transposed(product_matrix a)
{
    return (product_matrix){a.at, a.column, a.row};
}

/* The plain version: C += A B for C (m, n), A (m, k), B (k, n), any strides. */
static void
product_plain(int64_t m, int64_t k, int64_t n, product_matrix a, product_matrix b, product_matrix c)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            real sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += a.at[i * a.row + l * a.column] * b.at[l * b.row + j * b.column];
            c.at[i * c.row + j * c.column] += sum;
        }
    }
}

/* C += A B with contiguous rows of A and C: B is the weight, rows of A are what it takes. */
static void
product_rows(int64_t m, int64_t k, int64_t n, product_matrix a, product_matrix b, product_matrix c)
{
    void *from[PRODUCT_BLOCK], *to[PRODUCT_BLOCK];
    for (int64_t first = 0; first < m; first += PRODUCT_BLOCK) {
        const int64_t count = m - first < PRODUCT_BLOCK ? m - first : PRODUCT_BLOCK;
        for (int64_t i = 0; i < count; i++) {
            from[i] = a.at + (first + i) * a.row;
            to[i] = c.at + (first + i) * c.row;
        }
        matrix_product_unpacked(b.at, b.column, b.row, k, count, from, to, NULL, 1, 0, n);
    }
}

/* C += A B with contiguous columns of A and rows of B: a sum of outer products. */
static void
product_outer(int64_t m, int64_t k, int64_t n, product_matrix a, product_matrix b, product_matrix c,
              void *scratch)
{
    void *left[PRODUCT_BLOCK], *right[PRODUCT_BLOCK];
    for (int64_t first = 0; first < k; first += PRODUCT_BLOCK) {
        const int64_t count = k - first < PRODUCT_BLOCK ? k - first : PRODUCT_BLOCK;
        for (int64_t l = 0; l < count; l++) {
            left[l] = a.at + (first + l) * a.column;
            right[l] = b.at + (first + l) * b.row;
        }
        matrix_outer(c.at, c.row, c.column, n, count, left, right, 0, m, scratch);
    }
}

/* C += A B by whatever the strides allow. scratch: product_scratch(m, n) bytes. */
static void
product_add(int64_t m, int64_t k, int64_t n, product_matrix a, product_matrix b, product_matrix c,
            void *scratch)
{
    if (m == 0 || k == 0 || n == 0)
        return;
    /* An axis of one number has whatever stride is wanted. */
    const int a_rows = a.column == 1 || k == 1, b_columns = b.row == 1 || k == 1;
    const int c_rows = c.column == 1 || n == 1, c_columns = c.row == 1 || m == 1;
    const int by_rows = a_rows && c_rows, by_columns = b_columns && c_columns;
    if (by_rows && !(by_columns && n < m))
        product_rows(m, k, n, a, b, c);
    else if (by_columns)
        product_rows(n, k, m, product_transposed(b), product_transposed(a), product_transposed(c));
    else if ((a.row == 1 || m == 1) && (b.column == 1 || n == 1) && (c_rows || c_columns))
        product_outer(m, k, n, a, b, c, scratch);
    else
        product_plain(m, k, n, a, b, c);
}

/* matmul: nb products y (m, n) = a (m, k) @ b (k, n).
 * p: [nb, m, k, n, a_b, a_i, a_k, b_b, b_k, b_j], strides in elements; a_b, b_b may be 0. */
enum { MATMUL_NB, MATMUL_M, MATMUL_K, MATMUL_N, MATMUL_A, MATMUL_B = 7 };

static product_matrix
matmul_operand(const int64_t *stride, real *row, int64_t product)
{
    return (product_matrix){row + product * stride[0], stride[1], stride[2]};
}

static void
matmul_forward(const ab_call *call)
{
    const int64_t *const p = call->p;
    const int64_t m = p[MATMUL_M], k = p[MATMUL_K], n = p[MATMUL_N];
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        memset(y, 0, (size_t)(p[MATMUL_NB] * m * n) * sizeof(real));
        for (int64_t t = 0; t < p[MATMUL_NB]; t++)
            product_add(m, k, n, matmul_operand(p + MATMUL_A, ROW(call->x[0], i), t),
                        matmul_operand(p + MATMUL_B, ROW(call->x[1], i), t),
                        (product_matrix){y + t * m * n, n, 1}, call->scratch);
    }
}

/* da = dy b^T, db = a^T dy */
static void
matmul_backward(const ab_call *call)
{
    const int64_t *const p = call->p;
    const int64_t m = p[MATMUL_M], k = p[MATMUL_K], n = p[MATMUL_N];
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t t = 0; t < p[MATMUL_NB]; t++) {
            const product_matrix dy = {ROW(call->dy, i) + t * m * n, n, 1};
            if (call->wrt == 0)
                product_add(m, n, k, dy,
                            product_transposed(matmul_operand(p + MATMUL_B, ROW(call->x[1], i), t)),
                            matmul_operand(p + MATMUL_A, ROW(call->dx, i), t), call->scratch);
            else
                product_add(k, m, n,
                            product_transposed(matmul_operand(p + MATMUL_A, ROW(call->x[0], i), t)),
                            dy, matmul_operand(p + MATMUL_B, ROW(call->dx, i), t), call->scratch);
        }
    }
}

static size_t
product_scratch(int64_t rows, int64_t columns)
{
    return matrix_outer_scratch(rows, columns);
}

static size_t
matmul_scratch(const int64_t *p, int64_t n)
{
    (void)n;
    const int64_t a = p[MATMUL_M] > p[MATMUL_K] ? p[MATMUL_M] : p[MATMUL_K];
    return product_scratch(a, p[MATMUL_N] > a ? p[MATMUL_N] : a);
}

/* dot: y = sum a b. p: [size]. */
static void
dot_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        ROW(call->y, i)[0] = row_dot(call->p[0], ROW(call->x[0], i), ROW(call->x[1], i));
}

static void
dot_backward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        row_add(call->p[0], ROW(call->dx, i), ROW(call->x[1 - call->wrt], i), ROW(call->dy, i)[0]);
}

/* affine: y = bias + W_1 x_1 + W_2 x_2 + ...; operands [bias,] W_1, x_1, W_2, x_2, ...
 * p: [pairs, has_bias, m, r, columns, trans, k_1, ..., k_pairs].
 *   columns 0: x_j is r rows of k_j numbers, y is r rows of m
 *   columns 1: x_j is (k_j, r), y is (m, r)
 *   trans 0: W_j is (m, k_j)
 *   trans 1: W is (k, m), from x @ W; one pair, no bias, and the operands are x, W
 *   trans 2: W_j is (k_j, m)
 * Here for weights that are not packed; the engine runs packed ones itself. */
enum { AFFINE_PAIRS, AFFINE_BIAS, AFFINE_M, AFFINE_R, AFFINE_COLUMNS, AFFINE_TRANS, AFFINE_K };

/* Places of a pair among the operands. */
static inline int64_t
affine_weight_place(const int64_t *p, int64_t pair)
{
    return p[AFFINE_BIAS] + 2 * pair + (p[AFFINE_TRANS] == 1);
}

static inline int64_t
affine_x_place(const int64_t *p, int64_t pair)
{
    return p[AFFINE_BIAS] + 2 * pair + (p[AFFINE_TRANS] != 1);
}

/* x and y as matrices of `count` columns of `size` numbers. */
static product_matrix
affine_columns(const int64_t *p, real *row, int64_t size)
{
    return p[AFFINE_COLUMNS] ? (product_matrix){row, p[AFFINE_R], 1}
                             : (product_matrix){row, 1, size};
}

static product_matrix
affine_weight(const int64_t *p, real *row, int64_t k)
{
    return p[AFFINE_TRANS] ? (product_matrix){row, 1, p[AFFINE_M]} : (product_matrix){row, k, 1};
}

static void
affine_forward(const ab_call *call)
{
    const int64_t *const p = call->p;
    const int64_t m = p[AFFINE_M], r = p[AFFINE_R], has_bias = p[AFFINE_BIAS];
    for (int64_t i = 0; i < call->n; i++) {
        const product_matrix y = affine_columns(p, ROW(call->y, i), m);
        const real *const bias = has_bias ? ROW(call->x[0], i) : NULL;
        for (int64_t o = 0; o < m; o++) {
            for (int64_t c = 0; c < r; c++)
                y.at[o * y.row + c * y.column] = bias ? bias[o] : 0;
        }
        for (int64_t j = 0; j < p[AFFINE_PAIRS]; j++) {
            const int64_t k = p[AFFINE_K + j];
            product_add(m, k, r, affine_weight(p, ROW(call->x[affine_weight_place(p, j)], i), k),
                        affine_columns(p, ROW(call->x[affine_x_place(p, j)], i), k), y,
                        call->scratch);
        }
    }
}

/* dbias of one column: dy itself. Where all rows add to one bias, as they mostly do, blocks of
 * their sum stay in registers. */
static void
affine_bias_gradient(const ab_call *call, int64_t m)
{
    enum { BLOCK = 64 };
    int64_t o = 0;
    for (; call->dx.stride == 0 && o + BLOCK <= m; o += BLOCK) {
        real *const dx = ROW(call->dx, 0) + o;
        real sum[BLOCK] = {0};
        for (int64_t i = 0; i < call->n; i++) {
            const real *const dy = ROW(call->dy, i) + o;
#pragma omp simd
            for (int64_t k = 0; k < BLOCK; k++)
                sum[k] += dy[k];
        }
        for (int64_t k = 0; k < BLOCK; k++)
            dx[k] += sum[k];
    }
    for (int64_t i = 0; i < call->n && o < m; i++) {
        const real *restrict const dy = ROW(call->dy, i);
        real *restrict const dx = ROW(call->dx, i);
#pragma omp simd
        for (int64_t k = o; k < m; k++)
            dx[k] += dy[k];
    }
}

/* dbias = the sum of dy's columns, dW = dy x^T, dx = W^T dy */
static void
affine_backward(const ab_call *call)
{
    const int64_t *const p = call->p;
    const int64_t m = p[AFFINE_M], r = p[AFFINE_R], has_bias = p[AFFINE_BIAS];
    if (call->wrt < has_bias && r == 1) {
        affine_bias_gradient(call, m);
        return;
    }
    for (int64_t i = 0; i < call->n; i++) {
        const product_matrix dy = affine_columns(p, ROW(call->dy, i), m);
        real *const dx = ROW(call->dx, i);
        if (call->wrt < has_bias) {
            for (int64_t o = 0; o < m; o++) {
                for (int64_t c = 0; c < r; c++)
                    dx[o] += dy.at[o * dy.row + c * dy.column];
            }
            continue;
        }
        const int64_t pair = (call->wrt - has_bias) / 2, k = p[AFFINE_K + pair];
        const int64_t at = affine_weight_place(p, pair);
        const product_matrix w = affine_weight(p, ROW(call->x[at], i), k);
        const product_matrix x = affine_columns(p, ROW(call->x[affine_x_place(p, pair)], i), k);
        if (call->wrt == at)
            product_add(m, r, k, dy, product_transposed(x), affine_weight(p, dx, k), call->scratch);
        else
            product_add(k, m, r, product_transposed(w), dy, affine_columns(p, dx, k),
                        call->scratch);
    }
}

static size_t
affine_scratch(const int64_t *p, int64_t n)
{
    (void)n;
    int64_t widest = p[AFFINE_M] > p[AFFINE_R] ? p[AFFINE_M] : p[AFFINE_R];
    for (int64_t j = 0; j < p[AFFINE_PAIRS]; j++)
        widest = p[AFFINE_K + j] > widest ? p[AFFINE_K + j] : widest;
    return product_scratch(widest, widest);
}
