/* cmd_login_oci.c: `login HOST` and `logout HOST`: an account at a registry, kept where docker and
 * podman look for it.
 *
 *  1. The password comes from standard input, a terminal without echo, or a file: never from the
 *     command line; and it goes into no output.
 *  2. It is kept after the registry has taken it, or with --no-check.
 */
#include "cli/cli_oci.h"

struct cmd_login_oci {
    struct cli_context *c;
    struct str host, user;
    struct oci_login kept;
    bool asked;
};

static bool cmd_login_oci_host(struct cmd_login_oci *x) {
    struct cli_context *c = x->c;
    if (oci_login_host(&c->arena, cli_text(&c->args, "[registry]"), &x->host, &c->err)) return true;
    c->err.code = ERR_USAGE;
    return false;
}

static bool cmd_login_oci_foreign(struct cli_context *c, const char *const *hub_only, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (cli_get(&c->args, hub_only[i])->given) {
            err_set(&c->err, ERR_INVALID, "%s is for tokens of a hub; a registry has one account",
                    hub_only[i]);
            return err_hint(&c->err, "leave it out");
        }
    return true;
}

static bool cmd_login_oci_options(struct cli_context *c) {
    static const char *const hub_only[] = { "--name", "--use", "--list" };
    if (!cmd_login_oci_foreign(c, hub_only, MLXK_COUNT(hub_only))) return false;
    if (cli_text(&c->args, "--username").n) return true;
    err_set(&c->err, ERR_INVALID, "the name of the account is missing");
    return err_hint(&c->err, "mlxk login HOST --username NAME < FILE-WITH-THE-PASSWORD");
}

static bool cmd_login_oci_try(struct cmd_login_oci *x, struct str password) {
    struct cli_context *c = x->c;
    struct oci_options o;
    cli_oci_options(c, &o);
    return oci_login_check(x->host, &o, x->user, password, &x->asked, &c->err);
}

static int cmd_login_oci_done(struct cmd_login_oci *x, bool checked) {
    struct cli_context *c = x->c;
    const char *over_cstr = os_env("DOCKER_AUTH_CONFIG");
    if (checked && !x->asked)
        cli_note(c, "note: this registry lets everybody in and did not look at the password");
    if (over_cstr && *over_cstr)
        cli_note(c,
                 "note: DOCKER_AUTH_CONFIG is set in the environment and goes before what is kept");
    if (!c->out.json) {
        cli_print(c, "Logged in to " STR_FMT " as " STR_FMT "; kept in %s", STR_ARG(x->host),
                  STR_ARG(x->user), x->kept.helper.n ? "docker-credential-" : x->kept.path_cstr);
        cli_print(c, STR_FMT "\n", STR_ARG(x->kept.helper));
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "registry", x->host);
    json_write_member(w, "username", x->user);
    json_write_member(w, "file", str_cstr(x->kept.path_cstr));
    json_write_member_or_null(w, "helper", x->kept.helper);
    json_write_key(w, "checked");
    json_write_bool(w, checked && x->asked);
    json_write_object_end(w);
    return cli_document_end(c);
}

MLXK_FN int cmd_login_oci(struct cli_context *c) {
    struct cmd_login_oci x = { .c = c, .user = cli_text(&c->args, "--username") };
    struct str password = STR_EMPTY;
    bool checked = !cli_flag(&c->args, "--no-check");
    bool ok = cmd_login_oci_host(&x) && cmd_login_oci_options(c)
              && cmd_login_secret(c, "Password", &password)
              && (!checked || cmd_login_oci_try(&x, password))
              && oci_login_keep(&c->arena, x.host, x.user, password, &x.kept, &c->err);
    return ok ? cmd_login_oci_done(&x, checked) : cli_fail(c, &c->err, NULL);
}

MLXK_FN int cmd_logout_oci(struct cli_context *c) {
    static const char *const hub_only[] = { "--name", "--all" };
    struct cmd_login_oci x = { .c = c };
    if (!cmd_login_oci_host(&x)
        || !cmd_login_oci_foreign(c, hub_only, MLXK_COUNT(hub_only))
        || !oci_login_forget(&c->arena, x.host, &x.kept, &c->err))
        return cli_fail(c, &c->err, NULL);
    if (!x.kept.n_files && !x.kept.helper.n) {
        err_set(&c->err, ERR_NOT_FOUND, "no account at " STR_FMT " is kept", STR_ARG(x.host));
        return cli_fail(c, &c->err, NULL);
    }
    if (!c->out.json) {
        cli_print(c, "Logged out of " STR_FMT "\n", STR_ARG(x.host));
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member(w, "registry", x.host);
    json_write_key(w, "files");
    json_write_u64(w, x.kept.n_files);
    json_write_member_or_null(w, "helper", x.kept.helper);
    json_write_object_end(w);
    return cli_document_end(c);
}
