// Unrolling of loops whose length is a constant once the function around them is inlined.
#pragma once

/// Before such a loop: the arrays that it indexes become registers, which -O2 does not guarantee
/// for more than a few iterations.
#define UNROLL _Pragma("clang loop unroll(full)")
