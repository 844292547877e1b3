/* cmd_push_check.c: `push --check-only`: is this folder a model that others can load?
 *
 * The document is upstream's (mlx-knife facts 2.3, push): counts, configuration, weights, index,
 * and anomalies in the order in which upstream looks for them. Nothing is sent, nothing is written.
 */
#include "cli/cmd_push.h"

struct cmd_push_check_anomaly {
    bool warn;
    const char *code_cstr;
    struct str message, path;    /* path empty = none */
    bool with_missing;
};

enum { CMD_PUSH_CHECK_POINTER = 200 };
#define CMD_PUSH_CHECK_MAX_INDEX ((size_t)64 << 20)

struct cmd_push_checker {
    struct arena *arena;
    struct cmd_push_check *out;
    struct cache_scan *scan;
    struct err *e;
};

MLXK_FN struct str cmd_push_check_plain(struct arena *a, struct str path) {
    struct buf b;
    buf_init(&b, LIMIT_PATH);
    if (str_starts(path, STR("/"))) buf_add_char(&b, '/');
    bool first = true;
    for (struct str rest = path; rest.p;) {
        struct str part = str_cut(&rest, '/');
        if (part.n == 0 || str_eq(part, STR("."))) continue;
        if (!first) buf_add_char(&b, '/');
        buf_add(&b, part);
        first = false;
    }
    struct str out = b.failed ? STR_EMPTY : str_dup(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static void cmd_push_check_add(struct cmd_push_checker *k, const char *code_cstr,
                               struct str message, struct str path) {
    k->out->anomalies[k->out->n_anomalies++] = (struct cmd_push_check_anomaly){
        .code_cstr = code_cstr, .message = message, .path = path,
        .warn = strcmp(code_cstr, "partial_marker") == 0,
        .with_missing = strcmp(code_cstr, "index_missing_shard") == 0,
    };
}

static bool cmd_push_check_is_pointer(struct cmd_push_checker *k, const struct cache_file *f) {
    if (f->size_bytes > CMD_PUSH_CHECK_POINTER) return false;
    struct str text = cache_scan_read(k->arena, k->scan, f->path, CMD_PUSH_CHECK_POINTER);
    return str_find(text, STR(CACHE_LFS_LINE)) >= 0;
}

/* ---- what is looked at (Private) ---- */

static void cmd_push_check_config(struct cmd_push_checker *k, struct str typed) {
    struct cmd_push_check *c = k->out;
    const struct cache_file *f = cache_scan_find(k->scan, STR("config.json"));
    c->has_config = f && f->kind == OS_FILE;
    c->config_valid = k->scan->config_state == CACHE_CONFIG_OK;
    if (c->has_config)
        c->config_path = cmd_push_check_plain(k->arena, str_format(k->arena, STR_FMT "/config.json",
                                                               STR_ARG(typed)));
    if (!c->has_config)
        cmd_push_check_add(k, "config_missing", STR("config.json not found"), STR_EMPTY);
    else if (!c->config_valid)
        cmd_push_check_add(k, "config_invalid_json", STR("config.json invalid or empty"),
                           STR_EMPTY);
}

static bool cmd_push_check_is_weight(struct cmd_push_check *c, struct str path) {
    bool gguf = str_ends(path, STR(".gguf")), safetensors = str_ends(path, STR(".safetensors"));
    bool bin = str_eq(os_path_base(path.p), STR("pytorch_model.bin"));
    c->gguf = c->gguf || gguf;
    c->safetensors = c->safetensors || safetensors;
    c->bin = c->bin || bin;
    return gguf || safetensors || bin;
}

/* GGUF first, then safetensors, then PyTorch: as upstream lists them. */
static void cmd_push_check_weights(struct cmd_push_checker *k) {
    static const char *const kinds[] = { ".gguf", ".safetensors", "pytorch_model.bin" };
    struct cmd_push_check *c = k->out;
    for (size_t kind = 0; kind < MLXK_COUNT(kinds); kind++)
        for (size_t i = 0; i < k->scan->n; i++) {
            const struct cache_file *f = &k->scan->files[i];
            if (f->kind != OS_FILE || !str_ends(f->path, str_cstr(kinds[kind]))
                || !cmd_push_check_is_weight(c, f->path))
                continue;
            struct str base = os_path_base(f->path.p);
            c->n_weights++;
            if (f->size_bytes == 0)
                cmd_push_check_add(k, "empty_weight_file",
                                   str_format(k->arena, "Empty file: " STR_FMT, STR_ARG(base)),
                                   f->path);
            else if (cmd_push_check_is_pointer(k, f))
                cmd_push_check_add(k, "lfs_pointer_detected",
                                   str_format(k->arena, "LFS pointer: " STR_FMT, STR_ARG(base)),
                                   f->path);
        }
    if (c->n_weights == 0)
        cmd_push_check_add(k, "no_weights_found",
                       STR("No weights (*.gguf/*.safetensors/pytorch_model.bin)"), STR_EMPTY);
}

/* Shards of the index's weight_map that are absent, empty or pointers; sorted. */
static bool cmd_push_check_shards(struct cmd_push_checker *k, const struct json *map) {
    struct cmd_push_check *c = k->out;
    struct map seen;
    bool is_new;
    size_t n = json_is(map, JSON_OBJECT) ? map->n : 0;
    c->missing = ARENA_ARRAY(k->arena, struct str, n);
    map_init(&seen, n + 1);
    for (const struct json *v = n && c->missing ? map->child : NULL; v; v = v->next) {
        if (v->kind != JSON_STRING || !map_put(&seen, v->string, &is_new) || !is_new) continue;
        const struct cache_file *f = cache_scan_find(k->scan, v->string);
        if (f && f->kind == OS_FILE && f->size_bytes && !cmd_push_check_is_pointer(k, f)) continue;
        size_t at = c->n_missing++;
        for (; at > 0 && str_cmp(v->string, c->missing[at - 1]) < 0; at--)
            c->missing[at] = c->missing[at - 1];
        c->missing[at] = v->string;
    }
    map_release(&seen);
    return c->missing || err_oom(k->e, n * sizeof *c->missing, "the shards of an index");
}

static bool cmd_push_check_index(struct cmd_push_checker *k) {
    struct cmd_push_check *c = k->out;
    struct err bad = { 0 };
    const struct json *doc = NULL;
    for (size_t i = 0; i < k->scan->n && !c->has_index; i++) {
        if (!str_ends(k->scan->files[i].path, STR(".safetensors.index.json"))) continue;
        struct str text = cache_scan_read(k->arena, k->scan, k->scan->files[i].path,
                                          CMD_PUSH_CHECK_MAX_INDEX);
        c->has_index = true;
        doc = text.p ? json_parse_lenient(k->arena, text, &bad) : NULL;
        c->index_bad = !doc;
    }
    if (c->index_bad)
        cmd_push_check_add(k, "index_parse_error", STR("model.safetensors.index.json parse error"),
                       STR_EMPTY);
    if (!doc) return true;
    if (!cmd_push_check_shards(k, json_get(doc, "weight_map"))) return false;
    if (c->n_missing)
        cmd_push_check_add(k, "index_missing_shard",
                           str_format(k->arena, "Missing/invalid shards: %zu", c->n_missing),
                           STR_EMPTY);
    return true;
}

/* "model-00001-of-00003.safetensors": the total, and how many different numbers there are. */
static void cmd_push_check_pattern(struct cmd_push_checker *k) {
    struct str last = STR_EMPTY;
    int64_t total = 0, number;
    size_t n_present = 0;
    struct map seen;
    bool is_new;
    map_init(&seen, k->scan->n + 1);
    for (size_t i = 0; i < k->scan->n; i++) {
        struct str base = os_path_base(k->scan->files[i].path.p);
        if (!str_glob(
                STR("*model-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].safetensors"),
                base))
            continue;
        struct str digits = str_sub(base, base.n - 26, base.n - 21);
        if (map_put(&seen, digits, &is_new) && is_new) n_present++;
        if (!last.p || str_cmp(base, last) > 0) {
            last = base;
            if (num_parse_i64(str_sub(base, base.n - 17, base.n - 12), 0, 99999, &number))
                total = number;
        }
    }
    map_release(&seen);
    k->out->pattern = last.p ? (int64_t)n_present == total : -1;
}

static void cmd_push_check_markers(struct cmd_push_checker *k) {
    for (size_t i = 0; i < k->scan->n; i++) {
        const struct cache_file *f = &k->scan->files[i];
        struct str base = os_path_base(f->path.p);
        bool tmp = base.n >= 4 && str_ieq(str_sub(base, base.n - 4, base.n), STR(".tmp"));
        if (f->kind == OS_FILE && (tmp || str_contains_icase(base, STR("partial"))))
            cmd_push_check_add(k, "partial_marker",
                           str_format(k->arena, "Partial/tmp marker: " STR_FMT, STR_ARG(base)),
                           f->path);
    }
}

/* ---- (Public) ---- */

MLXK_FN bool cmd_push_check_folder(struct arena *a, const char *dir_cstr, struct str typed,
                               struct cmd_push_check *out, struct err *e) {
    struct cache_model m;
    struct cmd_push_checker k = { .arena = a, .out = out, .e = e };
    *out = (struct cmd_push_check){ .pattern = -1 };
    if (!cache_model_at(a, dir_cstr, &m, e) || !cache_scan(a, &m, e)) return false;
    k.scan = m.scan;
    out->anomalies = arena_array(a, k.scan->n * 2 + 8, sizeof *out->anomalies,
                                 _Alignof(struct cmd_push_check_anomaly));
    if (!out->anomalies) return err_oom(e, k.scan->n * 128, "the findings about a folder");
    for (size_t i = 0; i < k.scan->n; i++) {
        out->n_files += k.scan->files[i].kind == OS_FILE;
        out->total_bytes += k.scan->files[i].size_bytes;
    }
    cmd_push_check_config(&k, typed);
    cmd_push_check_weights(&k);
    if (!cmd_push_check_index(&k)) return false;
    cmd_push_check_pattern(&k);
    cmd_push_check_markers(&k);
    out->healthy = true;
    for (size_t i = 0; i < out->n_anomalies; i++)
        if (!out->anomalies[i].warn) out->healthy = false;
    return true;
}

static void cmd_push_check_index_write(struct json_writer *w, const struct cmd_push_check *c) {
    json_write_key(w, "index");
    json_write_object(w);
    json_write_key(w, "has_index");
    json_write_bool(w, c->has_index);
    json_write_key(w, "missing");
    json_write_array(w);
    for (size_t i = 0; i < c->n_missing; i++) json_write_str(w, c->missing[i]);
    json_write_array_end(w);
    if (c->index_bad) {
        json_write_key(w, "parse_error");
        json_write_bool(w, true);
    }
    json_write_object_end(w);
}

static void cmd_push_check_weights_write(struct json_writer *w, const struct cmd_push_check *c) {
    json_write_key(w, "weights");
    json_write_object(w);
    json_write_key(w, "count");
    json_write_u64(w, c->n_weights);
    json_write_key(w, "formats");
    json_write_array(w);                         /* sorted */
    if (c->bin) json_write_cstr(w, "bin");
    if (c->gguf) json_write_cstr(w, "gguf");
    if (c->safetensors) json_write_cstr(w, "safetensors");
    json_write_array_end(w);
    cmd_push_check_index_write(w, c);
    json_write_key(w, "pattern_complete");
    if (c->pattern < 0) json_write_null(w);
    else json_write_bool(w, c->pattern);
    json_write_object_end(w);
}

static void cmd_push_check_anomaly_write(struct json_writer *w, const struct cmd_push_check *c,
                                     const struct cmd_push_check_anomaly *x) {
    json_write_object(w);
    json_write_key(w, "severity");
    json_write_cstr(w, x->warn ? "warn" : "error");
    json_write_key(w, "code");
    json_write_cstr(w, x->code_cstr);
    json_write_key(w, "message");
    json_write_str(w, x->message);
    if (x->path.n) {
        json_write_key(w, "path");
        json_write_str(w, x->path);
    }
    if (x->with_missing) {
        json_write_key(w, "missing");
        json_write_array(w);
        for (size_t i = 0; i < c->n_missing; i++) json_write_str(w, c->missing[i]);
        json_write_array_end(w);
    }
    json_write_object_end(w);
}

MLXK_FN void cmd_push_check_write(struct json_writer *w, const struct cmd_push_check *c) {
    json_write_object(w);
    json_write_key(w, "files_count");
    json_write_u64(w, c->n_files);
    json_write_key(w, "total_bytes");
    json_write_u64(w, c->total_bytes);
    json_write_key(w, "config");
    json_write_object(w);
    json_write_key(w, "exists");
    json_write_bool(w, c->has_config);
    json_write_key(w, "valid_json");
    json_write_bool(w, c->config_valid);
    json_write_key(w, "path");
    if (c->config_path.n) json_write_str(w, c->config_path);
    else json_write_null(w);
    json_write_object_end(w);
    cmd_push_check_weights_write(w, c);
    json_write_key(w, "anomalies");
    json_write_array(w);
    for (size_t i = 0; i < c->n_anomalies; i++)
        cmd_push_check_anomaly_write(w, c, &c->anomalies[i]);
    json_write_array_end(w);
    json_write_key(w, "healthy");
    json_write_bool(w, c->healthy);
    json_write_object_end(w);
}

#undef CMD_PUSH_CHECK_MAX_INDEX
