// The kernels in AVX-512.
#if defined(__x86_64__)
#define SDK_VECTORS_AVX512
#include "vector/tables.h"
#endif
