/* platform_int.h: what the files of this room share; nobody else includes it.
 *
 * The functions marked (os) exist once per system, in os_linux.c and os_darwin.c; everything
 * else in this room is written once for both.
 */
#ifndef MLXK_PLATFORM_INT_H
#define MLXK_PLATFORM_INT_H

#include "platform/platform.h"

#if defined(__linux__)
#include <sched.h>
#endif

struct stat;

/* err from an errno: "cannot <verb> <path>: <reason>" with code and hint as platform.h says. */
MLXK_FN bool os_fail(struct err *e, int errno_value, const char *verb_cstr, const char *path_cstr);
/* Counts one mutating file call; true = it must fail now, errno is set (os_file_fail_after). */
MLXK_FN bool os_fault(void);
/* First `cap - 1` bytes of a small file such as one in /proc or /sys, NUL-terminated, white space
 * at both ends removed; empty when it cannot be read. */
MLXK_FN struct str os_read_small(const char *path_cstr, char *out, size_t cap);
/* Puts the terminal back as it was found; safe inside a signal handler. */
MLXK_FN void os_tty_restore(void);
/* Installs the handler that turns a fault in a mapped file into a message. */
MLXK_FN void os_map_guard(void);
/* One more file in use (machine.c); false = no memory. */
MLXK_FN bool os_users_add(struct os_users *u, uint64_t device, uint64_t inode);
/* Tells a core that this thread is spinning. */
MLXK_FN void os_cpu_relax(void);

/* (os) */
MLXK_FN void     os_sys_times(const struct stat *st, struct os_stat *out);
MLXK_FN void     os_sys_boot(char *out, size_t cap);   /* this start of the system; may be empty */
MLXK_FN int      os_sys_preallocate(int fd, uint64_t size_bytes);          /* 0 or errno */
MLXK_FN int      os_sys_sync(int fd);                                      /* 0 or errno */
MLXK_FN int      os_sys_sync_volume(int fd);             /* 0 or errno; ENOSYS: there is no way */
MLXK_FN int      os_sys_write_behind(int fd, uint64_t offset_bytes, uint64_t n);   /* 0 or errno */
MLXK_FN bool os_sys_disk_free(const char *path_cstr, uint64_t *free_bytes, uint64_t *total_bytes);
MLXK_FN bool     os_sys_reflink(int from_fd, int to_fd);
MLXK_FN bool     os_sys_exchange(const char *x_cstr, const char *y_cstr);
MLXK_FN bool     os_sys_exe_path(char out[LIMIT_PATH]);
MLXK_FN void     os_sys_huge_pages(void *p, size_t size_bytes);            /* advice */
MLXK_FN int      os_sys_cond_wait_ms(void *cond, void *mutex, int64_t wait_ms);   /* 0 or errno */
MLXK_FN void     os_sys_cond_init(void *cond);
MLXK_FN int      os_sys_cpu_count(void);       /* physical cores usable, 0 = unknown */
MLXK_FN int      os_sys_cpus_online(void);     /* logical CPUs usable by this process, >= 1 */
MLXK_FN uint64_t os_sys_total_memory(void);
MLXK_FN uint64_t os_sys_peak_memory(void);
MLXK_FN bool     os_sys_volume(const char *path_cstr, struct os_volume *out);
/* One quota of this user, or of that group; false = unknown. */
MLXK_FN bool     os_sys_quota(const char *path_cstr, bool group, uint32_t id, struct os_quota *out);
MLXK_FN void     os_sys_file_passed(int fd, uint64_t offset_bytes, uint64_t size_bytes);
/* Calls os_users_add for every file; false = this system does not tell. */
MLXK_FN bool     os_sys_users(struct os_users *u);
#if defined(__aarch64__)
MLXK_FN uint32_t os_sys_arm_features(void);    /* CPU_* bits */
#endif
MLXK_FN void     os_sys_cpu_name(char *out, size_t cap);   /* where the CPU cannot tell itself */

#if defined(__linux__)
/* What os_sys_cpu_count is made of, with the folder that stands for "/" (tests: recorded trees):
 * distinct cores among the logical CPUs in *set, and the group's CPU limit rounded up, 0 = none. */
MLXK_FN int os_linux_cores(const char *root_cstr, const cpu_set_t *set);
MLXK_FN int os_linux_quota(const char *root_cstr);
#endif

/* SHA-256 over whole blocks of 64 bytes; all variants compute the same. */
MLXK_FN void sha256_blocks_scalar(uint32_t h[8], const uint8_t *p, size_t n_blocks);
#if defined(__x86_64__)
MLXK_FN void sha256_blocks_ni(uint32_t h[8], const uint8_t *p, size_t n_blocks);
#elif defined(__aarch64__)
MLXK_FN void sha256_blocks_arm(uint32_t h[8], const uint8_t *p, size_t n_blocks);
#endif
/* SHA-1, likewise. */
MLXK_FN void sha1_blocks_scalar(uint32_t h[5], const uint8_t *p, size_t n_blocks);
#if defined(__x86_64__)
MLXK_FN void sha1_blocks_ni(uint32_t h[5], const uint8_t *p, size_t n_blocks);
#elif defined(__aarch64__)
MLXK_FN void sha1_blocks_arm(uint32_t h[5], const uint8_t *p, size_t n_blocks);
#endif
/* K of the rounds 20 * quarter and on (FIPS 180-4, 4.2.1). */
MLXK_FN uint32_t sha1_constant(int quarter);
/* The 64 round constants (FIPS 180-4, 4.2.2). */
MLXK_FN const uint32_t *sha256_constants(void);

/* AES-GCM over whole blocks; all variants compute the same. first: h times x, bytes in reverse. */
enum { GCM_BESIDE = GCM_POWERS_BYTES };
#define GCM_REDUCTION 0xc200000000000000ull   /* x^128 + x^7 + x^2 + x + 1, half of it, reversed */
#if defined(__x86_64__)
MLXK_FN void gcm_blocks_ni(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks);
MLXK_FN void gcm_blocks_vaes(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                             size_t n_blocks);
/* Decrypts n_groups of GCM_BESIDE bytes, and hashes as many at p: h as in sha256_blocks_*. */
MLXK_FN void gcm_beside_vaes(struct gcm_blocks *g, const uint8_t *in, uint8_t *out,
                             size_t n_groups, uint32_t h[8], const uint8_t *p);
MLXK_FN void gcm_powers_ni(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]);
#elif defined(__aarch64__)
MLXK_FN void gcm_blocks_arm(struct gcm_blocks *g, const uint8_t *in, uint8_t *out, size_t n_blocks);
MLXK_FN void gcm_powers_arm(const uint8_t first[16], uint8_t out[GCM_POWERS_BYTES]);
#endif

#endif
