/* rel_int.h: what the files of the release room share. */
#ifndef MLXK_REL_INT_H
#define MLXK_REL_INT_H

#include "release/release.h"

/* ---- hashes over lines (rel_lines.c) --------------------------------------------------------- */

/* Lines are sorted by their bytes; each is hashed with a line feed behind it. Sticky failure. */
struct rel_lines { struct arena *arena; struct str *items; size_t n, cap; bool failed; };
MLXK_FN void rel_lines_add(struct rel_lines *l, struct str line);         /* borrowed */
MLXK_FN void rel_lines_addf(struct rel_lines *l, const char *format_cstr, ...) MLXK_PRINTF(2, 3);
/* "PATH NUL DETAIL NUL SHA256": detail may be empty, then it and its NUL are left out. */
MLXK_FN void rel_lines_add_hash(struct rel_lines *l, struct str path, struct str detail,
                                const char *sha256_cstr);
MLXK_FN bool rel_lines_hash(struct rel_lines *l, char out[65], struct err *e);
MLXK_FN void rel_hash_text(struct str text, char out[65]);
/* Hash of the canonical form of v without its skipped members. */
MLXK_FN bool rel_hash_json(const struct json *v, bool (*skip)(struct str key), char out[65],
                           struct err *e);
/* Stable in nothing, but O(n log n) whatever the order: sorts by bytes. */
MLXK_FN void rel_sort_texts(struct str *items, size_t n);

/* ---- a directory while it is read (rel_state.c) ---------------------------------------------- */

enum { REL_PIECE = 1 << 20 };
struct rel_work {
    struct arena *a;
    struct rel_state *s;
    rel_progress progress; void *ctx;
    uint64_t done_bytes;
    uint8_t *piece;                  /* REL_PIECE bytes of a file in hand */
    struct rel_lines logic, weights, docs;
    const struct json *config, *tokenizer_config;    /* trees, or NULL */
    const struct gguf *gguf;   /* the first GGUF file with a model in it, or NULL; its maps stay */
    struct os_map *maps; size_t n_maps, cap_maps;
    bool mlx_mark, has_safetensors, has_npz, has_gguf, has_onnx, has_pt;
    uint64_t n_params;
    uint32_t gguf_type;              /* of the largest tensor seen */
    uint64_t gguf_type_bytes;
};
MLXK_FN const struct rel_file *rel_state_find(const struct rel_state *s, const char *path_cstr);
/* Text of a file of the state, mapped until the state is finished; p NULL with e: it cannot be
 * read.
 * max_bytes: ERR_LIMIT past it. */
MLXK_FN struct str rel_work_text(struct rel_work *w, const struct rel_file *f, size_t max_bytes,
                                 struct err *e);
/* The same as a tree; NULL with an error, or NULL without one when there is no such file. */
MLXK_FN const struct json *rel_work_json(struct rel_work *w, const char *path_cstr, struct err *e);

/* ---- weights (rel_weights.c) ----------------------------------------------------------------- */

/* Hashes a file of the class REL_WEIGHTS in one pass, its tensors one by one where the header can
 * be read; adds their lines, and for GGUF the keys that are logic. */
MLXK_FN bool rel_weights_read(struct rel_work *w, struct rel_file *f, struct err *e);

/* Hashes a file of another class. */
MLXK_FN bool rel_bytes_read(struct rel_work *w, struct rel_file *f, struct err *e);

/* ---- tokens (rel_tokens.c, rel_tokens_gguf.c) ------------------------------------------------ */

struct rel_token { int64_t id; struct str text; uint32_t flags; };
enum {   /* letters in the lines of the table, in this order */
    REL_TOKEN_ADDED = 1, REL_TOKEN_SPECIAL = 2, REL_TOKEN_LSTRIP = 4, REL_TOKEN_RSTRIP = 8,
    REL_TOKEN_WORD = 16, REL_TOKEN_NORMALIZED = 32, REL_TOKEN_BYTE = 64, REL_TOKEN_UNKNOWN = 128,
    REL_TOKEN_UNUSED = 256,
};
/* Everything that turns text into ids. Empty texts: there is none. */
struct rel_tokens {
    struct rel_token *items; size_t n, cap;
    char table[65], merges[65], pretok[65];
    bool from_json;              /* tokenizer.json was there */
    const char *sources[4]; size_t n_sources;    /* files that are covered by these hashes */
    struct str rest;             /* tokenizer.json's other members as JSON, or empty */
};
MLXK_FN bool rel_tokens_read(struct rel_work *w, struct rel_tokens *out, struct err *e);
/* Sorts and joins items, hashes them into table. */
MLXK_FN bool rel_tokens_finish(struct rel_tokens *t, struct err *e);
MLXK_FN bool rel_tokens_add(struct arena *a, struct rel_tokens *t, int64_t id, struct str text,
                            uint32_t flags);
MLXK_FN int64_t rel_tokens_find(const struct rel_tokens *t, struct str text);   /* -1 = none */
/* From the keys of a GGUF file. */
MLXK_FN bool rel_tokens_gguf(struct rel_work *w, struct rel_tokens *out, struct err *e);

/* ---- the interface document (rel_interface.c, rel_task.c, rel_chat.c) ------------------------ */

MLXK_FN bool rel_interface_read(struct rel_work *w, struct err *e);
struct rel_face {                /* while the document is made */
    struct rel_work *w;
    struct rel_tokens tokens;
    const struct json *text;     /* config.json's text_config, or itself; or NULL */
    const char *task_cstr, *format_cstr;
    struct json_writer out;
    struct buf buf;
};
/* What the model is for, from its names; never NULL. */
MLXK_FN const char *rel_task_of(struct rel_work *w);
MLXK_FN void rel_modalities_write(struct rel_face *f);
/* Members chat, tools, reasoning, json. */
MLXK_FN bool rel_chat_write(struct rel_face *f, struct err *e);
/* Keys of config.json that the interface takes. */
MLXK_FN bool rel_config_is_iface(struct str key);
/* A line for each file of the class REL_IFACE: what the document does not hold of it is logic. */
MLXK_FN bool rel_remains_read(struct rel_work *w, const struct rel_tokens *t, struct err *e);

/* ---- ages of states (rel_age.c) ------------------------------------------------------------- */

/* When a state came to be, as far as somebody tells. *known false: nobody does. */
MLXK_FN bool rel_age_of(struct arena *a, struct oci *o, struct rel_entry *x,
                        const char *git_dir_cstr /* or NULL */, int64_t *time_s, bool *known,
                        struct err *e);
/* Seconds since 1970 of an RFC 3339 text. */
MLXK_FN bool rel_age_parse(struct str text, int64_t *time_s);
/* When a commit was made, by its first digits (rel_git_tags.c); *known false: there is no such
 * commit, no work tree, or no git. */
MLXK_FN bool rel_git_commit_time(struct arena *a, const char *dir_cstr, struct str commit,
                                 int64_t *time_s, bool *known, struct err *e);

/* ---- asking git (rel_git.c) ------------------------------------------------------------------ */

struct rel_git { struct arena *a; const char *dir_cstr; struct buf out, diag; int status; };
MLXK_FN void rel_git_open(struct rel_git *g, struct arena *a, const char *dir_cstr);
MLXK_FN void rel_git_close(struct rel_git *g);
/* git WORDS in the folder (NULL at the end), its answer in g->out; any exit status but 0 is a
 * failure told in git's words. */
MLXK_FN bool rel_git_must(struct rel_git *g, const char *const *words, struct err *e);
/* The first line of an answer, copied; empty when git said no. */
MLXK_FN bool rel_git_line(struct rel_git *g, const char *const *words, struct str *out,
                          struct err *e);

/* ---- history (rel_git_tags.c) ---------------------------------------------------------------- */

MLXK_FN bool rel_known_add(struct arena *a, struct rel_known_list *l, const struct rel_known *k,
                           struct err *e);
/* Lines "COMMIT PARENT...", HEAD first. */
MLXK_FN bool rel_git_history(struct arena *a, const struct rel_origin *o, struct str *out,
                             struct err *e);
/* Commits in base..HEAD. */
MLXK_FN bool rel_git_distance(struct arena *a, const struct rel_origin *o, struct str base,
                              uint64_t *out, struct err *e);

/* Releases among entries as known ones, once for each commit that their adhoc tags name. */
MLXK_FN bool rel_list_known(struct arena *a, const struct rel_entries *entries,
                            struct rel_known_list *list, struct err *e);
/* Fills digest, hashes and files from the entry of this version, if there is one. */
MLXK_FN bool rel_known_read(struct arena *a, struct oci *o, struct rel_entries *entries,
                            struct rel_known *k, struct err *e);

#endif
