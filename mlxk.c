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

/* ---- 1. Words: what every file is written in; no system calls -------------------------------- */
#include "src/base/arena.c"                   /* regions of memory, owned blocks */
#include "src/base/str.c"                     /* borrowed text views */
#include "src/base/buf.c"                     /* growing bytes with a limit */
#include "src/base/map.c"                     /* text to number, keyed hash */
#include "src/base/err.c"                     /* what went wrong, and the table of codes */
#include "src/base/log.c"                     /* lines for people who asked */
#include "src/base/utf8.c"                    /* decode, encode, repair, columns */
#include "src/base/base64.c"                  /* base64, strictly */
#include "src/base/num.c"                     /* checked arithmetic, numbers as text, half floats */

/* ---- 2. Machine: the only room that talks to an operating system or asks the CPU ------------- */
#include "src/platform/cpu.c"                 /* what the processor can do */
#include "src/platform/path.c"                /* environment, names, links */
#include "src/platform/file.c"                /* whole reads, writes, atomic replacement */
#include "src/platform/mmap.c"                /* files as memory, big pages */
#include "src/platform/dir.c"                 /* listing, making, removing trees */
#include "src/platform/lock.c"                /* locks between processes */
#include "src/platform/thread.c"              /* teams, threads, mutexes */
#include "src/platform/clock.c"               /* clocks and calendar */
#include "src/platform/machine.c"             /* volumes, quotas, limits, files in use */
#include "src/platform/entropy.c"             /* random bytes of the system */
#include "src/platform/tty.c"                 /* terminals and keys */
#include "src/platform/signal.c"              /* interrupts and broken pipes */
#include "src/platform/spawn.c"               /* other programs, run within bounds */
#ifndef __APPLE__
#include "src/platform/os_linux.c"            /* what only Linux does so */
#endif
#ifdef __APPLE__
#include "src/platform/os_darwin.c"           /* what only macOS does so */
#endif
#include "src/platform/sha256_ni.c"           /* SHA-256 with x86 instructions */
#include "src/platform/sha256_arm.c"          /* SHA-256 with ARM instructions */
#include "src/platform/sha256.c"              /* the hash of every file */
#include "src/platform/sha1_ni.c"             /* SHA-1 with x86 instructions */
#include "src/platform/sha1_arm.c"            /* SHA-1 with ARM instructions */
#include "src/platform/sha1.c"                /* git blob names */
#include "src/platform/sha512.c"              /* digests that registries may name */
#include "src/platform/gcm_ni.c"              /* AES-GCM with x86 instructions */
#include "src/platform/gcm_arm.c"             /* AES-GCM with ARM instructions */
#include "src/platform/gcm.c"                 /* which of them, if any */

/* ---- 3. Bought: cJSON: JSON documents, behind its wrapper ------------------------------------ */
#include "vendor/cjson_unit.c"                /* its macros end here */

/* ---- 4. JSON: one adapter over cJSON, a streaming reader and a writer; pure ------------------ */
#include "src/json/json_read.c"               /* documents, through cJSON */
#include "src/json/json_get.c"                /* typed getters over a document */
#include "src/json/json_stream.c"             /* large files, event by event */
#include "src/json/json_write.c"              /* streaming writer */

/* ---- 5. File formats: safetensors, GGUF, tar, within stated limits; pure --------------------- */
#include "src/format/dtype.c"                 /* element types and their sizes */
#include "src/format/safet_read.c"            /* safetensors headers, checked */
#include "src/format/safet_write.c"           /* safetensors files, written */
#include "src/format/tar.c"                   /* POSIX archives as streams */
#include "src/format/gguf_read.c"             /* GGUF files, read */
#include "src/format/lz4.c"                   /* LZ4 frames, unpacked */

/* ---- 6. Bought: zlib, libsodium, and TLS: mbedTLS, or BearSSL as a library of its own -------- */
#include "vendor/zlib_unit.c"                 /* inflate, deflate, checksums */
#include "vendor/libsodium_unit.c"            /* Ed25519, X25519, SHA-512, BLAKE2b */
#ifndef MLXK_TLS_BEARSSL
#include "vendor/mbedtls_unit.c"              /* TLS 1.2 and 1.3, X.509 */
#endif

/* ---- 7. Network: bytes over sockets, TLS, HTTP both ways ------------------------------------- */
#include "src/net/url.c"                      /* addresses, parsed and joined */
#include "src/net/names.c"                    /* can anybody be asked for a name */
#include "src/net/inside.c"                   /* addresses that nobody else reaches */
#include "src/net/tcp.c"                      /* names, sockets, time limits */
#include "src/net/proxy.c"                    /* which proxy the environment wants */
#include "src/net/roots.c"                    /* trust anchors built in */
#include "src/net/gzip.c"                     /* compressed answers, inflated */
#ifndef MLXK_TLS_BEARSSL
#include "src/net/tls_mbed.c"                 /* TLS over mbedTLS */
#endif
#ifdef MLXK_TLS_BEARSSL
#include "src/net/tls_bear.c"                 /* TLS over BearSSL */
#endif
#include "src/net/http_msg.c"                 /* heads of HTTP/1.1 messages, parsed and written */
#include "src/net/http_retry.c"               /* whether and when to try again */
#include "src/net/http_body.c"                /* bodies as streams */
#include "src/net/http_conn.c"                /* connections kept and dialled */
#include "src/net/http_heed.c"                /* warnings and limits that servers tell of */
#include "src/net/http_client.c"              /* requests and redirects */
#include "src/net/tcp_serve.c"                /* listening sockets, transfers without waiting */
#include "src/net/httpd_msg.c"                /* heads of requests, strictly read */
#include "src/net/httpd_conn.c"               /* one connection of the server */
#include "src/net/httpd_exchange.c"           /* one request and its answer */
#include "src/net/httpd.c"                    /* accepts, threads, and the end */

/* ---- 8. Arithmetic: numeric functions over plain arrays; picked once at start ---------------- */
#include "src/kernels/k_format.c"             /* how stored numbers read */
#include "src/kernels/k_quantize.c"           /* floats to codes and scales */
#include "src/kernels/k_scalar.c"             /* matrix products in plain C: the truth */
#include "src/kernels/k_scalar_ops.c"         /* everything between the products, plain C */
#include "src/kernels/k_avx2.c"               /* AVX2: unpacking and affine products */
#include "src/kernels/k_avx2_float.c"         /* AVX2: floats and block floats */
#include "src/kernels/k_avx2_exact.c"         /* AVX2: floats in the scalar way */
#include "src/kernels/k_avx2_ops.c"           /* AVX2: norms, rotation, activations */
#include "src/kernels/k_avxvnni.c"            /* AVX-VNNI: affine products */
#include "src/kernels/k_avx512_float.c"       /* AVX-512: floats and block floats */
#include "src/kernels/k_avx512_matvec.c"      /* AVX-512: affine matrix times few tokens */
#include "src/kernels/k_avx512_matmul.c"      /* AVX-512: affine matrix times many tokens */
#include "src/kernels/k_neon.c"               /* NEON: unpacking and products */
#include "src/kernels/k_neon_ops.c"           /* NEON: norms, activations, attention */
#include "src/kernels/k_dotprod.c"            /* ARM dot product: affine products */
#include "src/kernels/k_i8mm.c"               /* ARM matrix multiply: affine, many tokens */
#include "src/kernels/k_table.c"              /* which body runs */

/* ---- 9. Tokenizer: text to token ids and back; pure ------------------------------------------ */
#include "src/tokenizer/tok_unicode.c"        /* properties of characters, from generated tables */
#include "src/tokenizer/tok_regex.c"          /* patterns: text to tree */
#include "src/tokenizer/tok_regex_code.c"     /* patterns: tree to program */
#include "src/tokenizer/tok_match.c"          /* patterns: programs over text */
#include "src/tokenizer/tok_normalize.c"      /* normal forms and small rewriters */
#include "src/tokenizer/tok_bpe.c"            /* the vocabulary and byte-pair merging */
#include "src/tokenizer/tok_wordpiece.c"      /* words into their longest pieces */
#include "src/tokenizer/tok_split.c"          /* the pre-tokenizer cuts text into pieces */
#include "src/tokenizer/tok_added.c"          /* added tokens found in text */
#include "src/tokenizer/tok_encode.c"         /* text to ids */
#include "src/tokenizer/tok_decode.c"         /* ids to text, whole or token by token */
#include "src/tokenizer/tok_parts.c"          /* reads normalizer, pre-tokenizer, post-processor, decoder */
#include "src/tokenizer/tok_model.c"          /* reads vocabulary and merges */
#include "src/tokenizer/tok_load.c"           /* a tokenizer from its JSON file */

/* ---- 10. Chat templates: the Jinja that chat templates use; pure ----------------------------- */
#include "src/template/tmpl_unicode.c"        /* character properties of string methods */
#include "src/template/tmpl_clock.c"          /* the clock of strftime_now */
#include "src/template/tmpl_text.c"           /* text that knows where it came from */
#include "src/template/tmpl_value.c"          /* Python-like values */
#include "src/template/tmpl_lex.c"            /* source to tokens */
#include "src/template/tmpl_expr.c"           /* expressions to tree */
#include "src/template/tmpl_parse.c"          /* statements to tree */
#include "src/template/tmpl_access.c"         /* attributes, indexes and slices */
#include "src/template/tmpl_format.c"         /* percent formatting and str */
#include "src/template/tmpl_tojson.c"         /* values as JSON text */
#include "src/template/tmpl_methods.c"        /* methods of str and dict */
#include "src/template/tmpl_filters.c"        /* filters over single values */
#include "src/template/tmpl_seqfilters.c"     /* filters over sequences */
#include "src/template/tmpl_tests.c"          /* tests behind "is", global functions */
#include "src/template/tmpl_eval.c"           /* expressions to values */
#include "src/template/tmpl_exec.c"           /* statements to output */
#include "src/template/tmpl_chat.c"           /* the doors of this room */

/* ---- 11. Cache: the on-disk layout of the hub, its locks and its health; no network ---------- */
#include "src/cache/cache_names.c"            /* names of repos, files, blobs and revisions */
#include "src/cache/cache_layout.c"           /* where the cache lies, its folders */
#include "src/cache/cache_refs.c"             /* refs and trees: revisions to commits */
#include "src/cache/cache_map.c"              /* which bytes of a blob have arrived */
#include "src/cache/cache_lease.c"            /* owners of unfinished blobs, where locks lie */
#include "src/cache/cache_digest.c"             /* the hashes that names promise */
#include "src/cache/cache_temps.c"            /* files on their way, and killed writers' */
#include "src/cache/cache_blobs.c"            /* names of payload, finished or not */
#include "src/cache/cache_links.c"            /* the links of a snapshot */
#include "src/cache/cache_ring.c"             /* pieces in memory that wait for the hash */
#include "src/cache/cache_resume.c"           /* an unfinished blob is taken up again */
#include "src/cache/cache_parts.c"            /* a blob fetched in several places at once */
#include "src/cache/cache_writer.c"           /* a blob from bytes at hand */
#include "src/cache/cache_locks.c"            /* lock files shared with other clients */
#include "src/cache/cache_room.c"             /* room on the disk, beside others */
#include "src/cache/cache_scan.c"             /* one walk over a model's folder */
#include "src/cache/cache_detect.c"           /* what kind of model a folder holds */
#include "src/cache/cache_fingerprint.c"      /* files of a workspace and their hashes */
#include "src/cache/cache_workspace.c"        /* model folders outside the cache */
#include "src/cache/cache_copies.c"           /* a commit's files as plain files elsewhere */
#include "src/cache/cache_health.c"           /* are a model's files complete? verdicts */
#include "src/cache/cache_list.c"             /* everything there is, for a pattern */
#include "src/cache/cache_resolve.c"          /* from what a person typed to one snapshot */
#include "src/cache/cache_shared.c"           /* payloads that several repos share */
#include "src/cache/cache_fence.c"            /* where links of a folder may lead */
#include "src/cache/cache_remove.c"           /* taking a repo or one snapshot away */

/* ---- 12. Hub: the hub protocol and bundles; fetches into the cache --------------------------- */
#include "src/hub/hub_error.c"                /* what refusals mean and what to do */
#include "src/hub/hub_json.c"                 /* answers of the API, read with suspicion */
#include "src/hub/hub_filter.c"               /* which files of a commit are wanted */
#include "src/hub/hub_open.c"                 /* which hub, with which token */
#include "src/hub/hub_tokens.c"               /* tokens kept on this machine */
#include "src/hub/hub_api.c"                  /* questions to the API */
#include "src/hub/hub_download.c"             /* one answer and what may be believed */
#include "src/hub/hub_call.c"                 /* questions that change something */
#include "src/hub/hub_xet_read.c"             /* chunks and reconstructions, read with suspicion */
#include "src/hub/hub_xet.c"                  /* a range of a file out of chunks */
#include "src/hub/hub_pool.c"                 /* many files at once, by few streams */
#include "src/hub/hub_lock.c"                 /* lock files: commits and digests of a fleet */
#include "src/hub/hub_manifest.c"             /* what a bundle says of itself */
#include "src/hub/hub_bundle.c"               /* repositories as one tar file */
#include "src/hub/hub_unbundle.c"             /* a bundle into the cache */
#include "src/hub/hub_volumes.c"              /* a stream cut into files */
#include "src/hub/hub_pull.c"                 /* a whole snapshot into the cache */
#include "src/hub/hub_local.c"                /* a folder to be pushed */
#include "src/hub/hub_upload.c"               /* files into the hub's storage */
#include "src/hub/hub_commit.c"               /* commits, streamed */
#include "src/hub/hub_push.c"                 /* a folder into a repository */
#include "src/hub/hub_fetch.c"                /* one file for a mirror, in order */

/* ---- 13. Registries: artifacts in OCI registries and layouts --------------------------------- */
#include "src/oci/oci_ref.c"                  /* names of artifacts, taken apart */
#include "src/oci/oci_digest.c"               /* digests and base64 */
#include "src/oci/oci_manifest.c"             /* manifests, read and written */
#include "src/oci/oci_conf.c"                 /* registries.conf: places, mirrors, aliases */
#include "src/oci/oci_creds.c"                /* who we are to a registry */
#include "src/oci/oci_auth.c"                 /* challenges, tokens, realms */
#include "src/oci/oci_call.c"                 /* one request to a registry */
#include "src/oci/oci_manifests.c"            /* manifests of a registry */
#include "src/oci/oci_list.c"                 /* tags, repositories, referrers by pages */
#include "src/oci/oci_blob.c"                 /* blobs as streams */
#include "src/oci/oci_upload.c"               /* blobs into a registry */
#include "src/oci/oci_archive.c"              /* layouts in tar files */
#include "src/oci/oci_layout.c"               /* layouts in folders */
#include "src/oci/oci_open.c"                 /* handles made and ended */
#include "src/oci/oci_store.c"                /* one name for registries and layouts */
#include "src/oci/oci_login.c"                /* accounts at registries, kept and forgotten */
#include "src/oci/oci_crew.c"                 /* several blobs at once */
#include "src/oci/oci_image.c"                /* programs as container images, layer by layer */
#include "src/oci/oci_fetch.c"                /* one large blob, by several hands */
#include "src/oci/oci_parcels.c"              /* files and texts as blobs, several at once */
#include "src/oci/oci_copy.c"                 /* artifacts from place to place */
#include "src/oci/oci_unpack.c"               /* archives as layers, and sha512, into blobs */
#include "src/oci/oci_pull.c"                 /* a model into the cache */
/* ---- 14. Signatures: keys, bundles of proofs, policies; no network --------------------------- */
#include "src/sign/sign_der.c"                /* DER and PEM, strictly */
#include "src/sign/sign_kdf.c"                /* a password becomes a key */
#ifndef MLXK_TLS_BEARSSL
#include "src/sign/sign_mbed.c"               /* P-256 and AES of mbedTLS */
#else
#include "src/sign/sign_bear.c"               /* P-256 and AES of BearSSL */
#endif
#include "src/sign/sign_key.c"                /* key files, others refused by name */
#include "src/sign/sign_bundle.c"             /* Sigstore bundles, DSSE */
#include "src/sign/sign_statement.c"          /* what is said about an artifact */
#include "src/sign/sign_simple.c"             /* signatures of the older kind */
#include "src/sign/sign_policy.c"             /* who must have signed what */
#include "src/sign/sign_ed25519.c"            /* Ed25519 and its hashes, of libsodium */
#include "src/sign/sign_mini.c"               /* keys and signatures of minisign */
#include "src/sign/sign_ssh.c"                /* keys and signatures of OpenSSH */

/* ---- 15. Models: files become configured weights, mapped and borrowed ------------------------ */
#include "src/model/model_config.c"           /* config.json, checked and made plain */
#include "src/model/model_quant.c"            /* which modules are quantised, and how */
#include "src/model/model_weights.c"          /* tensors of all shards, mapped */
#include "src/model/model_rope.c"             /* wavelengths of rotary position encodings */
#include "src/model/arch_llama.c"             /* llama and its close relatives */
#include "src/model/arch_gemma.c"             /* gemma, gemma2, text of gemma3 */
#include "src/model/arch_others.c"            /* families that differ in a step */
#include "src/model/model_open.c"             /* a directory becomes a model */
#include "src/model/arch_table.c"             /* every family, found by model_type */

/* ---- 16. Care: keeping the cache sound: verified, mended, measured, cleaned ------------------ */
#include "src/care/care_findings.c"           /* what is wrong, as a list */
#include "src/care/care_when.c"               /* ages and dates people write */
#include "src/care/care_inventory.c"          /* everything in a repo's folder, named */
#include "src/care/care_deep.c"               /* headers, indexes, links, file lists */
#include "src/care/care_journal.c"            /* which files were found good, when */
#include "src/care/care_verify.c"             /* every payload hashed, on several threads */
#include "src/care/care_repair.c"             /* mends what can be proven */
#include "src/care/care_usage.c"              /* bytes on the disk, and for what */
#include "src/care/care_plan.c"               /* what can go, and what stays */
#include "src/care/care_collect.c"            /* removes what a plan says */
#include "src/care/care_probe.c"              /* what a file system really does */

/* ---- 17. Conversion: quantise, dequantise, GGUF to MLX, index repair ------------------------- */
#include "src/convert/conv_dir.c"             /* a model directory as files to import */
#include "src/convert/conv_gguf_config.c"     /* GGUF metadata as config.json */
#include "src/convert/conv_gguf_tokenizer.c"  /* GGUF vocabulary as tokenizer.json */
#include "src/convert/conv_gguf_tensors.c"    /* GGUF tensors as MLX safetensors, un-permuted */
#include "src/convert/conv_gguf.c"            /* a GGUF file as an MLX model */
#include "src/convert/conv_import.c"          /* planned files become blobs, links, refs */
#include "src/convert/conv_source.c"          /* the weights of a directory, headers only */
#include "src/convert/conv_layout.c"          /* what families mean by tensor names */
#include "src/convert/conv_recipe.c"          /* which module gets how many bits */
#include "src/convert/conv_plan.c"            /* every tensor of a conversion's target */
#include "src/convert/conv_slice.c"           /* a slice of a tensor: read, compute, write */
#include "src/convert/conv_shards.c"          /* slices over threads; files kept or made */
#include "src/convert/conv_target.c"          /* the folder that becomes the target */
#include "src/convert/conv_repair.c"          /* a shard index anew from headers */
#include "src/convert/conv_convert.c"         /* all of a conversion in order */

/* ---- 18. Versions of models: states, numbers, tags, history ---------------------------------- */
#include "src/release/rel_version.c"          /* numbers of releases and ranges of them */
#include "src/release/rel_tag.c"              /* the grammar of tags, names for it */
#include "src/release/rel_class.c"            /* what a file of a model is for */
#include "src/release/rel_canon.c"            /* canonical JSON */
#include "src/release/rel_lines.c"            /* hashes over sorted lines */
#include "src/release/rel_weights.c"          /* files of weights and their tensors, hashed */
#include "src/release/rel_tokens.c"           /* the table of tokens as hashes */
#include "src/release/rel_tokens_gguf.c"      /* the same from GGUF keys */
#include "src/release/rel_task.c"             /* what a model is for */
#include "src/release/rel_chat.c"             /* what chat templates say of the interface */
#include "src/release/rel_interface.c"        /* the interface document */
#include "src/release/rel_state.c"            /* a directory becomes a state */
#include "src/release/rel_bump.c"             /* which number goes up */
#include "src/release/rel_git.c"              /* where a state stands in git */
#include "src/release/rel_git_tags.c"         /* tags and parents that git tells */
#include "src/release/rel_closest.c"          /* which release a state follows */
#include "src/release/rel_pack.c"             /* a state as one artifact */
#include "src/release/rel_python.c"           /* names of models as names in Python */
#include "src/release/rel_client.c"           /* client and package of a release */
#include "src/release/rel_install.c"          /* what a client wants to be in Python */
#include "src/release/rel_place.c"            /* a client into a Python environment */
#include "src/release/rel_list.c"             /* versions that a repository has */
#include "src/release/rel_whose.c"            /* several models in one repository */
#include "src/release/rel_moved.c"            /* which members of an interface differ */
#include "src/release/rel_release.c"          /* the next version of a state */
#include "src/release/rel_claim.c"           /* one of several who want a number */
#include "src/release/rel_age.c"              /* how old states are */
#include "src/release/rel_clean.c"            /* states that were not released leave */
#include "src/release/rel_index.c"            /* an index of repositories, in memory */
#include "src/release/rel_index_table.c"      /* the index searched */
#include "src/release/rel_index_file.c"       /* the index on disk, under a lock */
#include "src/release/rel_index_scan.c"       /* repositories looked through for the index */
#include "src/release/rel_index_oci.c"        /* the index as an artifact */

/* ---- 19. Engine: model + KV cache + sampler = tokens over time ------------------------------- */
#include "src/engine/eng_plan.c"              /* sizes of a session, one block */
#include "src/engine/eng_kv.c"                /* the KV cache of one sequence */
#include "src/engine/eng_attention.c"         /* attention over fixed blocks of context */
#include "src/engine/eng_forward.c"           /* one pass over the layers */
#include "src/engine/eng_sample.c"            /* temperature, top-p, min-p, penalties: one token */
#include "src/engine/eng_stop.c"              /* stop strings in streamed text */
#include "src/engine/eng_session.c"           /* sessions opened, closed and fed */
#include "src/engine/eng_generate.c"          /* prompt in, text out */

/* ---- 20. Conversation: messages to prompt, reasoning, tool calls ----------------------------- */
#include "src/chat/chat_style.c"              /* how a model marks what it thinks */
#include "src/chat/chat_split.c"              /* a model's text into reasoning and answer */
#include "src/chat/chat_prompt.c"             /* messages to template variables to prompt tokens */

/* ---- 21. Services: HTTP faces ---------------------------------------------------------------- */
#include "src/serve/serve_guard.c"            /* host names, keys, rates */
#include "src/serve/mirror_route.c"           /* what a path of the hub means */
#include "src/serve/mirror_list.c"            /* commits and their file lists */
#include "src/serve/mirror_upstream.c"        /* what upstream says of a repository */
#include "src/serve/mirror_fetch.c"           /* fetched once, sent while it arrives */
#include "src/serve/mirror_file.c"            /* files, whole or in part */
#include "src/serve/mirror_refs.c"            /* branches and tags, as the hub lists them */
#include "src/serve/mirror_api.c"             /* the hub's JSON */
#include "src/serve/metrics.c"                /* counters for Prometheus */
#include "src/serve/mirror.c"                 /* who passes, where a request goes */

/* ---- 22. Bought: linenoise: the line editor of the terminal conversation --------------------- */
#include "vendor/linenoise_unit.c"            /* UTF-8, history, several rows */

/* ---- 23. Commands: one file per command; the only room that prints to people ----------------- */
#include "src/cli/cli_args.c"                 /* the command line, parsed as argparse does */
#include "src/cli/cli_help.c"                 /* usage and help of one command */
#include "src/cli/cli_out.c"                  /* all that is printed, text or JSON */
#include "src/cli/cli_grid.c"                 /* tables and progress lines */
#include "src/cli/cli_model.c"                /* what commands need of a model folder */
#include "src/cli/cli_card.c"                 /* one model as list and show tell it */
#include "src/cli/cli_index.c"                /* what list and health found out before */
#include "src/cli/cli_many.c"                 /* many models, several threads */
#include "src/cli/cli_findings.c"             /* findings of verify and health --deep */
#include "src/cli/cli_doctor_cache.c"         /* doctor: paths, room, file system, models */
#include "src/cli/cli_doctor_machine.c"       /* doctor: programs, processor, limits, TLS */
#include "src/cli/cli_line.c"                 /* the line editor */
#include "src/cli/cli_sign.c"                 /* files, signatures, what a key decides */
#include "src/cli/cli_attest.c"               /* list of files and provenance, as signed claims */
#include "src/cli/cli_sign_oci.c"             /* signatures attached to artifacts */
#include "src/cli/cli_sign_policy.c"          /* the policy of pulls and uses, its proofs */
#include "src/cli/cli_suggest.c"              /* names near to a mistyped one */
#include "src/cli/cmd_bench.c"                /* prefill and decode speed */
#include "src/cli/cmd_completion.c"           /* scripts that complete words in shells */
#include "src/cli/cli_state.c"                /* a state that a person names */
#include "src/cli/cmd_diff.c"                 /* what differs between two states */
#include "src/cli/cmd_doctor.c"               /* what is wrong around here */
#include "src/cli/cmd_embed.c"                /* texts to vectors: checks, no engine yet */
#include "src/cli/cli_fetch.c"                /* progress of transfers */
#include "src/cli/cli_oci.c"                  /* registries for commands: options, progress */
#include "src/cli/cmd_clone.c"                /* a model as a folder to edit */
#include "src/cli/cmd_export.c"               /* models as one file */
#include "src/cli/cmd_du.c"                   /* what is on the disk, for what */
#include "src/cli/cmd_gc.c"                   /* remove what nobody needs */
#include "src/cli/cmd_health.c"               /* are models complete and intact? */
#include "src/cli/cmd_help.c"                 /* commands by group, examples */
#include "src/cli/cmd_copy.c"                 /* artifacts between registries and layouts */
#include "src/cli/cmd_inspect.c"              /* inspect, tags: what a reference names */
#include "src/cli/cmd_convert.c"              /* a model directory into another one */
#include "src/cli/cmd_import.c"               /* a GGUF file or folder into the cache */
#include "src/cli/cmd_list.c"                 /* what is on this machine */
#include "src/cli/cmd_login.c"                /* login, logout, whoami: tokens of the hub */
#include "src/cli/cmd_logits.c"               /* logits of given token ids */
#include "src/cli/cmd_mirror.c"               /* the cache as a read-only hub */
#include "src/cli/cmd_pull_report.c"          /* its plan and its events */
#include "src/cli/cli_oci_lock.c"             /* lock files for what registries have */
#include "src/cli/cli_oci_fetch.c"            /* a model of a registry, floating tags settled */
#include "src/cli/cmd_login_oci.c"            /* login and logout at a registry */
#include "src/cli/cmd_pull_oci.c"             /* a model of a registry into the cache */
#include "src/cli/cmd_pull.c"                 /* fetch a model, or go on fetching */
#include "src/cli/cmd_push_check.c"           /* is a folder a whole model? */
#include "src/cli/cmd_push.c"                 /* a folder into a repository of the hub */
#include "src/cli/cmd_rm.c"                   /* take a model away */
#include "src/cli/cmd_run_answer.c"           /* one answer: generated, told apart, shown */
#include "src/cli/cmd_run.c"                  /* ask a model once */
#include "src/cli/cmd_run_chat.c"             /* a conversation on the terminal */
#include "src/cli/cmd_run_media.c"            /* pictures and sound: checked, then declined */
#include "src/cli/cmd_serve.c"                /* models over HTTP: checks, no server yet */
#include "src/cli/cmd_show.c"                 /* everything about one model */
#include "src/cli/cmd_template.c"             /* render a chat template */
#include "src/cli/cmd_tokenize.c"             /* text to ids and back */
#include "src/cli/cmd_attest.c"               /* attest: signed claims about a model */
#include "src/cli/cmd_sign.c"                 /* a signature beside a file */
#include "src/cli/cmd_verify_file.c"          /* is it by that key, of that file? */
#include "src/cli/cmd_verify.c"               /* hash everything, mend it */
#include "src/cli/cli_facts.c"                /* what a binary says of its build */
#include "src/cli/cli_sums.c"                 /* SHA256SUMS, read strictly */
#include "src/cli/cli_vouch.c"                /* keys and signatures of releases */
#include "src/cli/cmd_version_verify.c"       /* is a file one of a release? */
#include "src/cli/cmd_version_history.c"      /* releases before this one */
#include "src/cli/cmd_version.c"              /* what this binary is */
#include "src/cli/cmd_verify_release.c"       /* is a folder a release, whole? */
#include "src/cli/cmd_image.c"                /* programs as container images */
#include "src/cli/cli_store.c"                /* from words to an artifact */
#include "src/cli/cmd_store.c"                /* a state kept in a registry */
#include "src/cli/cmd_release.c"              /* the next version, derived */
#include "src/cli/cmd_install.c"              /* clients and packages into Python */
#include "src/cli/cmd_versions.c"             /* versions that a repository holds */
#include "src/cli/cmd_from.c"                 /* a version in the cache, and where */
#include "src/cli/cmd_clean_versions.c"       /* unreleased states leave a repository */
#include "src/cli/cmd_index_update.c"         /* repositories asked for the index */
#include "src/cli/cmd_index.c"                /* what repositories hold, without a network */
#include "src/cli/cli_table.c"                /* all commands, in the order of help */
#include "src/cli/cli_main.c"                 /* root options, look-up, exit status */

/* ---- 24. Start ------------------------------------------------------------------------------- */
#ifndef MLXK_NO_MAIN
#include "src/cli/main.c"
#endif
