/* What the tests of kernels share: random numbers, numbers of either size, memory that notices
 * when a kernel leaves its row. Included once per test program, before anything else. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ab_kernel.h"
#include "chance.h"

#define PATTERN 0xA5

/* ---- Numbers of either size ---- */

static int itemsize;

static double
get(const void *array, int64_t i)
{
    return itemsize == 4 ? ((const float *)array)[i] : ((const double *)array)[i];
}

static void
set(void *array, int64_t i, double value)
{
    if (itemsize == 4)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

/* ---- Memory that notices ---- */

typedef struct block {
    unsigned char *map, *start, *usable;
    size_t bytes, pages; /* pages: of the usable part */
} block;

static size_t page;

static block
block_new(size_t bytes)
{
    block b = {.bytes = bytes, .pages = (bytes + page - 1) / page * page};
    int after = (int)(next() & 1);

    b.pages = b.pages ? b.pages : page;
    b.map = mmap(NULL, b.pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    b.usable = after ? b.map : b.map + page;
    memset(b.usable, PATTERN, b.pages);
    b.start = after ? b.usable + b.pages - bytes : b.usable;
    if (mprotect(after ? b.map + b.pages : b.map, page, PROT_NONE)) {
        perror("mprotect");
        exit(2);
    }
    return b;
}

static void
block_free(block *b)
{
    for (unsigned char *p = b->usable; p < b->usable + b->pages; p++)
        if ((p < b->start || p >= b->start + b->bytes) && *p != PATTERN) {
            fprintf(stderr, "a kernel wrote outside of its row\n");
            abort();
        }
    munmap(b->map, b->pages + page);
}

static block
block_random(int64_t count)
{
    block b = block_new((size_t)(count * itemsize));

    for (int64_t i = 0; i < count; i++)
        set(b.start, i, uniform());
    return b;
}

/* The tables whose instructions this processor has; returns their number. */
static int
tables_supported(const ab_kernel_table *tables[6])
{
    int count = 0;

    page = (size_t)sysconf(_SC_PAGESIZE);
    tables[count++] = &ab_table_baseline_f32;
    tables[count++] = &ab_table_baseline_f64;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        tables[count++] = &ab_table_avx2_f32;
        tables[count++] = &ab_table_avx2_f64;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
        tables[count++] = &ab_table_avx512_f32;
        tables[count++] = &ab_table_avx512_f64;
    }
#endif
    return count;
}
