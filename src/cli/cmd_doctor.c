/* cmd_doctor.c: `doctor` looks at everything around the cache that can be wrong and says what to
 * do. Exit status 1 only when something is bad; it asks no server, and changes nothing but a folder
 * of its own beside the cache, which it removes. */
#include "cli/cli_doctor.h"

MLXK_FN void cli_doctor_add(struct cli_doctor *d, enum cli_doctor_state state,
                            const char *area_cstr, const char *name_cstr, struct str value,
                            const char *from_cstr, const char *advice_cstr) {
    struct arena *a = &d->c->arena;
    struct cli_doctor_check *grown =
        ARENA_GROW(a, struct cli_doctor_check, d->list, d->n, &d->cap, 64);
    if (!grown) return;
    d->list = grown;
    d->list[d->n++] = (struct cli_doctor_check){
        .state = state, .area_cstr = area_cstr, .name_cstr = name_cstr, .value = str_dup(a, value),
        .from = str_dup(a, str_cstr(from_cstr)), .advice = str_dup(a, str_cstr(advice_cstr)),
    };
}

static const char *cmd_doctor_word(enum cli_doctor_state state) {
    static const char *const words[] = { "ok", "warn", "bad" };
    return words[state];
}

static size_t cmd_doctor_count(const struct cli_doctor *d, enum cli_doctor_state state) {
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) n += d->list[i].state == state;
    return n;
}

/* ---- JSON (Private) ---- */

static void cmd_doctor_data(struct json_writer *w, const struct cli_doctor *d) {
    json_write_object(w);
    json_write_key(w, "checks");
    json_write_array(w);
    for (size_t i = 0; i < d->n; i++) {
        const struct cli_doctor_check *x = &d->list[i];
        json_write_object(w);
        json_write_key(w, "state");
        json_write_cstr(w, cmd_doctor_word(x->state));
        json_write_key(w, "area");
        json_write_cstr(w, x->area_cstr);
        json_write_key(w, "name");
        json_write_cstr(w, x->name_cstr);
        json_write_member_or_null(w, "value", x->value);
        json_write_member_or_null(w, "from", x->from);
        json_write_member_or_null(w, "advice", x->advice);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    json_write_key(w, "summary");
    json_write_object(w);
    for (int s = CLI_DOCTOR_OK; s <= CLI_DOCTOR_BAD; s++) {
        json_write_key(w, cmd_doctor_word((enum cli_doctor_state)s));
        json_write_u64(w, cmd_doctor_count(d, (enum cli_doctor_state)s));
    }
    json_write_object_end(w);
    json_write_object_end(w);
}

static int cmd_doctor_fail(struct cli_doctor *d) {
    struct cli_context *c = d->c;
    struct buf data;
    struct json_writer w;
    if (!c->out.json) return cli_fail(c, &c->err, "bad_environment");
    cli_data_begin(&w, &data, (size_t)1 << 24);
    cmd_doctor_data(&w, d);
    int status = cli_fail_data(c, &c->err, "bad_environment", buf_str(&data), STR_EMPTY);
    buf_release(&data);
    return status;
}

/* ---- for people (Private) ---- */

static void cmd_doctor_print(struct cli_doctor *d) {
    static const char *heads[] = { "State", "About", "What", "Value", "From", "To do" };
    struct cli_context *c = d->c;
    struct cli_grid g;
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 0);
    g.wraps = true;
    for (size_t i = 0; i < d->n; i++) {
        const struct cli_doctor_check *x = &d->list[i];
        struct str cells[] = { str_cstr(cmd_doctor_word(x->state)), str_cstr(x->area_cstr),
                               str_cstr(x->name_cstr), x->value, x->from, x->advice };
        if (!cli_grid_row(&g, cells)) return;
    }
    cli_grid_print(c, &g);
    cli_print(c, "%zu ok, %zu to look at, %zu bad\n", cmd_doctor_count(d, CLI_DOCTOR_OK),
              cmd_doctor_count(d, CLI_DOCTOR_WARN), cmd_doctor_count(d, CLI_DOCTOR_BAD));
}

static int cmd_doctor_run(struct cli_context *c) {
    struct cli_doctor d = { .c = c };
    cli_doctor_cache(&d);
    cli_doctor_machine(&d);
    if (!c->out.json) cmd_doctor_print(&d);
    size_t n_bad = cmd_doctor_count(&d, CLI_DOCTOR_BAD);
    if (n_bad) {
        err_set(&c->err, ERR_IO, "%zu thing%s bad here", n_bad, n_bad == 1 ? " is" : "s are");
        return cmd_doctor_fail(&d);
    }
    if (!c->out.json) return 0;
    cmd_doctor_data(cli_document(c), &d);
    return cli_document_end(c);
}

MLXK_FN const struct cli_command *cmd_doctor(void) {
    static const struct cli_command command = {
        "doctor",
        "what is wrong around here, and what to do",
        "itself",
        NULL,
        0,
        "  mlxk doctor\n  mlxk doctor --json\n",
        cmd_doctor_run,
    };
    return &command;
}
