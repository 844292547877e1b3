/* entropy.c: unpredictable bytes from the system, for names, seeds and keys.
 *
 * No generator of our own: a caller that needs many numbers seeds one from here.
 */
#include "platform/platform_int.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

enum { ENTROPY_CALL_MAX = 256 };   /* getentropy gives no more at once */

/* Kernels and sandboxes without the system call still have the device. */
static bool entropy_from_device(uint8_t *p, size_t n) {
    struct err ignored = { .code = ERR_OK };
    size_t got = 0;
    int fd = os_open("/dev/urandom", OS_READ, &ignored);
    bool ok = fd >= 0 && os_read(fd, p, n, &got, &ignored) && got == n;
    os_close(fd);
    return ok;
}

MLXK_FN void os_entropy(void *p, size_t n) {
    uint8_t *at = p;
    while (n > 0) {
        size_t part = n < ENTROPY_CALL_MAX ? n : ENTROPY_CALL_MAX;
        if (getentropy(at, part) != 0 && !entropy_from_device(at, part)) {
            MLXK_BUG("the system gives no random bytes");
        }
        at += part;
        n -= part;
    }
}
