/* Reductions over one axis: x (outer, len, inner) -> y (outer, inner). p: [outer, len, inner].
 *
 * Where inner is 1 the axis is contiguous: a vectorised reduction. Otherwise the kernel
 * walks along the axis and keeps up to TILE results, which lie side by side, at hand. */

/* A block of results that lie side by side, and where they come from. */
typedef struct reduce_block {
    int64_t rows, outer, len, inner;
    int64_t row;   /* of the call */
    int64_t o;     /* outer index */
    int64_t first; /* inner index of the first result */
    int64_t width; /* results, at most TILE */
    int64_t from;  /* place of their first number in x; numbers of an axis are `inner` apart */
    int64_t to;    /* place of the first result in y */
} reduce_block;

ALWAYS_INLINE reduce_block
reduce_start(const ab_call *call)
{
    const int64_t *const p = call->p;
    const int empty = p[0] == 0 || p[2] == 0;
    return (reduce_block){
        .rows = empty ? 0 : call->n, .outer = p[0], .len = p[1], .inner = p[2], .first = -TILE};
}

/* Steps to the next block; 0 after the last. */
ALWAYS_INLINE int
reduce_next(reduce_block *b)
{
    b->first += TILE;
    if (b->first >= b->inner) {
        b->first = 0;
        if (++b->o == b->outer) {
            b->o = 0;
            b->row++;
        }
    }
    b->width = b->inner - b->first < TILE ? b->inner - b->first : TILE;
    b->from = b->o * b->len * b->inner + b->first;
    b->to = b->o * b->inner + b->first;
    return b->row < b->rows;
}

static real
reduce_row_sum(int64_t n, const real *x)
{
    return ROW_SUM(n, x[i]);
}

ALWAYS_INLINE void
reduce_sum_scaled(const ab_call *call, const real scale)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        if (b.inner == 1) {
            y[0] = scale * reduce_row_sum(b.len, x);
        } else {
            double sum[TILE] = {0};
            TILE_SUM(sum, b.len, b.width, x[l * b.inner + k])
            for (int64_t k = 0; k < b.width; k++)
                y[k] = scale * (real)sum[k];
        }
    }
}

ALWAYS_INLINE void
reduce_sum_scaled_backward(const ab_call *call, const real scale)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        if (b.inner == 1) {
            const real share = scale * dy[0];
            for (int64_t l = 0; l < b.len; l++)
                dx[l] += share;
        } else {
            for (int64_t l = 0; l < b.len; l++)
                row_add(b.width, dx + l * b.inner, dy, scale);
        }
    }
}

static void
reduce_sum_forward(const ab_call *call)
{
    reduce_sum_scaled(call, 1);
}

static void
reduce_sum_backward(const ab_call *call)
{
    reduce_sum_scaled_backward(call, 1);
}

/* The mean of nothing is NaN, as in NumPy. */
static void
reduce_mean_forward(const ab_call *call)
{
    reduce_sum_scaled(call, 1 / (real)call->p[1]);
}

static void
reduce_mean_backward(const ab_call *call)
{
    reduce_sum_scaled_backward(call, 1 / (real)call->p[1]);
}

/* ------------------------------------------------------------------ maximum and minimum */

/* Extremum (sign 1: largest, -1: smallest) of n contiguous numbers, times sign; NaN if there
 * is one. */
ALWAYS_INLINE real
reduce_row_extremum(int64_t n, const real *x, const real sign)
{
    real best = -(real)INFINITY;
    int nans = 0;
#pragma omp simd reduction(max : best) reduction(| : nans)
    for (int64_t l = 0; l < n; l++) {
        const real here = sign * x[l];
        best = here > best ? here : best;
        nans |= here != here;
    }
    return nans ? (real)NAN : best;
}

/* Place of the first extremum of n > 0 numbers `step` apart; of the first NaN, if there is one. */
ALWAYS_INLINE int64_t
reduce_place(int64_t n, int64_t step, const real *x, const real sign)
{
    if (step == 1) {
        const real best = reduce_row_extremum(n, x, sign);
        const int nan = best != best;
        ab_signed_bits place = (ab_signed_bits)(n - 1);
#pragma omp simd reduction(min : place)
        for (ab_signed_bits l = 0; l < (ab_signed_bits)n; l++) {
            const int found = (sign * x[l] == best) | (nan & (x[l] != x[l]));
            place = found && l < place ? l : place;
        }
        return place;
    }
    real best = x[0];
    int64_t place = 0;
    for (int64_t l = 1; l < n && best == best; l++) {
        const real here = x[l * step];
        if (sign * here > sign * best || here != here) {
            best = here;
            place = l;
        }
    }
    return place;
}

ALWAYS_INLINE void
reduce_extremum(const ab_call *call, const real sign)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        if (b.inner == 1) {
            y[0] = sign * reduce_row_extremum(b.len, x, sign);
        } else {
            real best[TILE];
            for (int64_t k = 0; k < b.width; k++)
                best[k] = -(real)INFINITY;
            for (int64_t l = 0; l < b.len; l++) {
                for (int64_t k = 0; k < b.width; k++)
                    best[k] = ab_max(best[k], sign * x[l * b.inner + k]);
            }
            for (int64_t k = 0; k < b.width; k++)
                y[k] = sign * best[k];
        }
    }
}

/* The gradient goes to the first of equal extrema. */
ALWAYS_INLINE void
reduce_extremum_backward(const ab_call *call, const real sign)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        for (int64_t k = 0; b.len > 0 && k < b.width; k++)
            dx[reduce_place(b.len, b.inner, x + k, sign) * b.inner + k] += dy[k];
    }
}

static void
reduce_max_forward(const ab_call *call)
{
    reduce_extremum(call, 1);
}

static void
reduce_max_backward(const ab_call *call)
{
    reduce_extremum_backward(call, 1);
}

static void
reduce_min_forward(const ab_call *call)
{
    reduce_extremum(call, -1);
}

static void
reduce_min_backward(const ab_call *call)
{
    reduce_extremum_backward(call, -1);
}

static void
reduce_argmax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        for (int64_t k = 0; k < b.width; k++)
            y[k] = (real)reduce_place(b.len, b.inner, x + k, 1);
    }
}

/* ---------------------------------------------------------------------- logsumexp, norm */

/* For `width` neighbours at once: shift[k] and the sum of exp(x - shift[k]) along the axis. */
static void
tile_exp_sum(int64_t len, int64_t inner, int64_t width, const real *x, real *restrict shift,
             real *restrict sum)
{
    double total[TILE] = {0};
    for (int64_t k = 0; k < width; k++)
        shift[k] = -(real)INFINITY;
    for (int64_t l = 0; l < len; l++) {
        for (int64_t k = 0; k < width; k++)
            shift[k] = x[l * inner + k] > shift[k] ? x[l * inner + k] : shift[k];
    }
    for (int64_t k = 0; k < width; k++)
        shift[k] = exp_shift(shift[k]);
    TILE_SUM(total, len, width, ab_exp(x[l * inner + k] - shift[k]))
    for (int64_t k = 0; k < width; k++)
        sum[k] = (real)total[k];
}

static void
reduce_logsumexp_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        if (b.inner == 1) {
            y[0] = row_logsumexp(b.len, x);
        } else {
            real shift[TILE];
            real sum[TILE];
            tile_exp_sum(b.len, b.inner, b.width, x, shift, sum);
            for (int64_t k = 0; k < b.width; k++)
                y[k] = shift[k] + ab_log(sum[k]);
        }
    }
}

/* dx = dy exp(x - y); 0 where y is infinite. */
static void
reduce_logsumexp_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const real *const y = ROW(call->y, b.row) + b.to;
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        if (b.inner == 1) {
            const real total = y[0], share = dy[0];
            if (ab_fabs(total) > AB_LARGEST)
                continue;
#pragma omp simd
            for (int64_t l = 0; l < b.len; l++)
                dx[l] += share * ab_exp(x[l] - total);
        } else {
            for (int64_t l = 0; l < b.len; l++) {
#pragma omp simd
                for (int64_t k = 0; k < b.width; k++) {
                    const real term = dy[k] * ab_exp(x[l * b.inner + k] - y[k]);
                    dx[l * b.inner + k] += ab_fabs(y[k]) > AB_LARGEST ? 0 : term;
                }
            }
        }
    }
}

/* Square root of the sum of squares of n numbers `step` apart, where their sum is at hand. */
static inline real
norm_of(int64_t n, int64_t step, const real *x, real squares)
{
    if (squares_lost(squares)) {
        const real largest = row_magnitude(n, step, x);
        if (largest == 0 || largest > AB_LARGEST)
            return largest;
        const real *const at = x;
        return largest * ab_sqrt(ROW_SUM(n, (at[i * step] / largest) * (at[i * step] / largest)));
    }
    return ab_sqrt(squares);
}

/* Square root of the sum of squares. */
static void
reduce_norm_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const y = ROW(call->y, b.row) + b.to;
        if (b.inner == 1) {
            y[0] = norm_of(b.len, 1, x, row_dot(b.len, x, x));
        } else {
            double sum[TILE] = {0};
            TILE_SUM(sum, b.len, b.width, x[l * b.inner + k] * x[l * b.inner + k])
            for (int64_t k = 0; k < b.width; k++)
                y[k] = norm_of(b.len, b.inner, x + k, (real)sum[k]);
        }
    }
}

/* dx = dy x / y; 0, a subgradient, where the norm is 0. */
static void
reduce_norm_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        const real *const y = ROW(call->y, b.row) + b.to;
        const real *const dy = ROW(call->dy, b.row) + b.to;
        real *const dx = ROW(call->dx, b.row) + b.from;
        /* x / y is of ordinary size where 1 / y is not. */
        if (b.inner == 1) {
            const real norm = y[0], share = dy[0];
            for (int64_t l = 0; l < b.len; l++)
                dx[l] += share * (norm == 0 ? 0 : x[l] / norm);
        } else {
            for (int64_t l = 0; l < b.len; l++) {
                for (int64_t k = 0; k < b.width; k++)
                    dx[l * b.inner + k] += dy[k] * (y[k] == 0 ? 0 : x[l * b.inner + k] / y[k]);
            }
        }
    }
}
