/* rel_tag.c: the grammar of tags, and names made fit for it.
 *
 *   tag      [NAME-]body                  NAME only where a repository holds several models
 *   release  vX.Y.Z[-BRANCH]              pkg-, client-, img- in front of it: what belongs to it
 *   adhoc    GIT-DIRTY-CLIENT             12 digits or "nogit", 12 digits or "clean", 12 digits
 *   branch   BRANCH-DIRTY-CLIENT
 *   alias    latest, vX, vX.Y, client-vX, pkg-vX, pkg-vX.Y     these move
 *
 * A tag is read from its right end, because names and branches hold '-' as well: first the shape of
 * adhoc and branch, then a release, then an alias.
 *
 * 1. What rel_sanitise makes is read back as what it was: it never has the shape of another field.
 */
#include "release/release.h"
#include "tokenizer/tok.h"

enum { REL_SUFFIX = 9 };         /* "-" and eight digits */

/* ---- pieces ---- */

static bool rel_tag_is_hash(struct str s) {
    return str_is_hex(s, REL_SHORT);
}

static bool rel_tag_is_dirty(struct str s) {
    return rel_tag_is_hash(s) || str_eq(s, STR("clean"));
}

static bool rel_tag_is_git(struct str s) {
    return rel_tag_is_hash(s) || str_eq(s, STR("nogit"));
}

/* Cuts at the last '-': returns what stands behind it. p NULL: there is none. */
static struct str rel_tag_cut_last(struct str *s) {
    ptrdiff_t at = str_find_last(*s, STR("-"));
    if (at < 0) return STR_EMPTY;
    struct str last = str_sub(*s, (size_t)at + 1, s->n);
    *s = str_sub(*s, 0, (size_t)at);
    return last;
}

/* ---- GIT-DIRTY-CLIENT and BRANCH-DIRTY-CLIENT ---- */

static bool rel_tag_read_adhoc(struct str tag, struct rel_tag *out) {
    struct str rest = tag, client = rel_tag_cut_last(&rest), dirty = rel_tag_cut_last(&rest);
    if (!rest.n || !rel_tag_is_hash(client) || !rel_tag_is_dirty(dirty)) return false;
    struct str before = rest, git = rel_tag_cut_last(&before);
    out->client = client;
    out->dirty = dirty;
    out->kind = REL_TAG_BRANCH;
    out->branch = rest;
    if (rel_tag_is_git(rest)) {
        out->git = rest;
    } else if (before.n && rel_tag_is_git(git)) {
        out->git = git;
        out->name = before;
    }
    if (out->git.n) {
        out->kind = REL_TAG_ADHOC;
        out->branch = STR_EMPTY;
    }
    return true;
}

/* ---- releases and aliases ---- */

struct rel_tag_prefix { struct str word; enum rel_tag_kind kind; };
static const struct rel_tag_prefix rel_tag_prefixes[] = {
    { { "pkg-", 4 }, REL_TAG_PKG },
    { { "client-", 7 }, REL_TAG_CLIENT },
    { { "img-", 4 }, REL_TAG_IMAGE },
};

static bool rel_tag_read_release(struct str s, struct rel_tag *out) {
    enum rel_tag_kind kind = REL_TAG_RELEASE;
    for (size_t i = 0; i < MLXK_COUNT(rel_tag_prefixes); i++)
        if (str_starts(s, rel_tag_prefixes[i].word)) {
            kind = rel_tag_prefixes[i].kind;
            s = str_sub(s, rel_tag_prefixes[i].word.n, s.n);
            break;
        }
    if (!rel_version_parse(s, &out->version)) return false;
    out->kind = kind;
    return true;
}

static bool rel_tag_is_alias(struct str s) {
    struct rel_range r;
    bool client = str_starts(s, STR("client-")), pkg = str_starts(s, STR("pkg-"));
    if (str_eq(s, STR("latest"))) return true;
    if (client) s = str_sub(s, 7, s.n);
    if (pkg) s = str_sub(s, 4, s.n);
    if (!str_starts(s, STR("v")) || !rel_range_parse(s, &r) || r.exact) return false;
    return !client || str_find_char(s, '.') < 0;
}

static bool rel_tag_read_at(struct str tag, size_t at, struct rel_tag *out) {
    struct str rest = str_sub(tag, at, tag.n);
    out->name = str_sub(tag, 0, at ? at - 1 : 0);
    if (rel_tag_read_release(rest, out)) return true;
    if (!rel_tag_is_alias(rest)) return false;
    out->kind = REL_TAG_ALIAS;
    out->alias = rest;
    return true;
}

MLXK_FN void rel_tag_parse(struct str tag, struct str name, struct rel_tag *out) {
    struct rel_tag none = { .kind = REL_TAG_OTHER };
    *out = none;
    if (name.n) {
        if (tag.n <= name.n + 1 || !str_starts(tag, name) || tag.p[name.n] != '-') return;
        struct str rest = str_sub(tag, name.n + 1, tag.n);
        if (!rel_tag_read_adhoc(rest, out) && !rel_tag_read_at(rest, 0, out)) *out = none;
        if (out->name.n) *out = none;
        if (out->kind != REL_TAG_OTHER) out->name = name;
        return;
    }
    if (rel_tag_read_adhoc(tag, out)) return;
    for (size_t i = 0; i < tag.n; i++) {
        *out = none;
        if ((i == 0 || tag.p[i - 1] == '-') && rel_tag_read_at(tag, i, out)) return;
    }
    *out = none;
}

MLXK_FN const char *rel_tag_kind_name(enum rel_tag_kind k) {
    static const char *const names[] = { "other", "release", "pkg",    "client",
                                         "img",   "adhoc",   "branch", "alias" };
    return names[k];
}

/* ---- names ---- */

static bool rel_name_kept(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
}

/* ASCII of the normal form KD, lower case; everything else that is ASCII becomes '-', once. */
static bool rel_name_plain(struct str original, struct buf *out, struct err *e) {
    struct buf whole, form;
    buf_init(&whole, (size_t)1 << 20);
    buf_init(&form, (size_t)20 << 20);
    utf8_repair(&whole, original);
    bool ok = buf_ok(&whole, "a name", e) && tok_nfkd(buf_str(&whole), &form, e)
              && buf_ok(&form, "a name", e);
    for (size_t i = 0; ok && i < form.n; i++) {
        char c = form.p[i];
        if ((unsigned char)c >= 0x80) continue;
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (rel_name_kept(c)) buf_add_char(out, c);
        else if (!out->n || out->p[out->n - 1] != '-') buf_add_char(out, '-');
    }
    buf_release(&form);
    buf_release(&whole);
    return ok && buf_ok(out, "a name", e);
}

static struct str rel_name_strip(struct str s) {
    while (s.n && (s.p[0] == '.' || s.p[0] == '-')) s = str_sub(s, 1, s.n);
    while (s.n && (s.p[s.n - 1] == '.' || s.p[s.n - 1] == '-')) s = str_sub(s, 0, s.n - 1);
    return s;
}

/* Nothing but '/' and case was changed: two such names differ on purpose. */
static bool rel_name_is_faithful(struct str original, struct str made) {
    if (original.n != made.n) return false;
    for (size_t i = 0; i < made.n; i++) {
        char c = original.p[i];
        if (c == '/') c = '-';
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c != made.p[i]) return false;
    }
    return true;
}

/* It would be read as something else: a commit, or the end of an adhoc tag. */
static bool rel_name_misleads(struct str made) {
    struct str before = made, last = rel_tag_cut_last(&before);
    if (!last.p) return rel_tag_is_git(made);
    if (rel_tag_is_git(last)) return true;
    struct str second = rel_tag_cut_last(&before);
    return rel_tag_is_hash(last) && rel_tag_is_dirty(second.p ? second : before);
}

MLXK_FN bool rel_sanitise(struct arena *a, struct str original, size_t max, struct str *out,
                          struct err *e) {
    struct buf plain;
    struct sha256 hash;
    uint8_t digest[32];
    char hex[65];
    buf_init(&plain, (size_t)20 << 20);
    if (!rel_name_plain(original, &plain, e)) {
        buf_release(&plain);
        return false;
    }
    struct str made = rel_name_strip(buf_str(&plain));
    if (!made.n) made = STR("b");
    if (made.n <= max && rel_name_is_faithful(original, made) && !rel_name_misleads(made)) {
        *out = str_dup(a, made);
    } else {
        sha256_init(&hash);
        sha256_update(&hash, original.p, original.n);
        sha256_final(&hash, digest);
        str_hex(hex, digest, sizeof digest);
        *out = str_format(a, STR_FMT "-%.8s", STR_ARG(str_sub(made, 0, max - REL_SUFFIX)), hex);
    }
    buf_release(&plain);
    return out->p || err_oom(e, max, "a name");
}

/* A version somewhere in it, or a word of the grammar at its end. */
static bool rel_name_confuses(struct str name) {
    struct rel_tag t;
    struct rel_version v;
    struct str last = name;
    for (ptrdiff_t at; (at = str_find_char(last, '-')) >= 0;) {
        if (rel_version_parse(last, &v)) return true;
        last = str_sub(last, (size_t)at + 1, last.n);
    }
    rel_tag_parse(name, STR_EMPTY, &t);
    return t.kind != REL_TAG_OTHER || str_eq(last, STR("pkg")) || str_eq(last, STR("client"))
           || str_eq(last, STR("img")) || rel_name_misleads(name);
}

MLXK_FN bool rel_name_ok(struct str name, struct err *e) {
    bool plain = name.n > 0 && name.n <= REL_MAX_NAME && name.p[0] != '.' && name.p[0] != '-';
    for (size_t i = 0; plain && i < name.n; i++)
        plain = rel_name_kept(name.p[i]) || name.p[i] == '-';
    if (plain && !rel_name_confuses(name)) return true;
    err_set(e, ERR_INVALID, "'" STR_FMT "' cannot be the name of a model in tags",
            STR_ARG(str_sub(name, 0, 64)));
    return err_hint(
        e,
        "1 to %d of a-z 0-9 . _ -, without a version in it and not ending in pkg, client, "
        "img or latest",
        (int)REL_MAX_NAME);
}
