// Vectors of values stored as f32 or bf16.
#pragma once

#include <string.h>

#include "kernels.h"
#include "vector/words.h"

INLINE vector get(const void *base, size_t i, sdk_type type) {
  return type == SDK_F32 ? v_load((const float *)base + i)
                         : v_from_bfloat((const uint16_t *)base + i);
}

INLINE void put(void *base, size_t i, vector v, sdk_type type) {
  if (type == SDK_F32) {
    v_store((float *)base + i, v);
  } else {
    v_to_bfloat((uint16_t *)base + i, v);
  }
}

/// The first n values, the rest zero.
INLINE vector get_part(const void *base, size_t i, size_t n, sdk_type type) {
  if (type == SDK_F32) return v_load_part((const float *)base + i, n);
  uint16_t bits[WIDTH] = {0};
  memcpy(bits, (const uint16_t *)base + i, n * 2);
  return get(bits, 0, type);
}

INLINE void put_part(void *base, size_t i, size_t n, vector v, sdk_type type) {
  if (type == SDK_F32) {
    v_store_part((float *)base + i, v, n);
    return;
  }
  uint16_t bits[WIDTH];
  put(bits, 0, v, type);
  memcpy((uint16_t *)base + i, bits, n * 2);
}

/// Runs BODY with GET(pointer, index) and PUT(pointer, index, v) for all of 0..<count: whole
/// vectors, then the rest.
#define EACH_VECTOR(count, BODY) \
  do { \
    size_t i = 0; \
    for (; i + WIDTH <= (count); i += WIDTH) { \
      BODY(GET_WHOLE, PUT_WHOLE) \
    } \
    if (i < (count)) { \
      const size_t left = (count) - i; \
      BODY(GET_LEFT, PUT_LEFT) \
    } \
  } while (0)
#define GET_WHOLE(p, at, type) get(p, at, type)
#define PUT_WHOLE(p, at, v, type) put(p, at, v, type)
#define GET_LEFT(p, at, type) get_part(p, at, left, type)
#define PUT_LEFT(p, at, v, type) put_part(p, at, left, v, type)

/// Makes `name` call `name_body` with a constant type, so that the type costs nothing inside.
#define BY_TYPE(type, CALL) \
  if ((type) == SDK_F32) { \
    CALL(SDK_F32); \
  } else { \
    CALL(SDK_BF16); \
  }
