/* cli_grid.c: aligned tables and progress lines for people.
 *
 * A table prints " | " between cells and "-+-" under the heads, cells padded to the widest of their
 * column in terminal columns (wide characters count two). A table that wraps keeps to the width of
 * a terminal: columns that say nothing or can be spared are left out, long cells go on in the next
 * line.
 */
#include "cli/cli.h"

MLXK_FN void cli_grid_init(struct cli_grid *g, struct arena *a, const char **heads,
                           size_t n_columns, uint32_t right_mask) {
    *g = (struct cli_grid){
        .a = a, .heads = heads, .n_columns = n_columns, .right_mask = right_mask
    };
}

MLXK_FN bool cli_grid_row(struct cli_grid *g, const struct str *cells) {
    if (g->n_rows == g->cap_rows) {
        size_t cap = g->cap_rows ? g->cap_rows * 2 : 32;
        struct str *grown = ARENA_ARRAY(g->a, struct str, cap * g->n_columns);
        if (!grown) return false;
        if (g->n_rows) memcpy(grown, g->cells, g->n_rows * g->n_columns * sizeof *grown);
        g->cells = grown;
        g->cap_rows = cap;
    }
    struct str *row = g->cells + g->n_rows++ * g->n_columns;
    for (size_t i = 0; i < g->n_columns; i++)
        row[i] = cli_line(g->a, cells[i]);       /* before widths are counted */
    return true;
}

static void cli_grid_cell(struct buf *line, struct str s, size_t width, bool right) {
    size_t w = utf8_width(s), pad = w < width ? width - w : 0;
    for (size_t i = 0; right && i < pad; i++) buf_add_char(line, ' ');
    buf_add(line, s);
    for (size_t i = 0; !right && i < pad; i++) buf_add_char(line, ' ');
}

/* One row, without the padding and the bars behind its last cell that says something: a terminal
 * would break the line for them. */
static struct str cli_grid_line(const struct cli_grid *g, const size_t *width,
                                const struct str *cells, struct buf *line) {
    buf_reset(line);
    for (size_t k = 0; k < g->n_columns; k++) {
        if (k) buf_add(line, STR(" | "));
        cli_grid_cell(line, cells[k], width[k], (g->right_mask >> k) & 1);
    }
    struct str all = buf_str(line);
    while (all.n && (all.p[all.n - 1] == ' ' || all.p[all.n - 1] == '|')) all.n--;
    return all;
}

/* ---- as wide as the terminal ---- */

enum { CLI_GRID_MAX_COLUMNS = 32, CLI_GRID_BAR = 3, CLI_GRID_NARROWEST = 8 };

static bool cli_grid_says_nothing(const struct cli_grid *g, size_t k) {
    for (size_t r = 0; r < g->n_rows; r++) {
        struct str cell = g->cells[r * g->n_columns + k];
        if (cell.n && !str_eq(cell, STR("-"))) return false;
    }
    return g->n_rows > 0;
}

static void cli_grid_drop(struct cli_grid *g, struct str *heads, size_t *width, size_t k) {
    uint32_t low = ((uint32_t)1 << k) - 1;
    size_t n = g->n_columns, at = 0;
    for (size_t i = 0; i < g->n_rows * n; i++)
        if (i % n != k) g->cells[at++] = g->cells[i];
    for (size_t i = k; i + 1 < n; i++) {
        heads[i] = heads[i + 1];
        width[i] = width[i + 1];
    }
    g->right_mask = (g->right_mask & low) | ((g->right_mask >> 1) & ~low);
    g->spare_mask = (g->spare_mask & low) | ((g->spare_mask >> 1) & ~low);
    g->n_columns--;
}

static size_t cli_grid_width(const struct cli_grid *g, const size_t *width) {
    size_t sum = 0;
    for (size_t k = 0; k < g->n_columns; k++) sum += width[k] + (k ? CLI_GRID_BAR : 0);
    return sum;
}

static void cli_grid_fit(struct cli_grid *g, struct str *heads, size_t *width, size_t room) {
    for (size_t k = g->n_columns; k-- > 1 && cli_grid_width(g, width) > room;)
        if (cli_grid_says_nothing(g, k) || (g->spare_mask >> k) & 1)
            cli_grid_drop(g, heads, width, k);
    while (cli_grid_width(g, width) > room) {
        size_t widest = 0;
        for (size_t k = 1; k < g->n_columns; k++)
            if (width[k] > width[widest]) widest = k;
        if (width[widest] <= CLI_GRID_NARROWEST) return;      /* the terminal breaks the lines */
        width[widest]--;
    }
}

/* Takes from *rest what fits into width columns, up to the end of a word or folder if one
 * is there. */
static struct str cli_grid_piece(struct str *rest, size_t width) {
    size_t i = 0, n = 0, edge = 0, folder = 0;
    while (i < rest->n) {
        (void)utf8_decode(*rest, &i);
        if (utf8_width(str_sub(*rest, 0, i)) > width) break;
        n = i;
        if (i < rest->n && rest->p[i] == ' ') edge = i;
        if (i < rest->n && rest->p[i - 1] == '/') folder = i;
    }
    if (n < rest->n && (edge || folder)) n = edge ? edge : folder;
    if (!n) n = i;                                            /* wider than its column */
    struct str piece = str_sub(*rest, 0, n);
    while (n < rest->n && rest->p[n] == ' ') n++;
    *rest = str_sub(*rest, n, rest->n);
    return piece;
}

static void cli_grid_row_print(struct cli_context *c, const struct cli_grid *g, const size_t *width,
                               const struct str *cells, struct buf *line) {
    struct str rest[CLI_GRID_MAX_COLUMNS], pieces[CLI_GRID_MAX_COLUMNS];
    bool more = true;
    memcpy(rest, cells, g->n_columns * sizeof *rest);
    while (more) {
        more = false;
        for (size_t k = 0; k < g->n_columns; k++) {
            pieces[k] = cli_grid_piece(&rest[k], width[k]);
            more = more || rest[k].n;
        }
        struct str row = cli_grid_line(g, width, pieces, line);
        cli_print(c, STR_FMT, STR_ARG(row));     /* not as it is: cells hold others' names */
        cli_print_str(c, STR("\n"));
    }
}

MLXK_FN void cli_grid_print(struct cli_context *c, struct cli_grid *g) {
    struct str heads[CLI_GRID_MAX_COLUMNS];
    size_t width[CLI_GRID_MAX_COLUMNS];
    struct buf line;
    MLXK_ASSERT(g->n_columns <= CLI_GRID_MAX_COLUMNS);
    buf_init(&line, 1 << 20);
    for (size_t k = 0; k < g->n_columns; k++) {
        heads[k] = str_cstr(g->heads[k]);
        width[k] = utf8_width(heads[k]);
        for (size_t r = 0; r < g->n_rows; r++) {
            size_t w = utf8_width(g->cells[r * g->n_columns + k]);
            if (w > width[k]) width[k] = w;
        }
    }
    if (g->wraps && os_is_tty(1)) cli_grid_fit(g, heads, width, (size_t)os_tty_columns(1));
    cli_color(c, 1);
    cli_print(c, STR_FMT, STR_ARG(cli_grid_line(g, width, heads, &line)));
    cli_color(c, 0);
    cli_print(c, "\n");
    for (size_t k = 0; k < g->n_columns; k++) {
        if (k) cli_print_str(c, STR("-+-"));
        for (size_t i = 0; i < width[k]; i++) cli_print_str(c, STR("-"));
    }
    cli_print_str(c, STR("\n"));
    for (size_t r = 0; r < g->n_rows; r++)
        cli_grid_row_print(c, g, width, g->cells + r * g->n_columns, &line);
    buf_release(&line);
}

/* ---- progress (Public) ---------------------------------------------------------------------- */

enum { CLI_PROGRESS_DELAY_MS = 300, CLI_PROGRESS_REDRAW_MS = 100, CLI_PROGRESS_BAR = 24 };

MLXK_FN void cli_progress_begin(struct cli_context *c, struct cli_progress *p,
                                const char *what_cstr, uint64_t total, bool bytes) {
    *p = (struct cli_progress){
        .what_cstr = what_cstr, .total = total, .bytes = bytes, .start_ns = os_now_ns()
    };
    p->enabled = !c->out.json && !c->args.quiet && os_is_tty(2) &&
                 !os_env_true("HF_HUB_DISABLE_PROGRESS_BARS");
}

static void cli_progress_amount(struct buf *b, const struct cli_progress *p, uint64_t n) {
    char text[16];
    if (!p->bytes) {
        buf_addf(b, "%llu", (unsigned long long)n);
        return;
    }
    num_format_size(text, n);
    buf_add_cstr(b, text);
}

/* "4.8MB/48.0MB  15.1MB/s  0:02 left" */
static void cli_progress_numbers(struct buf *b, const struct cli_progress *p, int64_t now_ns) {
    double seconds = (double)(now_ns - p->start_ns) / 1e9;
    double rate = seconds > 0 ? (double)(p->done - p->start_done) / seconds : 0;
    cli_progress_amount(b, p, p->done);
    if (p->total) {
        buf_add_char(b, '/');
        cli_progress_amount(b, p, p->total);
    }
    if (p->bytes || rate >= 1) { /* a few things a minute have no speed worth telling */
        buf_add_cstr(b, "  ");
        cli_progress_amount(b, p, (uint64_t)rate);
        buf_add_cstr(b, "/s");
    }
    if (p->total && rate > 0 && p->done <= p->total) {
        uint64_t left_s = (uint64_t)((double)(p->total - p->done) / rate);
        buf_addf(b, "  %llu:%02llu left", (unsigned long long)(left_s / 60),
                 (unsigned long long)(left_s % 60));
    }
}

/* One line: the bar is what becomes shorter where the terminal is narrow, then words go. */
static void cli_progress_draw(struct cli_progress *p, int64_t now_ns) {
    struct buf b, numbers;
    struct err ignored = { 0 };
    buf_init(&b, 4096);
    buf_init(&numbers, 4096);
    cli_visible(&b, str_cstr(p->what_cstr), true);
    cli_progress_numbers(&numbers, p, now_ns);
    int columns = os_tty_columns(2) - 1;
    int room = columns - (int)utf8_width(buf_str(&b)) - (int)utf8_width(buf_str(&numbers)) - 4;
    int cells = room > CLI_PROGRESS_BAR ? CLI_PROGRESS_BAR : room;
    buf_add_char(&b, ' ');
    if (p->total && cells > 3) {
        int full = (int)((double)p->done / (double)p->total * (double)cells);
        buf_add_char(&b, '[');
        for (int i = 0; i < cells; i++) buf_add_cstr(&b, i < full ? "█" : "░");
        buf_add_cstr(&b, "] ");
    }
    buf_add(&b, buf_str(&numbers));
    struct str line = buf_str(&b), piece = cli_grid_piece(&line, columns > 0 ? (size_t)columns : 1);
    buf_reset(&numbers);
    buf_addf(&numbers, "\r\033[K" STR_FMT, STR_ARG(piece));
    if (!b.failed && !numbers.failed) (void)os_write(2, numbers.p, numbers.n, &ignored);
    buf_release(&b);
    buf_release(&numbers);
    p->shown = true;
    p->drawn_ns = now_ns;
}

MLXK_FN void cli_progress_update(struct cli_progress *p, uint64_t done) {
    p->done = done;
    if (!p->enabled) return;
    int64_t now_ns = os_now_ns();
    if (now_ns - p->start_ns < CLI_PROGRESS_DELAY_MS * 1000000LL) return;
    if (p->shown && now_ns - p->drawn_ns < CLI_PROGRESS_REDRAW_MS * 1000000LL) return;
    cli_progress_draw(p, now_ns);
}

MLXK_FN void cli_progress_end(struct cli_progress *p) {
    struct err ignored = { 0 };
    if (p->shown) (void)os_write(2, "\r\033[K", 4, &ignored);
    p->shown = p->enabled = false;
}
