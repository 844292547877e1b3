/* cache_health.c: are the files of a model complete? Verdicts and words of mlx-knife facts 4.1.
 *
 * This is the shallow check: presence, sizes, JSON, pointers of git-lfs, shards against their
 * index. Headers, offsets and hashes are read by whoever runs or verifies a model.
 *
 * 1. The first rule that fails gives the reason; the order of the rules is the interface.
 * 2. Better than upstream: a name that merely contains "partial" is no partial download, and a
 *    tokenizer without tokenizer.json is one when its own files are there.
 */
#include "cache/cache.h"
#include "cache/cache_int.h"

enum { CACHE_LFS_SEEN = 100 };

struct cache_verdict {
    struct arena *arena;
    struct cache_scan *scan;
    struct str reason;           /* set by the first rule that fails */
};

/* Always false. */
static bool cache_sick(struct cache_verdict *v, struct str reason) {
    v->reason = reason.p ? reason : STR("out of memory");
    return false;
}

static struct str cache_base(struct str path) {
    return str_sub(path, (size_t)(str_find_last(path, STR("/")) + 1), path.n);
}

/* "<what>: a, b"; paths of the given files, or their last components. */
static bool cache_sick_files(struct cache_verdict *v, const char *what_cstr,
                             struct cache_file **files, size_t n, bool base_only) {
    struct buf names;
    buf_init(&names, LIMIT_JSON_DOC);
    buf_addf(&names, "%s: ", what_cstr);
    for (size_t i = 0; i < n; i++) {
        buf_add_cstr(&names, i ? ", " : "");
        buf_add(&names, base_only ? cache_base(files[i]->path) : files[i]->path);
    }
    struct str reason = names.failed ? STR_EMPTY : str_dup(v->arena, buf_str(&names));
    buf_release(&names);
    return cache_sick(v, reason);
}

static bool cache_is_top(const struct cache_file *f) {
    return str_find_char(f->path, '/') < 0;
}

/* A JSON object in a file at the top, or why not: 0 object, 1 not JSON, 2 another kind. */
static int cache_object(struct cache_verdict *v, const char *name_cstr) {
    const struct json *doc = cache_parse(
        v->arena, cache_scan_read(v->arena, v->scan, str_cstr(name_cstr), LIMIT_JSON_FILE));
    return !doc ? 1 : json_is(doc, JSON_OBJECT) ? 0 : 2;
}

static bool cache_has(const struct cache_verdict *v, const char *name_cstr) {
    return cache_scan_find(v->scan, str_cstr(name_cstr)) != NULL;
}

/* Files the test picks out, in an array of the arena as long as the scan. */
static size_t cache_pick(struct cache_verdict *v,
                         bool (*test)(struct cache_verdict *, struct cache_file *),
                         struct cache_file **from, size_t n_from, struct cache_file **out) {
    size_t n = 0;
    for (size_t i = 0; i < n_from; i++) {
        struct cache_file *f = from ? from[i] : &v->scan->files[i];
        if (test(v, f)) {
            out[n++] = f;
        }
    }
    return n;
}

static bool cache_is_empty(struct cache_verdict *v, struct cache_file *f) {
    (void)v;
    return f->kind == OS_FILE && f->size_bytes == 0;
}

/* A text of some lines where git-lfs should have put the content. */
static bool cache_is_pointer(struct cache_verdict *v, struct cache_file *f) {
    if (f->kind != OS_FILE || f->size_bytes >= CACHE_LFS_MAX || f->size_bytes == 0) {
        return false;
    }
    struct str text = cache_scan_read(v->arena, v->scan, f->path, CACHE_LFS_MAX);
    return str_find(str_sub(text, 0, CACHE_LFS_SEEN),
                    STR(CACHE_LFS_LINE)) >= 0;
}

/* ---- beside the weights ---- */

static bool cache_check_processor(struct cache_verdict *v) {
    static const char *const names[] = { "preprocessor_config.json", "processor_config.json" };
    if (!cache_has_vision(v->arena, v->scan)) {
        return true;
    }
    for (size_t i = 0; i < MLXK_COUNT(names); i++) {
        if (cache_has(v, names[i])) {
            int kind = cache_object(v, names[i]);
            return kind == 0 || cache_sick(v, str_format(v->arena, "%s invalid%s", names[i],
                                                         kind == 1 ? " JSON" : ""));
        }
    }
    return cache_sick(
        v, STR("Vision model missing preprocessor_config.json or processor_config.json"));
}

/* Tokenizers without tokenizer.json: SentencePiece, tiktoken, Mistral's, vocabulary and merges. */
static bool cache_has_other_tokenizer(const struct cache_verdict *v) {
    if (cache_has(v, "tekken.json") || (cache_has(v, "vocab.json") && cache_has(v, "merges.txt")) ||
        cache_has(v, "vocab.txt")) {
        return true;
    }
    for (size_t i = 0; i < v->scan->n; i++) {
        struct str path = v->scan->files[i].path;
        if (cache_is_top(&v->scan->files[i]) &&
            (str_starts(path, STR("tokenizer.model")) || str_ends(path, STR(".tiktoken")) ||
             str_ends(path, STR(".spm")) || str_eq(path, STR("spiece.model")) ||
             str_eq(path, STR("sentencepiece.bpe.model")))) {
            return true;
        }
    }
    return false;
}

static bool cache_check_beside(struct cache_verdict *v) {
    if (!cache_check_processor(v)) {
        return false;
    }
    if (!cache_has(v, "tokenizer_config.json")) {
        return true;
    }
    int kind = cache_object(v, "tokenizer_config.json");
    if (kind) {
        return cache_sick(v, kind == 1 ? STR("tokenizer_config.json contains invalid JSON")
                                       : STR("tokenizer_config.json exists but invalid"));
    }
    if (!cache_has(v, "tokenizer.json") && !cache_has_other_tokenizer(v)) {
        return cache_sick(v, STR("tokenizer_config.json present but tokenizer.json missing"));
    }
    return true;
}

/* ---- weights with an index ---- */

struct cache_index {
    struct cache_verdict *v;
    struct map files;            /* the names in weight_map */
    struct str last;             /* names come in runs */
    size_t depth;
    bool is_object, key_is_map, in_map, odd;   /* odd: a value that is no name */
};

static void cache_index_name(struct cache_index *x, const struct json_token *t) {
    if (!str_eq(t->text, x->last)) {
        x->last = t->stable ? t->text : str_dup(x->v->arena, t->text);
        map_put(&x->files, x->last, NULL);
    }
}

static void cache_index_token(struct cache_index *x, const struct json_token *t) {
    switch (t->kind) {
    case JSON_T_OBJECT:
    case JSON_T_ARRAY:
        x->is_object = x->depth == 0 ? t->kind == JSON_T_OBJECT : x->is_object;
        x->odd = x->odd || (x->in_map && x->depth == 2);
        x->in_map = x->in_map || (x->depth == 1 && x->key_is_map && t->kind == JSON_T_OBJECT);
        x->depth++;
        break;
    case JSON_T_OBJECT_END:
    case JSON_T_ARRAY_END:
        x->depth--;
        x->in_map = x->in_map && x->depth > 1;
        break;
    case JSON_T_KEY:
        x->key_is_map = x->depth == 1 && x->is_object ? str_eq(t->text, STR("weight_map"))
                                                      : x->key_is_map && x->depth > 1;
        break;
    case JSON_T_STRING:
        if (x->in_map && x->depth == 2) {
            cache_index_name(x, t);
        }
        break;
    default:
        x->odd = x->odd || (x->in_map && x->depth == 2);
    }
}

/* The file names an index speaks of. Streams: indexes of large models are long. */
static bool cache_index_read(struct cache_index *x, struct str text) {
    struct json_reader r;
    struct json_token t;
    struct err bad = { 0 };
    bool ok = text.p && utf8_valid(text) && !str_starts(text, STR("\xEF\xBB\xBF"));
    json_reader_init(&r, text, LIMIT_JSON_DEPTH);
    while (ok && (ok = json_next(&r, &t, &bad)) && t.kind != JSON_T_END) {
        cache_index_token(x, &t);
    }
    json_reader_release(&r);
    return ok && !x->odd && !x->files.failed;
}

static int cache_name_order(const void *x, const void *y) {
    return str_cmp(((const struct map_entry *)x)->key, ((const struct map_entry *)y)->key);
}

/* "./a" in an index means "a". */
static struct cache_file *cache_shard(struct cache_verdict *v, struct str name) {
    while (str_starts(name, STR("./"))) {
        name = str_sub(name, 2, name.n);
    }
    struct cache_file *f = cache_scan_find(v->scan, name);
    return f && f->kind == OS_FILE ? f : NULL;
}

static bool cache_check_missing(struct cache_verdict *v, const void **names, size_t n,
                                size_t n_missing) {
    size_t n_top = 0;
    for (size_t i = 0; i < v->scan->n; i++) {
        struct cache_file *f = &v->scan->files[i];
        n_top += cache_is_top(f) && f->kind == OS_FILE && str_ends(f->path, STR(".safetensors"));
    }
    if (n_top) {
        return cache_sick(
            v,
            str_format(v->arena,
                       "Index/shard mismatch (mlx-vlm #624). Index references %zu shards but found "
                       "%zu different files. Fix: mlxk convert <model> <output> --repair-index",
                       n, n_top));
    }
    struct cache_file *shown = ARENA_ARRAY(v->arena, struct cache_file, n_missing);
    struct cache_file **list = ARENA_ARRAY(v->arena, struct cache_file *, n_missing);
    for (size_t i = 0, k = 0; shown && list && i < n; i++) {
        struct str name = ((const struct map_entry *)names[i])->key;
        if (!cache_shard(v, name)) {
            shown[k].path = name;
            list[k] = &shown[k];
            k++;
        }
    }
    return shown && list ? cache_sick_files(v, "Missing weight shards", list, n_missing, false)
                         : cache_sick(v, STR_EMPTY);
}

static bool cache_check_shards(struct cache_verdict *v, struct map *names) {
    const void **sorted = ARENA_ARRAY(v->arena, const void *, names->n);
    struct cache_file **files = ARENA_ARRAY(v->arena, struct cache_file *, names->n);
    struct cache_file **bad = ARENA_ARRAY(v->arena, struct cache_file *, names->n);
    size_t n = 0, n_bad;
    if (!sorted || !files || !bad) {
        return cache_sick(v, STR_EMPTY);
    }
    for (size_t i = 0; i < names->n; i++) {
        sorted[i] = &names->entries[i];
    }
    cache_sort(sorted, names->n, cache_name_order);
    for (size_t i = 0; i < names->n; i++) {
        struct cache_file *f = cache_shard(v, ((const struct map_entry *)sorted[i])->key);
        if (f) {
            files[n++] = f;
        }
    }
    if (n < names->n) {
        return cache_check_missing(v, sorted, names->n, names->n - n);
    }
    if ((n_bad = cache_pick(v, cache_is_empty, files, n, bad)) > 0) {
        return cache_sick_files(v, "Empty weight shards", bad, n_bad, false);
    }
    if ((n_bad = cache_pick(v, cache_is_pointer, files, n, bad)) > 0) {
        return cache_sick_files(v, "LFS pointers instead of files", bad, n_bad, false);
    }
    return true;
}

static bool cache_check_indexed(struct cache_verdict *v, const char *index_cstr) {
    struct cache_index x = { .v = v };
    map_init(&x.files, CACHE_MAX_ENTRIES);
    bool ok = cache_index_read(
        &x, cache_scan_read(v->arena, v->scan, str_cstr(index_cstr), LIMIT_JSON_FILE));
    if (!ok) {
        cache_sick(v, STR("Invalid index file"));
    } else if (!x.files.n) {
        ok = cache_sick(v, STR("Empty or invalid weight_map in index"));
    } else {
        ok = cache_check_shards(v, &x.files);
    }
    map_release(&x.files);
    if (ok && (ok = cache_check_beside(v))) {
        v->reason = STR("Multi-file model complete");
    }
    return ok;
}

/* ---- weights without an index ---- */

static bool cache_is_weights(struct cache_verdict *v, struct cache_file *f) {
    (void)v;
    return f->kind == OS_FILE &&
           (str_ends(f->path, STR(".safetensors")) || str_ends(f->path, STR(".bin")) ||
            str_ends(f->path, STR(".gguf")));
}

/* Safetensors first, then bin, then gguf: the order in which upstream names them. */
static size_t cache_weights(struct cache_verdict *v, bool top_only, struct cache_file **out) {
    static const char *const endings[] = { ".safetensors", ".bin", ".gguf" };
    size_t n = 0;
    for (size_t k = 0; k < MLXK_COUNT(endings); k++) {
        for (size_t i = 0; i < v->scan->n; i++) {
            struct cache_file *f = &v->scan->files[i];
            if (cache_is_weights(v, f) && str_ends(f->path, str_cstr(endings[k])) &&
                (!top_only || cache_is_top(f))) {
                out[n++] = f;
            }
        }
    }
    return n;
}

/* "model-00001-of-00003.safetensors" at the end of a name: which of how many. */
static bool cache_shard_number(struct str base, int64_t *number, int64_t *total) {
    const size_t n = STR("model-00001-of-00003.safetensors").n;
    if (base.n < n) {
        return false;
    }
    struct str s = str_sub(base, base.n - n, base.n);
    return str_starts(s, STR("model-")) && str_eq(str_sub(s, 11, 15), STR("-of-")) &&
           str_ends(s, STR(".safetensors")) && num_parse_i64(str_sub(s, 6, 11), 0, 99999, number) &&
           num_parse_i64(str_sub(s, 15, 20), 0, 99999, total);
}

/* What the names of shards say; *complete: all of them are there. */
static bool cache_check_numbers(struct cache_verdict *v, struct cache_file **files, size_t n,
                                bool *complete) {
    int64_t total = -1, number, of;
    size_t n_shards = 0, n_in = 0;
    struct cache_file **empty = ARENA_ARRAY(v->arena, struct cache_file *, n);
    uint8_t *seen = NULL;
    size_t n_empty = 0;
    for (size_t i = 0; empty && i < n; i++) {
        if (!cache_shard_number(cache_base(files[i]->path), &number, &of)) {
            continue;
        }
        if (total >= 0 && total != of) {
            return cache_sick(v, STR("Inconsistent shard totals detected"));
        }
        seen = total < 0 ? ARENA_ARRAY(v->arena, uint8_t, (size_t)of + 1) : seen;
        total = of;
        if (!seen) {
            return cache_sick(v, STR_EMPTY);
        }
        n_shards++;
        if (number >= 1 && number <= of) {
            n_in += !seen[number];
            seen[number] = 1;
        }
        if (files[i]->size_bytes == 0) {
            empty[n_empty++] = files[i];
        }
    }
    if (total >= 0 && n_in != (size_t)total) {
        return cache_sick(v, str_format(v->arena, "Missing shards by pattern: %zu/%lld present",
                                        n_shards, (long long)total));
    }
    *complete = total >= 0;
    return !n_empty || cache_sick_files(v, "Empty shards", empty, n_empty, true);
}

/* ".partial" as a part of a name between dots, or ".tmp" at its end. */
static bool cache_is_partial(struct cache_verdict *v, struct cache_file *f) {
    (void)v;
    struct str base = cache_base(f->path), rest = base;
    bool first = true;
    while (rest.p) {
        struct str part = str_cut(&rest, '.');
        if (!first && (str_ieq(part, STR("partial")) || (!rest.p && str_ieq(part, STR("tmp"))))) {
            return true;
        }
        first = false;
    }
    return false;
}

static bool cache_check_loose(struct cache_verdict *v) {
    struct cache_file **weights = ARENA_ARRAY(v->arena, struct cache_file *, v->scan->n);
    struct cache_file **bad = ARENA_ARRAY(v->arena, struct cache_file *, v->scan->n);
    bool complete = false;
    if (!weights || !bad) {
        return cache_sick(v, STR_EMPTY);
    }
    size_t n = cache_weights(v, true, weights), n_bad;
    n = n ? n : cache_weights(v, false, weights);
    if (!cache_check_numbers(v, weights, n, &complete)) {
        return false;
    }
    if (n == 0) {
        return cache_sick(v, STR("No model weights found"));
    }
    if (cache_pick(v, cache_is_partial, NULL, v->scan->n, bad) > 0) {
        return cache_sick(v, STR("Partial download marker detected"));
    }
    if ((n_bad = cache_pick(v, cache_is_empty, weights, n, bad)) > 0) {
        return cache_sick_files(v, "Empty weight files", bad, n_bad, true);
    }
    if (complete) {
        return cache_sick(v, STR("Safetensors index missing for sharded model"));
    }
    if ((n_bad = cache_pick(v, cache_is_pointer, NULL, v->scan->n, bad)) > 0) {
        return cache_sick_files(v, "LFS pointers instead of files", bad, n_bad, false);
    }
    if (!cache_check_beside(v)) {
        return false;
    }
    v->reason = STR("Model is healthy");
    return true;
}

/* ---- all of it ---- */

static bool cache_any_ending(const struct cache_scan *s, struct str ending) {
    for (size_t i = 0; i < s->n; i++) {
        if (s->files[i].kind == OS_FILE && str_ends(s->files[i].path, ending)) {
            return true;
        }
    }
    return false;
}

static bool cache_check_files(struct cache_verdict *v) {
    const struct cache_scan *s = v->scan;
    if (s->unreadable && !s->n) {
        return cache_sick(v, STR("The model's folder cannot be read"));
    }
    switch (s->config_state) {
    case CACHE_CONFIG_MISSING: return cache_sick(v, STR("config.json missing"));
    case CACHE_CONFIG_BAD_JSON: return cache_sick(v, STR("config.json contains invalid JSON"));
    case CACHE_CONFIG_EMPTY: return cache_sick(v, STR("config.json is empty or invalid"));
    case CACHE_CONFIG_OK: break;
    }
    if (cache_any_ending(s, STR(".safetensors")) && cache_has(v, "model.safetensors.index.json")) {
        return cache_check_indexed(v, "model.safetensors.index.json");
    }
    if (cache_any_ending(s, STR(".bin")) && cache_has(v, "pytorch_model.bin.index.json")) {
        return cache_check_indexed(v, "pytorch_model.bin.index.json");
    }
    return cache_check_loose(v);
}

static bool cache_leads_nowhere(struct cache_verdict *v, struct cache_file *f) {
    (void)v;
    return f->kind == OS_NONE;
}

/* Of a dataset or space anybody may want a few files only: those that are linked are there. */
static bool cache_check_links(struct cache_verdict *v) {
    struct cache_file **bad = ARENA_ARRAY(v->arena, struct cache_file *, v->scan->n);
    if (!bad) {
        return cache_sick(v, STR_EMPTY);
    }
    if (v->scan->unreadable || !v->scan->n) {
        return cache_sick(v, v->scan->unreadable ? STR("Its folder cannot be read")
                                                 : STR("No files found"));
    }
    size_t n = cache_pick(v, cache_leads_nowhere, NULL, v->scan->n, bad);
    if (n) {
        return cache_sick_files(v, "Links that lead nowhere", bad, n, false);
    }
    v->reason = STR("Its files are there");
    return true;
}

MLXK_FN struct cache_health cache_check_health(struct arena *a, const struct cache_model *m) {
    struct err e = { 0 };
    if (!m->snapshot_cstr) {
        struct os_stat st;
        char *dir = os_path_join(a, m->repo_dir_cstr, "snapshots");
        bool there = dir && os_stat(dir, &st) && st.kind == OS_DIR;
        return (struct cache_health){ false, there ? STR("No snapshots found")
                                                   : STR("No snapshots directory found") };
    }
    bool shared = m->scan && strcmp(m->snapshot_cstr, m->dir_cstr) == 0;
    struct cache_verdict v = { .arena = a,
                               .scan = shared ? m->scan : cache_scan_dir(a, m->snapshot_cstr, &e) };
    if (!v.scan) {
        return (struct cache_health){ false, STR("out of memory") };
    }
    if (m->place == CACHE_WORKSPACE && v.scan->config_state == CACHE_CONFIG_MISSING) {
        return (struct cache_health){ false, STR("No config.json found in workspace") };
    }
    bool healthy = cache_model_kind(m) ? cache_check_links(&v) : cache_check_files(&v);
    return (struct cache_health){ healthy, v.reason };
}
