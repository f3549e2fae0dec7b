/* Random numbers of the C tests: the same in every run. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdint.h>

static uint64_t state = 20240607;

static inline uint64_t
next(void)
{
    /* splitmix64 (Steele et al. 2014) */
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline int64_t
below(int64_t limit)
{
    return (int64_t)(next() % (uint64_t)limit);
}

static inline double
uniform(void)
{
    return (double)(next() >> 11) * 0x1p-52 - 1;
}

#endif
