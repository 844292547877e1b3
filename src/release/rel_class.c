/* rel_class.c: what a file of a model is for: docs, interface, weights, logic, or nothing of it.
 *
 * Decides by the path alone and looks into no file. The first row that fits wins; names are
 * compared byte by byte.
 */
#include "release/release.h"

struct rel_class_row { const char *pattern_cstr; enum rel_class kind; };

/* Patterns of the last part of a path. */
static const struct rel_class_row rel_class_ignored[] = {
    { "*.lock", REL_IGNORE },    { "*.incomplete", REL_IGNORE }, { "*.tmp", REL_IGNORE },
    { ".DS_Store", REL_IGNORE }, { "*.sig", REL_IGNORE },        { "*.sigstore.json", REL_IGNORE },
};
static const struct rel_class_row rel_class_docs[] = {
    { "README*", REL_DOCS },      { "LICENSE*", REL_DOCS },          { "LICENCE*", REL_DOCS },
    { "NOTICE*", REL_DOCS },      { "USE_POLICY*", REL_DOCS },       { "MODEL_CARD*", REL_DOCS },
    { "CHANGELOG*", REL_DOCS },   { "*.md", REL_DOCS },              { "*.pdf", REL_DOCS },
};
static const struct rel_class_row rel_class_rest[] = {
    { "tokenizer.json", REL_IFACE },
    { "tokenizer.model", REL_IFACE },
    { "tokenizer_config.json", REL_IFACE },
    { "special_tokens_map.json", REL_IFACE },
    { "added_tokens.json", REL_IFACE },
    { "vocab.json", REL_IFACE },
    { "vocab.txt", REL_IFACE },
    { "merges.txt", REL_IFACE },
    { "*.tiktoken", REL_IFACE },
    { "chat_template.jinja", REL_IFACE },
    { "chat_template.json", REL_IFACE },
    { "preprocessor_config.json", REL_IFACE },
    { "processor_config.json", REL_IFACE },
    { "video_preprocessor_config.json", REL_IFACE },
    { "feature_extractor*", REL_IFACE },
    { "modules.json", REL_IFACE },
    { "*.safetensors", REL_WEIGHTS },
    { "*.safetensors.index.json", REL_WEIGHTS },
    { "*.gguf", REL_WEIGHTS },
    { "*.npz", REL_WEIGHTS },
    { "*.bin", REL_WEIGHTS },
    { "*.pt", REL_WEIGHTS },
    { "*.pth", REL_WEIGHTS },
    { "*.onnx", REL_WEIGHTS },
};

static bool rel_class_look(const struct rel_class_row *rows, size_t n, struct str base,
                           enum rel_class *out) {
    for (size_t i = 0; i < n; i++)
        if (str_glob(str_cstr(rows[i].pattern_cstr), base)) {
            *out = rows[i].kind;
            return true;
        }
    return false;
}

/* Folders of version control, of hub clients and of this program, and their files. */
static bool rel_class_is_private(struct str path) {
    for (struct str rest = path; rest.p;) {
        struct str part = str_cut(&rest, '/');
        if (str_starts(part, STR(".git")) || str_starts(part, STR(".mlxk"))
            || str_eq(part, STR(".cache")))
            return true;
    }
    return false;
}

static bool rel_class_is_picture(struct str path) {
    static const char *const folders[] = { "assets", "figures", "images" };
    static const char *const endings[] = { ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp",
                                           ".tif", ".tiff", ".avif" };
    bool below = false, picture = false;
    struct str rest = path;
    for (struct str part = str_cut(&rest, '/'); rest.p; part = str_cut(&rest, '/'))
        for (size_t i = 0; i < MLXK_COUNT(folders); i++)
            below = below || str_eq(part, str_cstr(folders[i]));
    for (size_t i = 0; below && i < MLXK_COUNT(endings); i++) {
        struct str end = str_cstr(endings[i]);
        picture =
            picture || (path.n >= end.n && str_ieq(str_sub(path, path.n - end.n, path.n), end));
    }
    return picture;
}

static bool rel_class_is_doc(struct str path, struct str base) {
    enum rel_class ignored;
    if (rel_class_look(rel_class_docs, MLXK_COUNT(rel_class_docs), base, &ignored)) return true;
    if (str_ends(base, STR(".txt")))
        return !str_eq(base, STR("merges.txt")) && !str_eq(base, STR("vocab.txt"));
    return rel_class_is_picture(path);
}

MLXK_FN enum rel_class rel_class_of(struct str path) {
    struct str base = str_sub(path, (size_t)(str_find_last(path, STR("/")) + 1), path.n);
    enum rel_class kind;
    if (rel_class_is_private(path)) return REL_IGNORE;
    if (rel_class_look(rel_class_ignored, MLXK_COUNT(rel_class_ignored), base, &kind)) return kind;
    if (rel_class_is_doc(path, base)) return REL_DOCS;
    if (str_eq(path, STR("1_Pooling/config.json"))
        || str_glob(STR("additional_chat_templates/*"), path))
        return REL_IFACE;
    return rel_class_look(rel_class_rest, MLXK_COUNT(rel_class_rest), base, &kind) ? kind
                                                                                   : REL_LOGIC;
}

MLXK_FN const char *rel_class_name(enum rel_class c) {
    static const char *const names[] = { "ignore", "docs", "interface", "weights", "logic" };
    return names[c];
}
