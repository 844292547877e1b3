/* config.h: feature macros and linkage words, included first by every contract.
 *
 * One translation unit (mlxk.c) defines MLXK_ONE_UNIT, which makes every cross-file
 * function static: the compiler then reports dead code across the whole program.
 * Compiled alone (make objects, clangd, clang-tidy) MLXK_FN is empty and
 * -Wmissing-prototypes reports any cross-file function absent from a contract.
 */
#ifndef MLXK_CONFIG_H
#define MLXK_CONFIG_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE 1
#endif

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef MLXK_ONE_UNIT
#define MLXK_FN static
#else
#define MLXK_FN
#endif

/* In front of a contract's function that only tests call, so that it is not dead code. */
#define MLXK_TEST_AID __attribute__((unused))

#define MLXK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MLXK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(CHAR_BIT == 8, "bytes have eight bits");
_Static_assert(sizeof(size_t) == 8, "64-bit targets only");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian targets only");

#endif
