// The sizes of threads' pieces.
#pragma once

#include <stddef.h>

/// Values in one piece: large enough to hide the cost of taking it, small enough to balance the
/// load.
#define SDK_PIECE 16384

/// The rows of one piece.
static inline size_t sdk_rows_in_piece(size_t channels) {
  return channels >= SDK_PIECE ? 1 : SDK_PIECE / (channels ? channels : 1);
}
