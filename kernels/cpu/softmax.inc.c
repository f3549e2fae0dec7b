/* softmax and log_softmax over one axis of x (outer, len, inner). p: [outer, len, inner].
 *
 *   softmax       y = exp(x - m) / sum exp(x - m)         m: the maximum
 *   log_softmax   y = x - m - log sum exp(x - m)
 *
 * -inf takes part with probability 0; a NaN, or -inf everywhere, makes all NaN. */

static void
softmax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const restrict y = ROW(call->y, b.row) + b.from;
        if (b.inner == 1) {
            const real shift = exp_shift(row_max(b.len, x));
            const real sum = ROW_SUM(b.len, y[i] = ab_exp(x[i] - shift));
            const real scale = 1 / sum;
            for (int64_t l = 0; l < b.len; l++)
                y[l] = sum > 0 ? y[l] * scale : (real)NAN;
        } else {
            real shift[TILE];
            real sum[TILE];
            tile_exp_sum(b.len, b.inner, b.width, x, shift, sum);
            for (int64_t l = 0; l < b.len; l++) {
#pragma omp simd
                for (int64_t k = 0; k < b.width; k++)
                    y[l * b.inner + k] = ab_exp(x[l * b.inner + k] - shift[k]) / sum[k];
            }
        }
    }
}

/* dx = y (dy - sum dy y) */
static void
softmax_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const y = ROW(call->y, b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.from;
        real *const restrict dx = ROW(call->dx, b.row) + b.from;
        if (b.inner == 1) {
            const real sum = row_dot(b.len, dy, y);
            for (int64_t l = 0; l < b.len; l++)
                dx[l] += y[l] * (dy[l] - sum);
        } else {
            double sum[TILE] = {0};
            TILE_SUM(sum, b.len, b.width, dy[l * b.inner + k] * y[l * b.inner + k])
            for (int64_t l = 0; l < b.len; l++) {
                for (int64_t k = 0; k < b.width; k++)
                    dx[l * b.inner + k] +=
                        y[l * b.inner + k] * (dy[l * b.inner + k] - (real)sum[k]);
            }
        }
    }
}

static void
log_softmax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const x = ROW(call->x[0], b.row) + b.from;
        real *const restrict y = ROW(call->y, b.row) + b.from;
        if (b.inner == 1) {
            const real shift = exp_shift(row_max(b.len, x));
            const real log_sum = ab_log(row_exp_sum(b.len, x, shift));
            for (int64_t l = 0; l < b.len; l++)
                y[l] = x[l] - shift - log_sum;
        } else {
            real shift[TILE];
            real sum[TILE];
            tile_exp_sum(b.len, b.inner, b.width, x, shift, sum);
            for (int64_t k = 0; k < b.width; k++)
                sum[k] = ab_log(sum[k]);
            for (int64_t l = 0; l < b.len; l++) {
                for (int64_t k = 0; k < b.width; k++)
                    y[l * b.inner + k] = x[l * b.inner + k] - shift[k] - sum[k];
            }
        }
    }
}

/* dx = dy - exp(y) sum dy */
static void
log_softmax_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const y = ROW(call->y, b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.from;
        real *const restrict dx = ROW(call->dx, b.row) + b.from;
        if (b.inner == 1) {
            const real sum = reduce_row_sum(b.len, dy);
#pragma omp simd
            for (int64_t l = 0; l < b.len; l++)
                dx[l] += dy[l] - ab_exp(y[l]) * sum;
        } else {
            double sum[TILE] = {0};
            TILE_SUM(sum, b.len, b.width, dy[l * b.inner + k])
            for (int64_t l = 0; l < b.len; l++) {
#pragma omp simd
                for (int64_t k = 0; k < b.width; k++)
                    dx[l * b.inner + k] +=
                        dy[l * b.inner + k] - ab_exp(y[l * b.inner + k]) * (real)sum[k];
            }
        }
    }
}
