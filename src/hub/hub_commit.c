/* hub_commit.c: one commit as newline-delimited JSON, streamed: small files as base64 inside it.
 *
 * The body is a row of texts, each followed by the content of a file or by nothing; its length is
 * known before the first byte is read, and any place of it can be made when it is asked for.
 * It does not judge what a missing answer means: the caller looks at the branch.
 * ref: hub facts 3.9.
 */
#include "hub/hub_int.h"

#define HUB_COMMIT_MAX_TEXT ((size_t)256 << 20)
enum { HUB_COMMIT_GROUPS = 4096 };               /* of three bytes, read at a time */

struct hub_commit_piece {
    size_t text_from, text_n;                    /* in text */
    const struct hub_local *file;                /* its base64 follows, or NULL */
};
struct hub_commit_body {
    struct buf text;
    struct hub_commit_piece *pieces; size_t n_pieces;
    size_t at;                                   /* piece of the last read, which began at: */
    uint64_t at_offset;
    const struct hub_local *open;
    int fd;
};

static uint64_t hub_commit_base64_bytes(const struct hub_local *f) {
    return f ? (f->size_bytes + 2) / 3 * 4 : 0;
}

/* Base64 digits [from, from + n) of a file; n is cut to what one read gives. */
static bool hub_commit_encode(struct hub_commit_body *b, const struct hub_local *f, uint64_t from,
                              char *out, size_t *n, struct err *e) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t raw[HUB_COMMIT_GROUPS * 3 + 2];
    size_t skip = (size_t)(from % 4), got, want;
    uint64_t raw_from = from / 4 * 3;
    if (b->open != f) {
        os_close(b->fd);
        b->fd = hub_local_open(f, e);
        b->open = b->fd >= 0 ? f : NULL;
        if (b->fd < 0) return false;
    }
    want = f->size_bytes - raw_from < HUB_COMMIT_GROUPS * 3 ? (size_t)(f->size_bytes - raw_from)
                                                            : HUB_COMMIT_GROUPS * 3;
    if (!os_pread(b->fd, raw, want, raw_from, &got, e)) return false;
    if (got != want)
        return err_set(e, ERR_IO, "%s has become shorter while it was sent", f->disk_cstr);
    raw[got] = raw[got + 1] = 0;
    size_t n_digits = (got + 2) / 3 * 4;
    if (*n > n_digits - skip) *n = n_digits - skip;
    for (size_t i = 0; i < *n; i++) {
        size_t digit = i + skip, group = digit / 4 * 3, k = digit % 4;
        uint32_t x = (uint32_t)raw[group] << 16 | (uint32_t)raw[group + 1] << 8 | raw[group + 2];
        bool pad = group + k > got;              /* digits beyond the last byte */
        out[i] = pad ? '=' : digits[x >> (18 - 6 * k) & 63];
    }
    return true;
}

static bool hub_commit_read(void *ctx, uint64_t offset, void *p, size_t n, struct err *e) {
    struct hub_commit_body *b = ctx;
    char *out = p;
    if (offset < b->at_offset) b->at = b->at_offset = 0;
    while (n) {
        const struct hub_commit_piece *piece = &b->pieces[b->at];
        uint64_t in = offset - b->at_offset, coded = hub_commit_base64_bytes(piece->file);
        size_t take = n;
        if (in >= piece->text_n + coded) {
            b->at_offset += piece->text_n + coded;
            b->at++;
            continue;
        }
        if (in < piece->text_n) {
            if (take > piece->text_n - in) take = (size_t)(piece->text_n - in);
            memcpy(out, b->text.p + piece->text_from + in, take);
        } else if (!hub_commit_encode(b, piece->file, in - piece->text_n, out, &take, e)) {
            return false;
        }
        out += take;
        offset += take;
        n -= take;
    }
    return true;
}

/* Ends the text of one piece, which began at `from`. */
static void hub_commit_piece(struct hub_commit_body *b, size_t *from, const struct hub_local *f) {
    b->pieces[b->n_pieces++] = (struct hub_commit_piece){ *from, b->text.n - *from, f };
    *from = b->text.n;
}

static void hub_commit_string(struct hub_commit_body *b, struct str s) {
    struct json_writer w;
    json_write_init(&w, &b->text, false, false);
    json_write_str(&w, s);
}

static void hub_commit_text(struct hub_commit_body *b, struct str parent, struct str message,
                            struct hub_local **files, size_t n) {
    size_t from = 0;
    buf_add_cstr(&b->text, "{\"key\":\"header\",\"value\":{\"summary\":");
    hub_commit_string(b, message);
    buf_add_cstr(&b->text, ",\"description\":\"\"");
    if (parent.n) buf_addf(&b->text, ",\"parentCommit\":\"" STR_FMT "\"", STR_ARG(parent));
    buf_add_cstr(&b->text, "}}\n");
    for (size_t i = 0; i < n; i++) {
        if (files[i]->lfs) buf_add_cstr(&b->text, "{\"key\":\"lfsFile\",\"value\":{\"path\":");
        else buf_add_cstr(&b->text, "{\"key\":\"file\",\"value\":{\"path\":");
        hub_commit_string(b, files[i]->path);
        if (files[i]->lfs) {
            buf_addf(&b->text, ",\"algo\":\"sha256\",\"oid\":\"%s\",\"size\":%llu}}\n",
                     files[i]->sha256, (unsigned long long)files[i]->size_bytes);
            continue;
        }
        buf_add_cstr(&b->text, ",\"encoding\":\"base64\",\"content\":\"");
        hub_commit_piece(b, &from, files[i]);
        buf_add_cstr(&b->text, "\"}}\n");
    }
    hub_commit_piece(b, &from, NULL);
}

static void hub_commit_answer(struct arena *a, struct str body, struct str *sha, struct str *url) {
    struct err none = { 0 };
    const struct json *doc = json_parse_large(a, body, &none);
    (void)json_read_str(doc, "commitOid", sha, &none);
    (void)json_read_str(doc, "commitUrl", url, &none);
    if (!str_is_hex(*sha, 40)) *sha = STR_EMPTY;
}

MLXK_FN bool hub_commit_send(struct arena *a, struct hub *h, const struct hub_subject *s,
                             struct str parent, struct str message, struct hub_local **files,
                             size_t n, int *status, struct str *sha, struct str *url,
                             struct err *e) {
    struct hub_commit_body b = { .fd = -1 };
    struct hub_called reply = { 0 };
    *sha = *url = STR_EMPTY;
    *status = 0;
    buf_init(&b.text, HUB_COMMIT_MAX_TEXT);
    b.pieces = ARENA_ARRAY(a, struct hub_commit_piece, n + 1);
    if (!b.pieces) return err_oom(e, n * sizeof *b.pieces, "a commit");
    hub_commit_text(&b, parent, message, files, n);
    bool ok = buf_ok(&b.text, "a commit", e);
    struct hub_call call = { .method_cstr = "POST", .type_cstr = "application/x-ndjson",
                             .read_body = hub_commit_read, .body_ctx = &b, .once = true,
                             .body_bytes = b.text.n,
                             .url = hub_api_url(a, h, "/api/models/", s->repo, "/commit/",
                                                s->revision, "") };
    for (size_t i = 0; i < b.n_pieces; i++)
        call.body_bytes += hub_commit_base64_bytes(b.pieces[i].file);
    ok = ok && hub_call_ask(a, h, s, &call, &reply, e);
    *status = reply.status;
    if (ok) hub_commit_answer(a, reply.body, sha, url);
    os_close(b.fd);
    buf_release(&b.text);
    return ok;
}

#undef HUB_COMMIT_MAX_TEXT
