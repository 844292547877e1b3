/* mlxk.c: the whole program, and its table of contents.
 *
 * mlxk pulls, verifies, imports, lists and runs language models in MLX (safetensors) format. Every
 * file of src/ is included below, lower rooms first: a file can call only what stands above it or in
 * the contract (header) of its own room, so an upward call does not compile. Reading from the bottom
 * gives the program from the command line down; README.md has the map.
 *
 * By hand, after ./build.sh has fetched and generated what is not in the tree:
 *   cc -O2 $(cat build/flags) mlxk.c -o mlxk -lm -lpthread
 * Tools that want one file each (editors, linters, ./build.sh objects) compile src/ROOM/FILE.c alone.
 */
#define MLXK_ONE_UNIT 1                 /* cross-file functions become static: dead code is an error */

/* ---- 1. Words: what every file is written in; no system calls ------------------------------- */
#include "src/base/arena.c"                 /* regions of memory, owned blocks */
#include "src/base/str.c"                   /* borrowed text views */
#include "src/base/buf.c"                   /* growing bytes with a limit */
#include "src/base/map.c"                   /* text to number, keyed hash */
#include "src/base/err.c"                   /* what went wrong, and the table of codes */
#include "src/base/log.c"                   /* lines for people who asked */
#include "src/base/utf8.c"                  /* decode, encode, repair, columns */
#include "src/base/num.c"                   /* checked arithmetic, numbers as text, half floats */

/* ---- 2. Machine: the only room that talks to an operating system or asks the CPU ------------ */
#include "src/platform/cpu.c"               /* what the processor can do */
#include "src/platform/path.c"              /* environment, names, links */
#include "src/platform/file.c"              /* whole reads, writes, atomic replacement */
#include "src/platform/mmap.c"              /* files as memory, big pages */
#include "src/platform/dir.c"               /* listing, making, removing trees */
#include "src/platform/lock.c"              /* locks between processes */
#include "src/platform/thread.c"            /* teams, threads, mutexes */
#include "src/platform/clock.c"             /* clocks and calendar */
#include "src/platform/entropy.c"           /* random bytes of the system */
#include "src/platform/tty.c"               /* terminals and keys */
#include "src/platform/signal.c"            /* interrupts and broken pipes */
#ifndef __APPLE__
#include "src/platform/os_linux.c"          /* what only Linux does so */
#endif
#ifdef __APPLE__
#include "src/platform/os_darwin.c"         /* what only macOS does so */
#endif
#include "src/platform/sha256_ni.c"         /* the same with x86 instructions */
#include "src/platform/sha256_arm.c"        /* the same with ARM instructions */
#include "src/platform/sha256.c"            /* the hash of every file */
#include "src/platform/sha1.c"              /* git blob names */

/* ---- 3. Bought: cJSON: JSON documents, behind its wrapper ----------------------------------- */
#include "vendor/cjson_unit.c"              /* its macros end here */

/* ---- 4. JSON: one adapter over cJSON, a streaming reader and a writer; pure ----------------- */
#include "src/json/json_get.c"              /* typed getters */
#include "src/json/json_read.c"             /* documents, through cJSON */
#include "src/json/json_stream.c"           /* large files, event by event */
#include "src/json/json_write.c"            /* streaming writer */

/* ---- 5. File formats: safetensors, GGUF, tar, within stated limits; pure -------------------- */
#include "src/format/dtype.c"               /* element types */
#include "src/format/safet_read.c"          /* safetensors headers, checked */
#include "src/format/safet_write.c"         /* safetensors files, written */
#include "src/format/gguf_read.c"           /* GGUF headers, versions 2 and 3, little-endian */

/* ---- 6. Bought: zlib and TLS: gzip bodies; mbedTLS, or BearSSL as a library of its own ------ */
#include "vendor/zlib_unit.c"               /* inflate, deflate, checksums */
#ifndef MLXK_TLS_BEARSSL
#include "vendor/mbedtls_unit.c"            /* TLS 1.2 and 1.3, X.509 */
#endif

/* ---- 7. Network: bytes over sockets, TLS, HTTP both ways ------------------------------------ */
#include "src/net/url.c"                    /* http and https addresses */
#include "src/net/tcp.c"                    /* name resolution and sockets with time limits */
#include "src/net/roots.c"                  /* trust anchors */
#include "src/net/gzip.c"                   /* compressed answers, inflated by zlib */
#ifndef MLXK_TLS_BEARSSL
#include "src/net/tls_mbed.c"               /* the TLS adapter over mbedTLS */
#endif
#ifdef MLXK_TLS_BEARSSL
#include "src/net/tls_bear.c"               /* the TLS adapter over BearSSL */
#endif
#include "src/net/http_msg.c"               /* HTTP/1 */
#include "src/net/http_client.c"            /* requests, redirects, and what may be asked twice */
#include "src/net/http_retry.c"             /* whether and when to try again */
#include "src/net/http_body.c"              /* the body of an answer as a stream */
#include "src/net/http_conn.c"              /* connections of the HTTP client */
#include "src/net/proxy.c"                  /* which proxy the environment wants for an address */

/* ---- 8. Arithmetic: numeric functions over plain arrays; picked once at start --------------- */
#include "src/kernels/k_scalar.c"           /* matrix products and activation quantising in plain C */
#include "src/kernels/k_avx2.c"             /* code unpacking */
#include "src/kernels/k_avx2_float.c"       /* matrices of floats and of block floats */
#include "src/kernels/k_avx2_ops.c"         /* norms, rotation, activations */
#include "src/kernels/k_avx512_float.c"     /* matrices of floats and of block floats */
#include "src/kernels/k_avx512_matmul.c"    /* affine matrix times many tokens */
#include "src/kernels/k_avx512_matvec.c"    /* affine matrix times few tokens */
#include "src/kernels/k_avxvnni.c"          /* affine matrix products with AVX-VNNI */
#include "src/kernels/k_format.c"           /* how stored numbers read */
#include "src/kernels/k_quantize.c"         /* f32 values -> codes and scales */
#include "src/kernels/k_scalar_ops.c"       /* everything between the matrix products, in plain C */
#include "src/kernels/k_table.c"            /* which body runs */

/* ---- 9. Tokenizer: text to token ids and back; pure ----------------------------------------- */
#include "src/tokenizer/tok_unicode.c"      /* properties of characters, from generated tables */
#include "src/tokenizer/tok_regex.c"        /* patterns: text to tree */
#include "src/tokenizer/tok_regex_code.c"   /* patterns: tree to program */
#include "src/tokenizer/tok_match.c"        /* patterns: programs over text */
#include "src/tokenizer/tok_normalize.c"    /* normal forms and small rewriters */
#include "src/tokenizer/tok_bpe.c"          /* the vocabulary and byte-pair merging */
#include "src/tokenizer/tok_split.c"        /* the pre-tokenizer cuts text into pieces */
#include "src/tokenizer/tok_added.c"        /* added tokens found in text */
#include "src/tokenizer/tok_encode.c"       /* text to ids */
#include "src/tokenizer/tok_decode.c"       /* ids to text, whole or token by token */
#include "src/tokenizer/tok_parts.c"        /* reads normalizer, pre-tokenizer, post-processor, decoder */
#include "src/tokenizer/tok_model.c"        /* reads vocabulary and merges */
#include "src/tokenizer/tok_load.c"         /* a tokenizer from its JSON file */

/* ---- 10. Chat templates: the Jinja that chat templates use; pure ---------------------------- */
#include "src/template/tmpl_lex.c"          /* template source -> tokens */
#include "src/template/tmpl_parse.c"        /* statements -> tree, and the parser's own tools */
#include "src/template/tmpl_value.c"        /* Python-like values */
#include "src/template/tmpl_filters.c"      /* filters over single values */
#include "src/template/tmpl_eval.c"         /* expressions of the tree -> values */
#include "src/template/tmpl_chat.c"         /* the two doors of this room */
#include "src/template/tmpl_access.c"       /* obj */
#include "src/template/tmpl_clock.c"        /* strftime_now */
#include "src/template/tmpl_exec.c"         /* statements of the tree -> output */
#include "src/template/tmpl_expr.c"         /* expressions -> tree */
#include "src/template/tmpl_format.c"       /* "%" formatting and str */
#include "src/template/tmpl_methods.c"      /* the methods of str, dict */
#include "src/template/tmpl_seqfilters.c"   /* filters over rows */
#include "src/template/tmpl_tests.c"        /* the tests behind "is", and the global functions */
#include "src/template/tmpl_text.c"         /* text that knows where it came from */
#include "src/template/tmpl_tojson.c"       /* values -> text */
#include "src/template/tmpl_unicode.c"      /* the few properties of characters that string methods */

/* ---- 11. Cache: the on-disk layout of the hub, its locks and its health; no network --------- */
#include "src/cache/cache_names.c"          /* names of repos, files, blobs and revisions */
#include "src/cache/cache_layout.c"         /* where the cache lies, its folders */
#include "src/cache/cache_refs.c"           /* refs/<revision> and trees/<commit> */
#include "src/cache/cache_blobs.c"          /* payload on its way into blobs/ */
#include "src/cache/cache_locks.c"          /* lock files of a repo */
#include "src/cache/cache_scan.c"           /* one walk over a model's folder */
#include "src/cache/cache_health.c"         /* are the files of a model complete? Verdicts */
#include "src/cache/cache_remove.c"         /* taking a repo, or one snapshot of it */
#include "src/cache/cache_detect.c"         /* what kind of model lies in a folder */
#include "src/cache/cache_fingerprint.c"    /* the files of a workspace and their hashes */
#include "src/cache/cache_list.c"           /* everything there is, for a pattern */
#include "src/cache/cache_resolve.c"        /* from what a person typed to one snapshot */
#include "src/cache/cache_workspace.c"      /* the sentinel */

/* ---- 12. Models: files become configured weights, mapped and borrowed ----------------------- */
#include "src/model/model_config.c"         /* config */
#include "src/model/model_quant.c"          /* which modules are quantised and how */
#include "src/model/model_weights.c"        /* the shards of a directory */
#include "src/model/model_rope.c"           /* the wavelength tables of rotary position encodings */
#include "src/model/arch_llama.c"           /* llama and the families that are llama with */
#include "src/model/arch_gemma.c"           /* gemma, gemma2 and the text part of gemma3 */
#include "src/model/arch_others.c"          /* families of the common block that differ in */
#include "src/model/model_open.c"           /* a directory -> struct model */
#include "src/model/arch_table.c"           /* every supported family, found by model_type */

/* ---- 13. Conversion: quantise, dequantise, GGUF to MLX, index repair ------------------------ */
#include "src/convert/conv_dir.c"           /* a plain model directory -> the files of */
#include "src/convert/conv_gguf.c"          /* a GGUF file -> the files of an */
#include "src/convert/conv_gguf_config.c"   /* config */
#include "src/convert/conv_gguf_tensors.c"  /* GGUF tensors -> MLX safetensors */
#include "src/convert/conv_gguf_tokenizer.c"/* tokenizer */
#include "src/convert/conv_import.c"        /* what was planned -> blobs, links */

/* ---- 14. Engine: model + KV cache + sampler = tokens over time ------------------------------ */
#include "src/engine/eng_kv.c"              /* the KV cache of one sequence */
#include "src/engine/eng_attention.c"       /* from the normed input of a layer to */
#include "src/engine/eng_forward.c"         /* one pass over the layers */
#include "src/engine/eng_sample.c"          /* logits -> one token */
#include "src/engine/eng_stop.c"            /* stop strings in streamed text */
#include "src/engine/eng_session.c"         /* sessions opened, closed and fed */
#include "src/engine/eng_generate.c"        /* prompt in, text out */
#include "src/engine/eng_plan.c"            /* sizes of a session and the one block */

/* ---- 15. Conversation: messages to prompt, reasoning, tool calls ---------------------------- */
#include "src/chat/chat_prompt.c"           /* a conversation, its template variables, its prompt tokens */

/* ---- 16. Bought: linenoise: the line editor of the terminal conversation -------------------- */
#include "vendor/linenoise_unit.c"          /* UTF-8, history, several rows */

/* ---- 17. Commands: one file per command; the only room that prints to people ---------------- */
#include "src/cli/cli_args.c"               /* the command line -> struct cli_args */
#include "src/cli/cli_out.c"                /* everything a command prints */
#include "src/cli/cli_grid.c"               /* aligned tables and progress lines for people */
#include "src/cli/cli_model.c"              /* what several commands need of a model directory */
#include "src/cli/cli_card.c"               /* one model as list and show tell it */
#include "src/cli/cli_line.c"               /* the adapter over the line editor */
#include "src/cli/cmd_bench.c"              /* `bench` measures prefill and decode of one model */
#include "src/cli/cmd_health.c"             /* `health` tells whether the files of models are */
#include "src/cli/cmd_help.c"               /* `help` lists the commands by group */
#include "src/cli/cmd_import.c"             /* `import` brings a GGUF file or a model */
#include "src/cli/cmd_list.c"               /* `list` shows what is on this machine */
#include "src/cli/cmd_logits.c"             /* `logits` feeds token ids through a model and */
#include "src/cli/cmd_rm.c"                 /* `rm` takes a model */
#include "src/cli/cmd_run.c"                /* `run` asks a model once */
#include "src/cli/cmd_run_chat.c"           /* the conversation of `run` without a prompt */
#include "src/cli/cmd_show.c"               /* `show` tells everything about one model */
#include "src/cli/cmd_template.c"           /* `template` renders a chat template */
#include "src/cli/cmd_tokenize.c"           /* `tokenize` and `detokenize` */
#include "src/cli/cmd_version.c"            /* `version` tells what this binary is */
#include "src/cli/cli_table.c"              /* the commands */
#include "src/cli/cli_main.c"               /* the way into the program */

/* ---- 18. Start ----------------------------------------------------------------------------- */
#ifndef MLXK_NO_MAIN
#include "src/cli/main.c"
#endif
