/* convert.h: other formats and layouts -> MLX repositories (level 4).
 *
 * This version: GGUF (llama family) losslessly, and plain directories, into the shared cache. What MLX affine
 * quantisation cannot hold bit for bit is refused by name; nothing is requantised.
 * ref    engine facts 1.1, 1.5; decisions "import".
 */
#ifndef MLXK_CONVERT_H
#define MLXK_CONVERT_H

#include "base/base.h"
#include "platform/platform.h"
#include "json/json.h"
#include "format/format.h"
#include "cache/cache.h"

/* Called with bytes done of total; false stops with ERR_INTERRUPTED. */
typedef bool (*conv_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);

/* What an import source is, told by its content: a GGUF file, or a directory with config.json. */
enum conv_kind { CONV_GGUF, CONV_MODEL_DIR };
/* err: ERR_UNSUPPORTED naming both accepted kinds when it is neither; ERR_NOT_FOUND. */
MLXK_FN bool conv_probe(const char *src_cstr, enum conv_kind *out, struct err *e);

/* One file of a repository to be: content in memory, or bytes produced by `write`. */
struct conv_result { struct str name, commit; uint64_t size_bytes; size_t n_files; bool unchanged; char *snapshot_cstr; };

/* Imports src into the cache under `name` (or empty: local/<general.name or directory name>, made acceptable).
 * commit = first 40 hex digits of SHA-256 over the sorted lines path NUL sha256 LF. Blobs, links, tree, then refs/main;
 * importing the same again changes nothing (unchanged = true). A failure or kill leaves no new snapshot behind.
 * mem: result texts in a. */
MLXK_FN bool conv_import(struct arena *a, const struct cache *c, const char *src_cstr, struct str name, conv_progress progress /* or NULL */,
                         void *ctx, struct conv_result *out, struct err *e);

#endif
