// The kernels in AVX2 with FMA.
#if defined(__x86_64__)
#define SDK_VECTORS_AVX2
#include "vector/tables.h"
#endif
