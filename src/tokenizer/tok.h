/* tok.h: text <-> token ids, driven by tokenizer.json alone (level 2, pure).
 *
 * Byte-level BPE, SentencePiece-style BPE (byte fallback) and WordPiece, with normalizers,
 * pre-tokenizers (regexes taken from the file), post-processors, decoders and added tokens as the
 * file states them. Anything else (Unigram, WordLevel, an unknown component) is refused by name,
 * never guessed. The file's "truncation" and "padding" are not applied: how long a text may be is
 * its reader's affair.
 * Read-only after loading: any number of threads may encode and decode with one tokenizer.
 * ref    the tokenizers library 0.23: same ids and texts; UAX #44 and #15 for characters.
 */
#ifndef MLXK_TOK_H
#define MLXK_TOK_H

#include "base/base.h"
#include "json/json.h"

enum { TOK_MAX_VOCAB = 4000000, TOK_MAX_PIECE = 65536 };

struct tok;

/* json: text of tokenizer.json; borrowed for the life of the tokenizer when `borrow`, else copied.
 * config: tokenizer_config.json's tree or NULL; its added_tokens_decoder adds tokens that the file
 * lacks, nothing else in it changes ids (add_bos_token is the chat template's or the caller's
 * affair).
 * mem: everything in `a`; config too must live as long. cost: 5 to 10 ms per MB of file.
 * err: ERR_FORMAT (what, where), ERR_LIMIT, ERR_UNSUPPORTED naming the component. */
MLXK_FN struct tok *tok_load(struct arena *a, struct str json, bool borrow,
                             const struct json *config /* or NULL */, struct err *e);

/* owned growing list, sticky like buf */
struct tok_ids { int32_t *p; size_t n, cap, max; bool failed; };
MLXK_FN void tok_ids_init(struct tok_ids *ids, size_t max);
MLXK_FN void tok_ids_release(struct tok_ids *ids);
MLXK_FN void tok_ids_add(struct tok_ids *ids, int32_t id);

enum tok_flags {
    TOK_ADD_SPECIAL = 1,         /* apply the post-processor (BOS/EOS) */
    TOK_PLAIN = 2,               /* special tokens inside the text are ordinary text */
};
/* Appends the ids of text. Malformed UTF-8 is read as U+FFFD. O(n log n).
 * err: ERR_LIMIT (out->max, or a pattern that backtracks without end), ERR_NO_MEMORY; then nothing
 * was appended. */
MLXK_FN bool tok_encode(const struct tok *t, struct str text, unsigned flags, struct tok_ids *out,
                        struct err *e);

/* As tok_encode without TOK_ADD_SPECIAL, except that special tokens overlapping one of the `plain`
 * ranges (byte offsets of text, ascending, not overlapping) are ordinary text there: what a user
 * typed cannot become control tokens. err: ERR_INVALID when text is not UTF-8. */
struct tok_range { size_t begin, end; };
MLXK_FN bool tok_encode_marked(const struct tok *t, struct str text, const struct tok_range *plain,
                               size_t n_plain, struct tok_ids *out, struct err *e);

/* Decoding a whole sequence: skip_special leaves special tokens out. Unknown ids are skipped.
 * As the reference decoder: whole sequence at once, malformed bytes become U+FFFD. */
MLXK_FN bool tok_decode(const struct tok *t, const int32_t *ids, size_t n, bool skip_special,
                        struct buf *out, struct err *e);

/* Decoding token by token for streaming: gives text as soon as it can no longer change; never
 * splits a UTF-8 sequence. The concatenation of all pieces and the flush equals tok_decode of the
 * sequence. Fields are the room's own. Owned; no allocation per token once the buffers have
 * grown. */
enum { TOK_MAX_DECODERS = 8 };
struct tok_stream {
    const struct tok *tok;
    struct buf text;             /* what can be given out */
    struct tok_stream_stage {
        struct buf held, work;
        size_t count;
        bool begun;
    } stages[TOK_MAX_DECODERS];
    bool skip_special, failed;
    const int32_t *shown; size_t n_shown; /* special tokens that are text all the same; borrowed */
};
MLXK_FN void tok_stream_init(struct tok_stream *s, const struct tok *t, bool skip_special);
/* These special tokens are text although special tokens are skipped: a reader needs them as
 * marks. */
MLXK_FN void tok_stream_show(struct tok_stream *s, const int32_t *ids, size_t n);
MLXK_FN void tok_stream_release(struct tok_stream *s);
/* *piece is borrowed until the next call; may be empty. */
MLXK_FN bool tok_stream_push(struct tok_stream *s, int32_t id, struct str *piece, struct err *e);
MLXK_FN bool tok_stream_flush(struct tok_stream *s, struct str *piece, struct err *e);

/* Id of an exact token text (added or in the vocabulary), -1 = none. */
MLXK_FN int32_t tok_find(const struct tok *t, struct str token);
/* A token's raw text in the file; empty for unknown ids. */
MLXK_FN struct str tok_text(const struct tok *t, int32_t id);
MLXK_FN bool tok_is_special(const struct tok *t, int32_t id);

/* Unicode for other rooms (generated tables): the normal forms C and KD of valid UTF-8,
 * appended. */
MLXK_FN bool     tok_nfc(struct str text, struct buf *out, struct err *e);
MLXK_FN bool     tok_nfkd(struct str text, struct buf *out, struct err *e);
MLXK_FN bool     tok_is_space(uint32_t cp);                       /* White_Space */
MLXK_FN uint32_t tok_to_lower(uint32_t cp);
MLXK_FN uint32_t tok_to_upper(uint32_t cp);

#endif
