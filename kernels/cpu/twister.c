/* Random numbers as programs of DyNet draw them: one Mersenne Twister (Matsumoto and Nishimura
 * 1998), and floats made from its output as libstdc++ makes them, to the bit. Order and rounding
 * are part of the contract: programs are compared number by number. */
#include "ab_api.h"
#include "ab_graph.h"

#include <math.h>
#include <stdlib.h>

enum { WORDS = 624, MIDDLE = 397 };

struct ab_twister {
    uint32_t state[WORDS];
    int at;
    int untouched;
};

ab_twister *
ab_twister_new(uint32_t seed)
{
    ab_twister *t = malloc(sizeof *t);
    if (!t)
        return NULL;
    for (uint32_t i = 0; i < WORDS; i++) {
        t->state[i] = seed;
        seed = UINT32_C(1812433253) * (seed ^ seed >> 30) + i + 1;
    }
    t->at = WORDS;
    t->untouched = 1;
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

static void
refill(ab_twister *t)
{
    for (int i = 0; i < WORDS; i++) {
        uint32_t both = (t->state[i] & UINT32_C(0x80000000))
                        | (t->state[(i + 1) % WORDS] & UINT32_C(0x7fffffff));
        t->state[i] =
            t->state[(i + MIDDLE) % WORDS] ^ both >> 1 ^ (both & 1 ? UINT32_C(0x9908b0df) : 0);
    }
    t->at = 0;
}

static uint32_t
raw(ab_twister *t)
{
    if (t->at == WORDS)
        refill(t);
    uint32_t y = t->state[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & UINT32_C(0x9d2c5680);
    y ^= y << 15 & UINT32_C(0xefc60000);
    return y ^ y >> 18;
}

/* In [0, 1): never 1, though the nearest float may be. */
static float
canonical(ab_twister *t)
{
    float u = (float)raw(t) * 0x1p-32f;
    return u < 1 ? u : 1 - 0x1p-24f;
}

/* Two raw numbers, the first of lower weight. */
static int
bernoulli(ab_twister *t, double p)
{
    double low = raw(t), high = raw(t);
    return (low + high * 0x1p32) * 0x1p-64 < p;
}

/* The polar method (Marsaglia and Bray 1964). */
static void
pair(ab_twister *t, float *first, float *second)
{
    float x, y, r;
    do {
        x = canonical(t);
        y = canonical(t);
        x = x + x - 1;
        y = y + y - 1;
        r = fmaf(y, y, x * x); /* as the wheel's compiler fused it */
    } while (r > 1 || r == 0);
    float scale = sqrtf(-2.0f * (float)log((double)r) / r);
    *first = y * scale;
    *second = x * scale;
}

static void
put(void *out, int itemsize, int64_t i, float number)
{
    if (itemsize == 8)
        ((double *)out)[i] = number;
    else
        ((float *)out)[i] = number;
}

void
ab_twister_draw(ab_twister *t, int kind, double a, double b, double factor, double term, int64_t n,
                void *out, int itemsize)
{
    const float low = (float)a, width = (float)b - low, scale = (float)factor, shift = (float)term;
    const float std = (float)b, least = 1e-20f;
    t->untouched = t->untouched && n == 0;
    for (int64_t i = 0; i < n; i++) {
        float one = 0, two = 0;
        switch (kind) {
        case AB_DRAW_UNIFORM:
            one = fmaf(canonical(t), width, low);
            break;
        case AB_DRAW_BERNOULLI:
            one = (float)bernoulli(t, a);
            break;
        case AB_DRAW_GUMBEL:
            one = canonical(t);
            one = -logf(one > least ? one : least);
            one = -logf(one > least ? one : least);
            break;
        default: /* normal: the second of an odd count is lost */
            pair(t, &one, &two);
            put(out, itemsize, i, fmaf(one, std, low) * scale + shift);
            one = fmaf(two, std, low);
            if (++i == n)
                return;
        }
        put(out, itemsize, i, one * scale + shift);
    }
}

void
ab_twister_fill(ab_twister *t, int kind, double a, double b, double factor, double term,
                ab_graph *g, int32_t node)
{
    const ab_node *d = &g->nodes[node];
    const ab_form *f = ab_form_get(g->registry, d->form);
    if (d->data)
        ab_twister_draw(t, kind, a, b, factor, term, f->size * f->batch, (void *)(intptr_t)d->data,
                        g->itemsize);
}
