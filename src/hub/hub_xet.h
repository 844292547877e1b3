/* hub_xet.h: the download half of the Xet protocol (experimental).
 *
 * Content-addressed storage (CAS) keeps files as chunks of 8 to 128 KiB, packed, some thousands
 * of them in one object, a xorb. A hub that has it says of a file its Xet hash and where a token
 * for the storage is to be had; the storage says which chunks of which xorbs give a range of the
 * file, and where their bytes lie. Chunk hashes are not looked at: the file's own sha256 judges in
 * the end.
 * Promises:
 *  1. the hub's token goes to the hub's refresh route only, the storage's token to the storage
 *     only, none to the addresses of xorbs; no downgrade to http, no way from outside to addresses
 *     inside;
 *  2. every count, length and offset is bounded before use (below); of a xorb one chunk at a time
 *     is in memory;
 *  3. bytes reach the taker in order, with their place in the file, as hub_download gives them.
 * ref    hub facts 3.10.
 */
#ifndef MLXK_HUB_XET_H
#define MLXK_HUB_XET_H

#include "hub/hub_int.h"

enum {
    HUB_XET_HEAD = 8,                    /* bytes before each packed chunk */
    HUB_XET_MAX_CHUNK = 128 << 10,       /* unpacked */
    HUB_XET_MAX_PACKED = 256 << 10,      /* packed: what cannot be packed is stored as it is */
    HUB_XET_MAX_CHUNKS = 8192,           /* of a xorb */
    HUB_XET_MAX_TERMS = 4096, HUB_XET_MAX_PARTS = 8192,      /* of one reconstruction */
    HUB_XET_QUERY = 16 << 20,            /* bytes of the file asked about at once */
};
#define HUB_XET_MAX_XORB ((uint64_t)65 << 20)    /* 64 MiB of content, heads and a footer */
#define HUB_XET_MAX_ANSWER ((size_t)1 << 20)     /* of a reconstruction as text */
#define HUB_XET_MEMORY ((size_t)8 << 20)         /* of one reconstruction, parsed */

/* ---- what is read (hub_xet_read.c): pure ----------------------------------------------------- */

/* The head of a packed chunk. */
struct hub_xet_head { uint32_t packed_bytes, unpacked_bytes; uint8_t scheme; };
/* err: ERR_FORMAT (also where the chunks of a xorb end and its footer begins), ERR_LIMIT. */
MLXK_FN bool hub_xet_head(const uint8_t p[HUB_XET_HEAD], struct hub_xet_head *out, struct err *e);
/* One chunk: h->packed_bytes at packed become h->unpacked_bytes at out. scratch: HUB_XET_MAX_CHUNK
 * bytes. err: ERR_FORMAT, ERR_LIMIT, ERR_UNSUPPORTED. */
MLXK_FN bool hub_xet_unpack(const struct hub_xet_head *h, const uint8_t *packed, uint8_t *scratch,
                            uint8_t *out, struct err *e);

struct hub_xet_part {            /* a range of a xorb that may be fetched */
    struct str hash, url;
    uint32_t first, end;         /* chunks [first, end) */
    uint64_t from, to;           /* bytes [from, to) of the xorb */
};
struct hub_xet_term {            /* the next bytes of the file */
    struct str hash;
    uint32_t first, end;
    uint64_t unpacked_bytes;
    const struct hub_xet_part *part;     /* that has these chunks, and maybe others */
};
struct hub_xet_plan {
    struct hub_xet_term *terms; size_t n_terms;
    struct hub_xet_part *parts; size_t n_parts;
    uint64_t skip_bytes;         /* of the first term: before what was asked for */
};
/* The answer to "which chunks give want_bytes bytes", in either version of the protocol. What is
 * taken adds up: the terms bring what was asked for, and none is superfluous; each has a part.
 * err: ERR_FORMAT, ERR_LIMIT. mem: in a; borrows from text. */
MLXK_FN bool hub_xet_parse(struct arena *a, struct str text, uint64_t want_bytes,
                           struct hub_xet_plan *out, struct err *e);
/* {"casUrl", "exp", "accessToken"}, and whether it may be used. mem: in a. err: ERR_FORMAT. */
struct hub_xet_token { struct str cas, token; int64_t expires_s; };
MLXK_FN bool hub_xet_parse_token(struct arena *a, struct str text, struct hub_xet_token *out,
                                 struct err *e);
MLXK_FN bool hub_xet_token_ok(struct hub_xet_token *t, struct err *e);

/* ---- what is fetched (hub_xet.c) ------------------------------------------------------------- */

/* Of a whole pull. thread: any. */
struct hub_xet {
    struct os_mutex mutex;
    struct arena arena, token_arena;
    struct str route;            /* where a token is to be had: the first that was offered */
    struct hub_xet_token token;
    int64_t until_ns;            /* it is as good as new */
    bool old;                    /* the storage knows version 1 only */
    bool inside;                 /* the hub is at an address inside: the storage may be, too */
};
/* Of one file; zeroed at first. thread: one at a time until it has been asked about. */
struct hub_xet_file {
    bool asked, offered;
    char hash[65];
};
MLXK_FN void hub_xet_init(struct hub_xet *x);
MLXK_FN void hub_xet_release(struct hub_xet *x);
/* Asks the hub, once for each file, whether it offers Xet: f->offered.
 * err: those of http_send, ERR_HTTP with out->status. */
MLXK_FN bool hub_xet_offered(struct hub_xet *x, struct hub_xet_file *f, const struct hub_ask *q,
                             struct hub_reply *out, struct err *e);
/* As hub_download, from the storage: the bytes [q->from, q->to) of a file that is offered.
 * err: those of http_send and hub_xet_parse, ERR_HTTP with out->status, and q->take's. */
MLXK_FN bool hub_xet_download(struct hub_xet *x, struct hub_xet_file *f, const struct hub_ask *q,
                              struct hub_reply *out, struct err *e);

#endif
