/* Distributions with zeros or with bounds. Not hot: lines are walked one by one. */

/* sparsemax: the point of the simplex next to x, max(0, x - t) (Martins and Astudillo 2016).
 * x (outer, len, inner). p: [outer, len, inner].
 *
 * t is found by Michelot's iteration (1986): from a set that holds the support, here all
 * above max - 1, t = (sum - 1) / count, and what falls below t leaves the set. */
static void
sparsemax_line(int64_t n, int64_t step, const real *x, real *y)
{
    real top = -(real)INFINITY;
    int nans = 0;
    for (int64_t l = 0; l < n; l++) {
        top = x[l * step] > top ? x[l * step] : top;
        nans |= x[l * step] != x[l * step];
    }
    real t = -1;
    for (int64_t before = n + 1;;) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t l = 0; l < n; l++) {
            const real here = x[l * step] - top;
            sum += here > t ? here : 0;
            count += here > t;
        }
        if (count == 0 || count >= before) /* none: an infinite maximum */
            break;
        t = (real)((sum - 1) / (double)count);
        before = count;
    }
    for (int64_t l = 0; l < n; l++) {
        const real above = x[l * step] - top - t;
        y[l * step] = nans || !(ab_fabs(top) <= AB_LARGEST) ? (real)NAN : above > 0 ? above : 0;
    }
}

static void
sparsemax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        for (int64_t k = 0; k < b.width; k++)
            sparsemax_line(b.len, b.inner, ROW(call->x[0], b.row) + b.from + k,
                           ROW(call->y, b.row) + b.from + k);
    }
}

/* Inside the support dx = dy - mean(dy over the support), outside 0. */
static void
sparsemax_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const y = ROW(call->y, b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.from;
        real *const dx = ROW(call->dx, b.row) + b.from;
        for (int64_t k = 0; k < b.width; k++) {
            double sum = 0, count = 0;
            for (int64_t l = k; l < b.len * b.inner; l += b.inner) {
                sum += y[l] > 0 ? dy[l] : 0;
                count += y[l] > 0;
            }
            for (int64_t l = k; l < b.len * b.inner; l += b.inner)
                dx[l] += y[l] > 0 ? dy[l] - (real)(sum / count) : 0;
        }
    }
}

/* constrained_softmax: y = min(u, s exp(x)) with the s that makes the sum 1 (Martins and Kreutzer
 * 2017). Operands x and u. p: [outer, len, inner].
 *
 * s only grows while what exceeds its bound is set to it; where the bounds leave less than
 * 1 in all, y = u. */
static void
constrained_softmax_line(int64_t n, int64_t step, const real *x, const real *u, real *y)
{
    real top = -(real)INFINITY;
    for (int64_t l = 0; l < n; l++)
        top = x[l * step] > top ? x[l * step] : top;
    const real shift = exp_shift(top);
    for (int64_t l = 0; l < n; l++)
        y[l * step] = ab_exp(x[l * step] - shift);
    real s = 0;
    int all = 0;
    for (int64_t before = -1;;) {
        double rest = 1, free = 0;
        int64_t bound = 0;
        for (int64_t l = 0; l < n; l++) {
            const int at_bound = s * y[l * step] > u[l * step];
            rest -= at_bound ? u[l * step] : 0;
            free += at_bound ? 0 : y[l * step];
            bound += at_bound;
        }
        all = bound == n;
        if (all || bound <= before)
            break;
        s = (real)(rest / free);
        before = bound;
    }
    for (int64_t l = 0; l < n; l++) {
        const real scaled = s * y[l * step];
        y[l * step] = all || scaled > u[l * step] ? u[l * step] : scaled;
    }
}

static void
constrained_softmax_forward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        for (int64_t k = 0; k < b.width; k++)
            constrained_softmax_line(b.len, b.inner, ROW(call->x[0], b.row) + b.from + k,
                                     ROW(call->x[1], b.row) + b.from + k,
                                     ROW(call->y, b.row) + b.from + k);
    }
}

/* With m the mean of dy under what lies below its bound: dx = y (dy - m) there, and
 * du = dy - m at the bounds. */
static void
constrained_softmax_backward(const ab_call *call)
{
    for (reduce_block b = reduce_start(call); reduce_next(&b);) {
        const real *const u = ROW(call->x[1], b.row) + b.from;
        const real *const y = ROW(call->y, b.row) + b.from;
        const real *const dy = ROW(call->dy, b.row) + b.from;
        real *const dx = ROW(call->dx, b.row) + b.from;
        for (int64_t k = 0; k < b.width; k++) {
            double sum = 0, mass = 0;
            for (int64_t l = k; l < b.len * b.inner; l += b.inner) {
                mass += y[l] < u[l] ? y[l] : 0;
                sum += y[l] < u[l] ? y[l] * dy[l] : 0;
            }
            const real mean = mass > 0 ? (real)(sum / mass) : 0;
            for (int64_t l = k; l < b.len * b.inner; l += b.inner) {
                if (call->wrt == 0)
                    dx[l] += y[l] < u[l] ? y[l] * (dy[l] - mean) : 0;
                else
                    dx[l] += y[l] < u[l] ? 0 : dy[l] - mean;
            }
        }
    }
}

/* log_softmax_restricted: log_softmax over the classes that the data name, -inf elsewhere.
 * p: [classes, count]; data: [class_1, ..., class_count], all different. */
static void
log_softmax_restricted_forward(const ab_call *call)
{
    const int64_t classes = call->p[0], count = call->p[1];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        const int64_t *const chosen = call->data[i];
        real *const y = ROW(call->y, i);
        real top = -(real)INFINITY;
        double sum = 0;
        for (int64_t c = 0; c < count; c++)
            top = x[chosen[c]] > top ? x[chosen[c]] : top;
        const real shift = exp_shift(top);
        for (int64_t c = 0; c < count; c++)
            sum += ab_exp(x[chosen[c]] - shift);
        const real log_sum = ab_log((real)sum);
        for (int64_t k = 0; k < classes; k++)
            y[k] = -(real)INFINITY;
        for (int64_t c = 0; c < count; c++)
            y[chosen[c]] = x[chosen[c]] - shift - log_sum;
    }
}

/* What the other classes' -inf gets of dy goes nowhere. */
static void
log_softmax_restricted_backward(const ab_call *call)
{
    const int64_t count = call->p[1];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const y = ROW(call->y, i), *const dy = ROW(call->dy, i);
        const int64_t *const chosen = call->data[i];
        real *const dx = ROW(call->dx, i);
        double sum = 0;
        for (int64_t c = 0; c < count; c++)
            sum += dy[chosen[c]];
        for (int64_t c = 0; c < count; c++)
            dx[chosen[c]] += dy[chosen[c]] - ab_exp(y[chosen[c]]) * (real)sum;
    }
}
