/* Chooses the kernels: the best instruction set that the processor has, or a requested one. */
#include "ab_kernel.h"

typedef struct {
    const ab_kernel_table *f32;
    const ab_kernel_table *f64;
    int supported;
} build;

const ab_kernel_table *
ab_table_select(const char *isa, int itemsize)
{
    const build builds[] = {
#if defined(__x86_64__)
        {&ab_table_avx512_f32, &ab_table_avx512_f64,
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
             && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
             && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
        {&ab_table_avx2_f32, &ab_table_avx2_f64,
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
        {&ab_table_baseline_f32, &ab_table_baseline_f64, 1},
    };
    for (size_t i = 0; i < sizeof builds / sizeof builds[0]; i++) {
        const ab_kernel_table *const table = itemsize == 4   ? builds[i].f32
                                             : itemsize == 8 ? builds[i].f64
                                                             : NULL;
        if (table != NULL && builds[i].supported && (isa == NULL || !strcmp(isa, table->isa)))
            return table;
    }
    return NULL;
}

int
ab_kernel_index(const char *name)
{
    for (int i = 0; i < ab_table_baseline_f32.count; i++) {
        if (!strcmp(name, ab_table_baseline_f32.kernels[i].name))
            return i;
    }
    return -1;
}
