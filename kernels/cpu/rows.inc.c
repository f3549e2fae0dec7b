/* What all kernels share: rows, and loops over one row. */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Numbers of a block that a kernel keeps on the stack while it walks along another axis. */
#define TILE 64

#define VECTOR ((int64_t)(AB_VECTOR_BYTES / sizeof(real))) /* numbers of a vector register */

#define ROW(rows, i) ((real *)(rows).row[i])

/* Whether n rows of `size` numbers lie one after the other, so that they are one row. */
static inline int
rows_contiguous(const ab_rows *rows, int64_t n, int64_t size)
{
    return n == 1 || rows->stride == size * (int64_t)sizeof(real);
}

/* y = x */
static inline void
row_copy(int64_t n, real *restrict y, const real *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i];
}

/* y += scale * x */
static inline void
row_add(int64_t n, real *restrict y, const real *restrict x, real scale)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

/* A running sum in float errs by its length and stops at 2^24 ones. So a long one is cut: numbers of
 * a row that one plain sum adds, and rows whose columns are summed side by side. What the pieces come
 * to is added in double. */
#define SUM_BLOCK 256
#define SUM_ROWS 32

/* The sum of `term`, an expression of i, over 0 <= i < n. */
#define ROW_SUM(n, term)                                                                           \
    ({                                                                                             \
        double row_total = 0;                                                                      \
        for (int64_t row_block = 0; row_block < (n); row_block += SUM_BLOCK) {                     \
            const int64_t row_end = (n) - row_block < SUM_BLOCK ? (n) : row_block + SUM_BLOCK;     \
            real row_part = 0;                                                                     \
            _Pragma("omp simd reduction(+ : row_part)") for (int64_t i = row_block; i < row_end;   \
                                                             i++) row_part += (term);              \
            row_total += (double)row_part;                                                         \
        }                                                                                          \
        (real) row_total;                                                                          \
    })

/* Adds to double sum[k], 0 <= k < width <= TILE, the sums of `term`, an expression of l and k, over
 * 0 <= l < len. */
#define TILE_SUM(sum, len, width, term)                                                            \
    for (int64_t tile_block = 0; tile_block < (len); tile_block += SUM_ROWS) {                     \
        const int64_t tile_end = (len) - tile_block < SUM_ROWS ? (len) : tile_block + SUM_ROWS;    \
        real tile_part[TILE] = {0};                                                                \
        for (int64_t l = tile_block; l < tile_end; l++) {                                          \
            _Pragma("omp simd") for (int64_t k = 0; k < (width); k++) tile_part[k] += (term);      \
        }                                                                                          \
        for (int64_t k = 0; k < (width); k++)                                                      \
            (sum)[k] += (double)tile_part[k];                                                      \
    }

static inline real
row_dot(int64_t n, const real *restrict a, const real *restrict b)
{
    return ROW_SUM(n, a[i] * b[i]);
}

/* The largest magnitude of n numbers `step` apart; NaN does not count. */
static inline real
row_magnitude(int64_t n, int64_t step, const real *x)
{
    real largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = ab_fabs(x[i * step]) > largest ? ab_fabs(x[i * step]) : largest;
    return largest;
}

/* Whether a sum of squares left the range of numbers, above or below, so that it has to be formed
 * again of scaled ones. */
static inline int
squares_lost(real sum)
{
    return sum > AB_LARGEST || sum < AB_SMALLEST / AB_EPSILON;
}

/* The largest that is not NaN; -inf if there is none. */
static inline real
row_max(int64_t n, const real *x)
{
    real largest = -(real)INFINITY;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* What to subtract before exp: the maximum, unless it is infinite. Then exp is 0 or
 * infinite by itself, where infinity - infinity would be NaN. */
static inline real
exp_shift(real largest)
{
    return ab_fabs(largest) <= AB_LARGEST ? largest : 0;
}

/* sum of exp(x - shift) */
static inline real
row_exp_sum(int64_t n, const real *x, real shift)
{
    return ROW_SUM(n, ab_exp(x[i] - shift));
}

/* log of the sum of exp(x): -inf where all are -inf, NaN where one is. */
static inline real
row_logsumexp(int64_t n, const real *x)
{
    const real shift = exp_shift(row_max(n, x));
    return shift + ab_log(row_exp_sum(n, x, shift));
}
