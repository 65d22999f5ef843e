// CRC-32 at the speed of memory, where the processor multiplies without carries.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The CRC-32 (of zip and zlib) of `count` bytes after others whose CRC-32 is `crc`, 0 for none.
uint32_t sdk_crc32(uint32_t crc, const void *bytes, size_t count);

/// The same by zlib alone.
uint32_t sdk_crc32_plain(uint32_t crc, const void *bytes, size_t count);
