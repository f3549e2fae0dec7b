/* Elementary functions that a compiler can vectorise: no branches, no calls.
 *
 * `real` is float or double (AB_F64 is 0 or 1). Every function is exact at the special
 * values (zeros with their sign, infinities, NaN), graceful at overflow, and precise for
 * denormal arguments and results. Written as a * b + c: where the instruction set has a
 * fused multiply-add the compiler contracts it; where it has not, fma() would be a call.
 *
 * Largest error in units in the last place, over the whole range of finite arguments (sin,
 * cos: up to AB_TRIG_LIMIT, beyond which libm is called): of every third float against libm's
 * double, of tens of millions of doubles against its long double. `test_kernels --dense` in
 * tests/native prints such a table of 8 million arguments each; without --dense it fails above
 * the bound.
 *
 *                 float               double
 *            FMA      none       FMA      none      bound
 *   exp      1.06     1.03       1.05     1.03      1.25
 *   expm1    1.60     1.73       1.78     1.78      2.00   (below 0: 1.42)
 *   log      0.76     0.82       0.75     0.81      1.00
 *   log1p    0.76     0.85       0.75     0.86      1.00
 *   tanh     1.75     1.92       1.79     1.96      2.00
 *   sigmoid  1.67     1.87       1.69     1.88      2.00
 *   sin      1.68     1.68       1.57     1.57      1.80
 *   cos      1.71     1.71       1.58     1.58      1.80
 *   erf      1.27     1.26       1.20     1.26      1.50
 *
 * Coefficients: minimax polynomials computed by vmath_fit.py. Methods: argument reduction
 * by Cody and Waite, "Software Manual for the Elementary Functions" (1980); Muller,
 * "Elementary Functions" (3rd ed., 2016), chapters 3 and 11.
 */
#ifndef AB_VMATH_H
#define AB_VMATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if AB_F64
typedef uint64_t ab_bits;
typedef int64_t ab_signed_bits;
#define AB_MANTISSA 52
#define AB_BIAS 1023
#define AB_SMALLEST DBL_MIN
#define AB_EPSILON DBL_EPSILON
#define AB_LARGEST DBL_MAX
#define AB_LIBM(name) name
#else
typedef uint32_t ab_bits;
typedef int32_t ab_signed_bits;
#define AB_MANTISSA 23
#define AB_BIAS 127
#define AB_SMALLEST FLT_MIN
#define AB_EPSILON FLT_EPSILON
#define AB_LARGEST FLT_MAX
#define AB_LIBM(name) name##f
#endif

#define AB_SIGN ((ab_bits)1 << (8 * sizeof(real) - 1))
/* Adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits. */
#define AB_ROUNDER ((real)1.5 * (real)((ab_bits)1 << AB_MANTISSA))

static inline ab_bits
ab_to_bits(real x)
{
    ab_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline real
ab_from_bits(ab_bits bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline real
ab_fabs(real x)
{
    return ab_from_bits(ab_to_bits(x) & ~AB_SIGN);
}

/* |x| with the sign of `sign`; x >= 0 */
static inline real
ab_with_sign(real x, real sign)
{
    return ab_from_bits(ab_to_bits(x) | (ab_to_bits(sign) & AB_SIGN));
}

static inline real
ab_sqrt(real x)
{
    return AB_LIBM(sqrt)(x);
}

/* The larger; NaN where either is NaN, as in NumPy. */
static inline real
ab_max(real a, real b)
{
    return (a > b) | (a != a) ? a : b;
}

/* Limits in integers: the bits of floats are ordered as their magnitudes are. A comparison of
 * floats would do, but GCC then moves what follows into branches, for the constant that the
 * limit is, and the loop no longer vectorises. NaN becomes the limit or stays NaN, by its
 * sign; the functions restore it at the end. */
static inline real
ab_at_most(real x, real high) /* high > 0; NaN may become high */
{
    const ab_signed_bits own = (ab_signed_bits)ab_to_bits(x);
    const ab_signed_bits limit = (ab_signed_bits)ab_to_bits(high);
    return ab_from_bits((ab_bits)(own < limit ? own : limit));
}

static inline real
ab_at_least(real x, real low) /* low < 0; NaN may become low */
{
    const ab_bits own = ab_to_bits(x), limit = ab_to_bits(low);
    return ab_from_bits(own < limit ? own : limit);
}

/* 2^(n - AB_BIAS) from an integer whose low bits are n, whatever the others are. */
static inline real
ab_power_of_2(ab_bits n)
{
    return ab_from_bits(n << AB_MANTISSA);
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; returns s with exp(r) - 1 = s + r. raised: has n + bias in
 * its low bits, 0 <= n + bias < 2^12 (float: 2^9). `low`: the caller needs r best where n is
 * 0 or 1, for then x - n ln 2 is exact with ln 2 as one number. */
static inline real
ab_exp_reduced(real x, int bias, int low, ab_bits *raised, real *reduced)
{
    const real rounder = AB_ROUNDER + (real)bias;
    const real shifted = x * (real)1.44269504088896340736 + rounder;
    const real whole = shifted - rounder;
    *raised = ab_to_bits(shifted);
#if AB_F64
    /* The high part has 21 trailing zeros: whole * high is exact. */
    const real r = low ? x - whole * 0.69314718055994530942
                       : (x - whole * 0x1.62e42feep-1) - whole * 0x1.a39ef35793c76p-33;
    real p = 2.5053793720195195023e-8;
    p = p * r + 2.7626161915351580544e-7;
    p = p * r + 2.7557407808784983918e-6;
    p = p * r + 2.4801504977284966091e-5;
    p = p * r + 1.9841269718405947852e-4;
    p = p * r + 1.3888888931796761412e-3;
    p = p * r + 8.3333333333899293565e-3;
    p = p * r + 4.1666666666576100693e-2;
    p = p * r + 1.6666666666666588626e-1;
    p = p * r + 5.0000000000000052271e-1;
#else
    /* 355 / 512 has 9 bits: whole * high is exact. */
    const real r =
        low ? x - whole * 0.69314718056f : (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    real p = 1.388252699e-3f;
    p = p * r + 8.366578816e-3f;
    p = p * r + 4.16672015e-2f;
    p = p * r + 1.666654319e-1f;
    p = p * r + 4.999999814e-1f;
#endif
    *reduced = r;
    /* What one number lacks of ln 2; counts for double only. */
    return AB_F64 && low ? r * r * p - whole * (real)2.3190468138462996e-17 : r * r * p;
}

/* exp of a number that is not far above 0, or NaN, for which it may be anything. */
static inline real
ab_exp_low(real x)
{
    ab_bits n;
    real r;
    const real limited = ab_at_least(x, AB_F64 ? -746 : -104);
    const real s = ab_exp_reduced(limited, 2 * AB_BIAS, 0, &n, &r);
    /* In two steps, as 2^n itself may be out of range where the result is not. */
    return (s + r + 1) * ab_power_of_2(n >> 1) * ab_power_of_2(n - (n >> 1));
}

static inline real
ab_exp(real x)
{
    const real y = ab_exp_low(ab_at_most(x, AB_F64 ? 710 : 89));
    return x == x ? y : x;
}

/* exp(x) - 1 */
static inline real
ab_expm1(real x)
{
    ab_bits n;
    real r;
    const real limited = ab_at_most(ab_at_least(x, AB_F64 ? -40 : -20), AB_F64 ? 710 : 89);
    const real s = ab_exp_reduced(limited, AB_BIAS - 1, 0, &n, &r);
    /* 2^(n-1), as 2^n may be out of range */
    const real scale = ab_power_of_2(n), rest = scale - (real)0.5;
#if AB_F64 /* its sum with r is exact where much cancels; one operation more */
    const real y = 2 * (scale * s + (scale * r + rest));
#else
    const real y = 2 * (scale * (s + r) + rest);
#endif
    const real tiny = ab_with_sign(ab_fabs(s + r), x);
    const real either = scale == (real)0.5 ? tiny : y;
    return x == x ? either : x;
}

/* tanh x = h / (h + 1) with h = (exp(2x) - 1) / 2, which has no cancellation near zero. As
 * a - a (a / (h + 1)) with a = min(h, 1) it is more precise: what counts is the error of a,
 * while those of the sum and of the quotient are of a smaller number. */
static inline real
ab_tanh(real x)
{
    ab_bits n;
    real r;
    const real s = ab_exp_reduced(2 * ab_at_most(ab_fabs(x), 20), AB_BIAS - 1, 1, &n, &r);
    const real scale = ab_power_of_2(n), rest = scale - (real)0.5;
    const real h = AB_F64 ? scale * (s + r) + rest : scale * s + (scale * r + rest);
    const real a = ab_at_most(h, 1);
    const real y = ab_with_sign(a - a * (a / (h + 1)), x);
    return x == x ? y : x;
}

/* 1 / (1 + exp(-x)), with e = exp(-|x|), whose tail keeps its precision, as 1 - e / (1 + e)
 * and e - e (e / (1 + e)): see tanh. */
static inline real
ab_sigmoid(real x)
{
    const real e = ab_exp_low(ab_from_bits(ab_to_bits(x) | AB_SIGN));
    const real a = x < 0 ? e : 1;
    const real y = a - a * (e / (1 + e));
    return x == x ? y : x;
}

/* log(x) + extra + raised ln 2, for normal x and a small extra, added where it loses least. */
static inline real
ab_log_normal(real x, real extra, real raised)
{
    /* x = 2^e m, sqrt(1/2) <= m < sqrt(2) */
    const ab_bits root_half = ab_to_bits((real)0.70710678118654752440);
    const ab_bits shifted = ab_to_bits(x) - root_half + ((ab_bits)AB_BIAS << AB_MANTISSA);
    const ab_bits exponent = (shifted >> AB_MANTISSA) - AB_BIAS;
    const real m = ab_from_bits(ab_to_bits(x) - (exponent << AB_MANTISSA));
    const real e = ab_from_bits(ab_to_bits(AB_ROUNDER) + exponent) - AB_ROUNDER + raised;
    const real f = m - 1;
    const real half_square = (real)0.5 * f * f;
#if AB_F64
    const real s = f / (2 + f);
    const real z = s * s;
    real p = 1.4795461328048866188e-1;
    p = p * z + 1.5314100186750568028e-1;
    p = p * z + 1.8183562353450672972e-1;
    p = p * z + 2.2222198611755481635e-1;
    p = p * z + 2.8571428742006359758e-1;
    p = p * z + 3.9999999999416410016e-1;
    p = p * z + 6.6666666666667341506e-1;
    /* 2 s = f - s f and s f = f^2 / 2 - s f^2 / 2 */
    const real rest = s * (half_square + p * z) + (e * 0x1.a39ef35793c76p-33 + extra);
    return e * 0x1.62e42feep-1 - ((half_square - rest) - f);
#else
    real p = 6.746587802e-2f;
    p = p * f - 1.167559194e-1f;
    p = p * f + 1.188815744e-1f;
    p = p * f - 1.240560076e-1f;
    p = p * f + 1.421955452e-1f;
    p = p * f - 1.666799503e-1f;
    p = p * f + 2.00021185e-1f;
    p = p * f - 2.500000962e-1f;
    p = p * f + 3.333331261e-1f;
    const real rest = f * f * f * p + (e * -2.12194440e-4f + extra);
    return e * 0.693359375f - ((half_square - rest) - f);
#endif
}

static inline real
ab_log(real x)
{
    const int denormal = x < AB_SMALLEST;
    const real scaled = x * (denormal ? (real)((ab_bits)1 << (AB_MANTISSA + 1)) : 1);
    const real y = ab_log_normal(scaled, 0, denormal ? -(real)(AB_MANTISSA + 1) : 0);
    const real edge = x == 0 ? -(real)INFINITY : (real)NAN;
    return x > 0 ? (x <= AB_LARGEST ? y : x) : edge;
}

/* log(1 + x) */
static inline real
ab_log1p(real x)
{
    const real u = 1 + x;
    /* What rounding took from u; nothing that counts once x is large. */
    const real lost = x - (u - 1);
    const real correction = lost / u;
    const real y = ab_log_normal(u, x < (1 << 20) ? correction : 0, 0);
    const real edge = u == 0 ? -(real)INFINITY : (real)NAN;
    const real inside = x == 0 ? x : y;
    return u > 0 ? (x <= AB_LARGEST ? inside : x) : edge;
}

#define AB_LOG_SMALLEST ((real) - 87.33654475055310898)

/* Probabilities in losses, and what is left to 1: so near to 0 that logarithm and inverse are still
 * finite. The limits are those of float in double, too: a loss is one number in both. */
static inline real
ab_at_least_smallest(real log)
{
    return log < AB_LOG_SMALLEST ? AB_LOG_SMALLEST : log;
}

static inline real
ab_probability(real p)
{
    return p >= 0 && p < (real)0x1p-126 ? (real)0x1p-126 : p;
}

static inline real
ab_complement(real p)
{
    return p == 1 ? (real)0x1p-23 : 1 - p;
}

/* NaN where p is no probability. */
static inline real
ab_probable(real p, real number)
{
    return p >= 0 && p <= 1 ? number : (real)NAN;
}

static inline real
ab_gelu_slope(real x)
{
    return x * (real)1.5957691216057308 * ((real)1 + (real)0.134145 * x * x);
}

/* Beyond this sin and cos would lose precision: where an argument is larger, the loops
 * take the `_any` forms, which call libm for it. */
#define AB_TRIG_LIMIT ((real)10000)

static inline int
ab_trig_large(real x)
{
    return ab_fabs(x) > AB_TRIG_LIMIT;
}

/* sin(x + quadrant * pi / 2) */
static inline real
ab_trig(real x, ab_bits quadrant)
{
    /* x = n pi / 2 + r, |r| <= pi / 4. pi / 2 in parts of 11 bits (double: 40), so that
     * n times a part is exact, and a last one in full. */
    const real shifted = x * (real)0.63661977236758134308 + AB_ROUNDER;
    const real whole = shifted - AB_ROUNDER;
    const ab_bits n = ab_to_bits(shifted) - ab_to_bits(AB_ROUNDER) + quadrant;
#if AB_F64
    real r = (x - whole * 0x1.921fb54442p+0) - whole * 0x1.a308d31318p-41;
    r -= whole * 0x1.8a2e03707344ap-81;
    const real last = 0; /* three parts are enough */
    const real z = r * r;
    real s = 1.5896069137465087836e-10;
    s = s * z - 2.5050745063754308749e-8;
    s = s * z + 2.7557313604670881808e-6;
    s = s * z - 1.9841269829542932342e-4;
    s = s * z + 8.3333333333220624277e-3;
    s = s * z - 1.6666666666666630512e-1;
    real c = -1.1358424059661725853e-11;
    c = c * z + 2.0875698718008037931e-9;
    c = c * z - 2.7557314164038333346e-7;
    c = c * z + 2.4801587288800210508e-5;
    c = c * z - 1.388888888887297617e-3;
    c = c * z + 4.1666666666666592472e-2;
#else
    real r = (x - whole * 0x1.92p+0f) - whole * 0x1.fb4p-12f;
    r -= whole * 0x1.444p-24f;
    const real last = whole * 0x1.68c234p-39f;
    const real z = r * r;
    real s = -1.951496331e-4f;
    s = s * z + 8.332158447e-3f;
    s = s * z - 1.666665457e-1f;
    real c = 2.443279496e-5f;
    c = c * z - 1.388731316e-3f;
    c = c * z + 4.166664562e-2f;
#endif
    /* What r lacks is added where it is not rounded twice. */
    const real sine = (r * z * s - last) + r;
    const real cosine = z * z * c + (1 - (real)0.5 * z);
    const real y = n & 1 ? cosine : sine;
    return ab_from_bits(ab_to_bits(y) ^ ((n & 2) << (8 * sizeof(real) - 2)));
}

static inline real
ab_sin(real x)
{
    const real y = ab_trig(x, 0);
    return x == 0 ? x : y;
}

static inline real
ab_cos(real x)
{
    return ab_trig(x, 1);
}

static inline real
ab_sin_any(real x)
{
    return ab_trig_large(x) ? AB_LIBM(sin)(x) : ab_sin(x);
}

static inline real
ab_cos_any(real x)
{
    return ab_trig_large(x) ? AB_LIBM(cos)(x) : ab_cos(x);
}

static inline real
ab_erf(real x)
{
    const real size = ab_fabs(x);
    const real z = x * x;
    const real last = AB_F64 ? 6 : 4; /* from here on 1, rounded */
    const real t = ab_at_most(size, last) - 1;
#if AB_F64
    real p = 5.9452608249121820748e-11;
    p = p * z - 1.1365665801510270247e-9;
    p = p * z + 1.4657879910627144187e-8;
    p = p * z - 1.6350025250436289818e-7;
    p = p * z + 1.646097282138301925e-6;
    p = p * z - 1.4925593507269706077e-5;
    p = p * z + 1.2055331036919498297e-4;
    p = p * z - 8.5483269787428342165e-4;
    p = p * z + 5.2239776247808782489e-3;
    p = p * z - 2.686617064507289599e-2;
    p = p * z + 1.1283791670954857496e-1;
    p = p * z - 3.7612638903183747604e-1;
    p = p * z + 1.2837916709551257375e-1;
    real q = 1.7401756549892677208e-11;
    q = q * t - 3.6258893489777117831e-10;
    q = q * t + 3.19836082358242377e-9;
    q = q * t - 1.3830363217787936093e-8;
    q = q * t + 7.8170791657350418922e-9;
    q = q * t + 2.9735482749796057101e-7;
    q = q * t - 2.2562798228458069318e-6;
    q = q * t + 9.793591575942568083e-6;
    q = q * t - 2.72864324073429298e-5;
    q = q * t + 2.634129778542759592e-5;
    q = q * t + 2.3730019520223847932e-4;
    q = q * t - 1.9778972405527395773e-3;
    q = q * t + 1.0033824554075733741e-2;
    q = q * t - 4.1561097967065488104e-2;
    q = q * t - 8.4310725636216674842e-1;
    q = q * t - 2.6389675142347255496;
    q = q * t - 1.849605509933248438;
#else
    real p = 7.853877158e-5f;
    p = p * z - 8.010197642e-4f;
    p = p * z + 5.188328027e-3f;
    p = p * z - 2.685381202e-2f;
    p = p * z + 1.128358515e-1f;
    p = p * z - 3.761262582e-1f;
    p = p * z + 1.283791657e-1f;
    real q = -1.150398854e-3f;
    q = q * t + 9.025951866e-3f;
    q = q * t - 4.102585892e-2f;
    q = q * t - 8.432269949e-1f;
    q = q * t - 2.638958526f;
    q = q * t - 1.849605609f;
#endif
    const real near = x * p + x;
    const real far = ab_with_sign(1 - ab_exp_low(q), x);
    return size >= 1 ? far : near;
}

/* Rare, and hard to get right: libm's, one by one. */
static inline real
ab_pow(real x, real y)
{
    return AB_LIBM(pow)(x, y);
}

/* The derivative of y = a^b by a, also where only a^(b - 1) overflows. */
static inline real
ab_power_slope(real a, real b, real y)
{
    const real power = ab_pow(a, b - 1);
    const real slope = ab_fabs(power) > AB_LARGEST && a != 0 ? y * (b / a) : b * power;
    return b == 0 ? 0 : y != y ? y : slope;
}

static inline real
ab_asin(real x)
{
    return AB_LIBM(asin)(x);
}

static inline real
ab_acos(real x)
{
    return AB_LIBM(acos)(x);
}

static inline real
ab_atan(real x)
{
    return AB_LIBM(atan)(x);
}

static inline real
ab_sinh(real x)
{
    return AB_LIBM(sinh)(x);
}

static inline real
ab_cosh(real x)
{
    return AB_LIBM(cosh)(x);
}

static inline real
ab_hypot(real x, real y)
{
    return AB_LIBM(hypot)(x, y);
}

static inline real
ab_asinh(real x)
{
    return AB_LIBM(asinh)(x);
}

static inline real
ab_acosh(real x)
{
    return AB_LIBM(acosh)(x);
}

static inline real
ab_atanh(real x)
{
    return AB_LIBM(atanh)(x);
}

static inline real
ab_lgamma(real x)
{
    return AB_LIBM(lgamma)(x);
}

/* The derivative of lgamma: the recurrence psi(x) = psi(x + 1) - 1 / x up to 10, from where on
 * the asymptotic series is exact to the last place; below 0 by reflection (Abramowitz and
 * Stegun 1964, 6.3.5, 6.3.7, 6.3.18). In double always: near its root the sum cancels. */
static inline real
ab_digamma(real x)
{
    double z = (double)x, sum = 0;
    if (!(z > 0)) {
        const double whole = floor(z);
        if (z == 0)
            return (real)(-1 / z); /* the pole's side is that of the zero */
        if (z == whole || z != z)
            return (real)NAN; /* a pole, or NaN */
        /* z - whole would round away a z next to 0; to the nearest integer it is exact. */
        sum = -3.14159265358979323846 / tan(3.14159265358979323846 * (z - rint(z)));
        z = 1 - z;
    }
    for (; z < 10; z++)
        sum -= 1 / z;
    const double t = 1 / (z * z);
    double p = 691.0 / 32760;
    p = p * -t + 1.0 / 132;
    p = p * -t + 1.0 / 240;
    p = p * -t + 1.0 / 252;
    p = p * -t + 1.0 / 120;
    p = p * -t + 1.0 / 12;
    return (real)(sum + log(z) - 0.5 / z - t * p);
}

static inline real
ab_floor(real x)
{
    return AB_LIBM(floor)(x);
}

static inline real
ab_ceil(real x)
{
    return AB_LIBM(ceil)(x);
}

static inline real
ab_rint(real x) /* halves to the even neighbour */
{
    return AB_LIBM(rint)(x);
}

#endif
