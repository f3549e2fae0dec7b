/* The update kernels of every instruction set that this processor has, against their formulas
 * in double: dense and by rows, cut in parts, with what must not be touched checked. */
#include "support.h"

#include <float.h>
#include <math.h>

enum { SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW, METHODS };

static const char *const names[METHODS] = {"sgd",     "momentum", "nesterov", "adagrad",
                                           "rmsprop", "adam",     "adamw"};

static const double rate = 0.07, mu = 0.9, rho = 0.8, epsilon = 1e-3, scale = 1.7, beta1 = 0.85,
                    beta2 = 0.95, decay = 0.01;

static void
call(const ab_update_kernels *k, int method, const ab_update *u)
{
    switch (method) {
    case SGD:
        k->sgd(u, rate);
        break;
    case MOMENTUM:
    case NESTEROV:
        k->momentum(u, rate, mu, method == NESTEROV);
        break;
    case ADAGRAD:
        k->adagrad(u, rate, epsilon);
        break;
    case RMSPROP:
        k->rmsprop(u, rate, rho, epsilon);
        break;
    case ADAM:
        k->adam(u, rate, scale, beta1, beta2, epsilon);
        break;
    default:
        k->adamw(u, rate, scale, beta1, beta2, epsilon, decay);
    }
}

static void
formula(int method, double g, double *w, double *m, double *v)
{
    switch (method) {
    case SGD:
        *w -= rate * g;
        break;
    case MOMENTUM:
        *m = mu * *m + g;
        *w -= rate * *m;
        break;
    case NESTEROV:
        *m = mu * *m + g;
        *w -= rate * (g + mu * *m);
        break;
    case ADAGRAD:
        *v += g * g;
        *w -= rate * g / (sqrt(*v) + epsilon);
        break;
    case RMSPROP:
        *v = rho * *v + (1 - rho) * g * g;
        *w -= rate * g / (sqrt(*v) + epsilon);
        break;
    default:
        *m = beta1 * *m + (1 - beta1) * g;
        *v = beta2 * *v + (1 - beta2) * g * g;
        if (method == ADAMW)
            *w *= 1 - decay;
        *w -= rate * *m / (sqrt(*v) * scale + epsilon);
    }
}

static void
fail(const ab_kernel_table *table, const char *what, double got, double expected)
{
    fprintf(stderr, "%s %s%d: got %.17g, expected %.17g\n", what, table->isa, itemsize * 8, got,
            expected);
    exit(1);
}

static void
check(const ab_kernel_table *table, const char *what, double got, double expected)
{
    double unit = itemsize == 4 ? FLT_EPSILON : DBL_EPSILON;

    if (!(fabs(got - expected) <= 16 * unit * (fabs(expected) + 1)))
        fail(table, what, got, expected);
}

/* A lookup of `height` rows of which n get an update; n = height and no row numbers: dense. */
static void
test_method(const ab_kernel_table *table, int method, int64_t height, int64_t n, int64_t dim)
{
    int64_t count = height * dim;
    int has_m = method == MOMENTUM || method == NESTEROV || method >= ADAM,
        has_v = method >= ADAGRAD;
    block w = block_random(count), m = block_random(count), v = block_random(count);
    block g = block_random(n * dim), ids = block_new((size_t)n * sizeof(int64_t));
    block w0 = block_new(w.bytes), m0 = block_new(m.bytes), v0 = block_new(v.bytes);
    int64_t *rows = n == height ? NULL : (int64_t *)(void *)ids.start;
    double factor = 0.3;

    for (int64_t i = 0; i < count; i++)
        set(v.start, i, fabs(get(v.start, i)));
    /* Rows in falling order, every second one. */
    for (int64_t i = 0; i < n && rows; i++)
        rows[i] = height - 1 - 2 * i;
    memcpy(w0.start, w.start, w.bytes);
    memcpy(m0.start, m.start, m.bytes);
    memcpy(v0.start, v.start, v.bytes);

    ab_update update = {.w = w.start,
                        .g = g.start,
                        .m = has_m ? m.start : NULL,
                        .v = has_v ? v.start : NULL,
                        .rows = rows,
                        .n = n,
                        .dim = dim,
                        .factor = factor};
    call(table->update, method, &update);
    for (int64_t r = 0; r < height; r++) {
        int64_t slot = rows ? (height - 1 - r) % 2 ? -1 : (height - 1 - r) / 2 : r;
        for (int64_t i = 0; i < dim; i++) {
            int64_t at = r * dim + i;
            double ew = get(w0.start, at), em = get(m0.start, at), ev = get(v0.start, at);
            if (slot >= 0 && slot < n)
                formula(method, factor * get(g.start, slot * dim + i), &ew, &em, &ev);
            check(table, names[method], get(w.start, at), ew);
            check(table, names[method], get(m.start, at), em);
            check(table, names[method], get(v.start, at), ev);
        }
    }

    /* The same in two parts, as two threads share a dense parameter: not a bit differs. */
    if (!rows) {
        block whole = block_new(w.bytes);
        int64_t cut = below(count + 1);
        memcpy(whole.start, w.start, w.bytes);
        memcpy(w.start, w0.start, w.bytes);
        memcpy(m.start, m0.start, m.bytes);
        memcpy(v.start, v0.start, v.bytes);
        for (int part = 0; part < 2; part++) {
            int64_t from = part ? cut * itemsize : 0;
            ab_update share = {.w = w.start + from,
                               .g = g.start + from,
                               .m = has_m ? m.start + from : NULL,
                               .v = has_v ? v.start + from : NULL,
                               .n = 1,
                               .dim = part ? count - cut : cut,
                               .factor = factor};
            call(table->update, method, &share);
        }
        if (memcmp(whole.start, w.start, w.bytes))
            fail(table, "an update depends on how it is cut", 0, 0);
        block_free(&whole);
    }
    block_free(&v0);
    block_free(&m0);
    block_free(&w0);
    block_free(&ids);
    block_free(&g);
    block_free(&v);
    block_free(&m);
    block_free(&w);
}

static void
test_array(const ab_kernel_table *table, int64_t count)
{
    const ab_update_kernels *k = table->update;
    block g = block_random(count), before = block_new(g.bytes);
    double norm = 0, got;

    memcpy(before.start, g.start, g.bytes);
    for (int64_t i = 0; i < count; i++)
        norm += get(g.start, i) * get(g.start, i);
    got = k->squared_norm(g.start, count);
    if (!(fabs(got - norm) <= 1e-13 * norm))
        fail(table, "squared_norm", got, norm);

    k->scale(g.start, count, -0.25);
    for (int64_t i = 0; i < count; i++)
        if (get(g.start, i) != -0.25 * get(before.start, i))
            fail(table, "scale", get(g.start, i), -0.25 * get(before.start, i));

    memcpy(g.start, before.start, g.bytes);
    k->clip(g.start, count, -0.5, 0.25);
    for (int64_t i = 0; i < count; i++)
        if (get(g.start, i) != fmin(fmax(get(before.start, i), -0.5), 0.25))
            fail(table, "clip", get(g.start, i), fmin(fmax(get(before.start, i), -0.5), 0.25));

    /* One number that is not finite, anywhere, shows; clipping bounds the infinite and keeps
     * the undefined. */
    if (count) {
        int64_t at = below(count);
        set(g.start, at, -INFINITY);
        if (isfinite(k->squared_norm(g.start, count)))
            fail(table, "squared_norm of an infinity", 0, INFINITY);
        k->clip(g.start, count, -0.5, 0.25);
        if (get(g.start, at) != -0.5)
            fail(table, "clip of an infinity", get(g.start, at), -0.5);
        set(g.start, at, NAN);
        k->clip(g.start, count, -0.5, 0.25);
        if (!isnan(get(g.start, at)) || !isnan(k->squared_norm(g.start, count)))
            fail(table, "clip or squared_norm of a NaN", get(g.start, at), NAN);
    }
    block_free(&before);
    block_free(&g);
}

int
main(void)
{
    const ab_kernel_table *tables[6];
    int count = tables_supported(tables);

    for (int t = 0; t < count; t++) {
        itemsize = tables[t]->itemsize;
        for (int method = 0; method < METHODS; method++)
            for (int i = 0; i < 30; i++) {
                int64_t height = below(20), dim = below(i % 2 ? 9 : 100);
                test_method(tables[t], method, height, height, dim);
                test_method(tables[t], method, height, height / 2, dim);
            }
        for (int i = 0; i < 100; i++)
            test_array(tables[t], i < 40 ? i : below(2000));
        printf("%-8s float%d ok\n", tables[t]->isa, itemsize * 8);
    }

    /* The squared norm of floats has the same bits on every instruction set. */
    itemsize = 4;
    block g = block_random(1003);
    for (int t = 2; t < count; t += 2)
        if (tables[t]->update->squared_norm(g.start, 1003)
            != tables[0]->update->squared_norm(g.start, 1003))
            fail(tables[t], "squared_norm differs from baseline", 0, 0);
    block_free(&g);
    return 0;
}
