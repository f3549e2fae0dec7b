/* Updates: what trainers do to parameters, in one call for all of them. */
#include "engine.h"

#include "ab_update.h"

#include <math.h>
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

double
ab_update_all(const ab_kernel_table *const *tables, ab_updated *all, int64_t n, int rule,
              const double *numbers, int flags, double clip_value, double clip_norm, double factor,
              int threads)
{
    const int sparse = (flags & AB_UPDATE_SPARSE) != 0;
    int64_t found = 0;
    double norm = 0, constants[AB_UPDATE_NUMBERS];
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
        double total = measure(tables, all, n, sparse, 0, threads);
        if (!isfinite(total))
            return AB_UPDATE_NOT_FINITE;
        norm = sqrt(total);
        if (clip_value > 0)
            total = measure(tables, all, n, sparse, clip_value, threads);
        if (clip_norm > 0 && sqrt(total) > clip_norm)
            factor *= clip_norm / sqrt(total);
    }
    constants_of(rule, numbers, constants);
    for (int64_t i = 0; i < n; i++) {
        ab_param *p = all[i].param;
        /* Not started: its gradient was not wanted a moment ago, before another thread said so. */
        if (p->frozen || !all[i].started || !gradient_of(&all[i], sparse, &u))
            continue;
        u.w = p->data;
        u.m = all[i].m;
        u.v = all[i].v;
        u.x = all[i].x;
        u.factor = factor;
        update_run(tables[p->itemsize == 8], rule, &u, constants, threads);
        p->version++;
    }
    for (int64_t i = 0; i < n; i++)
        if (!all[i].param->frozen && (all[i].param->graded || all[i].param->slots))
            ab_param_forget(all[i].param);
    return norm;
}
