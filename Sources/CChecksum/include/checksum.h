// CRC-32 at memory speed, if the CPU has carry-less multiplication.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The CRC-32 (of zip and zlib) of `count` bytes after others whose CRC-32 is `crc`, 0 for none.
uint32_t sdk_crc32(uint32_t crc, const void *bytes, size_t count);

/// The same, with zlib only.
uint32_t sdk_crc32_plain(uint32_t crc, const void *bytes, size_t count);
