// The kernels in AVX-512 with the instructions for bf16.
#if defined(__x86_64__)
#define SDK_VECTORS_AVX512_BF16
#include "vector/tables.h"
#endif
