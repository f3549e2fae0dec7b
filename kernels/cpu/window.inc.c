/* Windows over images x (channels, height, width).
 * p: [channels, height, width, window height, width, step down, right, rows above, columns left
 * of the image that count as padding, result's height, width]. */

typedef struct window_form {
    int64_t channels, height, width, kh, kw, sh, sw, top, left, oh, ow;
} window_form;

static inline window_form
window_of(const int64_t *p)
{
    return (window_form){p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10]};
}

/* The part [first, last) of a window that lies inside the image, counted in the window. */
static inline void
window_inside(int64_t start, int64_t window, int64_t size, int64_t *first, int64_t *last)
{
    *first = start < 0 ? -start : 0;
    *last = size - start < window ? size - start : window;
    *last = *last < *first ? *first : *last;
}

/* unfold2d: y (oh * ow, channels * kh * kw): every window as a vector, 0 where it is padding. */
ALWAYS_INLINE void
unfold2d_walk(const window_form w, real *image, real *y, const int backward)
{
    for (int64_t oy = 0; oy < w.oh; oy++) {
        for (int64_t ox = 0; ox < w.ow; ox++) {
            const int64_t y0 = oy * w.sh - w.top, x0 = ox * w.sw - w.left;
            int64_t first, last, above, below;
            window_inside(x0, w.kw, w.width, &first, &last);
            window_inside(y0, w.kh, w.height, &above, &below);
            for (int64_t c = 0; c < w.channels; c++) {
                for (int64_t ky = 0; ky < w.kh; ky++, y += w.kw) {
                    const int inside = ky >= above && ky < below;
                    real *const line = image + (c * w.height + (inside ? y0 + ky : 0)) * w.width;
                    if (backward) {
                        for (int64_t kx = first; inside && kx < last; kx++)
                            line[x0 + kx] += y[kx];
                    } else {
                        for (int64_t kx = 0; kx < w.kw; kx++)
                            y[kx] = inside && kx >= first && kx < last ? line[x0 + kx] : 0;
                    }
                }
            }
        }
    }
}

static void
unfold2d_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        unfold2d_walk(window_of(call->p), ROW(call->x[0], i), ROW(call->y, i), 0);
}

static void
unfold2d_backward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        unfold2d_walk(window_of(call->p), ROW(call->dx, i), ROW(call->dy, i), 1);
}

/* max_pool2d: y (channels, oh, ow): the largest number of every window, NaN if any is; the
 * gradient goes to the first. Padding takes no part. */
ALWAYS_INLINE void
max_pool2d_walk(const window_form w, const real *x, real *y, real *dx, const int backward)
{
    for (int64_t c = 0; c < w.channels; c++, x += w.height * w.width, dx += w.height * w.width) {
        for (int64_t oy = 0; oy < w.oh; oy++) {
            for (int64_t ox = 0; ox < w.ow; ox++, y++) {
                const int64_t y0 = oy * w.sh - w.top, x0 = ox * w.sw - w.left;
                int64_t first, last, above, below, place = -1;
                real best = -(real)INFINITY;
                window_inside(x0, w.kw, w.width, &first, &last);
                window_inside(y0, w.kh, w.height, &above, &below);
                for (int64_t ky = above; ky < below; ky++) {
                    for (int64_t kx = first; kx < last; kx++) {
                        const int64_t at = (y0 + ky) * w.width + x0 + kx;
                        const int larger = x[at] > best || (x[at] != x[at] && best == best);
                        place = larger || place < 0 ? at : place;
                        best = larger ? x[at] : best;
                    }
                }
                if (backward && place >= 0)
                    dx[place] += *y;
                else if (!backward)
                    *y = best;
            }
        }
    }
}

static void
max_pool2d_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++) {
        real *const x = ROW(call->x[0], i);
        max_pool2d_walk(window_of(call->p), x, ROW(call->y, i), x, 0);
    }
}

static void
max_pool2d_backward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        max_pool2d_walk(window_of(call->p), ROW(call->x[0], i), ROW(call->dy, i), ROW(call->dx, i),
                        1);
}

/* circular: y[k] = sum over i of u[i] v[(k - i) mod n], the convolution, or, with correlate,
 * u[i] v[(i + k) mod n]. p: [n, correlate]. */
static void
circular_convolve(int64_t n, const real *u, const real *v, real *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        row_add(n - i, y + i, v, u[i]);
        row_add(i, y, v + n - i, u[i]);
    }
}

static void
circular_correlate(int64_t n, const real *u, const real *v, real *restrict y)
{
    for (int64_t k = 0; k < n; k++)
        y[k] += row_dot(n - k, u, v + k) + row_dot(k, u + n - k, v);
}

static void
circular_forward(const ab_call *call)
{
    const int64_t n = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        for (int64_t k = 0; k < n; k++)
            y[k] = 0;
        if (call->p[1])
            circular_correlate(n, ROW(call->x[0], i), ROW(call->x[1], i), y);
        else
            circular_convolve(n, ROW(call->x[0], i), ROW(call->x[1], i), y);
    }
}

static void
circular_backward(const ab_call *call)
{
    const int64_t n = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const other = ROW(call->x[1 - call->wrt], i);
        const real *const dy = ROW(call->dy, i);
        real *const dx = ROW(call->dx, i);
        if (!call->p[1])
            circular_correlate(n, other, dy, dx);
        else if (call->wrt == 0)
            circular_correlate(n, dy, other, dx);
        else
            circular_convolve(n, other, dy, dx);
    }
}
