/* Random arrays, from the counter-based generator of dropout.inc.c. data: [seed, serial].
 * p: [size, two numbers (bits)]:
 *
 *   random_uniform    low, high             low + (high - low) u
 *   random_normal     mean, deviation       Box and Muller 1958, its cosine
 *   random_gumbel     location, scale       location - scale log(-log u)
 *   random_bernoulli  probability, value    value where u < probability, 0 elsewhere
 *
 * Number e of a row hashes to 64 bits: u = (h >> 40) / 2^24; the normal's angle takes bits 8
 * to 39. Where the logarithm is taken, u is moved off 0. */

typedef struct random_row {
    int64_t size;
    uint64_t start;
    double a, b;
    real *y;
} random_row;

ALWAYS_INLINE random_row
random_row_of(const ab_call *call, int64_t i)
{
    const uint64_t seed = (uint64_t)call->data[i][0], serial = (uint64_t)call->data[i][1];
    return (random_row){
        .size = call->p[0],
        .start = dropout_mix(seed ^ (UINT64_C(0x9E3779B97F4A7C15) * (serial + 1))),
        .a = ab_double(call->p[1]),
        .b = ab_double(call->p[2]),
        .y = ROW(call->y, i),
    };
}

static void
random_uniform_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++) {
        const random_row r = random_row_of(call, i);
        for (int64_t k = 0; k < r.size; k++) {
            const uint64_t h = dropout_mix(r.start + (uint64_t)k) >> 40;
            r.y[k] = (real)(r.a + (r.b - r.a) * ((double)(int64_t)h * 0x1p-24));
        }
    }
}

static void
random_normal_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++) {
        const random_row r = random_row_of(call, i);
        const real mean = (real)r.a, deviation = (real)r.b;
#pragma omp simd
        for (int64_t k = 0; k < r.size; k++) {
            const uint64_t h = dropout_mix(r.start + (uint64_t)k);
            const real u = (real)((double)(int64_t)((h >> 40) + 1) * 0x1p-24);
            const real turn =
                (real)((double)(int64_t)(h >> 8 & UINT64_C(0xFFFFFFFF)) * 0x1.921fb54442d18p-30);
            r.y[k] = mean + deviation * ab_sqrt(-2 * ab_log(u)) * ab_cos(turn);
        }
    }
}

static void
random_gumbel_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++) {
        const random_row r = random_row_of(call, i);
        const real location = (real)r.a, scale = (real)r.b;
#pragma omp simd
        for (int64_t k = 0; k < r.size; k++) {
            const uint64_t h = dropout_mix(r.start + (uint64_t)k) >> 40;
            const double u = ((double)(int64_t)h + 0.5) * 0x1p-24;
            /* Near 1 the logarithm needs the distance to 1, which `real` does not hold. */
            const real low = ab_log((real)u), high = ab_log1p((real)(u - 1));
            r.y[k] = location - scale * ab_log(-(u < 0.5 ? low : high));
        }
    }
}

static void
random_bernoulli_forward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++) {
        const random_row r = random_row_of(call, i);
        const uint64_t below = (uint64_t)ceil(r.a * 0x1p24);
        const real value = (real)r.b;
        for (int64_t k = 0; k < r.size; k++)
            r.y[k] = dropout_mix(r.start + (uint64_t)k) >> 40 < below ? value : 0;
    }
}
