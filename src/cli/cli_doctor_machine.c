/* cli_doctor_machine.c: other programs of this name, the processor, memory, limits, and whom TLS
 * trusts. */
#include "cli/cli_doctor.h"
#include "kernels/kernels.h"
#include "net/net.h"

enum { CLI_DOCTOR_FEW_FILES = 1024 };
#define CLI_DOCTOR_SMALL ((uint64_t)2 << 30)         /* memory that only tiny models fit into */

/* ---- programs ---- */

/* What a file of this name is, next to the program that runs. */
static struct str cli_doctor_kind(const char *path_cstr, const char *own_cstr) {
    struct os_stat a, b;
    struct err none = { 0 };
    if (os_stat(path_cstr, &a) && own_cstr && os_stat(own_cstr, &b) && a.inode == b.inode &&
        a.device == b.device)
        return STR("this program");
    char text[2];
    size_t n = 0;
    int fd = os_open(path_cstr, OS_READ, &none);
    if (fd >= 0 && !os_read(fd, text, 2, &n, &none)) n = 0;
    os_close(fd);
    return str_eq((struct str){ text, n }, STR("#!")) ? STR("a script")
           : own_cstr && os_stat(own_cstr, &b) && a.size_bytes == b.size_bytes
               ? STR("another copy of the same size") : STR("another program");
}

static void cli_doctor_program(struct cli_doctor *d, const char *name_cstr, const char *own_cstr) {
    struct arena *a = &d->c->arena;
    struct str rest = str_cstr(os_env("PATH"));
    size_t n_found = 0;
    /* Another name beside ours (mlxk2, installed so) is no mistake. */
    const char *slash = own_cstr ? strrchr(own_cstr, '/') : NULL;
    bool same_name = !slash || !strcmp(slash + 1, name_cstr);
    while (rest.n) {
        struct str dir = str_cut(&rest, ':');
        struct os_stat st;
        struct str path = str_format(a, STR_FMT "/%s", STR_ARG(dir.n ? dir : STR(".")), name_cstr);
        if (!path.p || !os_stat(path.p, &st) || st.kind != OS_FILE || !(st.mode & 0111)) continue;
        struct str kind = cli_doctor_kind(path.p, own_cstr);
        bool own = str_eq(kind, STR("this program"));
        bool hides = n_found == 0 && !own && same_name;
        cli_doctor_add(
            d, hides ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "programs", name_cstr, path, kind.p,
            hides     ? "this is found first and is another program than the one that runs now"
            : n_found ? "found later in PATH: never used"
                      : NULL);
        n_found++;
    }
}

static void cli_doctor_programs(struct cli_doctor *d) {
    static const char *const names[] = { "mlxk", "mlxk2", "mlx-run", "mlxk-json" };
    char *own = os_exe_path(&d->c->arena);
    cli_doctor_add(d, CLI_DOCTOR_OK, "programs", "running",
                   own ? str_cstr(own) : STR("unknown"), NULL, NULL);
    for (size_t i = 0; i < MLXK_COUNT(names); i++) cli_doctor_program(d, names[i], own);
}

/* ---- processor and memory ---- */

static void cli_doctor_cpu(struct cli_doctor *d) {
    struct arena *a = &d->c->arena;
    struct err e = { 0 };
    struct buf b;
    const struct k_ops *chosen = CLI_HAS_ENGINE ? k_choose(&e) : NULL;
    buf_init(&b, 4096);
    for (uint32_t bit = 1; bit; bit <<= 1)
        if ((cpu_features() & bit) && cpu_feature_name(bit))
            buf_addf(&b, "%s%s", b.n ? " " : "", cpu_feature_name(bit));
    cli_doctor_add(d, CLI_DOCTOR_OK, "processor", "name", cpu_name(), NULL, NULL);
    cli_doctor_add(d, CLI_DOCTOR_OK, "processor", "cores", str_format(a, "%d", os_cpu_count()),
                   NULL, NULL);
    cli_doctor_add(d, CLI_DOCTOR_OK, "processor", "features", b.n ? buf_str(&b) : STR("none"), NULL,
                   NULL);
    const char *forced = os_env("MLXK_KERNELS");
    if (!CLI_HAS_ENGINE)
        cli_doctor_add(d, CLI_DOCTOR_OK, "processor", "kernels", STR("none: a client"), NULL, NULL);
    else if (!chosen)
        cli_doctor_add(d, CLI_DOCTOR_BAD, "processor", "kernels", str_cstr(e.msg), "MLXK_KERNELS",
                       e.hint);
    else
        cli_doctor_add(
            d, strcmp(chosen->name_cstr, "scalar") ? CLI_DOCTOR_OK : CLI_DOCTOR_WARN, "processor",
            "kernels", str_cstr(chosen->name_cstr), forced && *forced ? "MLXK_KERNELS" : NULL,
            strcmp(chosen->name_cstr, "scalar") ? NULL : "plain C: slow; see mlxk version --cpu");
    cli_doctor_add(d, CLI_DOCTOR_OK, "processor", "sha256", str_cstr(sha256_variant()), NULL, NULL);
    buf_release(&b);
}

static void cli_doctor_limits(struct cli_doctor *d) {
    struct arena *a = &d->c->arena;
    char size[16], name[256];
    uint64_t memory = os_total_memory(), files = os_max_open_files();
    num_format_size(size, memory);
    bool small = memory && memory < CLI_DOCTOR_SMALL, few = files && files < CLI_DOCTOR_FEW_FILES;
    cli_doctor_add(d, small ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "machine", "memory",
                   memory ? str_cstr(size) : STR("unknown"), NULL,
                   small ? "only small models fit" : NULL);
    cli_doctor_add(d, few ? CLI_DOCTOR_WARN : CLI_DOCTOR_OK, "machine", "open files",
                   files ? str_format(a, "%llu", (unsigned long long)files) : STR("no limit"), NULL,
                   few ? "raise it: ulimit -n 4096" : NULL);
    os_system_name(name, sizeof name);
    cli_doctor_add(d, CLI_DOCTOR_OK, "machine", "system", str_cstr(name), NULL, NULL);
}

static void cli_doctor_tls(struct cli_doctor *d) {
    struct net_trust t;
    struct err e = { 0 };
    if (!net_trust_read(&t, &e)) {
        cli_doctor_add(d, CLI_DOCTOR_BAD, "TLS", "trusted roots", str_cstr(e.msg), t.from_cstr,
                       e.hint[0] ? e.hint : "name a PEM file that exists, or unset the variable");
        return;
    }
    cli_doctor_add(d, t.n ? CLI_DOCTOR_OK : CLI_DOCTOR_BAD, "TLS", "trusted roots",
                   str_format(&d->c->arena, "%zu", t.n), t.from_cstr,
                   t.n ? NULL : "no server will be trusted: the file holds no certificate");
}

/* ---- (Public) ---- */

MLXK_FN void cli_doctor_machine(struct cli_doctor *d) {
    cli_doctor_programs(d);
    cli_doctor_cpu(d);
    cli_doctor_limits(d);
    cli_doctor_tls(d);
}

#undef CLI_DOCTOR_SMALL
