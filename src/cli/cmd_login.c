/* cmd_login.c: `login` keeps a token of the hub, `logout` forgets it, `whoami` tells whose it is.
 * With a HOST both speak of an account at a registry (cmd_login_oci.c).
 *
 *  1. A token comes from standard input, a terminal without echo, or a file: never from the command
 *     line, where other users of the machine could read it; and it goes into no output.
 *  2. A token is kept after the hub has said whose it is, or with --no-check.
 */
#include "cli/cli_oci.h"
#include "hub/hub.h"

#include <stdio.h>

enum { CMD_LOGIN_MAX_TOKEN = 4096 };

static const struct cli_option cmd_login_options[] = {
    { "[registry]", NULL, CLI_TEXT, NULL, "HOST[:PORT] of a registry; without it, the hub", 0, 0,
      true },
    { "--username", NULL, CLI_TEXT, "NAME", "the account at that registry", 0, 0, true },
    { "--token-file", NULL, CLI_TEXT, "FILE",
      "read the token or password from FILE, not from standard input", 0, 0, false },
    { "--name", NULL, CLI_TEXT, "NAME", "keep it under NAME (default: its name at the hub)", 0, 0,
      false },
    { "--no-check", NULL, CLI_FLAG, NULL, "keep it without asking the hub or registry", 0, 0,
      false },
    { "--use", NULL, CLI_TEXT, "NAME", "put a token that is kept already into use", 0, 0, false },
    { "--list", NULL, CLI_FLAG, NULL, "names of the tokens that are kept", 0, 0, false },
    CLI_OCI_OPTIONS,
};
static const struct cli_option cmd_logout_options[] = {
    { "[registry]", NULL, CLI_TEXT, NULL, "HOST[:PORT] of a registry; without it, the hub", 0, 0,
      true },
    { "--name", NULL, CLI_TEXT, "NAME", "forget this one (default: the one in use)", 0, 0, false },
    { "--all", NULL, CLI_FLAG, NULL, "forget all of them", 0, 0, false },
};

/* A token in the place of a file or a name is on the command line already; from here it goes no
 * further. */
static int cmd_login_fail(struct cli_context *c) {
    c->err.msg[log_redact(c->err.msg, strlen(c->err.msg))] = 0;
    c->err.hint[log_redact(c->err.hint, strlen(c->err.hint))] = 0;
    return cli_fail(c, &c->err, NULL);
}

/* ---- where a token comes from (Private) ---- */

/* Keys up to Enter, unechoed. */
static bool cmd_login_keys(struct cli_context *c, const char *what_cstr, struct buf *out) {
    char key, line[64];
    size_t n;
    int n_line = snprintf(line, sizeof line, "%s (what you type is not shown): ", what_cstr);
    cli_flush(c);
    (void)os_write(2, line, n_line > 0 ? (size_t)n_line : 0, &c->err);
    if (!os_tty_raw(0, true, &c->err)) return false;
    bool ok = true, done = false;
    while (ok && !done) {
        ok = os_read_some(0, &key, 1, &n, &c->err);
        if (ok && (n == 0 || key == 3 || (key == 4 && !out->n)))
            ok = err_set(&c->err, ERR_INTERRUPTED, "nothing was given");
        else if (key == '\r' || key == '\n') done = true;
        else if ((key == 127 || key == 8) && out->n) out->n--;
        else if (key >= ' ' && key < 127 && out->n < CMD_LOGIN_MAX_TOKEN) buf_add_char(out, key);
    }
    (void)os_tty_raw(0, false, &c->err);
    (void)os_write(2, "\n", 1, &c->err);
    return ok;
}

MLXK_FN bool cmd_login_secret(struct cli_context *c, const char *what_cstr, struct str *out) {
    struct str file = cli_text(&c->args, "--token-file"), text = STR_EMPTY;
    struct buf b;
    buf_init(&b, 2 * CMD_LOGIN_MAX_TOKEN);
    bool ok = true;
    if (file.n) {
        char *path = str_dup_cstr(&c->arena, file);
        ok = path && os_read_file(&c->arena, path, CMD_LOGIN_MAX_TOKEN, &text, &c->err);
        if (ok) buf_add(&b, text);
    } else if (os_is_tty(0)) ok = cmd_login_keys(c, what_cstr, &b);
    else ok = os_read_all(0, &b, &c->err);
    if (ok) ok = buf_ok(&b, "a secret", &c->err);
    text = buf_str(&b);
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) text.n--;
    *out = ok ? str_dup(&c->arena, text) : STR_EMPTY;
    buf_release(&b);
    if (!ok || out->n) return ok;
    err_set(&c->err, ERR_INVALID, "no %s was given", what_cstr[0] == 'T' ? "token" : "password");
    return err_hint(&c->err, "pipe it in: the same command, and `< FILE` behind it");
}

static bool cmd_login_read(struct cli_context *c, struct str *token) {
    if (!cmd_login_secret(c, "Token", token)) return false;
    *token = str_trim(*token);
    return hub_token_ok(
        *token, cli_text(&c->args, "--token-file").n ? "the file" : "standard input", &c->err);
}

/* ---- what the hub says (Private) ---- */

struct cmd_login_hub { struct hub hub; struct hub_account account; };

/* token empty: the one that other commands would use. */
static bool cmd_login_ask(struct cli_context *c, struct str token, struct cmd_login_hub *out) {
    struct http_options options = { 0 };
    if (!hub_open(&c->arena, &options, &out->hub, &c->err)) return false;
    bool ok = true;
    if (token.n) {
        out->hub.token = token;
        out->hub.token_from_cstr = "this login";
    }
    if (out->hub.offline)
        ok = err_set(&c->err, ERR_INVALID, "the hub is not asked: HF_HUB_OFFLINE is set");
    else if (!out->hub.token.n) {
        ok = err_set(&c->err, ERR_ACCESS, "not logged in: there is no token");
        err_hint(&c->err, "mlxk login, or set HF_TOKEN");
    } else ok = hub_whoami(&c->arena, &out->hub, &out->account, &c->err);
    hub_close(&out->hub);
    return ok;
}

static void cmd_login_account(struct json_writer *w, const struct hub_account *account) {
    json_write_member_or_null(w, "name", account->name);
    json_write_member_or_null(w, "fullname", account->fullname);
    json_write_member_or_null(w, "type", account->type);
    json_write_key(w, "orgs");
    json_write_array(w);
    for (size_t i = 0; i < account->n_orgs; i++) json_write_str(w, account->orgs[i]);
    json_write_array_end(w);
    json_write_member_or_null(w, "token_name", account->token_name);
    json_write_member_or_null(w, "token_role", account->token_role);
}

static void cmd_login_warn(struct cli_context *c) {
    const char *set_cstr = os_env("HF_TOKEN");
    if (set_cstr && *set_cstr)
        cli_note(c, "note: HF_TOKEN is set in the environment and goes before what is kept");
}

/* ---- login ---- */

static int cmd_login_list(struct cli_context *c) {
    static const char *heads[] = { "Name", "In use" };
    struct hub_tokens t;
    if (!hub_tokens_read(&c->arena, &t, &c->err)) return cmd_login_fail(c);
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        json_write_key(w, "tokens");
        json_write_array(w);
        for (size_t i = 0; i < t.n; i++) {
            json_write_object(w);
            json_write_member_or_null(w, "name", t.all[i].name);
            json_write_key(w, "in_use");
            json_write_bool(w, str_eq(t.all[i].token, t.active));
            json_write_object_end(w);
        }
        json_write_array_end(w);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    struct cli_grid grid;
    cli_grid_init(&grid, &c->arena, heads, MLXK_COUNT(heads), 0);
    for (size_t i = 0; i < t.n; i++) {
        struct str row[] = { t.all[i].name,
                             str_eq(t.all[i].token, t.active) ? STR("yes") : STR("") };
        if (!cli_grid_row(&grid, row)) return cmd_login_fail(c);
    }
    if (t.n) cli_grid_print(c, &grid);
    else cli_print(c, "No token is kept. mlxk login keeps one.\n");
    return 0;
}

static int cmd_login_end(struct cli_context *c, struct str name,
                         const struct hub_account *account) {
    cmd_login_warn(c);
    if (!c->out.json) {
        cli_print(c, "Logged in%s" STR_FMT "; the token is kept as '" STR_FMT "'\n",
                  account->name.n ? " as " : "", STR_ARG(account->name), STR_ARG(name));
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_member_or_null(w, "kept_as", name);
    if (account->name.n) cmd_login_account(w, account);
    json_write_object_end(w);
    return cli_document_end(c);
}

static int cmd_login_run(struct cli_context *c) {
    struct str name = cli_text(&c->args, "--name"), use = cli_text(&c->args, "--use"), token;
    struct cmd_login_hub asked = { 0 };
    if (cli_text(&c->args, "[registry]").n) return cmd_login_oci(c);
    if (cli_text(&c->args, "--username").n) {
        err_set(&c->err, ERR_INVALID, "--username is for a registry, and its HOST is missing");
        return cmd_login_fail(c);
    }
    if (cli_flag(&c->args, "--list")) return cmd_login_list(c);
    if (use.n) {
        if (!hub_tokens_use(&c->arena, use, &c->err)) return cmd_login_fail(c);
        return cmd_login_end(c, use, &asked.account);
    }
    if (!cmd_login_read(c, &token) ||
        (!cli_flag(&c->args, "--no-check") && !cmd_login_ask(c, token, &asked)))
        return cmd_login_fail(c);
    if (!name.n) name = hub_tokens_name(&c->arena, asked.account.token_name);
    if (!hub_tokens_keep(&c->arena, name, token, &c->err)) return cmd_login_fail(c);
    return cmd_login_end(c, name, &asked.account);
}

/* ---- logout ---- */

static int cmd_logout_run(struct cli_context *c) {
    struct str name = cli_text(&c->args, "--name");
    struct hub_tokens t;
    bool all = cli_flag(&c->args, "--all");
    if (cli_text(&c->args, "[registry]").n) return cmd_logout_oci(c);
    if (!hub_tokens_read(&c->arena, &t, &c->err)) return cmd_login_fail(c);
    size_t kept = t.n;
    for (size_t i = 0; !all && !name.n && i < t.n; i++)
        if (str_eq(t.all[i].token, t.active)) name = t.all[i].name;
    if (!all && !name.n && !t.active.n) {
        err_set(&c->err, ERR_NOT_FOUND, "no token is in use");
        err_hint(&c->err, kept ? "mlxk login --list names those that are kept" : "");
        return cmd_login_fail(c);
    }
    /* A token in use that has no name is the only one there is of it. */
    bool ok = all || name.n ? hub_tokens_drop(&c->arena, all ? STR_EMPTY : name, &c->err)
                            : os_unlink(t.path_cstr, &c->err);
    if (!ok || !hub_tokens_read(&c->arena, &t, &c->err)) return cmd_login_fail(c);
    cmd_login_warn(c);
    if (!c->out.json) {
        cli_print(c, "Logged out; %zu other token%s kept\n", t.n, t.n == 1 ? " is" : "s are");
        return 0;
    }
    struct json_writer *w = cli_document(c);
    json_write_object(w);
    json_write_key(w, "forgotten");
    json_write_u64(w, all || name.n ? kept - t.n : 1);
    json_write_key(w, "kept");
    json_write_u64(w, t.n);
    json_write_object_end(w);
    return cli_document_end(c);
}

/* ---- whoami ---- */

static int cmd_whoami_run(struct cli_context *c) {
    struct cmd_login_hub asked = { 0 };
    if (!cmd_login_ask(c, STR_EMPTY, &asked)) return cmd_login_fail(c);
    const struct hub_account *a = &asked.account;
    if (c->out.json) {
        struct json_writer *w = cli_document(c);
        json_write_object(w);
        cmd_login_account(w, a);
        json_write_member_or_null(w, "token_from", str_cstr(asked.hub.token_from_cstr));
        json_write_member_or_null(w, "endpoint", asked.hub.endpoint);
        json_write_object_end(w);
        return cli_document_end(c);
    }
    cli_print(c, "Account:  " STR_FMT "%s" STR_FMT "%s\n", STR_ARG(a->name),
              a->fullname.n ? " (" : "", STR_ARG(a->fullname), a->fullname.n ? ")" : "");
    for (size_t i = 0; i < a->n_orgs; i++)
        cli_print(c, "%s" STR_FMT "%s", i ? ", " : "Member:   ", STR_ARG(a->orgs[i]),
                  i + 1 == a->n_orgs ? "\n" : "");
    if (a->token_name.n || a->token_role.n)
        cli_print(c, "Token:    " STR_FMT " (" STR_FMT ")\n", STR_ARG(a->token_name),
                  STR_ARG(a->token_role));
    cli_print(c, "From:     %s\nEndpoint: " STR_FMT "\n", asked.hub.token_from_cstr,
              STR_ARG(asked.hub.endpoint));
    return 0;
}

/* ---- (Public) ---- */

MLXK_FN const struct cli_command *cmd_login(void) {
    static const struct cli_command command = {
        "login",
        "keep a token of the hub, or an account at a registry",
        "network",
        cmd_login_options,
        MLXK_COUNT(cmd_login_options),
        "  mlxk login < token.txt\n  mlxk login --name work\n  mlxk login --use work\n"
        "  mlxk login registry.example --username ada < password.txt\n",
        cmd_login_run,
    };
    return &command;
}

MLXK_FN const struct cli_command *cmd_logout(void) {
    static const struct cli_command command = {
        "logout",
        "forget a token, or an account at a registry",
        "network",
        cmd_logout_options,
        MLXK_COUNT(cmd_logout_options),
        "  mlxk logout\n  mlxk logout --name work\n  mlxk logout --all\n"
        "  mlxk logout registry.example\n",
        cmd_logout_run,
    };
    return &command;
}

MLXK_FN const struct cli_command *cmd_whoami(void) {
    static const struct cli_command command = {
        "whoami", "whose token is in use", "network", NULL, 0, "  mlxk whoami\n", cmd_whoami_run,
    };
    return &command;
}
