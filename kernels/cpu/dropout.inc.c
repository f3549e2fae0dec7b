/* dropout: y = x / (1 - rate) where the generator keeps a number, 0 elsewhere.
 * p: [size, rate (bits)]; data: [seed, serial].
 *
 * The generator is counter-based: the mask is a function of seed, serial and the number's
 * place, so the backward pass computes it again and no mask is stored, and no thread count
 * changes it. mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014). */

static inline uint64_t
dropout_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* y (+)= x times mask times scale */
ALWAYS_INLINE void
dropout_row(const ab_call *call, int64_t row, const real *restrict x, real *restrict y,
            const int accumulate)
{
    const int64_t size = call->p[0];
    const double rate = ab_double(call->p[1]);
    const uint64_t seed = (uint64_t)call->data[row][0], serial = (uint64_t)call->data[row][1];
    const uint64_t start = dropout_mix(seed ^ (UINT64_C(0x9E3779B97F4A7C15) * (serial + 1)));
    /* u = (h >> 40) / 2^24 is kept where u >= rate; in integers this is exact. */
    const uint64_t least = (uint64_t)ceil(rate * 0x1p24);
    const real scale = rate < 1 ? (real)(1 / (1 - rate)) : 0;
#pragma omp simd
    for (int64_t k = 0; k < size; k++) {
        const uint64_t h = dropout_mix(start + (uint64_t)k);
        const real kept = (h >> 40) >= least ? scale * x[k] : 0;
        y[k] = accumulate ? y[k] + kept : kept;
    }
}

static void
dropout_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        dropout_row(call, i, ROW(call->x[0], i), ROW(call->y, i), 0);
}

static void
dropout_backward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        dropout_row(call, i, ROW(call->dy, i), ROW(call->dx, i), 1);
}
