/* The kernels in float64 for AVX-512 (F, DQ, VL, BW); nothing elsewhere than on x86-64. */
#if defined(__x86_64__)

#define AB_ISA "avx512"
#define AB_NAME(noun) noun##_avx512_f64
#define AB_F64 1
#define real double
#define AB_VECTOR_BYTES 64

#include "table.inc.c"

#else
typedef int ab_not_for_this_processor;
#endif
