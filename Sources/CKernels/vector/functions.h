// Exponentials, the error function and functions of them, for vectors of f32. Coefficients are our
// own minimax fits (iteratively reweighted least squares in f64).

#pragma once

#include "kernels.h"
#include "vector/words.h"

// v_max and v_min return their second operand if either is NaN, so x comes second: NaN stays NaN.

/// 2^x for x <= 127; below -126 it stays at 2^-126, which vanishes in any sum. Relative error below
/// 1e-7. NaN for NaN.
INLINE vector v_exp2(vector x) {
  x = v_max(v_set(-126.0f), x);
  const vector n = v_round(x);
  const vector f = v_sub(x, n);
  vector p = v_set(0.0001534580751f);
  p = v_fma(p, f, v_set(0.001339993118f));
  p = v_fma(p, f, v_set(0.009618488974f));
  p = v_fma(p, f, v_set(0.05550328777f));
  p = v_fma(p, f, v_set(0.2402264689f));
  p = v_fma(p, f, v_set(0.6931472057f));
  p = v_fma(p, f, v_set(1.0f));
  return v_scale(p, n);
}

/// e^x, at least 2^-126; infinite from 2^127.5 or slightly above. Relative error below 2e-7. NaN
/// for NaN.
INLINE vector v_exp(vector x) {
  // The upper bound is past the largest float, so that n reaches 128 and the result infinity.
  x = v_min(v_set(88.9f), v_max(v_set(-87.33654f), x));
  const vector n = v_round(v_mul(x, v_set(1.44269504089f)));
  // ln 2 in two parts; the first has few enough bits that n times it is exact.
  vector r = v_fma(n, v_set(-0.693145751953125f), x);
  r = v_fma(n, v_set(-1.42860682030941723e-6f), r);
  vector p = v_set(0.001383684192f);
  p = v_fma(p, r, v_set(0.008374815781f));
  p = v_fma(p, r, v_set(0.04166822564f));
  p = v_fma(p, r, v_set(0.1666642017f));
  p = v_fma(p, r, v_set(0.4999999208f));
  p = v_fma(p, r, v_set(1.000000036f));
  p = v_fma(p, r, v_set(1.0f));
  return v_scale(p, n);
}

/// P of erfc(z) e^(z z) = t P(t) with t = 1 / (1 + 0.4 z), fitted to 4e-10.
INLINE vector v_tail(vector t) {
  vector p = v_set(0.07393404155f);
  p = v_fma(p, t, v_set(-0.3878883826f));
  p = v_fma(p, t, v_set(0.6582780039f));
  p = v_fma(p, t, v_set(-0.3272791451f));
  p = v_fma(p, t, v_set(0.3633722723f));
  p = v_fma(p, t, v_set(0.1646004267f));
  p = v_fma(p, t, v_set(0.2291489365f));
  p = v_fma(p, t, v_set(0.2258338471f));
  return p;
}

/// The normal distribution's integral up to x. Absolute error below 2e-7, and relative error below
/// 2e-6 for very negative x.
INLINE vector v_normal(vector x) {
  // z = |x| / sqrt 2.
  const vector z = v_mul(v_abs(x), v_set(0.70710678118654752f));
  const vector t = v_div(v_set(1.0f), v_fma(z, v_set(0.4f), v_set(1.0f)));
  const vector gauss = v_exp(v_mul(v_mul(x, x), v_set(-0.5f)));
  const vector tail = v_mul(v_mul(v_mul(t, v_tail(t)), gauss), v_set(0.5f));
  return v_where_negative(x, tail, v_sub(v_set(1.0f), tail));
}

INLINE vector v_function(vector x, sdk_function function) {
  if (function == SDK_GELU) return v_mul(x, v_normal(x));
  if (function == SDK_RELU) return v_max(v_set(0.0f), x);
  const float slope = function == SDK_SILU ? -1.0f : -1.702f;
  return v_div(x, v_add(v_set(1.0f), v_exp(v_mul(x, v_set(slope)))));
}

#ifdef HAS_BF16_PRODUCTS
// Shorter versions, for results that are rounded to bf16: 2^-9 of a value, ten times their errors.

/// 2^x with a relative error below 1e-4, for weights that are rounded to bf16; 0 for -infinity, NaN
/// for NaN. A minimax fit on 0...1, like the others.
INLINE vector v_exp2_short(vector x) {
  const vector f = v_fraction(x);
  vector p = v_set(0.07802451544f);
  p = v_fma(p, f, v_set(0.2260671657f));
  p = v_fma(p, f, v_set(0.695833537f));
  p = v_fma(p, f, v_set(0.9999252187f));
  return v_scale(p, x);
}

INLINE vector v_silu_short(vector x) {
  const vector e = v_exp2_short(v_mul(x, v_set(-1.44269504089f)));
  return v_mul(x, v_inverse_short(v_add(e, v_set(1.0f))));
}

/// As v_normal, times x.
INLINE vector v_gelu_short(vector x) {
  const vector z = v_mul(v_abs(x), v_set(0.70710678118654752f));
  const vector t = v_inverse_short(v_fma(z, v_set(0.4f), v_set(1.0f)));
  const vector gauss = v_exp2_short(v_mul(v_mul(x, x), v_set(-0.72134752044f)));
  const vector tail = v_mul(v_mul(v_mul(t, v_tail(t)), gauss), v_set(0.5f));
  return v_mul(x, v_where_negative(x, tail, v_sub(v_set(1.0f), tail)));
}
#endif

/// SiLU and GELU of values that have `type` before or after.
INLINE vector v_silu_for(vector x, const sdk_type type) {
#ifdef HAS_BF16_PRODUCTS
  if (type == SDK_BF16) return v_silu_short(x);
#endif
  (void)type;
  return v_function(x, SDK_SILU);
}
INLINE vector v_gelu_for(vector x, const sdk_type type) {
#ifdef HAS_BF16_PRODUCTS
  if (type == SDK_BF16) return v_gelu_short(x);
#endif
  (void)type;
  return v_function(x, SDK_GELU);
}
