/* cache_digest.c: the hashes that names in the cache promise, of bytes as they pass.
 *
 * A name of 64 hex digits is the sha256 of the content, one of 40 is git's name of a blob: sha1
 * over "blob ", the size in decimal, a NUL and the content. Large files are listed by git's name of
 * a short text that points to them.
 *
 * ref: hub facts 1.2.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

#include <stdio.h>

MLXK_FN void cache_git_begin(struct sha1 *s, uint64_t size_bytes) {
    char header[32] = "blob ";
    size_t n = 5, digits = 1;
    for (uint64_t rest = size_bytes; rest >= 10; rest /= 10) {
        digits++;
    }
    for (uint64_t i = digits, rest = size_bytes; i-- > 0; rest /= 10) {
        header[n + i] = (char)('0' + rest % 10);
    }
    sha1_init(s);
    sha1_update(s, header, n + digits + 1);
}

MLXK_FN void cache_digest_begin(struct cache_digest *d, enum cache_hash kind, uint64_t size_bytes) {
    d->kind = kind;
    if (kind == CACHE_GIT_SHA1) {
        cache_git_begin(&d->sha1, size_bytes);
    } else {
        sha256_init(&d->sha256);
    }
}

MLXK_FN void cache_digest_add(struct cache_digest *d, const void *p, size_t n) {
    if (d->kind == CACHE_GIT_SHA1) {
        sha1_update(&d->sha1, p, n);
    } else {
        sha256_update(&d->sha256, p, n);
    }
}

MLXK_FN void cache_digest_end(struct cache_digest *d, char hex[65]) {
    uint8_t digest[32];
    if (d->kind == CACHE_GIT_SHA1) {
        sha1_final(&d->sha1, digest);
    } else {
        sha256_final(&d->sha256, digest);
    }
    str_hex(hex, digest, d->kind == CACHE_GIT_SHA1 ? 20 : 32);
}

MLXK_FN void cache_digest_text(enum cache_hash kind, struct str text, char hex[65]) {
    struct cache_digest d;
    cache_digest_begin(&d, kind, text.n);
    cache_digest_add(&d, text.p, text.n);
    cache_digest_end(&d, hex);
}

MLXK_FN size_t cache_lfs_pointer(struct str sha256, uint64_t size_bytes, char oid[65]) {
    char text[256];
    int n = snprintf(text, sizeof text, CACHE_LFS_LINE "\noid sha256:" STR_FMT "\nsize %llu\n",
                     STR_ARG(sha256), (unsigned long long)size_bytes);
    MLXK_ASSERT(n > 0 && n < (int)sizeof text);
    cache_digest_text(CACHE_GIT_SHA1, (struct str){ text, (size_t)n }, oid);
    return (size_t)n;
}
