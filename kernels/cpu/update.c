/* Updates: what trainers do to parameters, in one call for all of them. */
#include "engine.h"

#include "ab_update.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 1 << 18 }; /* numbers per thread: to wake one costs as much as many updates */

static char *
moved(void *base, int64_t bytes)
{
    return base ? (char *)base + bytes : NULL;
}

/* An update in parts; each number is updated by itself, so the parts change no bit. */
static void
update_run(const ab_kernel_table *table, int rule, const ab_update *whole, const double *constants,
           int threads)
{
    const int64_t count = whole->n * whole->dim, item = table->itemsize;
    int64_t parts = count / LEAST < threads ? count / LEAST : threads;
    parts = ab_threads((int)(parts < 1 ? 1 : parts));
    if (parts == 1) {
        table->update->rule[rule](whole, constants);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)parts)
#endif
    for (int64_t t = 0; t < parts; t++) {
        ab_update u = *whole;
        if (u.rows) { /* some of the rows */
            int64_t from = u.n * t / parts, to = u.n * (t + 1) / parts;
            u.rows += from;
            u.g = (const char *)u.g + from * u.dim * item;
            u.n = to - from;
        } else { /* a part of the one row */
            int64_t from = count * t / parts, to = count * (t + 1) / parts;
            u.w = moved(u.w, from * item);
            u.g = (const char *)u.g + from * item;
            u.m = moved(u.m, from * item);
            u.v = moved(u.v, from * item);
            u.x = moved(u.x, from * item);
            u.n = 1;
            u.dim = to - from;
        }
        table->update->rule[rule](&u, constants);
    }
}

/* Blocks of fixed size, so that the sum does not depend on the number of threads. */
static double
squared_norm(const ab_kernel_table *table, const void *g, int64_t count, int threads)
{
    enum { BLOCK = 1 << 14, BLOCKS = 4096 };
    if (count <= BLOCK)
        return table->update->squared_norm(g, count);
    double total = 0, part[BLOCKS];
    for (int64_t done = 0; done < count;) {
        int64_t here = (count - done + BLOCK - 1) / BLOCK;
        here = here < BLOCKS ? here : BLOCKS;
        int parts = ab_threads(here * BLOCK < 4 * LEAST ? 1 : threads);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) if (parts > 1)
#else
        (void)parts;
#endif
        for (int64_t i = 0; i < here; i++) {
            int64_t from = done + i * BLOCK, left = count - from;
            part[i] = table->update->squared_norm((const char *)g + from * table->itemsize,
                                                  left < BLOCK ? left : BLOCK);
        }
        for (int64_t i = 0; i < here; i++)
            total += part[i];
        done += here * BLOCK;
    }
    return total;
}

/* The gradient as a rule takes it: that of the whole, or of the rows that have one. Where a
 * lookup has both, or is to be updated whole, its rows are added to the whole first. */
static int
gradient_of(const ab_updated *u, int sparse, ab_update *update)
{
    ab_param *p = u->param;
    if (!p->trainable)
        return 0;
    if (p->slots) {
        if (sparse && !p->graded) {
            *update =
                (ab_update){.g = p->sparse, .rows = p->row_of_slot, .n = p->slots, .dim = p->dim};
            return 1;
        }
        char *whole = ab_param_dense(p);
        const char *from = p->sparse;
        for (int64_t slot = 0; slot < p->slots; slot++) {
            int64_t to = p->row_of_slot[slot] * p->dim;
            for (int64_t i = 0; i < p->dim; i++)
                if (p->itemsize == 4)
                    ((float *)whole)[to + i] += ((const float *)from)[slot * p->dim + i];
                else
                    ((double *)whole)[to + i] += ((const double *)from)[slot * p->dim + i];
        }
        ab_param_forget(p);
        p->graded = 1;
    }
    if (!p->graded) {
        if (!u->idle || !u->started || (sparse && p->rows))
            return 0;
        ab_param_dense(p); /* zeros: a running mean moves on */
    }
    *update = (ab_update){.g = p->grad, .rows = NULL, .n = 1, .dim = p->size};
    return 1;
}

/* The sum of the squares of all gradients, each number clipped first if `clip` is not 0. */
static double
measure(const ab_kernel_table *const *tables, const ab_updated *all, int64_t n, int sparse,
        double clip, int threads)
{
    double total = 0;
    ab_update u;
    for (int64_t i = 0; i < n; i++) {
        const ab_kernel_table *table = tables[all[i].param->itemsize == 8];
        if (!gradient_of(&all[i], sparse, &u))
            continue;
        if (clip > 0)
            table->update->clip((void *)(intptr_t)u.g, u.n * u.dim, -clip, clip);
        total += squared_norm(table, u.g, u.n * u.dim, threads);
    }
    return total;
}

/* From what a trainer says to what a kernel takes. */
static void
constants_of(int rule, const double *said, double *constants)
{
    const double rate = said[AB_UPDATE_RATE], t = said[AB_UPDATE_T];
    const double *settings = said + AB_UPDATE_SETTINGS;
    if (rule != AB_ADAM && rule != AB_ADAMW && rule != AB_AMSGRAD) {
        constants[0] = rate;
        memcpy(constants + 1, settings, (AB_UPDATE_NUMBERS - AB_UPDATE_SETTINGS) * sizeof rate);
        return;
    }
    const double beta1 = settings[0], beta2 = settings[1], folded = settings[3];
    const double first = 1 - pow(beta1, t), second = sqrt(1 - pow(beta2, t));
    constants[0] = folded != 0 ? rate * second / first : rate / first;
    constants[1] = folded != 0 ? 1 : 1 / second;
    constants[2] = beta1;
    constants[3] = beta2;
    constants[4] = settings[2];
    constants[5] = rate * settings[4];
}

/* The largest magnitude of count numbers; infinite if one of them is not finite. */
static double
largest(const void *numbers, int64_t count, int64_t itemsize)
{
    double most = 0;
    int finite = 1;
    for (int64_t i = 0; numbers && i < count; i++) {
        const double x =
            fabs(itemsize == 4 ? ((const float *)numbers)[i] : ((const double *)numbers)[i]);
        finite &= x <= DBL_MAX;
        most = x > most ? x : most;
    }
    return finite ? most : INFINITY;
}

/* Limits of what an update can make of numbers within `most`, where no number of its gradient is
 * larger than g; correct within a factor that `is_safe` leaves room for. */
static void
grow(int rule, const double *c, double g, double *most)
{
    double *w = most, *m = most + 1, *v = most + 2, *x = most + 3, eps;
    switch (rule) {
    case AB_SGD:
        *w += c[0] * g;
        break;
    case AB_MOMENTUM:
        *m += g;
        *w += c[0] * (g + *m);
        break;
    case AB_ADAGRAD:
        *v += g * g;
        *w += c[0] * g / c[1];
        break;
    case AB_RMSPROP:
        *v += g * g;
        *w += c[0] * g / (c[3] != 0 ? sqrt(c[2]) : c[2]);
        break;
    case AB_ADADELTA:
        eps = sqrt(c[2]);
        *v += g * g;
        g *= sqrt(*m + c[2]) / eps;
        *m += g * g;
        *w += c[0] * g;
        break;
    default: /* Adam and its kin: step, scale, beta1, beta2, epsilon, decay */
        *m = *m > g ? *m : g;
        *v += g * g;
        *x = *x > *v ? *x : *v;
        *w = *w * (1 + fabs(rule == AB_ADAMW ? c[5] : 0)) + c[0] * *m / c[4];
    }
}

/* Far from the largest number of the type, so that no product on the way leaves the range either. */
static int
is_safe(const double *most, int64_t itemsize)
{
    const double limit = itemsize == 4 ? 1e36 : 1e306;
    return most[0] < limit && most[1] < limit && most[2] < limit && most[3] < limit;
}

/* Whether an update writes finite numbers only, told from limits: those kept of the last update or,
 * where these say no or the parameter has changed, of the numbers themselves. */
static int
is_harmless(ab_updated *u, int rule, const double *constants, double g)
{
    const ab_param *p = u->param;
    double most[4];
    for (int anew = u->version != p->version + 1; anew < 2; anew++) {
        if (anew) {
            const void *all[4] = {p->data, u->m, u->v, u->x};
            for (int i = 0; i < 4; i++)
                u->most[i] = largest(all[i], p->size, p->itemsize);
        }
        memcpy(most, u->most, sizeof most);
        grow(rule, constants, g, most);
        if (is_safe(most, p->itemsize)) {
            memcpy(u->most, most, sizeof most);
            u->version = p->version + 2; /* that after the update, and one: 0 is none */
            return 1;
        }
    }
    u->version = 0;
    return 0;
}

/* Copies the rows that an update changes, of the parameter and its states, to `kept` or back. */
static char *
copy_rows(const ab_update *u, int64_t itemsize, char *kept, int back)
{
    char *all[4] = {u->w, u->m, u->v, u->x};
    const int64_t bytes = u->dim * itemsize;
    for (int i = 0; i < 4; i++)
        for (int64_t row = 0; all[i] && row < u->n; row++, kept += bytes) {
            char *at = all[i] + (u->rows ? u->rows[row] : row) * bytes;
            memcpy(back ? at : kept, back ? kept : at, (size_t)bytes);
        }
    return kept;
}

static int
rows_finite(const ab_update *u, int64_t itemsize)
{
    char *all[4] = {u->w, u->m, u->v, u->x};
    for (int i = 0; i < 4; i++)
        for (int64_t row = 0; all[i] && row < u->n; row++)
            if (isinf(largest(all[i] + (u->rows ? u->rows[row] : row) * u->dim * itemsize, u->dim,
                              itemsize)))
                return 0;
    return 1;
}

/* Whether a parameter is updated, and how. */
static int
is_updated(const ab_updated *a, int sparse, double factor, ab_update *u)
{
    ab_param *p = a->param;
    /* Not started: its gradient was not wanted a moment ago, before another thread said so. */
    if (p->frozen || !a->started || !gradient_of(a, sparse, u))
        return 0;
    u->w = p->data;
    u->m = a->m;
    u->v = a->v;
    u->x = a->x;
    u->factor = factor;
    return 1;
}

/* Updates those parameters of which limits do not tell that all stays finite, on trial: where a number
 * does not, or there is no memory for copies, all are as they were and 0 is returned. Ordinary updates
 * find none. g: no number of the gradient is larger; negative: nothing is asked. */
static int
update_doubtful(const ab_kernel_table *const *tables, ab_updated *all, int64_t n, int sparse,
                int rule, const double *constants, double g, double factor, int threads)
{
    int64_t bytes = 0, tried = 0;
    ab_update u;
    for (int64_t i = 0; i < n; i++) {
        all[i].doubtful = g >= 0 && is_updated(&all[i], sparse, factor, &u)
                          && !is_harmless(&all[i], rule, constants, g);
        if (all[i].doubtful)
            bytes += 4 * u.n * u.dim * all[i].param->itemsize;
    }
    if (!bytes)
        return 1;
    char *kept = malloc((size_t)bytes), *end = kept;
    int right = kept != NULL;
    for (; right && tried < n; tried++)
        if (all[tried].doubtful && is_updated(&all[tried], sparse, factor, &u)) {
            const int64_t item = all[tried].param->itemsize;
            end = copy_rows(&u, item, end, 0);
            update_run(tables[item == 8], rule, &u, constants, threads);
            right = rows_finite(&u, item);
        }
    end = kept;
    for (int64_t i = 0; !right && i < n; i++) {
        if (i < tried && all[i].doubtful && is_updated(&all[i], sparse, factor, &u))
            end = copy_rows(&u, all[i].param->itemsize, end, 1);
        all[i].version = 0;
    }
    free(kept);
    return right;
}

double
ab_update_all(const ab_kernel_table *const *tables, ab_updated *all, int64_t n, int rule,
              const double *numbers, int flags, double clip_value, double clip_norm, double factor,
              int threads)
{
    const int sparse = (flags & AB_UPDATE_SPARSE) != 0;
    int64_t found = 0;
    double norm = 0, total = 0, constants[AB_UPDATE_NUMBERS];
    ab_update u;
    for (int64_t i = 0; i < n; i++)
        if (gradient_of(&all[i], sparse, &u)) {
            if (!all[i].started && !all[i].param->frozen)
                return AB_UPDATE_STATES;
            found++;
        }
    if (!found)
        return AB_UPDATE_NOTHING;
    if (flags & AB_UPDATE_MEASURE) {
        total = measure(tables, all, n, sparse, 0, threads);
        if (!isfinite(total))
            return AB_UPDATE_NOT_FINITE;
        norm = sqrt(total);
        if (clip_value > 0)
            total = measure(tables, all, n, sparse, clip_value, threads);
        if (clip_norm > 0 && sqrt(total) > clip_norm)
            factor *= clip_norm / sqrt(total);
    }
    constants_of(rule, numbers, constants);
    if (!update_doubtful(tables, all, n, sparse, rule, constants,
                         flags & AB_UPDATE_MEASURE ? sqrt(total) * fabs(factor) : -1, factor,
                         threads))
        return AB_UPDATE_NOT_FINITE;
    for (int64_t i = 0; i < n; i++)
        if (is_updated(&all[i], sparse, factor, &u)) {
            ab_param *p = all[i].param;
            if (!all[i].doubtful)
                update_run(tables[p->itemsize == 8], rule, &u, constants, threads);
            p->version++;
        }
    for (int64_t i = 0; i < n; i++)
        if (!all[i].param->frozen && (all[i].param->graded || all[i].param->slots))
            ab_param_forget(all[i].param);
    return norm;
}
