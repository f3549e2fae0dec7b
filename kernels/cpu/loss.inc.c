/* Losses: one row of scores to one number. */

/* cross_entropy: y = log sum exp(x) - x[label]. p: [classes]; data: [label]. */
static void
cross_entropy_forward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        const real shift = exp_shift(row_max(classes, x));
        /* Small terms first: where the label is the maximum, its own score cancels exactly. */
        ROW(call->y, i)[0] = ab_log(row_exp_sum(classes, x, shift)) - (x[call->data[i][0]] - shift);
    }
}

/* dx = dy (softmax(x) - [j == label]) */
static void
cross_entropy_backward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        real *const restrict dx = ROW(call->dx, i);
        const int64_t label = call->data[i][0];
        const real dy = ROW(call->dy, i)[0];
        /* The value and the label's score give back what the forward pass summed. */
        real total = ROW(call->y, i)[0] + x[label];
        if (!(ab_fabs(total) <= AB_LARGEST))
            total = row_logsumexp(classes, x);
#pragma omp simd
        for (int64_t j = 0; j < classes; j++)
            dx[j] += dy * ab_exp(x[j] - total);
        dx[label] -= dy;
    }
}

/* cross_entropy_soft: y = sum t (log sum exp(x) - x). p: [classes]; operands x, t. A class
 * of target 0 counts nothing, whatever its score. */
static void
cross_entropy_soft_forward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        const real *const t = ROW(call->x[1], i);
        const real shift = exp_shift(row_max(classes, x));
        const real log_sum = ab_log(row_exp_sum(classes, x, shift));
        real *const y = ROW(call->y, i);
        *y = ROW_SUM(classes, t[i] == 0 ? 0 : t[i] * (log_sum - (x[i] - shift)));
    }
}

/* dx = dy (softmax(x) sum t - t); dt = dy (log sum exp(x) - x) */
static void
cross_entropy_soft_backward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        const real *const t = ROW(call->x[1], i);
        real *const restrict dx = ROW(call->dx, i);
        const real dy = ROW(call->dy, i)[0];
        const real total = row_logsumexp(classes, x);
        if (call->wrt == 0) {
            const real weight = dy * reduce_row_sum(classes, t);
#pragma omp simd
            for (int64_t j = 0; j < classes; j++)
                dx[j] += weight * ab_exp(x[j] - total) - dy * t[j];
        } else {
            for (int64_t j = 0; j < classes; j++)
                dx[j] += dy * (total - x[j]);
        }
    }
}

/* hinge: y = sum over j != label of max(0, margin - x[label] + x[j]).
 * p: [classes, margin (bits)]; data: [label]. */
static void
hinge_forward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    const real margin = (real)ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        const int64_t label = call->data[i][0];
        const real own = x[label];
        real *const y = ROW(call->y, i);
        *y = ROW_SUM(classes, (i == label) | (margin - own + x[i] < 0) ? 0 : margin - own + x[i]);
    }
}

static void
hinge_backward(const ab_call *call)
{
    const int64_t classes = call->p[0];
    const real margin = (real)ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const x = ROW(call->x[0], i);
        real *const restrict dx = ROW(call->dx, i);
        const int64_t label = call->data[i][0];
        const real dy = ROW(call->dy, i)[0];
        const real own = x[label];
        ab_signed_bits count = 0; /* a float would stop at 2^24 */
#pragma omp simd reduction(+ : count)
        for (int64_t j = 0; j < classes; j++) {
            const ab_signed_bits active = (j != label) & (margin - own + x[j] > 0);
            count += active;
            dx[j] += dy * (real)active;
        }
        dx[label] -= dy * (real)count;
    }
}

/* squared_error: y = sum (a - b)^2. p: [size]. */
static void
squared_error_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const a = ROW(call->x[0], i);
        const real *const b = ROW(call->x[1], i);
        real *const y = ROW(call->y, i);
        *y = ROW_SUM(size, (a[i] - b[i]) * (a[i] - b[i]));
    }
}

static void
squared_error_backward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const own = ROW(call->x[call->wrt], i);
        const real *const other = ROW(call->x[1 - call->wrt], i);
        real *const restrict dx = ROW(call->dx, i);
        const real scale = 2 * ROW(call->dy, i)[0];
        for (int64_t k = 0; k < size; k++)
            dx[k] += scale * (own[k] - other[k]);
    }
}

/* absolute_error: y = sum |a - b|. p: [size]. */
static void
absolute_error_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const a = ROW(call->x[0], i), *const b = ROW(call->x[1], i);
        real *const y = ROW(call->y, i);
        *y = ROW_SUM(size, ab_fabs(a[i] - b[i]));
    }
}

static void
absolute_error_backward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const own = ROW(call->x[call->wrt], i);
        const real *const other = ROW(call->x[1 - call->wrt], i);
        real *const restrict dx = ROW(call->dx, i);
        const real dy = ROW(call->dy, i)[0];
        for (int64_t k = 0; k < size; k++) {
            const real off = own[k] - other[k];
            dx[k] += off > 0 ? dy : off < 0 ? -dy : dy * off;
        }
    }
}

/* huber: y = sum of (a - b)^2 / 2 where |a - b| <= delta, delta (|a - b| - delta / 2) beyond.
 * p: [size, delta (bits)]. */
static inline real
huber_term(real off, real delta)
{
    const real far = delta * (off - (real)0.5 * delta), near = (real)0.5 * off * off;
    return off > delta ? far : near;
}

static void
huber_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    const real delta = (real)ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const a = ROW(call->x[0], i), *const b = ROW(call->x[1], i);
        real *const y = ROW(call->y, i);
        *y = ROW_SUM(size, huber_term(ab_fabs(a[i] - b[i]), delta));
    }
}

static void
huber_backward(const ab_call *call)
{
    const int64_t size = call->p[0];
    const real delta = (real)ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++) {
        const real *const own = ROW(call->x[call->wrt], i);
        const real *const other = ROW(call->x[1 - call->wrt], i);
        real *const restrict dx = ROW(call->dx, i);
        const real dy = ROW(call->dy, i)[0];
        for (int64_t k = 0; k < size; k++) {
            const real off = own[k] - other[k];
            dx[k] += dy * (off > delta ? delta : off < -delta ? -delta : off);
        }
    }
}
