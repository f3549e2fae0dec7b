/* Statistics along one axis: x (outer, len, inner). p: [outer, len, inner, ...]. */

/* cumsum: y[l] = x[0] + ... + x[l] along the axis. */
static void
cumsum_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.from;
        double sum[TILE] = {0};
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                y[l * b.inner + k] = (real)(sum[k] += (double)x[l * b.inner + k]);
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
        double sum[TILE] = {0};
        for (int64_t l = b.len - 1; l >= 0; l--) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] += (real)(sum[k] += (double)dy[l * b.inner + k]);
        }
    }
}

/* The mean of each of a block's lines, as the first number and the mean distance from it: of equal
 * numbers exactly that number. */
static void
statistics_mean(const reduce_block *b, const real *x, real *restrict mean)
{
    if (b->inner == 1) {
        const real first = x[0];
        mean[0] = first + ROW_SUM(b->len, x[i] - first) / (real)b->len;
        return;
    }
    double sum[TILE] = {0};
    TILE_SUM(sum, b->len, b->width, x[l * b->inner + k] - x[k])
    for (int64_t k = 0; k < b->width; k++)
        mean[k] = x[k] + (real)(sum[k] / (double)b->len);
}

/* The deviation of n numbers `step` apart whose squares left the range: that of x / largest. Their
 * mean, in the same unit, too. */
static real
statistics_scaled(int64_t n, int64_t step, const real *x, real largest, real *mean)
{
    const real first = x[0] / largest;
    const real middle = first + ROW_SUM(n, x[i * step] / largest - first) / (real)n;
    *mean = middle;
    return ab_sqrt(ROW_SUM(n, (x[i * step] / largest - middle) * (x[i * step] / largest - middle))
                   / (real)n);
}

/* Square root of the mean of squares of distances from the mean. */
static real
statistics_deviation(int64_t n, int64_t step, const real *x, real squares)
{
    if (squares_lost(squares) || squares != squares) {
        const real largest = row_magnitude(n, step, x);
        real mean;
        if (largest > AB_LARGEST)
            return (real)NAN;
        return largest == 0 ? squares : largest * statistics_scaled(n, step, x, largest, &mean);
    }
    return ab_sqrt(squares / (real)n);
}

/* reduce_std: square root of the mean of (x - mean)^2. In two passes: the difference of the
 * mean of squares and the square of the mean would cancel. */
static void
reduce_std_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        real mean[TILE];
        double sum[TILE] = {0};
        statistics_mean(&b, x, mean);
        if (b.inner == 1) {
            const real middle = mean[0];
            sum[0] = ROW_SUM(b.len, (x[i] - middle) * (x[i] - middle));
        } else {
            TILE_SUM(sum, b.len, b.width,
                     (x[l * b.inner + k] - mean[k]) * (x[l * b.inner + k] - mean[k]))
        }
        for (int64_t k = 0; k < b.width; k++)
            y[k] = statistics_deviation(b.len, b.inner, x + k, (real)sum[k]);
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
        real mean[TILE], share[TILE], unit[TILE];
        statistics_mean(&b, x, mean);
        for (int64_t k = 0; k < b.width; k++) {
            const real square = y[k] * y[k];
            real deviation = y[k];
            unit[k] = 1;
            if (y[k] > 0 && (squares_lost(square) || !(ab_fabs(mean[k]) <= AB_LARGEST))) {
                unit[k] = row_magnitude(b.len, b.inner, x + k);
                deviation = statistics_scaled(b.len, b.inner, x + k, unit[k], &mean[k]);
            }
            share[k] = y[k] == 0 ? 0 : 1 / ((real)b.len * deviation);
        }
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] +=
                    dy[k] * (y[k] == 0 ? 0 : share[k] * (x[l * b.inner + k] / unit[k] - mean[k]));
        }
    }
}

static inline double
statistics_power(double x, int64_t order)
{
    double power = 1;
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
        double sum[TILE] = {0};
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                sum[k] += statistics_power((double)x[l * b.inner + k], order);
        }
        for (int64_t k = 0; k < b.width; k++)
            y[k] = (real)(sum[k] / (double)b.len);
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
        const double scale = (double)order / (double)b.len;
        for (int64_t l = 0; l < b.len; l++) {
            for (int64_t k = 0; k < b.width; k++)
                dx[l * b.inner + k] +=
                    (real)(scale * dy[k] * statistics_power(x[l * b.inner + k], order - 1));
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
    const real first = x[0]; /* from which equal numbers have no distance */
    const real mean = first + ROW_SUM(dim, x[i] - first) / (real)dim;
    const real squares = ROW_SUM(dim, (x[i] - mean) * (x[i] - mean));
    const real deviation = squares > AB_LARGEST || (epsilon == 0 && squares_lost(squares))
                               ? statistics_deviation(dim, 1, x, squares)
                               : ab_sqrt(squares / (real)dim + epsilon);
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
            const real sum = ROW_SUM(dim, dy[i] * gain[i]) / (real)dim;
            const real along =
                ROW_SUM(dim, dy[i] * gain[i] * (x[i] - s.mean) * s.scale) / (real)dim;
            for (int64_t k = 0; k < dim; k++) {
                const real h = (x[k] - s.mean) * s.scale;
                dx[v * dim + k] += s.scale * (dy[k] * gain[k] - sum - h * along);
            }
        }
    }
}
