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

static inline real
row_dot(int64_t n, const real *restrict a, const real *restrict b)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
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
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += ab_exp(x[i] - shift);
    return sum;
}

/* log of the sum of exp(x): -inf where all are -inf, NaN where one is. */
static inline real
row_logsumexp(int64_t n, const real *x)
{
    const real shift = exp_shift(row_max(n, x));
    return shift + ab_log(row_exp_sum(n, x, shift));
}
