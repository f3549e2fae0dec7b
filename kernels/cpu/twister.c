/* Random numbers as programs of DyNet draw them: one Mersenne Twister (Matsumoto and Nishimura
 * 1998), and floats made from its output as libstdc++ makes them, to the bit. Order and rounding
 * are part of the contract: programs are compared number by number. */
#include "ab_api.h"
#include "ab_graph.h"

#include <math.h>
#include <stdlib.h>

enum { WORDS = 624, MIDDLE = 397 };

enum { PAIRS = 64 }; /* of normally distributed numbers, made together */

struct ab_twister {
    uint32_t state[WORDS], next[WORDS]; /* next: what the state gives out, from `at` on */
    int at;
    int untouched;
};

void
ab_twister_begin(ab_twister *t, uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        t->state[i] = seed;
        seed = UINT32_C(1812433253) * (seed ^ seed >> 30) + i + 1;
    }
    t->at = WORDS;
    t->untouched = 1;
}

ab_twister *
ab_twister_new(uint32_t seed)
{
    ab_twister *t = malloc(sizeof *t);
    if (t)
        ab_twister_begin(t, seed);
    return t;
}

void
ab_twister_free(ab_twister *t)
{
    free(t);
}

int
ab_twister_untouched(const ab_twister *t)
{
    return t->untouched;
}

static inline uint32_t
twisted(uint32_t high, uint32_t low)
{
    uint32_t both = (high & UINT32_C(0x80000000)) | (low & UINT32_C(0x7fffffff));
    return both >> 1 ^ (both & 1 ? UINT32_C(0x9908b0df) : 0);
}

static void
refill(ab_twister *t)
{
    uint32_t *s = t->state;
    for (int i = 0; i < WORDS - MIDDLE; i++)
        s[i] = s[i + MIDDLE] ^ twisted(s[i], s[i + 1]);
    for (int i = WORDS - MIDDLE; i < WORDS - 1; i++)
        s[i] = s[i + MIDDLE - WORDS] ^ twisted(s[i], s[i + 1]);
    s[WORDS - 1] = s[MIDDLE - 1] ^ twisted(s[WORDS - 1], s[0]);
    for (int i = 0; i < WORDS; i++) {
        uint32_t y = s[i];
        y ^= y >> 11;
        y ^= y << 7 & UINT32_C(0x9d2c5680);
        y ^= y << 15 & UINT32_C(0xefc60000);
        t->next[i] = y ^ y >> 18;
    }
    t->at = 0;
}

static inline uint32_t
raw(ab_twister *t)
{
    if (t->at == WORDS)
        refill(t);
    return t->next[t->at++];
}

/* In [0, 1): never 1, though the nearest float may be. */
static inline float
unit(uint32_t number)
{
    float u = (float)number * 0x1p-32f;
    return u < 1 ? u : 1 - 0x1p-24f;
}

static inline float
canonical(ab_twister *t)
{
    return unit(raw(t));
}

/* Two raw numbers, the first of lower weight. */
static inline int
bernoulli(ab_twister *t, double p)
{
    double low = raw(t), high = raw(t);
    return (low + high * 0x1p32) * 0x1p-64 < p;
}

/* The polar method (Marsaglia and Bray 1964): points of the unit disc, and their distances from
 * its centre, squared. */
typedef struct points {
    float x[PAIRS + 1], y[PAIRS + 1], r[PAIRS + 1];
} points;

/* Enters a point at place i; returns the place of the next, i if this one is outside. No branch:
 * of five points one is outside, which no processor foresees. */
static inline int
enter(points *p, int i, uint32_t first, uint32_t second)
{
    float x = unit(first), y = unit(second);
    x = x + x - 1;
    y = y + y - 1;
    float r = fmaf(y, y, x * x); /* as the wheel's compiler fused it */
    p->x[i] = x;
    p->y[i] = y;
    p->r[i] = r;
    return i + !((r > 1) | (r == 0));
}

/* Draws n points, and no number more than these take. */
static inline void
disc(ab_twister *t, points *p, int n)
{
    for (int i = 0; i < n;) {
        while (i < n && t->at + 2 <= WORDS) {
            i = enter(p, i, t->next[t->at], t->next[t->at + 1]);
            t->at += 2;
        }
        if (i < n) { /* a new state, between a point's two numbers perhaps */
            uint32_t first = raw(t), second = raw(t);
            i = enter(p, i, first, second);
        }
    }
}

/* What is drawn, see ab_twister_draw. */
typedef struct drawing {
    int kind, itemsize;
    double p;
    float low, width, std;
    int64_t n;
    void *out;
} drawing;

static inline void
put(const drawing *d, int64_t i, float number)
{
    if (d->itemsize == 8)
        ((double *)d->out)[i] = number;
    else
        ((float *)d->out)[i] = number;
}

static inline __attribute__((always_inline)) void
draw(ab_twister *t, const drawing *d)
{
    const float least = 1e-20f;
    switch (d->kind) {
    case AB_DRAW_UNIFORM:
        for (int64_t i = 0; i < d->n; i++)
            put(d, i, fmaf(canonical(t), d->width, d->low));
        break;
    case AB_DRAW_BERNOULLI:
        for (int64_t i = 0; i < d->n; i++)
            put(d, i, (float)bernoulli(t, d->p));
        break;
    case AB_DRAW_GUMBEL:
        for (int64_t i = 0; i < d->n; i++) {
            float one = canonical(t);
            one = -logf(one > least ? one : least);
            put(d, i, -logf(one > least ? one : least));
        }
        break;
    default: /* normal: the second of an odd count is lost */
        for (int64_t done = 0; done < d->n; done += 2 * PAIRS) {
            points p;
            const int64_t left = (d->n - done + 1) / 2;
            const int pairs = left < PAIRS ? (int)left : PAIRS;
            disc(t, &p, pairs);
            for (int i = 0; i < pairs; i++) {
                const int64_t at = done + 2 * i;
                const float scale = sqrtf(-2.0f * (float)log((double)p.r[i]) / p.r[i]);
                put(d, at, fmaf(p.y[i] * scale, d->std, d->low));
                if (at + 1 < d->n)
                    put(d, at + 1, fmaf(p.x[i] * scale, d->std, d->low));
            }
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
/* A fused multiplication and addition is one instruction where there is one, else a function. */
__attribute__((target("fma"))) static void
draw_fused(ab_twister *t, const drawing *d)
{
    draw(t, d);
}
#endif

/* Not where additions are fused: the wheel rounds twice here. */
static void
scale(const drawing *d, float factor, float term)
{
    for (int64_t i = 0; i < d->n; i++)
        if (d->itemsize == 8)
            ((double *)d->out)[i] = (float)((double *)d->out)[i] * factor + term;
        else
            ((float *)d->out)[i] = ((float *)d->out)[i] * factor + term;
}

void
ab_twister_draw(ab_twister *t, int kind, double a, double b, double factor, double term, int64_t n,
                void *out, int itemsize)
{
    const drawing d = {
        .kind = kind,
        .itemsize = itemsize,
        .p = a,
        .low = (float)a,
        .width = (float)b - (float)a,
        .std = (float)b,
        .n = n,
        .out = out,
    };
    t->untouched = t->untouched && n == 0;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("fma"))
        draw_fused(t, &d);
    else
#endif
        draw(t, &d);
    if (factor != 1 || term != 0)
        scale(&d, (float)factor, (float)term);
}

void
ab_twister_fill(ab_twister *t, ab_graph *g, int32_t last)
{
    for (; g->draws_done < g->draws_n && g->draws[g->draws_done].node <= last; g->draws_done++) {
        const ab_draw *d = &g->draws[g->draws_done];
        const ab_node *node = &g->nodes[d->node];
        const ab_form *f = ab_form_get(g->registry, node->form);
        if (node->data)
            ab_twister_draw(t, d->kind, d->a, d->b, d->factor, d->term, f->size * f->batch,
                            (void *)(intptr_t)node->data, g->itemsize);
    }
}
