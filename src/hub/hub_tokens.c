/* hub_tokens.c: tokens kept on this machine, in the two files that the hub's other clients share.
 *
 * "token" holds the one in use; "stored_tokens" beside it is an INI file with a section for each
 * name and the keys hf_token, refresh_token, expires_at.
 *
 * 1. What a section holds besides hf_token is kept as it is; a file that is no INI file is refused
 *    rather than replaced.
 * 2. Both files can be read by their owner only, from before the first byte is in them.
 * 3. Changes are made under stored_tokens.lock, and each file appears whole or not at all.
 * 4. No token gets into a message.
 * ref: hub facts 2.
 */
#include "hub/hub_int.h"

enum {
    HUB_TOKENS_NAME = 96, HUB_TOKENS_MAX = 1000, HUB_TOKENS_MAX_FILE = 1 << 20,
    HUB_TOKENS_LOCK_MS = 30000,
};

/* ---- reading (Private) ----------------------------------------------------------------------- */

static bool hub_tokens_file(struct arena *a, const char *path_cstr, struct str *out,
                            struct err *e) {
    struct err none = { 0 };
    *out = STR_EMPTY;
    if (os_read_file(a, path_cstr, HUB_TOKENS_MAX_FILE, out, &none)) return true;
    *out = STR_EMPTY;
    if (none.code == ERR_NOT_FOUND) return true;
    *e = none;
    return false;
}

static bool hub_tokens_bad(const char *path_cstr, size_t line, struct err *e) {
    err_set(e, ERR_FORMAT, "%s, line %zu: neither [name] nor key = value", path_cstr, line);
    return err_hint(e, "repair or remove that file; it holds the names of your tokens");
}

static bool hub_tokens_line(struct arena *a, struct hub_tokens *t, struct str line, size_t at,
                            struct err *e) {
    struct str text = str_trim(line);
    if (!text.n || text.p[0] == '#' || text.p[0] == ';') return true;
    if (text.p[0] == '[' && str_ends(text, STR("]"))) {
        if (t->n == HUB_TOKENS_MAX)
            return err_set(e, ERR_LIMIT, "%s holds too many tokens", t->stored_cstr);
        t->all[t->n++] = (struct hub_token){ .name = str_sub(text, 1, text.n - 1) };
        return true;
    }
    ptrdiff_t equals = str_find_char(text, '=');
    if (equals <= 0 || !t->n) return hub_tokens_bad(t->stored_cstr, at, e);
    struct hub_token *now = &t->all[t->n - 1];
    if (str_eq(str_trim(str_sub(text, 0, (size_t)equals)), STR("hf_token"))) {
        now->token = str_trim(str_sub(text, (size_t)equals + 1, text.n));
        return hub_token_ok(now->token, t->stored_cstr, e);
    }
    now->more = str_format(a, STR_FMT STR_FMT "\n", STR_ARG(now->more), STR_ARG(text));
    return now->more.p || err_oom(e, text.n, "a token file");
}

MLXK_FN bool hub_tokens_read(struct arena *a, struct hub_tokens *out, struct err *e) {
    struct str text;
    *out = (struct hub_tokens){ .path_cstr = hub_token_path(a),
                                .all = ARENA_ARRAY(a, struct hub_token, HUB_TOKENS_MAX) };
    char *folder = out->path_cstr ? os_path_dir(a, out->path_cstr) : NULL;
    out->stored_cstr = folder ? os_path_join(a, folder, "stored_tokens") : NULL;
    if (!out->stored_cstr || !out->all) return err_oom(e, LIMIT_PATH, "a path");
    if (!hub_tokens_file(a, out->path_cstr, &text, e)) return false;
    out->active = str_trim(text);
    if (!hub_token_ok(out->active, out->path_cstr, e) ||
        !hub_tokens_file(a, out->stored_cstr, &text, e))
        return false;
    size_t at = 1;
    for (struct str rest = text; rest.p; at++)
        if (!hub_tokens_line(a, out, str_cut(&rest, '\n'), at, e)) return false;
    return true;
}

/* ---- writing (Private) ----------------------------------------------------------------------- */

/* A file with nothing in it, for its owner alone, so that what is written keeps that. A link gives
 * way: in a folder that several people write to it could lead to anything. */
static bool hub_tokens_close_up(const char *path_cstr, struct err *e) {
    struct os_stat st;
    bool there = os_lstat(path_cstr, &st);
    if (there && st.kind == OS_LINK && !os_unlink(path_cstr, e)) return false;
    if (!there || st.kind == OS_LINK) {
        int fd = os_open(path_cstr, OS_CREATE_NEW, e);
        if (fd < 0) return false;
        os_close(fd);
    }
    return os_chmod(path_cstr, 0600, e);
}

static bool hub_tokens_secret(const char *path_cstr, struct str content, struct err *e) {
    if (!content.n) return os_unlink(path_cstr, e);
    return hub_tokens_close_up(path_cstr, e) && os_write_file(path_cstr, content, e);
}

static bool hub_tokens_write(const struct hub_tokens *t, struct err *e) {
    struct buf b;
    buf_init(&b, 2 * HUB_TOKENS_MAX_FILE);
    for (size_t i = 0; i < t->n; i++)
        buf_addf(&b, "[" STR_FMT "]\nhf_token = " STR_FMT "\n" STR_FMT "\n",
                 STR_ARG(t->all[i].name), STR_ARG(t->all[i].token), STR_ARG(t->all[i].more));
    bool ok = buf_ok(&b, "a token file", e) && hub_tokens_secret(t->stored_cstr, buf_str(&b), e) &&
              hub_tokens_secret(t->path_cstr, t->active, e);
    buf_release(&b);
    return ok;
}

static struct hub_token *hub_tokens_find(const struct hub_tokens *t, struct str name) {
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->all[i].name, name)) return &t->all[i];
    return NULL;
}

static bool hub_tokens_unknown(struct arena *a, const struct hub_tokens *t, struct str name,
                               struct err *e) {
    struct str names = STR_EMPTY;
    for (size_t i = 0; i < t->n; i++)
        names = str_format(a, STR_FMT "%s" STR_FMT, STR_ARG(names), i ? ", " : "",
                           STR_ARG(t->all[i].name));
    err_set(e, ERR_NOT_FOUND, "no token is kept under the name '" STR_FMT "'", STR_ARG(name));
    return err_hint(e, t->n ? "there are: " STR_FMT : "none is kept at all" STR_FMT,
                    STR_ARG(names));
}

static bool hub_tokens_in_name(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' ||
           c == '_' || c == '-' || c == ' ';
}

static bool hub_tokens_name_ok(struct str name, struct err *e) {
    char copy[HUB_TOKENS_NAME];
    bool ok = name.n > 0 && name.n <= sizeof copy && str_eq(str_trim(name), name);
    for (size_t i = 0; ok && i < name.n; i++) ok = hub_tokens_in_name(copy[i] = name.p[i]);
    if (ok && (log_redact(copy, name.n) != name.n || memcmp(copy, name.p, name.n) != 0)) {
        err_set(e, ERR_INVALID, "a token stands where its name is wanted");
        return err_hint(e, "others could read it there: make a new one, and pipe that in");
    }
    if (ok) return true;
    err_set(e, ERR_INVALID, "'" STR_FMT "' cannot be the name of a token", STR_ARG(name));
    return err_hint(e, "use up to 96 letters, digits and ._-");
}

enum hub_tokens_change { HUB_TOKENS_KEEP, HUB_TOKENS_USE, HUB_TOKENS_DROP };

static bool hub_tokens_apply(struct arena *a, struct hub_tokens *t, enum hub_tokens_change what,
                             struct str name, struct str token, struct err *e) {
    struct hub_token *at = hub_tokens_find(t, name);
    if (what == HUB_TOKENS_KEEP) {
        if (!at && t->n == HUB_TOKENS_MAX)
            return err_set(e, ERR_LIMIT, "%s holds too many tokens", t->stored_cstr);
        if (!at) at = &t->all[t->n++];
        *at = (struct hub_token){ name, token, STR_EMPTY };
        t->active = token;
    } else if (what == HUB_TOKENS_USE) {
        if (!at) return hub_tokens_unknown(a, t, name, e);
        t->active = at->token;
    } else if (!name.n) {
        t->n = 0;
        t->active = STR_EMPTY;
    } else {
        if (!at) return hub_tokens_unknown(a, t, name, e);
        if (str_eq(t->active, at->token)) t->active = STR_EMPTY;
        t->n--;
        memmove(at, at + 1, (size_t)(&t->all[t->n] - at) * sizeof *at);
    }
    return true;
}

static bool hub_tokens_change(struct arena *a, enum hub_tokens_change what, struct str name,
                              struct str token, struct err *e) {
    struct hub_tokens t;
    struct os_lock lock;
    char *path = hub_token_path(a), *folder = path ? os_path_dir(a, path) : NULL;
    char *lock_path = folder ? os_path_join(a, folder, "stored_tokens.lock") : NULL;
    if (!lock_path) return err_oom(e, LIMIT_PATH, "a path");
    if (!os_mkdirs(folder, e) || !os_lock_acquire(&lock, lock_path, HUB_TOKENS_LOCK_MS, e))
        return false;
    bool ok = hub_tokens_read(a, &t, e) && hub_tokens_apply(a, &t, what, name, token, e) &&
              hub_tokens_write(&t, e);
    os_lock_release(&lock);
    return ok;
}

/* ---- (Public) -------------------------------------------------------------------------------- */

MLXK_FN struct str hub_tokens_name(struct arena *a, struct str said) {
    struct str name = str_sub(said, 0, HUB_TOKENS_NAME);
    struct err unfit = { 0 };
    char *p = name.n ? ARENA_ARRAY(a, char, name.n) : NULL;
    for (size_t i = 0; p && i < name.n; i++)
        p[i] = hub_tokens_in_name(name.p[i]) ? name.p[i] : '-';
    name = str_trim((struct str){ p, p ? name.n : 0 });
    return hub_tokens_name_ok(name, &unfit) ? name : STR("default");
}

MLXK_FN bool hub_tokens_keep(struct arena *a, struct str name, struct str token, struct err *e) {
    return hub_tokens_name_ok(name, e) && hub_token_ok(token, "the input", e) &&
           hub_tokens_change(a, HUB_TOKENS_KEEP, name, token, e);
}

MLXK_FN bool hub_tokens_use(struct arena *a, struct str name, struct err *e) {
    return hub_tokens_change(a, HUB_TOKENS_USE, name, STR_EMPTY, e);
}

MLXK_FN bool hub_tokens_drop(struct arena *a, struct str name, struct err *e) {
    return hub_tokens_change(a, HUB_TOKENS_DROP, name, STR_EMPTY, e);
}
