/* rel_index_table.c: the table that a search reads: a line for each version, what is searched in
 * front and what is told behind.
 *
 *   HEAD LF (WORDS US ROW LF)*         US is byte 0x1f; WORDS are in small letters
 *
 * HEAD names the index the table was made of (its size, inode and moments) and has a sum over the
 * lines, so that a table of another index, or a damaged one, is no table: it is made anew.
 *
 * 1. A line holds no other LF or US: WORDS have none, and in JSON they are escaped.
 * 2. Only rows that are told are read as JSON; 10,000 versions are searched in a few milliseconds.
 */
#include "release/rel_index_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { REL_TABLE_HEAD = 160, REL_TABLE_WORDS = 64, REL_TABLE_HEX = 12 };
#define REL_TABLE_MAGIC "mlxk-table-1"
#define REL_TABLE_ARENA ((size_t)8 << 20)        /* of one version */

/* ---- rows (Private) ---- */

struct rel_table_row {
    const struct rel_index_version *version;
    struct rel_version number; bool has_number;
};

static int rel_table_order(const void *x, const void *y) {
    const struct rel_table_row *a = x, *b = y;
    if (a->has_number != b->has_number) return a->has_number ? -1 : 1;
    int order = a->has_number ? rel_version_cmp(&b->number, &a->number) : 0;
    const struct str first = a->version->n_tags ? a->version->tags[0] : STR_EMPTY;
    if (!order) order = str_cmp(first, b->version->n_tags ? b->version->tags[0] : STR_EMPTY);
    return order ? order : str_cmp(a->version->digest, b->version->digest);
}

static struct rel_table_row *rel_table_sorted(struct arena *a, const struct rel_index_repo *repo) {
    struct rel_table_row *rows = ARENA_ARRAY(a, struct rel_table_row, repo->n + 1);
    for (size_t i = 0; rows && i < repo->n; i++) {
        rows[i].version = &repo->versions[i];
        for (size_t k = 0; k < repo->versions[i].n_tags; k++) {
            struct rel_tag t;
            rel_tag_parse(repo->versions[i].tags[k], STR_EMPTY, &t);
            if (t.kind != REL_TAG_RELEASE) continue;
            if (rows[i].has_number && rel_version_cmp(&t.version, &rows[i].number) <= 0) continue;
            rows[i].has_number = true;
            rows[i].number = t.version;
        }
    }
    if (rows) qsort(rows, repo->n, sizeof *rows, rel_table_order);
    return rows;
}

static const char *const rel_table_members[] = { "kind",   "name",         "family", "architecture",
                                                 "format", "quantization", "params", "precision",
                                                 "license" };

static struct str rel_table_text(const struct json *about, const char *key_cstr) {
    const struct json *v = json_get(about, key_cstr);
    return json_is(v, JSON_STRING) ? v->string : STR_EMPTY;
}

static bool rel_table_signed(const struct json *referrers) {
    for (const struct json *v = json_is(referrers, JSON_ARRAY) ? referrers->child : NULL; v;
         v = v->next) {
        struct str type = rel_table_text(v, "type");
        if (str_contains_icase(type, STR("sigstore")) || str_contains_icase(type, STR("signature")))
            return true;
    }
    return false;
}

/* One JSON object. */
static void rel_table_row(struct json_writer *w, struct arena *a, struct str repo,
                          const struct rel_table_row *r, const struct json *about,
                          const struct json *referrers) {
    const struct json *size = json_get(about, "size_bytes");
    json_write_object(w);
    json_write_member(w, "repository", repo);
    json_write_member_or_null(w, "version",
                              r->has_number ? rel_version_text(a, &r->number) : STR_EMPTY);
    json_write_member(w, "digest", r->version->digest);
    json_write_key(w, "tags");
    json_write_array(w);
    for (size_t k = 0; k < r->version->n_tags; k++) json_write_str(w, r->version->tags[k]);
    json_write_array_end(w);
    json_write_key(w, "size_bytes");
    json_write_i64(w, json_is(size, JSON_INT) && size->integer > 0 ? size->integer : 0);
    json_write_member_or_null(w, "interface", rel_table_text(about, "interface"));
    for (size_t i = 0; i < MLXK_COUNT(rel_table_members); i++)
        json_write_member_or_null(w, rel_table_members[i],
                                  rel_table_text(about, rel_table_members[i]));
    json_write_key(w, "signed");
    json_write_bool(w, rel_table_signed(referrers));
    json_write_object_end(w);
}

static bool rel_table_each(const struct rel_index_repo *repo, struct arena *sorted,
                           bool (*line)(void *ctx, const struct rel_index_repo *repo,
                                        const struct rel_table_row *r, const struct json *about,
                                        struct str json, struct err *e),
                           void *ctx, struct err *e) {
    struct rel_table_row *rows = rel_table_sorted(sorted, repo);
    bool ok = rows || err_oom(e, repo->n * sizeof *rows, "an index");
    for (size_t i = 0; ok && i < repo->n; i++) {
        const struct rel_index_version *v = rows[i].version;
        struct arena a;
        struct buf row;
        struct json_writer w;
        arena_init(&a, REL_TABLE_ARENA);
        buf_init(&row, REL_TABLE_ARENA);
        const struct json *about = json_parse_lenient(&a, v->about, e);
        const struct json *referrers = about ? json_parse_lenient(&a, v->referrers, e) : NULL;
        json_write_init(&w, &row, false, true);
        if (referrers) rel_table_row(&w, &a, repo->name, &rows[i], about, referrers);
        ok = referrers && buf_ok(&row, "an index", e)
             && line(ctx, repo, &rows[i], about, buf_str(&row), e);
        buf_release(&row);
        arena_release(&a);
    }
    return ok;
}

struct rel_table_teller {
    bool (*row)(void *ctx, struct str json, struct err *e);
    void *ctx;
};

static bool rel_table_tell(void *ctx, const struct rel_index_repo *repo,
                           const struct rel_table_row *r, const struct json *about,
                           struct str json, struct err *e) {
    const struct rel_table_teller *t = ctx;
    (void)repo;
    (void)r;
    (void)about;
    return t->row(t->ctx, json, e);
}

MLXK_FN bool rel_index_rows(const struct rel_index_repo *repo,
                            bool (*row)(void *ctx, struct str json, struct err *e), void *ctx,
                            struct err *e) {
    struct rel_table_teller t = { row, ctx };
    struct arena sorted;
    arena_init(&sorted, REL_INDEX_MAX_BYTES);
    bool ok = rel_table_each(repo, &sorted, rel_table_tell, &t, e);
    arena_release(&sorted);
    return ok;
}

/* ---- the table (Public to the index) ---- */

/* In small letters (ASCII), control characters as blanks, a blank in front. */
static void rel_table_word(struct buf *b, struct str s) {
    buf_add_char(b, ' ');
    size_t from = b->n;
    buf_add(b, s);
    for (size_t i = from; i < b->n; i++) {
        if (b->p[i] >= 'A' && b->p[i] <= 'Z') b->p[i] = (char)(b->p[i] + 32);
        if ((uint8_t)b->p[i] < 0x20) b->p[i] = ' ';
    }
}

static bool rel_table_line(void *ctx, const struct rel_index_repo *repo,
                           const struct rel_table_row *r, const struct json *about,
                           struct str json, struct err *e) {
    struct buf *b = ctx;
    buf_add_char(b, r->has_number ? 'r' : '-');
    rel_table_word(b, repo->name);
    for (size_t k = 0; k < r->version->n_tags; k++) rel_table_word(b, r->version->tags[k]);
    for (size_t i = 0; i < MLXK_COUNT(rel_table_members); i++)
        rel_table_word(b, rel_table_text(about, rel_table_members[i]));
    buf_add_char(b, '\x1f');
    buf_add(b, json);
    buf_add_char(b, '\n');
    return buf_ok(b, "the table of an index", e);
}

/* Words of eight bytes, the rest byte by byte: against damage, not against attackers. */
static uint64_t rel_table_sum(struct str s) {
    uint64_t h = 0xcbf29ce484222325u ^ s.n;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        h = (h ^ num_read_u64(s.p + i)) * 0x100000001b3u;
        h ^= h >> 32;
    }
    for (; i < s.n; i++) h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
    return h;
}

static void rel_table_head(char out[REL_TABLE_HEAD], const struct os_stat *index, size_t n_rows,
                           uint64_t sum) {
    (void)snprintf(out, REL_TABLE_HEAD, REL_TABLE_MAGIC " %zu %llx %llx %llx %llx %016llx\n",
                   n_rows, (unsigned long long)index->size_bytes, (unsigned long long)index->inode,
                   (unsigned long long)index->mtime_ns, (unsigned long long)index->ctime_ns,
                   (unsigned long long)sum);
}

static bool rel_table_build(const struct rel_index *x, struct buf *b, size_t *n_rows,
                            struct err *e) {
    *n_rows = 0;
    for (size_t i = 0; i < x->n; i++) {
        struct arena sorted;
        arena_init(&sorted, REL_INDEX_MAX_BYTES);
        bool ok = rel_table_each(&x->repos[i], &sorted, rel_table_line, b, e);
        arena_release(&sorted);
        if (!ok) return err_context(e, STR_FMT ": ", STR_ARG(x->repos[i].name));
        *n_rows += x->repos[i].n;
    }
    return true;
}

static bool rel_table_place(struct arena *a, const char *dir_cstr, char **table, struct os_stat *st,
                            struct err *e) {
    char *path = os_path_join(a, dir_cstr, REL_INDEX_FILE);
    *table = os_path_join(a, dir_cstr, "search");
    if (!path || !*table) return err_oom(e, LIMIT_PATH, "a path");
    (void)os_stat(path, st);
    return true;
}

static bool rel_table_write(const char *path_cstr, const struct os_stat *index, struct str lines,
                            size_t n_rows, struct err *e) {
    char head[REL_TABLE_HEAD];
    struct buf all;
    buf_init(&all, REL_INDEX_MAX_BYTES);
    rel_table_head(head, index, n_rows, rel_table_sum(lines));
    buf_add_cstr(&all, head);
    buf_add(&all, lines);
    bool ok = buf_ok(&all, "the table of an index", e)
              && os_write_file(path_cstr, buf_str(&all), e);
    buf_release(&all);
    return ok;
}

MLXK_FN bool rel_index_table_write(const struct rel_index *x, const char *dir_cstr, struct err *e) {
    struct arena a;
    struct os_stat st;
    struct buf lines;
    char *path;
    size_t n_rows;
    arena_init(&a, (size_t)1 << 20);
    buf_init(&lines, REL_INDEX_MAX_BYTES);
    bool ok = rel_table_place(&a, dir_cstr, &path, &st, e)
              && rel_table_build(x, &lines, &n_rows, e)
              && rel_table_write(path, &st, buf_str(&lines), n_rows, e);
    buf_release(&lines);
    arena_release(&a);
    return ok;
}

MLXK_FN bool rel_index_table_rows(struct str text, const struct os_stat *index, struct str *rows,
                                  size_t *n_rows) {
    char head[REL_TABLE_HEAD];
    uint64_t n;
    struct str rest = text, first = str_cut(&rest, '\n'), number = first;
    if (!rest.p || !str_starts(first, STR(REL_TABLE_MAGIC " "))) return false;
    number = str_sub(number, sizeof REL_TABLE_MAGIC, number.n);
    if (!num_parse_u64(str_cut(&number, ' '), REL_INDEX_MAX_VERSIONS, &n)) return false;
    *rows = rest;
    *n_rows = (size_t)n;
    rel_table_head(head, index, *n_rows, rel_table_sum(*rows));
    return str_starts(text, str_cstr(head));
}

/* ---- search ---- */

struct rel_table_word { struct str text; bool anywhere; };

/* Digits of a digest stand in what is told; other words only in what is searched. */
static bool rel_table_words(struct arena *a, const struct rel_index_query *q,
                            struct rel_table_word *out, size_t *n, struct err *e) {
    *n = 0;
    for (size_t i = 0; i < q->n_words; i++) {
        struct str rest = str_trim(q->words[i]);
        if (str_starts(rest, STR("sha256:"))) rest = str_sub(rest, 7, rest.n);
        while (rest.p) {
            struct str word = str_cut(&rest, ' ');
            struct buf b;
            if (!word.n) continue;
            if (*n == REL_TABLE_WORDS)
                return err_set(e, ERR_LIMIT, "more than %d words", REL_TABLE_WORDS);
            buf_init(&b, REL_INDEX_MAX_NAME);
            rel_table_word(&b, word);
            if (!buf_ok(&b, "a word", e)) return false;
            out[*n].text = str_dup(a, str_sub(buf_str(&b), 1, b.n));
            out[*n].anywhere = word.n >= REL_TABLE_HEX && str_is_hex(out[*n].text, word.n);
            buf_release(&b);
            if (!out[*n].text.p) return err_oom(e, word.n, "a word");
            ++*n;
        }
    }
    return true;
}

static bool rel_table_fits(struct str line, struct str words, const struct rel_table_word *wanted,
                           size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_find(wanted[i].anywhere ? line : words, wanted[i].text) < 0) return false;
    return true;
}

static bool rel_table_search(struct str rows, const struct rel_index_query *q,
                             struct rel_index_found *out, struct err *e) {
    struct rel_table_word wanted[REL_TABLE_WORDS];
    struct arena a;
    size_t n = 0;
    arena_init(&a, (size_t)1 << 20);
    bool ok = rel_table_words(&a, q, wanted, &n, e);
    while (ok && rows.n) {
        struct str line = str_cut(&rows, '\n'), json = line, words = str_cut(&json, '\x1f');
        if (!json.p || !words.n || (q->releases && words.p[0] != 'r')) continue;
        if (!rel_table_fits(line, str_sub(words, 1, words.n), wanted, n)) continue;
        if (!q->limit || out->n_found < q->limit) ok = q->row(q->ctx, json, e);
        out->n_found++;
    }
    arena_release(&a);
    return ok;
}

/* From the index itself; the table is made on the way. st: of the index before it is read, so that
 * the table of an index that is replaced meanwhile belongs to no other. */
static bool rel_table_anew(const char *dir_cstr, const char *path_cstr, const struct os_stat *st,
                           const struct rel_index_query *q, struct rel_index_found *out,
                           struct err *e) {
    struct rel_index x;
    struct buf lines;
    struct err none = { 0 };
    rel_index_init(&x);
    buf_init(&lines, REL_INDEX_MAX_BYTES);
    bool ok = rel_index_load(&x, dir_cstr, e) && rel_table_build(&x, &lines, &out->n_versions, e)
              && rel_table_search(buf_str(&lines), q, out, e);
    if (ok && x.n)               /* where it may not be written, nothing is lost */
        (void)rel_table_write(path_cstr, st, buf_str(&lines), out->n_versions, &none);
    buf_release(&lines);
    rel_index_release(&x);
    return ok;
}

MLXK_FN bool rel_index_search(const char *dir_cstr, const struct rel_index_query *q,
                              struct rel_index_found *out, struct err *e) {
    struct arena a;
    struct os_stat st;
    struct os_map map = { 0 };
    struct str rows;
    struct err none = { 0 };
    char *path = NULL;
    *out = (struct rel_index_found){ 0 };
    arena_init(&a, (size_t)1 << 20);
    bool ok = rel_table_place(&a, dir_cstr, &path, &st, e);
    bool mapped = ok && st.kind == OS_FILE && os_map_file(path, &map, &none);
    struct str text = { (const char *)map.p, map.size_bytes };
    if (mapped && rel_index_table_rows(text, &st, &rows, &out->n_versions))
        ok = rel_table_search(rows, q, out, e);
    else if (ok) ok = rel_table_anew(dir_cstr, path, &st, q, out, e);
    if (mapped) os_unmap(&map);
    arena_release(&a);
    return ok;
}

#undef REL_TABLE_MAGIC
#undef REL_TABLE_ARENA
