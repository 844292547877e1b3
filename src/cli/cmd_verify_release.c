/* cmd_verify_release.c: `verify-release DIR`: a release's folder, all of it, without a network.
 *
 *  1. Every file has its line in SHA256SUMS and its hash, none is missing and none is more; the
 *     files of signatures alone have none.
 *  2. Programs are read, never run: version, target, part and commit inside are those that their
 *     names and the other programs say.
 *  3. Signatures are judged by keys that the caller names or that were built in. What is not
 *     checked is said. --witness compares with a row of docs/releases.tsv of a clone one trusts.
 */
#include "cli/cli_facts.h"

#define CMD_VR_SUMS "SHA256SUMS"
#define CMD_VR_STATEMENT "provenance.intoto.json"
#define CMD_VR_PROVENANCE "provenance.sigstore.json"

static const struct cli_option cmd_verify_release_options[] = {
    { "folder", NULL, CLI_TEXT, "DIR", "the files of one release, as they were handed out", 0, 0,
      true },
    { "--key", NULL, CLI_LIST, "PUBLIC",
      "trust this: minisign, OpenSSH or P-256 (those that were built in)", 0, 0, true },
    { "--witness", NULL, CLI_TEXT, "FILE", "compare with the rows of this docs/releases.tsv", 0, 0,
      true },
    { "--unsigned", NULL, CLI_FLAG, NULL, "take it without a signature, by its hashes alone", 0, 0,
      true },
};

struct cmd_vr {
    struct cli_context *c;
    char *dir_cstr;
    struct cli_vouch_keys keys;
    struct cli_sums sums;
    struct str facts;            /* of the first program */
    size_t n_programs;
    struct str who, provenance, tag;     /* by whom, which row; empty = not checked */
};

static char *cmd_vr_path(struct cmd_vr *x, struct str name) {
    struct str path = str_format(&x->c->arena, "%s/" STR_FMT, x->dir_cstr, STR_ARG(name));
    return str_dup_cstr(&x->c->arena, path);
}

/* ---- bytes ---- */

static bool cmd_vr_is_signature(struct str name) {
    static const char *const names[] = { CMD_VR_SUMS, CMD_VR_SUMS ".minisig",
                                         CMD_VR_SUMS ".sshsig", CMD_VR_PROVENANCE };
    for (size_t i = 0; i < MLXK_COUNT(names); i++)
        if (str_eq_cstr(name, names[i])) return true;
    return false;
}

static bool cmd_vr_hash(struct cmd_vr *x, const struct cli_sum *line) {
    struct err *e = &x->c->err;
    struct os_stat st;
    uint8_t digest[32];
    char hex[65], *path = cmd_vr_path(x, line->name);
    if (!path) return err_oom(e, LIMIT_PATH, "a path");
    if (cmd_vr_is_signature(line->name))
        return err_set(e, ERR_FORMAT, CMD_VR_SUMS " names " STR_FMT ", which signs it",
                       STR_ARG(line->name));
    if (!os_stat(path, &st) || st.kind != OS_FILE)
        return err_set(e, ERR_INTEGRITY, STR_FMT " is missing in %s", STR_ARG(line->name),
                       x->dir_cstr);
    if (!sha256_file(path, digest, NULL, NULL, e)) return false;
    str_hex(hex, digest, sizeof digest);
    return str_eq_cstr(line->hex, hex)
           || err_set(e, ERR_INTEGRITY, STR_FMT " has the hash %s, " CMD_VR_SUMS " says " STR_FMT,
                      STR_ARG(line->name), hex, STR_ARG(line->hex));
}

static bool cmd_vr_bytes(struct cmd_vr *x) {
    struct cli_context *c = x->c;
    struct os_entry *entries;
    struct str text;
    size_t n;
    char *path = cmd_vr_path(x, STR(CMD_VR_SUMS));
    if (!path) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (!os_read_file(&c->arena, path, CLI_SUMS_BYTES, &text, &c->err)) return false;
    if (!cli_sums_parse(&c->arena, text, &x->sums, &c->err))
        return err_context(&c->err, CMD_VR_SUMS ": ");
    if (!os_list_dir(&c->arena, x->dir_cstr, CLI_SUMS_MAX + 10, &entries, &n, &c->err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!cmd_vr_is_signature(entries[i].name) && !cli_sums_find(&x->sums, entries[i].name))
            return err_set(&c->err, ERR_INTEGRITY, "%s has a file that no line names: " STR_FMT,
                           x->dir_cstr, STR_ARG(entries[i].name));
    for (size_t i = 0; i < x->sums.n; i++)
        if (!cmd_vr_hash(x, &x->sums.lines[i])) return false;
    return true;
}

/* ---- programs ---- */

/* mlxk[-PART]-VERSION-CPU-SYSTEM: what the name says must stand inside. */
static bool cmd_vr_named(struct cmd_vr *x, struct str name, struct str facts) {
    struct str version = cli_facts_get(facts, "version"), target = cli_facts_get(facts, "target");
    struct str cpu = str_cut(&target, '-'), system = str_cut(&target, '-');
    bool client = str_eq(cli_facts_get(facts, "part"), STR("client"));
    ptrdiff_t dot = str_find_char(system, '.');          /* macos.11.0 */
    if (dot >= 0) system = str_sub(system, 0, (size_t)dot);
    struct str want = str_format(&x->c->arena, "mlxk-%s" STR_FMT "-" STR_FMT "-" STR_FMT,
                                 client ? "client-" : "", STR_ARG(version), STR_ARG(cpu),
                                 STR_ARG(system));
    struct str engine = str_format(&x->c->arena, "mlxk-engine-" STR_FMT,
                                   STR_ARG(str_sub(want, 5, want.n)));
    return str_eq(name, want) || (!client && str_eq(name, engine))
           || err_set(&x->c->err, ERR_INTEGRITY, STR_FMT " says of itself that it is " STR_FMT,
                      STR_ARG(name), STR_ARG(want));
}

static bool cmd_vr_program(struct cmd_vr *x, struct str name) {
    struct cli_context *c = x->c;
    struct str facts;
    char *path = cmd_vr_path(x, name);
    if (!path) return err_oom(&c->err, LIMIT_PATH, "a path");
    if (!cli_facts_read(&c->arena, path, &facts, &c->err)) return false;
    if (!cmd_vr_named(x, name, facts)) return false;
    if (!cli_facts_is_release(facts))
        return err_set(&c->err, ERR_INTEGRITY, STR_FMT " is no release: a build of " STR_FMT,
                       STR_ARG(name), STR_ARG(cli_facts_get(facts, "version")));
    if (!x->n_programs++) x->facts = facts;
    return (str_eq(cli_facts_get(facts, "commit"), cli_facts_get(x->facts, "commit"))
            && str_eq(cli_facts_get(facts, "tree"), cli_facts_get(x->facts, "tree")))
           || err_set(&c->err, ERR_INTEGRITY, STR_FMT " is of another commit than the others",
                      STR_ARG(name));
}

static bool cmd_vr_is_program(struct str name) {
    return str_starts(name, STR("mlxk-"))
           && (str_ends(name, STR("-linux")) || str_ends(name, STR("-macos")));
}

static bool cmd_vr_programs(struct cmd_vr *x) {
    for (size_t i = 0; i < x->sums.n; i++)
        if (cmd_vr_is_program(x->sums.lines[i].name) && !cmd_vr_program(x, x->sums.lines[i].name))
            return false;
    return x->n_programs
           || err_set(&x->c->err, ERR_INTEGRITY, "%s holds no program", x->dir_cstr);
}

/* ---- provenance ---- */

/* What the statement is about are files of this folder, with their hashes: every program is. */
static bool cmd_vr_subjects(struct cmd_vr *x, struct str text) {
    struct err *e = &x->c->err;
    size_t n_programs = 0;
    const struct json *doc = json_parse(&x->c->arena, text, e), *list = json_get(doc, "subject");
    if (!doc) return false;
    if (!json_is(list, JSON_ARRAY) || list->n > CLI_SUMS_MAX)
        return err_set(e, ERR_FORMAT, "it has no list of subjects");
    for (const struct json *s = list->child; s; s = s->next) {
        struct str name = STR_EMPTY, hex = STR_EMPTY;
        if (!json_read_str(s, "name", &name, e)
            || !json_read_str(json_get(s, "digest"), "sha256", &hex, e))
            return false;
        const struct cli_sum *line = cli_sums_find(&x->sums, name);
        if (!line || !str_eq(line->hex, hex))
            return err_set(e, ERR_INTEGRITY, "it tells another hash of " STR_FMT " than "
                           CMD_VR_SUMS, STR_ARG(name));
        n_programs += cmd_vr_is_program(name);
    }
    return n_programs == x->n_programs
           || err_set(e, ERR_INTEGRITY, "it is about %zu of %zu programs", n_programs,
                      x->n_programs);
}

static enum cli_vouch cmd_vr_provenance(struct cmd_vr *x) {
    struct cli_context *c = x->c;
    struct str text, bundle;
    struct sign_bundle b;
    struct os_stat st;
    size_t which = 0;
    char *statement = cmd_vr_path(x, STR(CMD_VR_STATEMENT)),
         *proof = cmd_vr_path(x, STR(CMD_VR_PROVENANCE));
    if (!statement || !proof) return CLI_VOUCH_BYTES;
    if (!cli_sums_find(&x->sums, STR(CMD_VR_STATEMENT))) {
        err_set(&c->err, ERR_INTEGRITY, "%s has no " CMD_VR_STATEMENT, x->dir_cstr);
        return CLI_VOUCH_BYTES;
    }
    if (!os_read_file(&c->arena, statement, SIGN_MAX_PAYLOAD, &text, &c->err)
        || !cmd_vr_subjects(x, text))
        return CLI_VOUCH_BYTES;
    if (!os_stat(proof, &st)) {
        if (!x->keys.n_points) return CLI_VOUCH_GOOD;
        err_set(&c->err, ERR_NOT_FOUND, "nobody signed it: there is no " CMD_VR_PROVENANCE);
        return CLI_VOUCH_NOBODY;
    }
    if (!os_read_file(&c->arena, proof, SIGN_MAX_BUNDLE, &bundle, &c->err)
        || !sign_bundle_read(&c->arena, bundle, &b, &c->err))
        return CLI_VOUCH_SIGNATURE;
    if (!b.is_dsse || !str_eq(b.payload, text) || !str_eq_cstr(b.payload_type, SIGN_IN_TOTO_TYPE)) {
        err_set(&c->err, ERR_INTEGRITY, CMD_VR_PROVENANCE " signs something else");
        return CLI_VOUCH_SIGNATURE;
    }
    if (!x->keys.n_points) return CLI_VOUCH_GOOD;
    if (!sign_bundle_check(&b, x->keys.points, x->keys.n_points, &which, &c->err))
        return CLI_VOUCH_SIGNATURE;
    x->provenance = str_dup(&c->arena, str_cstr(x->keys.points[which].hint));
    return CLI_VOUCH_GOOD;
}

/* ---- the witness ---- */

/* "NAME=HASH,NAME=HASH" is exactly the list of SHA256SUMS. */
static bool cmd_vr_files_equal(struct cmd_vr *x, struct str files) {
    size_t n = 0;
    while (files.n) {
        struct str hex = str_cut(&files, ','), name = str_cut(&hex, '=');
        const struct cli_sum *line = cli_sums_find(&x->sums, name);
        if (!line || !str_eq(line->hex, hex))
            return err_set(&x->c->err, ERR_INTEGRITY, "the witness has another hash of " STR_FMT,
                           STR_ARG(name));
        n++;
    }
    return n == x->sums.n || err_set(&x->c->err, ERR_INTEGRITY,
                                     "the witness knows %zu files, here are %zu", n, x->sums.n);
}

static enum cli_vouch cmd_vr_witness(struct cmd_vr *x) {
    struct cli_context *c = x->c;
    char *path = str_dup_cstr(&c->arena, cli_text(&c->args, "--witness"));
    struct str text, commit = cli_facts_get(x->facts, "commit");
    if (!path || !os_read_file(&c->arena, path, (size_t)64 << 20, &text, &c->err))
        return CLI_VOUCH_NO_RELEASE;
    while (text.n) {
        struct str row = str_cut(&text, '\n'), cells[9] = { STR_EMPTY };
        for (size_t i = 0; i < MLXK_COUNT(cells); i++) cells[i] = str_cut(&row, '\t');
        if (!str_eq(cells[3], commit)) continue;
        if (str_eq(cells[0], STR("yanked"))) {
            err_set(&c->err, ERR_INTEGRITY, STR_FMT " was taken back: " STR_FMT, STR_ARG(cells[1]),
                    STR_ARG(cells[8]));
            return CLI_VOUCH_NO_RELEASE;
        }
        if (!str_eq(cells[0], STR("release"))) continue;
        x->tag = str_dup(&c->arena, cells[1]);
        if (!str_eq(cells[4], cli_facts_get(x->facts, "tree")))
            err_set(&c->err, ERR_INTEGRITY, "the witness knows another tree of " STR_FMT,
                    STR_ARG(x->tag));
        if (c->err.code != ERR_OK || !cmd_vr_files_equal(x, cells[7])) return CLI_VOUCH_NO_RELEASE;
    }
    if (x->tag.n) return CLI_VOUCH_GOOD;
    err_set(&c->err, ERR_NOT_FOUND, "%s knows no release of the commit " STR_FMT, path,
            STR_ARG(commit));
    return CLI_VOUCH_NO_RELEASE;
}

/* ---- all of it ---- */

static enum cli_vouch cmd_vr_signature(struct cmd_vr *x) {
    char *sums = cmd_vr_path(x, STR(CMD_VR_SUMS));
    if (!sums) return CLI_VOUCH_BYTES;
    enum cli_vouch status = cli_vouch_beside(x->c, &x->keys, sums,
                                             cli_flag(&x->c->args, "--unsigned"), &x->who);
    if (status == CLI_VOUCH_NOBODY)
        err_hint(&x->c->err, "--unsigned takes it by its hashes alone");
    return status;
}

static enum cli_vouch cmd_vr_judge(struct cmd_vr *x) {
    struct cli_context *c = x->c;
    x->dir_cstr = str_dup_cstr(&c->arena, cli_text(&c->args, "folder"));
    if (!x->dir_cstr || !cli_vouch_keys(c, &x->keys)) return CLI_VOUCH_NOBODY;
    if (!cmd_vr_bytes(x)) return CLI_VOUCH_BYTES;
    enum cli_vouch status = cmd_vr_signature(x);
    if (status != CLI_VOUCH_GOOD) return status;
    if (!cmd_vr_programs(x)) return CLI_VOUCH_NO_RELEASE;
    status = cmd_vr_provenance(x);
    if (status != CLI_VOUCH_GOOD) {
        err_context(&c->err, "provenance: ");
        return status;
    }
    return cli_get(&c->args, "--witness")->given ? cmd_vr_witness(x) : CLI_VOUCH_GOOD;
}

static int cmd_verify_release_run(struct cli_context *c) {
    struct cmd_vr x = { .c = c };
    enum cli_vouch status = cmd_vr_judge(&x);
    if (status != CLI_VOUCH_GOOD) return cli_vouch_fail(c, status);
    struct str version = cli_facts_get(x.facts, "version"),
               commit = cli_facts_get(x.facts, "commit");
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_member(w, "folder", str_cstr(x.dir_cstr));
        json_write_member(w, "version", version);
        json_write_member(w, "commit", commit);
        json_write_key(w, "n_files");
        json_write_u64(w, x.sums.n);
        json_write_key(w, "n_programs");
        json_write_u64(w, x.n_programs);
        json_write_member_or_null(w, "signed_by", x.who);
        json_write_member_or_null(w, "provenance_by", x.provenance);
        json_write_member_or_null(w, "witness", x.tag);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, "mlxk " STR_FMT ": %zu files, %zu programs of commit %.12s\n", STR_ARG(version),
              x.sums.n, x.n_programs, commit.n >= 12 ? commit.p : "unknown     ");
    cli_print(c, "signed by    " STR_FMT "\n", STR_ARG(x.who.n ? x.who : STR("nobody")));
    cli_print(c, "provenance   " STR_FMT "\n",
              STR_ARG(x.provenance.n ? x.provenance : STR("no signature of it was checked")));
    cli_print(c, "witness      " STR_FMT "\n", STR_ARG(x.tag.n ? x.tag : STR("not asked")));
    return 0;
}

MLXK_FN const struct cli_command *cmd_verify_release(void) {
    static const struct cli_command command = {
        "verify-release",
        "is this folder a release of mlxk, whole and signed?",
        "itself",
        cmd_verify_release_options,
        MLXK_COUNT(cmd_verify_release_options),
        "  mlxk verify-release v0.1.0 --key minisign.pub --key provenance.pub.pem\n"
        "  mlxk verify-release v0.1.0 --unsigned --witness docs/releases.tsv\n",
        cmd_verify_release_run,
    };
    return &command;
}

#undef CMD_VR_SUMS
#undef CMD_VR_STATEMENT
#undef CMD_VR_PROVENANCE
