// Single values stored as any type, for the plain versions.
#pragma once

#include <string.h>

#include "api/kernel_table.h"
#include "casts.h"

#define INLINE static inline __attribute__((always_inline))

INLINE float get(const void *base, size_t i, sdk_type type) {
  const char *p = sdk_at(base, type, i);
  float value = 0;
  uint16_t half;
  uint32_t bits;
  switch (type) {
    case SDK_F32: memcpy(&value, p, 4); break;
    case SDK_F16: sdk_cast_f16_f32_plain(p, &value, 1); break;
    case SDK_BF16:
      memcpy(&half, p, 2);
      bits = (uint32_t)half << 16;
      memcpy(&value, &bits, 4);
      break;
  }
  return value;
}

INLINE void put(void *base, size_t i, float value, sdk_type type) {
  char *p = sdk_at_mutable(base, type, i);
  switch (type) {
    case SDK_F32: memcpy(p, &value, 4); break;
    case SDK_F16: sdk_cast_f32_f16_plain(&value, p, 1); break;
    case SDK_BF16: sdk_cast_f32_bf16_plain(&value, p, 1); break;
  }
}

/// Runs CALL with a constant type, so that the type costs nothing inside.
#define BY_TYPE(type, CALL) \
  switch (type) { \
    case SDK_F32: CALL(SDK_F32); break; \
    case SDK_F16: CALL(SDK_F16); break; \
    case SDK_BF16: CALL(SDK_BF16); break; \
  }
