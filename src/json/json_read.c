/* json_read.c: JSON documents as trees; the only file that knows cJSON.
 *
 * A document up to LIMIT_JSON_DOC goes three ways: the streaming reader checks it first (grammar,
 * depth, UTF-8, which cJSON takes lightly), cJSON parses it, and a second pass of the reader walks
 * along cJSON's tree while ours is built in the arena. The reader supplies what cJSON loses:
 * strings behind a NUL, integers past 2^53, the text of numbers, offsets for messages. Larger
 * documents, and the two things cJSON cannot read (lone surrogates, numbers longer than its
 * buffer), are built from the reader alone.
 *
 * 1. cJSON never sees a text that the reader has not accepted, so its recursion is bounded by
 *    LIMIT_JSON_DEPTH (below CJSON_NESTING_LIMIT).
 * 2. Where both readers speak they must agree; a difference is ERR_INTERNAL, never a guess.
 * 3. Keys are unique within each object of a finished tree; json_parse_lenient drops earlier ones.
 * 4. cJSON's blocks come from mem_alloc (vendor/cjson_unit.c), freed before json_parse returns.
 * 5. Any thread may parse. cJSON notes each parse in a static record of its own; threads overwrite
 *    each other's note, and nobody reads it.
 */
#include "json/json.h"

#include <cJSON.h>

enum {
    JSON_READ_CJSON_DIGITS = 62,     /* cJSON copies a number into 64 bytes */
    JSON_READ_FEW_KEYS = 16,         /* up to here comparing all pairs beats a map */
};
_Static_assert((int)LIMIT_JSON_DEPTH < CJSON_NESTING_LIMIT, "our limit comes first");

/* One level of the tree that is still open. */
struct json_read_level {
    struct json *node;               /* the array or object */
    struct json **tail;              /* where its next child goes */
    const cJSON *peer;               /* cJSON's next child, NULL behind the last */
    struct str key;                  /* of the member whose value comes next; in the arena */
};
struct json_read_builder {
    struct arena *arena;
    struct json_reader reader;
    bool compare;                    /* walk along cJSON's tree */
    bool last_wins;                  /* equal keys: the later value in the earlier place */
    size_t depth;
    struct json_read_level levels[LIMIT_JSON_DEPTH + 1];   /* [0] holds the root */
};

/* ---- agreement with cJSON ---- */

static bool json_read_same_kind(const cJSON *peer, enum json_token_kind kind) {
    switch (kind) {
    case JSON_T_OBJECT: return cJSON_IsObject(peer);
    case JSON_T_ARRAY: return cJSON_IsArray(peer);
    case JSON_T_STRING: return cJSON_IsString(peer);
    case JSON_T_NUMBER: return cJSON_IsNumber(peer);
    case JSON_T_TRUE: return cJSON_IsTrue(peer);
    case JSON_T_FALSE: return cJSON_IsFalse(peer);
    default: return cJSON_IsNull(peer);
    }
}

/* cJSON's strings end at the first NUL: equal up to there. */
static bool json_read_same_text(struct str full, const char *peer_cstr) {
    struct str seen = str_cstr(peer_cstr);
    return str_starts(full, seen) && (seen.n == full.n || full.p[seen.n] == '\0');
}

/* Compares the token with cJSON's node at the same place and steps to the next one; *peer (or NULL)
 * is that node. */
static bool json_read_agree(struct json_read_builder *b, const struct json_token *t,
                            const cJSON **peer, struct err *e) {
    struct json_read_level *level = &b->levels[b->depth];
    const cJSON *c = level->peer;
    *peer = c;
    if (!b->compare) {
        return true;
    }
    bool same;
    if (t->kind == JSON_T_ARRAY_END || t->kind == JSON_T_OBJECT_END) {
        same = c == NULL;
    } else if (t->kind == JSON_T_KEY) {
        same = c && json_read_same_text(t->text, c->string);
    } else {
        same = c && json_read_same_kind(c, t->kind) &&
               (t->kind != JSON_T_STRING || json_read_same_text(t->text, c->valuestring));
        level->peer = c ? c->next : NULL;
    }
    return same || err_set(e, ERR_INTERNAL, "JSON byte %zu: the two readers disagree",
                           t->offset_bytes);
}

/* ---- building ---- */

static bool json_read_copy(struct json_read_builder *b, struct str text, struct str *out,
                           struct err *e) {
    *out = str_dup(b->arena, text);
    return out->p || err_oom(e, text.n, "a JSON string");
}

/* peer: cJSON's node of the same number, or NULL. */
static bool json_read_number(struct json *node, const struct json_token *t, const cJSON *peer,
                             struct err *e) {
    if (json_token_i64(t, &node->integer)) {
        node->kind = JSON_INT;
        node->number = (double)node->integer;
        return true;
    }
    node->kind = JSON_FLOAT;
    node->number = peer ? peer->valuedouble : 0;
    bool finite = peer ? node->number - node->number == 0 : num_parse_f64(t->text, &node->number);
    return finite || err_set(e, ERR_FORMAT, "JSON byte %zu: a number is out of range",
                             t->offset_bytes);
}

static struct json *json_read_node(struct json_read_builder *b, const struct json_token *t,
                                   const cJSON *peer, struct err *e) {
    struct json *node = ARENA_NEW(b->arena, struct json);
    if (!node) {
        err_oom(e, sizeof *node, "a JSON value");
        return NULL;
    }
    bool ok = true;
    switch (t->kind) {
    case JSON_T_OBJECT: node->kind = JSON_OBJECT; break;
    case JSON_T_ARRAY: node->kind = JSON_ARRAY; break;
    case JSON_T_TRUE: node->boolean = true; node->kind = JSON_BOOL; break;
    case JSON_T_FALSE: node->kind = JSON_BOOL; break;
    case JSON_T_NUMBER:
        ok = json_read_number(node, t, peer, e) && json_read_copy(b, t->text, &node->string, e);
        break;
    case JSON_T_STRING:
        node->kind = JSON_STRING;
        ok = json_read_copy(b, t->text, &node->string, e);
        break;
    default: node->kind = JSON_NULL;
    }
    return ok ? node : NULL;
}

static bool json_read_add(struct json_read_builder *b, const struct json_token *t, struct err *e) {
    const cJSON *peer;
    if (!json_read_agree(b, t, &peer, e)) {
        return false;
    }
    struct json *node = json_read_node(b, t, peer, e);
    if (!node) {
        return false;
    }
    struct json_read_level *level = &b->levels[b->depth];
    node->key = level->key;
    *level->tail = node;
    level->tail = &node->next;
    if (level->node) {
        level->node->n++;
    }
    if (node->kind == JSON_OBJECT || node->kind == JSON_ARRAY) {
        b->levels[++b->depth] = (struct json_read_level){
            .node = node, .tail = &node->child, .peer = peer ? peer->child : NULL,
        };
    }
    return true;
}

static bool json_read_duplicate(struct str key, size_t end, struct err *e) {
    return err_set(e, ERR_FORMAT, "JSON byte %zu: the object that ends here has two keys \"" STR_FMT
                   "\"", end, STR_ARG(key));
}

/* end: byte offset of the closing brace, for the message. */
static bool json_read_unique(const struct json *object, size_t end, struct err *e) {
    if (object->n <= JSON_READ_FEW_KEYS) {
        for (const struct json *m = object->child; m; m = m->next) {
            for (const struct json *before = object->child; before != m; before = before->next) {
                if (str_eq(before->key, m->key)) {
                    return json_read_duplicate(m->key, end, e);
                }
            }
        }
        return true;
    }
    struct map seen;
    map_init(&seen, object->n);
    bool ok = true;
    for (const struct json *m = object->child; ok && m; m = m->next) {
        bool is_new;
        if (!map_put(&seen, m->key, &is_new)) {
            ok = err_oom(e, object->n * sizeof(struct map_entry), "the keys of a JSON object");
        } else if (!is_new) {
            ok = json_read_duplicate(m->key, end, e);
        }
    }
    map_release(&seen);
    return ok;
}

/* As Python reads: a key that comes again takes the place of the first. */
static bool json_read_keep_last(struct json *object, struct err *e) {
    struct map seen;
    map_init(&seen, object->n ? object->n : 1);
    bool ok = true;
    for (struct json **at = &object->child; ok && *at;) {
        struct json *m = *at;
        bool is_new;
        uint64_t *first = map_put(&seen, m->key, &is_new);
        if (!first) {
            ok = err_oom(e, object->n * sizeof(struct map_entry), "the keys of a JSON object");
        } else if (is_new) {
            *first = (uint64_t)(uintptr_t)m;
            at = &m->next;
        } else {
            struct json *earlier = (struct json *)(uintptr_t)*first, *next = earlier->next;
            *at = m->next;
            *earlier = *m;
            earlier->next = next == m ? m->next : next;
            object->n--;
        }
    }
    map_release(&seen);
    return ok;
}

static bool json_read_step(struct json_read_builder *b, const struct json_token *t,
                           struct err *e) {
    const cJSON *peer;
    struct json *closed = b->levels[b->depth].node;
    switch (t->kind) {
    case JSON_T_KEY:
        return json_read_agree(b, t, &peer, e) &&
               json_read_copy(b, t->text, &b->levels[b->depth].key, e);
    case JSON_T_OBJECT_END:
    case JSON_T_ARRAY_END:
        if (!json_read_agree(b, t, &peer, e)) {
            return false;
        }
        b->depth--;
        return closed->kind != JSON_OBJECT || (b->last_wins ? json_read_keep_last(closed, e)
                                               : json_read_unique(closed, t->offset_bytes, e));
    default:
        return json_read_add(b, t, e);
    }
}

/* The tree of a text; root: cJSON's tree of the same text, or NULL to read alone. */
static struct json *json_read_build(struct arena *a, struct str text, const cJSON *root,
                                    bool last_wins, struct err *e) {
    struct json *tree = NULL;
    struct json_read_builder b;          /* not cleared: levels are written before they are read */
    b.arena = a;
    b.compare = root != NULL;
    b.last_wins = last_wins;
    b.depth = 0;
    b.levels[0] = (struct json_read_level){ .tail = &tree, .peer = root };
    json_reader_init(&b.reader, text, LIMIT_JSON_DEPTH);
    struct json_token t;
    bool ok;
    do {
        ok = json_next(&b.reader, &t, e) && (t.kind == JSON_T_END || json_read_step(&b, &t, e));
    } while (ok && t.kind != JSON_T_END);
    json_reader_release(&b.reader);
    return ok ? tree : NULL;
}

/* Reads the text through; *plain tells whether cJSON can read it too. */
static bool json_read_check(struct str text, bool *plain, struct err *e) {
    struct json_reader r;
    struct json_token t;
    bool ok;
    json_reader_init(&r, text, LIMIT_JSON_DEPTH);
    *plain = true;
    do {
        ok = json_next(&r, &t, e);
        if (ok && t.kind == JSON_T_NUMBER && t.text.n > JSON_READ_CJSON_DIGITS) {
            *plain = false;
        }
    } while (ok && t.kind != JSON_T_END);
    *plain = *plain && !r.repaired;
    json_reader_release(&r);
    return ok;
}

/* Without cJSON, up to the limit for files. */
static struct json *json_read_alone(struct arena *a, struct str text, bool last_wins,
                                    struct err *e) {
    if (text.n > LIMIT_JSON_FILE) {
        err_set(e, ERR_LIMIT, "a JSON file of %zu bytes is larger than the limit of %zu", text.n,
                LIMIT_JSON_FILE);
        return NULL;
    }
    return json_read_build(a, text, NULL, last_wins, e);
}

/* ---- (Public) ---- */

MLXK_FN struct json *json_parse(struct arena *a, struct str text, struct err *e) {
    bool plain;
    if (text.n > LIMIT_JSON_DOC) {
        err_set(e, ERR_LIMIT, "a JSON document of %zu bytes is larger than the limit of %zu",
                text.n, LIMIT_JSON_DOC);
        return NULL;
    }
    if (!json_read_check(text, &plain, e)) {
        return NULL;
    }
    if (!plain) {
        return json_read_build(a, text, NULL, false, e);
    }
    /* cJSON itself overlooks the mark when only one byte follows it */
    size_t mark = str_starts(text, STR("\xef\xbb\xbf")) ? 3 : 0;
    cJSON *root = cJSON_ParseWithLengthOpts(text.p + mark, text.n - mark, NULL, 0);
    if (!root) {
        err_oom(e, text.n, "a JSON document");   /* the grammar has been checked above */
        return NULL;
    }
    struct json *tree = json_read_build(a, text, root, false, e);
    cJSON_Delete(root);
    return tree;
}

MLXK_FN struct json *json_parse_large(struct arena *a, struct str text, struct err *e) {
    return json_read_alone(a, text, false, e);
}

MLXK_FN struct json *json_parse_lenient(struct arena *a, struct str text, struct err *e) {
    return json_read_alone(a, text, true, e);
}
