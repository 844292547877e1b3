/* roots.c: trust anchors: those that travel with the program (Mozilla's, by way of the certifi
 * package; a client has none and takes the machine's), and the files that replace them. Reading of
 * certificates is the TLS library's work.
 */
#include "net/net_int.h"

#ifdef MLXK_CLIENT                        /* a small program: the machine's own are enough */
static const uint8_t net_roots_der[1] = { 0 };
static const unsigned net_roots_end[1] = { 0 };
#else
#include <net_roots.h>
#endif

#define ROOTS_MAX_PEM ((size_t)16 << 20)
enum { ROOTS_MAX_FILES = 100000 };

MLXK_FN const uint8_t *net_root_at(size_t i, size_t *size_bytes) {
    if (i >= MLXK_COUNT(net_roots_end) || !net_roots_end[0]) return NULL;
    size_t begin = i ? net_roots_end[i - 1] : 0;
    *size_bytes = net_roots_end[i] - begin;
    return net_roots_der + begin;
}

MLXK_FN const char *net_roots_system(void) {
    static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };
    struct os_stat st;
    for (size_t i = 0; !net_roots_end[0] && i < MLXK_COUNT(files); i++)
        if (os_stat(files[i], &st) && st.kind == OS_FILE) return files[i];
    return NULL;
}

MLXK_FN void net_roots_pem(struct buf *out) {
    enum { ROOTS_PEM_BYTES = 48 };       /* 64 letters a line */
    size_t n;
    const uint8_t *der;
    for (size_t i = 0; (der = net_root_at(i, &n)) != NULL; i++) {
        buf_add_cstr(out, "-----BEGIN CERTIFICATE-----\n");
        for (size_t at = 0; at < n; at += ROOTS_PEM_BYTES) {
            base64_write(out, der + at, n - at < ROOTS_PEM_BYTES ? n - at : ROOTS_PEM_BYTES);
            buf_add_char(out, '\n');
        }
        buf_add_cstr(out, "-----END CERTIFICATE-----\n");
    }
}

static bool roots_file(const char *path_cstr, void (*one)(void *ctx, struct str pem), void *ctx,
                       struct err *e) {
    struct arena a;
    struct str text;
    arena_init(&a, ROOTS_MAX_PEM * 2);
    bool ok = os_read_file(&a, path_cstr, ROOTS_MAX_PEM, &text, e);
    if (ok) one(ctx, text);
    arena_release(&a);
    return ok;
}

static bool roots_dir(const char *dir_cstr, void (*one)(void *ctx, struct str pem), void *ctx,
                      struct err *e) {
    struct arena a;
    struct os_entry *entries;
    size_t n;
    arena_init(&a, (size_t)64 << 20);
    bool ok = os_list_dir(&a, dir_cstr, ROOTS_MAX_FILES, &entries, &n, e);
    struct map seen;
    map_init(&seen, ROOTS_MAX_FILES);
    for (size_t i = 0; ok && i < n; i++) {
        struct err ignored = { 0 };      /* a folder may hold other files */
        bool is_new = true;
        struct os_stat st;
        char *name_cstr = str_dup_cstr(&a, entries[i].name);
        char *path_cstr = name_cstr ? os_path_join(&a, dir_cstr, name_cstr) : NULL;
        if (!path_cstr || !os_stat(path_cstr, &st) || st.kind != OS_FILE) continue;
        uint64_t file[2] = { st.device, st.inode };      /* most are there under several names */
        (void)map_put(&seen, (struct str){ (const char *)file, sizeof file }, &is_new);
        if (is_new) (void)roots_file(path_cstr, one, ctx, &ignored);
    }
    map_release(&seen);
    arena_release(&a);
    return ok;
}

MLXK_FN bool net_roots_each(const char *ca_file_cstr, const char *ca_dir_cstr,
                            void (*one)(void *ctx, struct str pem), void *ctx, struct err *e) {
    bool ok = (!ca_file_cstr || roots_file(ca_file_cstr, one, ctx, e))
              && (!ca_dir_cstr || roots_dir(ca_dir_cstr, one, ctx, e));
    return ok || err_context(e, "trusted certificates: ");
}

#undef ROOTS_MAX_PEM
