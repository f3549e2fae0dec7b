/* Inverse and determinant of small square matrices, by elimination with partial pivoting, in
 * double. p: [n]. Scratch: two matrices. */

static size_t
algebra_scratch(const int64_t *p, int64_t n)
{
    (void)n;
    return (size_t)(2 * p[0] * p[0]) * sizeof(double);
}

static void
algebra_read(double *a, const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        a[i] = (double)x[i];
}

/* Brings the largest number of a column, on or below the diagonal, to the diagonal. Returns the
 * row where it was. */
static int64_t
algebra_pivot(double *a, int64_t n, int64_t column, int64_t from)
{
    int64_t best = column;
    for (int64_t r = column + 1; r < n; r++)
        if (!(fabs(a[r * n + column]) <= fabs(a[best * n + column]))) /* a NaN is found, too */
            best = r;
    if (best != column)
        for (int64_t k = from; k < n; k++) {
            const double other = a[column * n + k];
            a[column * n + k] = a[best * n + k];
            a[best * n + k] = other;
        }
    return best;
}

static inline void
algebra_subtract(double *restrict row, const double *restrict other, double factor, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        row[k] -= factor * other[k];
}

/* Inverts in place by Gauss-Jordan elimination; a singular matrix becomes NaN. */
static void
algebra_invert(double *a, int64_t n, double *swaps)
{
    for (int64_t c = 0; c < n; c++) {
        double *const row = a + c * n;
        swaps[c] = (double)algebra_pivot(a, n, c, 0);
        if (row[c] == 0) {
            for (int64_t i = 0; i < n * n; i++)
                a[i] = NAN;
            return;
        }
        const double scale = 1 / row[c];
        row[c] = 1;
        for (int64_t k = 0; k < n; k++)
            row[k] *= scale;
        for (int64_t r = 0; r < n; r++) {
            const double factor = a[r * n + c];
            if (r == c)
                continue;
            a[r * n + c] = 0;
            algebra_subtract(a + r * n, row, factor, n);
        }
    }
    for (int64_t c = n - 1; c >= 0; c--) { /* rows were exchanged: so are the columns */
        const int64_t other = (int64_t)swaps[c];
        for (int64_t r = 0; r < n && other != c; r++) {
            const double kept = a[r * n + c];
            a[r * n + c] = a[r * n + other];
            a[r * n + other] = kept;
        }
    }
}

static void
inverse_forward(const ab_call *call)
{
    const int64_t n = call->p[0];
    double *const a = call->scratch;
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        algebra_read(a, ROW(call->x[0], i), n * n);
        algebra_invert(a, n, a + n * n);
        for (int64_t k = 0; k < n * n; k++)
            y[k] = (real)a[k];
    }
}

/* dx -= y^T dy y^T */
static void
inverse_backward(const ab_call *call)
{
    const int64_t n = call->p[0];
    double *const product = call->scratch, *const sum = product + n * n;
    for (int64_t i = 0; i < call->n; i++) {
        const real *const y = ROW(call->y, i), *const dy = ROW(call->dy, i);
        real *const dx = ROW(call->dx, i);
        for (int64_t r = 0; r < n; r++) /* product = dy y^T */
            for (int64_t c = 0; c < n; c++) {
                double total = 0;
                for (int64_t k = 0; k < n; k++)
                    total += (double)dy[r * n + k] * (double)y[c * n + k];
                product[r * n + c] = total;
            }
        for (int64_t r = 0; r < n; r++) {
            for (int64_t c = 0; c < n; c++)
                sum[c] = 0;
            for (int64_t k = 0; k < n; k++)
                algebra_subtract(sum, product + k * n, (double)y[k * n + r], n);
            for (int64_t c = 0; c < n; c++)
                dx[r * n + c] += (real)sum[c];
        }
    }
}

/* log of the determinant: the sum of the pivots' logarithms, NaN where an odd count of signs is
 * negative, -inf where a pivot is 0. */
static void
logdet_forward(const ab_call *call)
{
    const int64_t n = call->p[0];
    double *const a = call->scratch;
    for (int64_t i = 0; i < call->n; i++) {
        double total = 0;
        int negative = 0;
        algebra_read(a, ROW(call->x[0], i), n * n);
        for (int64_t c = 0; c < n && total != -INFINITY; c++) {
            negative ^= algebra_pivot(a, n, c, c) != c;
            const double pivot = a[c * n + c];
            negative ^= pivot < 0;
            total += log(fabs(pivot));
            for (int64_t r = c + 1; r < n; r++)
                algebra_subtract(a + r * n + c, a + c * n + c, a[r * n + c] / pivot, n - c);
        }
        *ROW(call->y, i) = (real)(negative && total != -INFINITY ? NAN : total);
    }
}

/* dx += dy (x^-1)^T */
static void
logdet_backward(const ab_call *call)
{
    const int64_t n = call->p[0];
    double *const a = call->scratch;
    for (int64_t i = 0; i < call->n; i++) {
        const double dy = (double)*ROW(call->dy, i);
        real *const dx = ROW(call->dx, i);
        algebra_read(a, ROW(call->x[0], i), n * n);
        algebra_invert(a, n, a + n * n);
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < n; c++)
                dx[r * n + c] += (real)(dy * a[c * n + r]);
    }
}
