/* fuzz_rel_state.c: a folder of any files as the state of a model: the interface document and the four hashes.
 *
 * Input: files, each behind a line "=== NAME" with a name of the list below; what stands before the first such line is
 * config.json. Of a state that is read: the document is canonical, its members are those of the list, each with its hash.
 *
 * covers: release/rel_interface.c release/rel_tokens.c release/rel_chat.c release/rel_task.c
 */
#include "release/rel_int.h"

#include <stdlib.h>

int fuzz_rel_state(const uint8_t *data, size_t size);

static const char *const fuzz_rel_state_names[] = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json", "preprocessor_config.json",
    "processor_config.json", "modules.json", "generation_config.json", "adapter_config.json", "model.gguf",
    "model.safetensors", "README.md", "modeling.py", "1_Pooling/config.json", "additional_chat_templates/tool.jinja",
    "model_index.json", "video_preprocessor_config.json", "x.tiktoken", "w.onnx", "w.pt", "w.npz",
};

/* The next "=== NAME" line; n 0 = there is none. */
static struct str fuzz_rel_state_part(struct str *rest, const char **name) {
    ptrdiff_t end = str_find(*rest, STR("\n=== "));
    struct str part = str_sub(*rest, 0, end < 0 ? rest->n : (size_t)end);
    *rest = end < 0 ? STR_EMPTY : str_sub(*rest, (size_t)end + 5, rest->n);
    if (!rest->n) return part;
    struct str line = str_cut(rest, '\n');
    *name = NULL;
    for (size_t i = 0; i < MLXK_COUNT(fuzz_rel_state_names); i++)
        if (str_eq_cstr(line, fuzz_rel_state_names[i])) *name = fuzz_rel_state_names[i];
    return part;
}

static void fuzz_rel_state_check(struct arena *a, const struct rel_state *s) {
    struct err e = { 0 };
    struct buf again;
    char hash[65];
    const struct json *document = json_parse_large(a, s->document, &e);
    MLXK_ASSERT(json_is(document, JSON_OBJECT));
    buf_init(&again, (size_t)16 << 20);
    MLXK_ASSERT(rel_canon_write(&again, document, NULL, &e) && str_eq(buf_str(&again), s->document));
    buf_release(&again);
    rel_hash_text(s->document, hash);
    MLXK_ASSERT(!strcmp(hash, s->hash.iface));
    for (size_t i = 0; i < s->n_members; i++) {
        rel_hash_text(s->members[i].value, hash);
        MLXK_ASSERT(!strcmp(hash, s->members[i].hash));
        MLXK_ASSERT(i == 0 || str_cmp(s->members[i - 1].name, s->members[i].name) < 0);
    }
}

/* Not os_write_file, which waits for the disk. */
static void fuzz_rel_state_put(struct arena *a, const char *path_cstr, struct str text) {
    struct err e = { 0 };
    MLXK_ASSERT(path_cstr && os_mkdirs(os_path_dir(a, path_cstr), &e));
    int fd = os_open(path_cstr, OS_CREATE_NEW, &e);
    if (fd < 0) return;          /* the name was there already */
    MLXK_ASSERT(os_write(fd, text.p, text.n, &e));
    os_close(fd);
}

int fuzz_rel_state(const uint8_t *data, size_t size) {
    struct arena a;
    struct err e = { 0 };
    struct rel_state s;
    struct str rest = { (const char *)data, size };
    const char *name = "config.json", *next = NULL;
    arena_init(&a, (size_t)256 << 20);
    char dir[] = "/tmp/mlxk-XXXXXX";
    MLXK_ASSERT(mkdtemp(dir) != NULL);
    while (rest.n) {
        struct str text = fuzz_rel_state_part(&rest, &next);
        if (name) fuzz_rel_state_put(&a, os_path_join(&a, dir, name), text);
        name = next;
    }
    bool ok = rel_state_read(&a, dir, NULL, NULL, &s, &e);
    MLXK_ASSERT(ok == (e.code == ERR_OK));
    if (ok) fuzz_rel_state_check(&a, &s);
    err_clear(&e);
    MLXK_ASSERT(os_remove_tree(dir, &e));
    arena_release(&a);
    return 0;
}
