/* Statistics along one axis: x (outer, len, inner). p: [outer, len, inner, ...]. */

/* cumsum: y[l] = x[0] + ... + x[l] along the axis. */
static void
cumsum_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.from;
        real sum[TILE] = {0};
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                y[l * b.inner + k] = sum[k] += x[l * b.inner + k];
        }
    }
}

/* dx[l] = dy[l] + ... + dy[len - 1] */
static void
cumsum_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const dy = ROW(call->dy, b.row) + b.from;
        real *const dx = ROW(call->dx, b.row) + b.from;
        real sum[TILE] = {0};
        for (int64_t l = b.len - 1; l >= 0; l--) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] += sum[k] += dy[l * b.inner + k];
        }
    }
}

/* The mean of each of a block's lines. */
static void
statistics_mean(const reduce_block *b, const real *x, real *restrict mean)
{
    if (b->inner == 1) {
        mean[0] = reduce_row_sum(b->len, x) / (real)b->len;
        return;
    }
    for (int64_t k = 0; k < b->width; k++)
        mean[k] = 0;
    for (int64_t l = 0; l < b->len; l++)
        row_add(b->width, mean, x + l * b->inner, 1);
    for (int64_t k = 0; k < b->width; k++)
        mean[k] /= (real)b->len;
}

/* reduce_std: square root of the mean of (x - mean)^2. In two passes: the difference of the
 * mean of squares and the square of the mean would cancel. */
static void
reduce_std_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        real mean[TILE], sum[TILE] = {0};
        statistics_mean(&b, x, mean);
        if (b.inner == 1) {
            const real middle = mean[0];
            real squares = 0;
#pragma omp simd reduction(+ : squares)
            for (int64_t l = 0; l < b.len; l++)
                squares += (x[l] - middle) * (x[l] - middle);
            sum[0] = squares;
        } else {
            for (int64_t l = 0; l < b.len; l++) {
                for (int64_t k = 0; k < b.width; k++) {
                    const real off = x[l * b.inner + k] - mean[k];
                    sum[k] += off * off;
                }
            }
        }
        for (int64_t k = 0; k < b.width; k++)
            y[k] = ab_sqrt(sum[k] / (real)b.len);
    }
}

/* dx = dy (x - mean) / (len y); 0, a subgradient, where the deviation is 0. */
static void
reduce_std_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const real *const y = ROW(call->y, b.row) + b.to;
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        real mean[TILE], share[TILE];
        statistics_mean(&b, x, mean);
        for (int64_t k = 0; k < b.width; k++)
            share[k] = y[k] == 0 ? 0 : dy[k] / ((real)b.len * y[k]);
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] += share[k] * (x[l * b.inner + k] - mean[k]);
        }
    }
}

static inline real
statistics_power(real x, int64_t order)
{
    real power = 1;
    for (int64_t i = 0; i < order; i++)
        power *= x;
    return power;
}

/* reduce_moment: mean of x^order. p: [outer, len, inner, order], order >= 1. */
static void
reduce_moment_forward(const ab_call *call)
{
    const int64_t order = call->p[3];
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        real sum[TILE] = {0};
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                sum[k] += statistics_power(x[l * b.inner + k], order);
        }
        for (int64_t k = 0; k < b.width; k++)
            y[k] = sum[k] / (real)b.len;
    }
}

static void
reduce_moment_backward(const ab_call *call)
{
    const int64_t order = call->p[3];
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        const real scale = (real)order / (real)b.len;
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] +=
                    dy[k] * scale * statistics_power(x[l * b.inner + k], order - 1);
        }
    }
}

/* hardmax: 1 at the first maximum (the first NaN), 0 elsewhere. */
static void
hardmax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.from;
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                y[l * b.inner + k] = 0;
        }
        for (int64_t k = 0; b.len > 0 && k < b.width; k++)
            y[reduce_place(b.len, b.inner, x + k, 1) * b.inner + k] = 1;
    }
}

/* Whether the number at `at` is among the `count` largest of a line; NaN is larger than all, and
 * of equals the first are taken. */
static inline int
kmax_takes(int64_t n, int64_t step, const real *x, int64_t at, int64_t count)
{
    const real own = x[at * step];
    int64_t before = 0;
    for (int64_t l = 0; l < n; l++) {
        const real here = x[l * step];
        const int above = here > own || (here != here && own == own);
        const int below = own > here || (own != own && here == here);
        before += above || (!below && l < at);
    }
    return before < count;
}

/* kmax: the `count` largest along the axis, in the order in which they stand there.
 * p: [outer, len, inner, count]. */
ALWAYS_INLINE void
kmax_walk(const ab_call *call, const int backward)
{
    const int64_t count = call->p[3];
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const int64_t to = b.o * count * b.inner + b.first;
        for (int64_t k = 0; k < b.width; k++) {
            int64_t taken = 0;
            for (int64_t l = 0; l < b.len && taken < count; l++) {
                if (!kmax_takes(b.len, b.inner, x + k, l, count))
                    continue;
                const int64_t place = to + taken++ * b.inner + k;
                if (backward)
                    ROW(call->dx, b.row)[b.from + l * b.inner + k] += ROW(call->dy, b.row)[place];
                else
                    ROW(call->y, b.row)[place] = x[l * b.inner + k];
            }
        }
    }
}

static void
kmax_forward(const ab_call *call)
{
    kmax_walk(call, 0);
}

static void
kmax_backward(const ab_call *call)
{
    kmax_walk(call, 1);
}

/* layer_norm: y = gain (x - mean) / sqrt(variance + epsilon) + bias over vectors of `dim`.
 * p: [vectors, dim, epsilon (bits)]; operands x (vectors, dim), gain (dim), bias (dim). */
typedef struct layer_norm_vector {
    real mean, scale; /* 1 / sqrt(variance + epsilon) */
} layer_norm_vector;

static layer_norm_vector
layer_norm_of(int64_t dim, const real *x, real epsilon)
{
    const real mean = reduce_row_sum(dim, x) / (real)dim;
    real squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < dim; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const real deviation = ab_sqrt(squares / (real)dim + epsilon);
    /* Without epsilon, equal numbers become 0 rather than 0 / 0. */
    return (layer_norm_vector){mean, deviation == 0 ? 0 : 1 / deviation};
}

static void
layer_norm_forward(const ab_call *call)
{
    const int64_t vectors = call->p[0], dim = call->p[1];
    const real epsilon = (real)ab_double(call->p[2]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const gain = ROW(call->x[1], i), *const bias = ROW(call->x[2], i);
        for (int64_t v = 0; v < vectors; v++) {
            const real *const x = ROW(call->x[0], i) + v * dim;
            real *const restrict y = ROW(call->y, i) + v * dim;
            const layer_norm_vector s = layer_norm_of(dim, x, epsilon);
            for (int64_t k = 0; k < dim; k++)
                y[k] = gain[k] * ((x[k] - s.mean) * s.scale) + bias[k];
        }
    }
}

/* With h = (x - mean) scale and a = dy gain:
 * dx = scale (a - mean(a) - h mean(a h)), dgain = dy h, dbias = dy. */
static void
layer_norm_backward(const ab_call *call)
{
    const int64_t vectors = call->p[0], dim = call->p[1];
    const real epsilon = (real)ab_double(call->p[2]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const gain = ROW(call->x[1], i);
        for (int64_t v = 0; v < vectors; v++) {
            const real *const x = ROW(call->x[0], i) + v * dim;
            const real *const dy = ROW(call->dy, i) + v * dim;
            real *const restrict dx = ROW(call->dx, i);
            if (call->wrt == 2) {
                row_add(dim, dx, dy, 1);
                continue;
            }
            const layer_norm_vector s = layer_norm_of(dim, x, epsilon);
            if (call->wrt == 1) {
                for (int64_t k = 0; k < dim; k++)
                    dx[k] += dy[k] * ((x[k] - s.mean) * s.scale);
                continue;
            }
            real sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
            for (int64_t k = 0; k < dim; k++) {
                const real a = dy[k] * gain[k];
                sum += a;
                along += a * (x[k] - s.mean) * s.scale;
            }
            sum /= (real)dim;
            along /= (real)dim;
            for (int64_t k = 0; k < dim; k++) {
                const real h = (x[k] - s.mean) * s.scale;
                dx[v * dim + k] += s.scale * (dy[k] * gain[k] - sum - h * along);
            }
        }
    }
}
