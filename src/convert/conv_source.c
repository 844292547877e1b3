/* conv_source.c: the weights of a model directory, headers only; bytes are read later, slice by
 * slice.
 *
 * Files are read, not mapped: what a conversion has in memory is its buffers, whatever the model's
 * size, and a file that shrinks is a message.
 *
 * 1. Every tensor has one place: a name in two files is refused.
 * 2. Formats that hold code or that this program cannot read are refused by file name, with what to
 *    do.
 * 3. Files that only look like weights of the model (adapters, consolidated*) are not read.
 */
#include "convert/conv_job.h"

#define CONV_SOURCE_INDEX "model.safetensors.index.json"

/* ---- which files (Private) ------------------------------------------------------------------- */

static bool conv_source_exists(struct arena *a, const char *dir_cstr, const char *name_cstr) {
    char *path_cstr = os_path_join(a, dir_cstr, name_cstr);
    struct os_stat st;
    return path_cstr && os_stat(path_cstr, &st) && st.kind == OS_FILE;
}

static bool conv_source_is_weights(struct str name, bool named_model) {
    if (!str_ends(name, STR(".safetensors"))) return false;
    if (named_model) return str_starts(name, STR("model"));
    return !str_starts(name, STR("consolidated")) && str_find(name, STR("adapter")) < 0;
}

static bool conv_source_list(struct arena *a, const char *dir_cstr, struct str **out, size_t *n,
                             struct err *e) {
    struct os_entry *entries;
    size_t n_entries;
    if (!os_list_targets(a, dir_cstr, CONV_MAX_FILES, NULL, NULL, &entries, &n_entries, e))
        return false;
    *out = ARENA_ARRAY(a, struct str, n_entries + 1);
    *n = 0;
    if (!*out) return err_oom(e, n_entries * sizeof **out, "the list of shards");
    for (int named_model = 1; *n == 0 && named_model >= 0; named_model--)
        for (size_t i = 0; i < n_entries; i++)
            if (entries[i].target == OS_FILE &&
                conv_source_is_weights(entries[i].name, named_model))
                (*out)[(*n)++] = entries[i].name;
    return true;
}

static bool conv_source_stale(struct err *e) {
    return err_hint(e, "fetch what is missing; if the index is out of date: mlxk convert SRC DST "
                       "--repair-index");
}

/* Shards of the same kind that the index does not know: it is older than they are. */
static bool conv_source_unnamed(const struct conv_source *s, const struct safet_index *index,
                                struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_targets(s->a, s->dir_cstr, CONV_MAX_FILES, NULL, NULL, &entries, &n, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool named = !str_glob(STR("model-*-of-*.safetensors"), entries[i].name);
        for (size_t k = 0; k < index->n_files; k++)
            named = named || str_eq(index->files[k], entries[i].name);
        if (named) continue;
        err_set(e, ERR_FORMAT, CONV_SOURCE_INDEX " does not name " STR_FMT,
                STR_ARG(entries[i].name));
        return conv_source_stale(e);
    }
    return true;
}

/* Names of the top-level files that hold the weights: those of the index, else model*.safetensors,
 * else every *.safetensors that is no adapter. n = 0: none. index stays empty without a file. */
static bool conv_source_files(const struct conv_source *s, struct safet_index *index,
                              struct str **out, size_t *n, struct err *e) {
    struct str text;
    *index = (struct safet_index){ 0 };
    if (!conv_source_exists(s->a, s->dir_cstr, CONV_SOURCE_INDEX))
        return conv_source_list(s->a, s->dir_cstr, out, n, e);
    char *path_cstr = os_path_join(s->a, s->dir_cstr, CONV_SOURCE_INDEX);
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_read_file(s->a, path_cstr, LIMIT_JSON_FILE, &text, e) ||
        !safet_index_parse(s->a, text, index, e))
        return err_context(e, CONV_SOURCE_INDEX ": ");
    for (size_t i = 0; i < index->n_files; i++) {
        char *name_cstr = str_dup_cstr(s->a, index->files[i]);
        if (name_cstr && conv_source_exists(s->a, s->dir_cstr, name_cstr)) continue;
        err_set(e, ERR_NOT_FOUND, CONV_SOURCE_INDEX " names " STR_FMT ", which is not in %s",
                STR_ARG(index->files[i]), s->dir_cstr);
        return conv_source_stale(e);
    }
    *out = index->files;
    *n = index->n_files;
    return conv_source_unnamed(s, index, e);
}

/* Every tensor that the index names is in some file. */
static bool conv_source_complete(const struct conv_source *s, const struct safet_index *index,
                                 struct err *e) {
    for (size_t i = 0; i < index->n; i++) {
        if (conv_source_find(s, index->tensor_names[i])) continue;
        err_set(e, ERR_FORMAT,
                CONV_SOURCE_INDEX " names tensor \"" STR_FMT "\", which is in no file",
                STR_ARG(str_sub(index->tensor_names[i], 0, 200)));
        return conv_source_stale(e);
    }
    return true;
}

/* The directory has no safetensors file: say what it has instead. */
static bool conv_source_refuse(struct arena *a, const char *dir_cstr, struct err *e) {
    struct os_entry *entries;
    size_t n;
    if (!os_list_targets(a, dir_cstr, CONV_MAX_FILES, NULL, NULL, &entries, &n, e)) return false;
    for (size_t i = 0; i < n; i++) {
        struct str name = entries[i].name;
        if (entries[i].target != OS_FILE) continue;
        if (str_ends(name, STR(".bin")) || str_ends(name, STR(".pth")) ||
            str_ends(name, STR(".pt"))) {
            err_set(e, ERR_UNSUPPORTED,
                    "the weights are in " STR_FMT ", a pickle, which runs code when it is read",
                    STR_ARG(str_sub(name, 0, 200)));
            return err_hint(e, "take the safetensors files of the model, or save it once with "
                               "save_pretrained(..., "
                               "safe_serialization=True)");
        }
        if (str_ends(name, STR(".gguf"))) {
            err_set(e, ERR_UNSUPPORTED, "the weights are in " STR_FMT,
                    STR_ARG(str_sub(name, 0, 200)));
            return err_hint(e, "name the file: mlxk convert %s/" STR_FMT " DST --to mlx", dir_cstr,
                            STR_ARG(name));
        }
    }
    err_set(e, ERR_NOT_FOUND, "there are no *.safetensors files in %s", dir_cstr);
    return err_hint(e, "give the directory of a model: config.json and model*.safetensors");
}

/* ---- headers (Private) ---------------------------------------------------------------------- */

MLXK_FN bool conv_source_header(struct arena *a, int fd, struct str *out, uint64_t *file_bytes,
                                struct err *e) {
    struct os_stat st;
    uint8_t length[8] = { 0 };
    size_t n_read = 0;
    if (!os_fstat(fd, &st)) return err_set(e, ERR_IO, "the file cannot be examined");
    if (!os_pread(fd, length, sizeof length, 0, &n_read, e)) return false;
    uint64_t want = num_read_u64(length);
    if (want > SAFET_MAX_HEADER) want = 0; /* safet_parse says so */
    size_t size = 8 + (size_t)want;
    if (size > st.size_bytes) size = (size_t)st.size_bytes;
    char *p = arena_alloc(a, size, 1);
    if (!p) return err_oom(e, size, "a safetensors header");
    if (!os_pread(fd, p, size, 0, &n_read, e)) return false;
    *out = (struct str){ p, n_read };
    *file_bytes = st.size_bytes;
    return true;
}

static bool conv_source_shard(struct conv_source *s, struct str name, struct err *e) {
    struct conv_in_shard *x = &s->shards[s->n_shards];
    struct os_stat st;
    struct str header;
    char *name_cstr = str_dup_cstr(s->a, name),
         *path_cstr = name_cstr ? os_path_join(s->a, s->dir_cstr, name_cstr) : NULL;
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    *x = (struct conv_in_shard){ .name = name, .fd = os_open(path_cstr, OS_READ, e) };
    if (x->fd < 0) return false;
    s->n_shards++;
    bool ok = conv_source_header(s->a, x->fd, &header, &x->size_bytes, e) &&
              safet_parse(s->a, header, x->size_bytes, &x->safet, e);
    if (!ok) return err_context(e, "%s: ", name_cstr);
    if (os_fstat(x->fd, &st)) x->mtime_ns = st.mtime_ns;
    const struct json *format = json_get(x->safet.metadata, "format");
    s->is_mlx = s->is_mlx || (json_is(format, JSON_STRING) && str_eq(format->string, STR("mlx")));
    return true;
}

/* ---- the table of tensors (Private) --------------------------------------------------------- */

static void conv_source_sort(struct conv_in *t, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct conv_in x = t[i];
            size_t k = i;
            for (; k >= gap && str_cmp(t[k - gap].name, x.name) > 0; k -= gap) t[k] = t[k - gap];
            t[k] = x;
        }
}

static bool conv_source_table(struct conv_source *s, struct err *e) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_shards; i++) n += s->shards[i].safet.n;
    if (n == 0) return err_set(e, ERR_FORMAT, "the files of %s hold no tensors", s->dir_cstr);
    s->tensors = ARENA_ARRAY(s->a, struct conv_in, n);
    if (!s->tensors) return err_oom(e, n * sizeof *s->tensors, "the tensor list");
    for (size_t i = 0; i < s->n_shards; i++)
        for (size_t j = 0; j < s->shards[i].safet.n; j++) {
            const struct safet_tensor *t = &s->shards[i].safet.tensors[j];
            s->tensors[s->n_tensors++] = (struct conv_in){ t->name, t, i };
            if (str_ends(t->name, STR(".scales"))) s->quantised = true;
        }
    conv_source_sort(s->tensors, n);
    map_init(&s->index, n);
    for (size_t i = 0; i < n; i++) {
        bool is_new;
        uint64_t *slot = map_put(&s->index, s->tensors[i].name, &is_new);
        if (!slot) return err_oom(e, n * sizeof(struct map_entry), "the tensor list");
        if (!is_new) {
            err_set(e, ERR_FORMAT,
                    "tensor \"" STR_FMT "\" is in two files, " STR_FMT " and " STR_FMT,
                    STR_ARG(str_sub(s->tensors[i].name, 0, 200)),
                    STR_ARG(s->shards[s->tensors[i - 1].shard].name),
                    STR_ARG(s->shards[s->tensors[i].shard].name));
            return err_hint(e, "remove the file that does not belong to the model");
        }
        *slot = i;
    }
    return true;
}

static bool conv_source_config(struct conv_source *s, struct err *e) {
    char *path_cstr = os_path_join(s->a, s->dir_cstr, "config.json");
    struct os_stat st;
    if (!path_cstr) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_stat(path_cstr, &st)) {
        err_set(e, ERR_NOT_FOUND, "config.json is missing in %s", s->dir_cstr);
        return err_hint(e, "give the directory of a model: config.json and model*.safetensors");
    }
    if (!os_read_file(s->a, path_cstr, LIMIT_JSON_DOC, &s->config_text, e)) return false;
    s->config = json_parse(s->a, s->config_text, e);
    if (!s->config) return err_context(e, "config.json: ");
    return json_is(s->config, JSON_OBJECT) || err_set(e, ERR_FORMAT, "config.json is no object");
}

/* ---- opening (Public) ----------------------------------------------------------------------- */

static bool conv_source_load(struct conv_source *s, struct err *e) {
    struct safet_index index;
    struct str *files = NULL;
    size_t n = 0;
    if (!conv_source_files(s, &index, &files, &n, e)) return false;
    if (n == 0) return conv_source_refuse(s->a, s->dir_cstr, e);
    if (n > CONV_MAX_SHARDS)
        return err_set(e, ERR_LIMIT, "%s holds %zu weight files, at most %d can be converted",
                       s->dir_cstr, n, (int)CONV_MAX_SHARDS);
    s->shards = ARENA_ARRAY(s->a, struct conv_in_shard, n);
    if (!s->shards) return err_oom(e, n * sizeof *s->shards, "the list of shards");
    for (size_t i = 0; i < n; i++)
        if (!conv_source_shard(s, files[i], e)) return false;
    return conv_source_table(s, e) && conv_source_complete(s, &index, e) &&
           conv_source_config(s, e);
}

MLXK_FN bool conv_source_open(struct arena *a, const char *dir_cstr, struct conv_source *out,
                              struct err *e) {
    *out = (struct conv_source){ .a = a, .dir_cstr = dir_cstr };
    if (conv_source_load(out, e)) return true;
    conv_source_close(out);
    return false;
}

MLXK_FN void conv_source_close(struct conv_source *s) {
    for (size_t i = 0; i < s->n_shards; i++) {
        os_close(s->shards[i].fd);
    }
    map_release(&s->index);
    *s = (struct conv_source){ 0 };
}

MLXK_FN const struct conv_in *conv_source_find(const struct conv_source *s, struct str name) {
    const uint64_t *at = map_get(&s->index, name);
    return at ? &s->tensors[*at] : NULL;
}

#undef CONV_SOURCE_INDEX
