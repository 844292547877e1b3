/* zlib_unit.c: the streaming half of zlib (deflate, inflate, checksums) as one unit.
 * inftrees.h and inflate.h have no guard against being read twice: #import reads them once for all.
 * zutil.c comes last, because it reads macros of the gzip file functions (which are left out).
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated"
#pragma GCC diagnostic ignored "-Wshadow"
#ifdef MLXK_CLIENT
#define Z_TESTW 0                      /* checksums byte by byte: without 8 kB of tables for whole words */
#endif
#define code zlib_code                 /* a type of that bare name would stay behind */
#include <zlib/zutil.h>
#import <zlib/inftrees.h>
#import <zlib/inflate.h>
#include <zlib/inftrees.c>
#include <zlib/inffast.c>
#include <zlib/inflate.c>
#include <zlib/adler32.c>
#include <zlib/crc32.c>
#include <zlib/deflate.c>
#include <zlib/trees.c>
#include <zlib/zutil.c>
#undef code
#undef Z_TESTW
#pragma GCC diagnostic pop

#include "zlib_undef.h"
