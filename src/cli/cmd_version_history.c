/* cmd_version_history.c: `version --history`: releases that were out when this program was built,
 * as docs/releases.tsv had them. A program cannot name its own row: the row holds its hash.
 */
#include "cli/cli_facts.h"

#include <build_info.h>

#define CMD_VERSION_ROW(event, tag, date, commit, signature, note) \
    { event, tag, date, commit, signature, note },
static const struct {
    const char *event_cstr, *tag_cstr, *date_cstr, *commit_cstr, *signature_cstr, *note_cstr;
} cmd_version_releases[] = { MLXK_HISTORY(CMD_VERSION_ROW) { 0 } };      /* and an empty one */
#undef CMD_VERSION_ROW

enum { CMD_VERSION_RELEASES = (int)MLXK_COUNT(cmd_version_releases) - 1, CMD_VERSION_SHORT = 12 };

MLXK_FN void cmd_version_history_json(struct json_writer *w) {
    json_write_key(w, "history");
    json_write_array(w);
    for (int i = 0; i < CMD_VERSION_RELEASES; i++) {
        json_write_object(w);
        json_write_key(w, "event");
        json_write_cstr(w, cmd_version_releases[i].event_cstr);
        json_write_key(w, "tag");
        json_write_cstr(w, cmd_version_releases[i].tag_cstr);
        json_write_key(w, "date");
        json_write_cstr(w, cmd_version_releases[i].date_cstr);
        json_write_key(w, "commit");
        json_write_cstr(w, cmd_version_releases[i].commit_cstr);
        json_write_key(w, "signed");
        json_write_bool(w, !strcmp(cmd_version_releases[i].signature_cstr, "signed"));
        json_write_key(w, "note");
        json_write_cstr(w, cmd_version_releases[i].note_cstr);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

MLXK_FN void cmd_version_history_text(struct cli_context *c) {
    if (!CMD_VERSION_RELEASES) {
        cli_print(c, "no release was out when this program was built\n");
        return;
    }
    static const char *heads[] = { "Tag", "Date", "Commit", "State", "Note" };
    struct cli_grid g;
    cli_grid_init(&g, &c->arena, heads, MLXK_COUNT(heads), 0);
    for (int i = CMD_VERSION_RELEASES - 1; i >= 0; i--) {
        struct str date = str_cstr(cmd_version_releases[i].date_cstr),
                   commit = str_cstr(cmd_version_releases[i].commit_cstr);
        if (commit.n > CMD_VERSION_SHORT) commit.n = CMD_VERSION_SHORT;
        bool yanked = !strcmp(cmd_version_releases[i].event_cstr, "yanked");
        struct str cells[] = { str_cstr(cmd_version_releases[i].tag_cstr), date, commit,
                               str_cstr(yanked ? "yanked"
                                               : cmd_version_releases[i].signature_cstr),
                               str_cstr(cmd_version_releases[i].note_cstr) };
        cli_grid_row(&g, cells);
    }
    cli_grid_print(c, &g);
}
