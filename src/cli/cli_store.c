/* cli_store.c: what store and release share: from the words of the command line to an artifact. */
#include "cli/cli_store.h"

MLXK_FN bool cli_store_repository(struct cli_context *c, struct str text, struct oci_ref *out) {
    if (!cli_oci_ref(c, text, out)) return false;
    if (!out->tag.n && !out->digest.n) return true;
    err_set(&c->err, ERR_INVALID, "'" STR_FMT "' names one artifact, not a repository",
            STR_ARG(str_sub(text, 0, 200)));
    return err_hint(&c->err, "leave out its tag and digest");
}

MLXK_FN bool cli_store_begin(struct cli_store *s, struct str branch) {
    struct cli_context *c = s->c;
    return cli_store_repository(c, cli_text(&c->args, "repository"), &s->ref)
           && cli_state_read(c, cli_text(&c->args, "model"), &s->state, &c->err)
           && rel_origin_read(&c->arena, &s->state, branch, &s->origin, &c->err)
           && rel_pack(&c->arena, &s->state, &s->pack, &c->err);
}

MLXK_FN struct str cli_store_adhoc(const struct cli_store *s, const struct rel_whose *w) {
    return rel_whose_tag(&s->c->arena, w,
                         str_format(&s->c->arena, "%s-%s-%.12s", s->origin.git, s->origin.dirty,
                                    s->state.hash.iface));
}

MLXK_FN bool cli_store_wish(struct cli_context *c, const struct oci_ref *ref, bool named,
                            struct rel_whose_wish *out) {
    struct str last = ref->repo;
    *out = (struct rel_whose_wish){ .given = cli_text(&c->args, "--name"), .named = named };
    if (ref->path_cstr) {
        char *path = os_path_absolute(&c->arena, ref->path_cstr, &c->err);
        if (!path) return false;
        last = os_path_base(path);
    }
    if (cli_get(&c->args, "--name")->given) return rel_name_ok(out->given, &c->err);
    last = str_sub(last, (size_t)(str_find_last(last, STR("/")) + 1), last.n);
    if (!rel_sanitise(&c->arena, last, REL_MAX_NAME, &out->otherwise, &c->err)) return false;
    return rel_name_ok(out->otherwise, &c->err)
           || (c->err.hint[0] = 0, err_hint(&c->err, "--name NAME gives it another one"));
}

MLXK_FN void cli_store_members(struct json_writer *w, const struct cli_store *s) {
    static const char *const kinds[] = { "git", "snapshot", "files" };
    json_write_member(w, "repository", oci_ref_text(&s->c->arena, &s->ref));
    json_write_member(w, "digest", s->pack.manifest.digest);
    json_write_key(w, "hashes");
    json_write_object(w);
    cli_state_hashes(w, &s->state.hash);
    json_write_object_end(w);
    json_write_key(w, "origin");
    json_write_object(w);
    json_write_member(w, "kind", str_cstr(kinds[s->origin.kind]));
    json_write_member_or_null(w, "commit", s->origin.commit);
    json_write_member(w, "dirty", str_cstr(s->origin.dirty));
    json_write_key(w, "n_changed");
    json_write_u64(w, s->origin.n_changed);
    json_write_member_or_null(w, "branch", s->origin.branch);
    json_write_member_or_null(w, "main_branch", s->origin.main);
    json_write_object_end(w);
}
