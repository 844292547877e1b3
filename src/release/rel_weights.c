/* rel_weights.c: one pass over a file of weights: its own hash and those of its tensors.
 *
 * Tensors are named by their folder, name, type and shape, not by the file they happen to be in:
 * the same tensors in other shards are the same weights. What cannot be read as safetensors or GGUF
 * is one piece. Bytes are read in pieces, never mapped: memory does not grow with the model.
 *
 * 1. Every byte of a file is in the file's hash; every byte of a tensor in exactly one tensor's.
 * 2. A shard index says nothing about weights, so it is in no hash of weights.
 */
#include "release/rel_int.h"

/* A stretch of the file that has a hash of its own. */
struct rel_span { uint64_t begin, end; struct str label; };

struct rel_pass {
    struct rel_work *w;
    struct rel_file *f;
    struct rel_span *spans; size_t n, at;   /* sorted by begin */
    struct sha256 whole, part;
    bool open;                   /* a span has begun */
};

/* ---- the pass ---- */

static void rel_pass_close_span(struct rel_pass *p) {
    uint8_t digest[32];
    char hex[65];
    sha256_final(&p->part, digest);
    str_hex(hex, digest, sizeof digest);
    rel_lines_add_hash(&p->w->weights, p->spans[p->at].label, STR_EMPTY, hex);
    p->open = false;
    p->at++;
}

/* Bytes [at, at + n) of the file. */
static void rel_pass_feed(struct rel_pass *p, uint64_t at, size_t n) {
    uint64_t end = at + n;
    sha256_update(&p->whole, p->w->piece, n);
    while (p->at < p->n && p->spans[p->at].begin < end) {
        const struct rel_span *s = &p->spans[p->at];
        uint64_t from = s->begin > at ? s->begin : at, to = s->end < end ? s->end : end;
        if (!p->open) sha256_init(&p->part);
        p->open = true;
        if (to > from) sha256_update(&p->part, p->w->piece + (from - at), (size_t)(to - from));
        if (s->end > end) return;
        rel_pass_close_span(p);
    }
}

static bool rel_pass_run(struct rel_pass *p, struct err *e) {
    struct rel_work *w = p->w;
    uint8_t digest[32];
    uint64_t at = 0;
    int fd = os_open(p->f->file_cstr, OS_READ, e);
    bool ok = fd >= 0;
    sha256_init(&p->whole);
    while (ok && at < p->f->size_bytes) {
        size_t n;
        ok = os_read(fd, w->piece, REL_PIECE, &n, e);
        if (ok && (n == 0 || at + n > p->f->size_bytes))
            ok = err_set(e, ERR_INTEGRITY, STR_FMT " changed while it was read",
                         STR_ARG(p->f->path));
        if (!ok) break;
        rel_pass_feed(p, at, n);
        at += n;
        w->done_bytes += n;
        if (w->progress && !w->progress(w->ctx, w->done_bytes, w->s->size_bytes))
            ok = err_set(e, ERR_INTERRUPTED, "stopped while reading " STR_FMT, STR_ARG(p->f->path));
    }
    os_close(fd);
    while (ok && p->at < p->n) {                 /* empty ones at the end */
        if (!p->open) sha256_init(&p->part);
        rel_pass_close_span(p);
    }
    sha256_final(&p->whole, digest);
    str_hex(p->f->sha256, digest, sizeof digest);
    return ok;
}

/* ---- tables of tensors ---- */

static struct str rel_weights_folder(struct str path) {
    ptrdiff_t at = str_find_last(path, STR("/"));
    return str_sub(path, 0, at < 0 ? 0 : (size_t)at);
}

/* FOLDER NUL NAME NUL TYPE NUL 2x3x4 */
static struct str rel_weights_label(struct arena *a, struct str folder, struct str name,
                                    const char *type_cstr, const int64_t *shape, int n_dims) {
    struct buf b;
    buf_init(&b, 1 << 17);
    buf_add(&b, folder);
    buf_add_char(&b, 0);
    buf_add(&b, name);
    buf_add_char(&b, 0);
    buf_add_cstr(&b, type_cstr);
    buf_add_char(&b, 0);
    for (int i = 0; i < n_dims; i++) buf_addf(&b, "%s%lld", i ? "x" : "", (long long)shape[i]);
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static void rel_spans_sort(struct rel_span *s, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct rel_span x = s[i];
            size_t k = i;
            for (; k >= gap && s[k - gap].begin > x.begin; k -= gap) s[k] = s[k - gap];
            s[k] = x;
        }
}

/* Values in a tensor; packed quantised ones are counted as what they stand for. */
static uint64_t rel_weights_values(const struct safet_tensor *t, int64_t bits) {
    uint64_t n = 1;
    bool packed = bits > 0 && t->dtype == DTYPE_U32;
    for (int i = 0; i < t->n_dims; i++) n *= (uint64_t)t->shape[i];
    if (bits > 0 && !packed
        && (str_ends(t->name, STR(".scales")) || str_ends(t->name, STR(".biases"))))
        return 0;
    return packed ? n * 32 / (uint64_t)bits : n;
}

static bool rel_weights_safetensors(struct rel_pass *p, struct err *e) {
    struct rel_work *w = p->w;
    struct safet header;
    struct err broken = { 0 };
    struct os_map map;
    int64_t bits = 0;
    if (!os_map_file(p->f->file_cstr, &map, e)) return false;
    bool read = safet_parse(w->a, (struct str){ (const char *)map.p, map.size_bytes },
                            p->f->size_bytes, &header, &broken);
    os_unmap(&map);
    w->has_safetensors = true;
    if (!read) return true;                      /* one piece */
    const struct json *format = json_get(header.metadata, "format");
    w->mlx_mark =
        w->mlx_mark || (json_is(format, JSON_STRING) && str_eq(format->string, STR("mlx")));
    (void)json_read_i64(json_get(w->config, "quantization"), "bits", 1, 16, &bits, &broken);
    p->spans = ARENA_ARRAY(w->a, struct rel_span, header.n);
    struct str folder = rel_weights_folder(p->f->path);
    bool ok = p->spans != NULL;
    for (size_t i = 0; ok && i < header.n; i++) {
        const struct safet_tensor *t = &header.tensors[i];
        struct str label = rel_weights_label(w->a, folder, t->name, dtype_name(t->dtype), t->shape,
                                             t->n_dims);
        p->spans[p->n++] = (struct rel_span){ t->begin, t->end, label };
        w->n_params += rel_weights_values(t, bits);
        ok = label.p != NULL;
    }
    rel_spans_sort(p->spans, p->n);
    return ok || err_oom(e, header.n * sizeof *p->spans, "a table of tensors");
}

/* Keys of a GGUF file that belong to the interface. */
static bool rel_weights_is_iface_key(const struct gguf *g, struct str key) {
    struct str arch = STR_EMPTY;
    struct err none = { 0 };
    if (str_starts(key, STR("tokenizer.")) || str_eq(key, STR("general.architecture"))
        || str_eq(key, STR("general.type")))
        return true;
    return gguf_read_str(g, "general.architecture", &arch, &none) && str_starts(key, arch)
           && str_eq(str_sub(key, arch.n, key.n), STR(".context_length"));
}

static struct str rel_weights_payload(struct arena *a, const struct gguf_value *v) {
    struct buf b;
    if (!v->strings) return v->raw.p ? v->raw : STR("");
    buf_init(&b, LIMIT_JSON_FILE);
    for (uint64_t i = 0; i < v->n; i++) {
        buf_addf(&b, "%zu:", v->strings[i].n);
        buf_add(&b, v->strings[i]);
    }
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out.p || b.failed ? out : STR("");
}

/* The keys that are logic; of a second file all: only the first one speaks for the interface. */
static bool rel_weights_keys(struct rel_work *w, const struct rel_file *f, const struct gguf *g,
                             bool all, struct err *e) {
    for (size_t i = 0; i < g->n_values; i++) {
        const struct gguf_value *v = &g->values[i];
        char hash[65];
        if (!all && rel_weights_is_iface_key(g, v->key)) continue;
        struct arena_mark mark = arena_mark(w->a);
        struct str payload = rel_weights_payload(w->a, v);
        if (!payload.p) return err_oom(e, v->raw.n, "a key of a GGUF file");
        rel_hash_text(payload, hash);
        arena_rewind(w->a, mark);
        rel_lines_addf(&w->logic, STR_FMT "%c" STR_FMT "%c%d%c%s", STR_ARG(f->path), 0,
                       STR_ARG(v->key), 0, (int)v->kind * 16 + (int)v->item_kind, 0, hash);
    }
    return true;
}

static bool rel_weights_gguf(struct rel_pass *p, struct err *e) {
    struct rel_work *w = p->w;
    struct gguf *g = ARENA_NEW(w->a, struct gguf);
    struct err broken = { 0 };
    w->has_gguf = true;
    if (!g) return err_oom(e, sizeof *g, "a GGUF file");
    struct str text = rel_work_text(w, p->f, SIZE_MAX, e);
    if (!text.p) return false;
    if (!gguf_parse(w->a, text, g, &broken)) return true;
    bool speaks = !w->gguf && g->n_tensors && gguf_find(g, "general.architecture");
    if (speaks) w->gguf = g;
    if (!rel_weights_keys(w, p->f, g, !speaks, e)) return false;
    p->spans = ARENA_ARRAY(w->a, struct rel_span, g->n_tensors);
    struct str folder = rel_weights_folder(p->f->path);
    for (size_t i = 0; p->spans && i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (t->end <= t->begin) {                /* a type whose size is not known */
            p->n = 0;
            return true;
        }
        uint64_t values = 1;
        for (int k = 0; k < t->n_dims; k++) values *= (uint64_t)t->shape[k];
        w->n_params += values;
        if (t->end - t->begin > w->gguf_type_bytes) {
            w->gguf_type_bytes = t->end - t->begin;
            w->gguf_type = t->type;
        }
        struct str label = rel_weights_label(w->a, folder, t->name, gguf_type_name(t->type),
                                             t->shape, t->n_dims);
        if (!label.p) return err_oom(e, t->name.n, "a table of tensors");
        p->spans[p->n++] = (struct rel_span){ t->begin, t->end, label };
    }
    rel_spans_sort(p->spans, p->n);
    return p->spans || err_oom(e, g->n_tensors * sizeof *p->spans, "a table of tensors");
}

/* ---- a file (Public) ---- */

static void rel_weights_format(struct rel_work *w, struct str path) {
    if (str_ends(path, STR(".npz"))) w->has_npz = true;
    if (str_ends(path, STR(".onnx"))) w->has_onnx = true;
    if (str_ends(path, STR(".pt")) || str_ends(path, STR(".pth")) || str_ends(path, STR(".bin")))
        w->has_pt = true;
}

MLXK_FN bool rel_weights_read(struct rel_work *w, struct rel_file *f, struct err *e) {
    struct rel_pass p = { .w = w, .f = f };
    bool index = str_ends(f->path, STR(".safetensors.index.json")), ok = true;
    if (str_ends(f->path, STR(".safetensors"))) ok = rel_weights_safetensors(&p, e);
    else if (str_ends(f->path, STR(".gguf"))) ok = rel_weights_gguf(&p, e);
    else rel_weights_format(w, f->path);
    bool tensors = p.n > 0;
    if (!ok || !rel_pass_run(&p, e)) return false;
    if (!tensors && !index) rel_lines_add_hash(&w->weights, f->path, STR_EMPTY, f->sha256);
    return true;
}

MLXK_FN bool rel_bytes_read(struct rel_work *w, struct rel_file *f, struct err *e) {
    struct rel_pass p = { .w = w, .f = f };
    return rel_pass_run(&p, e);
}
