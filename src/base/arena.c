/* arena.c: the only place that calls malloc, realloc and free.
 *
 * Two things live here: owned blocks (mem_*), used by growing buffers and maps, and arenas:
 * regions that only grow and are given back as a whole or down to a mark.
 *
 * 1. used_bytes is the sum of all live allocations including alignment gaps, never > max_bytes.
 * 2. Every byte handed out by an arena is zero; memory behind `pos` is dirty and, under the
 *    address sanitizer, poisoned.
 * 3. A rewind keeps at most one emptied block as `spare`, so that a loop of mark, allocate and
 *    rewind reaches a state in which it asks the system for nothing.
 * 4. The allocation counters are atomic: blocks may be allocated on any thread.
 */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(ARENA_ASAN)
#define ARENA_ASAN 1
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
    ARENA_ALIGN_MAX = 64,
    ARENA_BLOCK_FIRST = 4096, ARENA_BLOCK_MAX = 1 << 20,   /* block sizes double in between */
};

struct arena_block {
    struct arena_block *prev;    /* older block or NULL */
    size_t cap, pos;             /* payload bytes, and how many of them are handed out */
};

/* ---- owned blocks ---- */

static atomic_long arena_fail_countdown;      /* 0 = never; test aid named in the contract */
static atomic_ulong arena_n_allocs;

static bool arena_allocation_fails(void) {
    if (atomic_load_explicit(&arena_fail_countdown, memory_order_relaxed) <= 0) {
        return false;
    }
    return atomic_fetch_sub_explicit(&arena_fail_countdown, 1, memory_order_relaxed) == 1;
}

MLXK_FN void *mem_alloc(size_t size_bytes) {
    return mem_realloc(NULL, size_bytes);
}

MLXK_FN void *mem_realloc(void *p, size_t size_bytes) {
    MLXK_ASSERT(size_bytes > 0);
    if (size_bytes > PTRDIFF_MAX || arena_allocation_fails()) {
        return NULL;
    }
    void *got = realloc(p, size_bytes);
    if (got) {
        atomic_fetch_add_explicit(&arena_n_allocs, 1, memory_order_relaxed);
    }
    return got;
}

MLXK_FN void mem_free(void *p) {
    free(p);
}

MLXK_FN void mem_fail_after(long n) {
    atomic_store_explicit(&arena_fail_countdown, n, memory_order_relaxed);
}

MLXK_FN unsigned long mem_alloc_count(void) {
    return atomic_load_explicit(&arena_n_allocs, memory_order_relaxed);
}

/* ---- arenas ---- */

/* Makes memory untouchable after a rewind: unreadable under the sanitizer, garbage in debug. */
static void arena_poison(void *p, size_t n) {
#if defined(ARENA_ASAN)
    ASAN_POISON_MEMORY_REGION(p, n);
#elif defined(MLXK_DEBUG)
    memset(p, 0xDD, n);
#else
    (void)p;
    (void)n;
#endif
}

static void arena_unpoison(void *p, size_t n) {
#ifdef ARENA_ASAN
    ASAN_UNPOISON_MEMORY_REGION(p, n);
#else
    (void)p;
    (void)n;
#endif
}

static uint8_t *arena_payload(struct arena_block *b) {
    return (uint8_t *)b + sizeof *b;
}

static void arena_free_block(struct arena_block *b) {
    if (b) {
        arena_unpoison(arena_payload(b), b->cap);
        mem_free(b);
    }
}

/* Bytes to skip in b so that the next allocation is aligned. */
static size_t arena_gap(struct arena_block *b, size_t align) {
    uintptr_t at = (uintptr_t)(arena_payload(b) + b->pos);
    return (size_t)(-at & (uintptr_t)(align - 1));
}

static bool arena_fits(struct arena_block *b, size_t size_bytes, size_t align) {
    size_t gap = arena_gap(b, align), left = b->cap - b->pos;
    return gap <= left && size_bytes <= left - gap;
}

MLXK_FN void arena_init(struct arena *a, size_t max_bytes) {
    *a = (struct arena){ .max_bytes = max_bytes };
}

MLXK_FN void arena_release(struct arena *a) {
    while (a->head) {
        struct arena_block *prev = a->head->prev;
        arena_free_block(a->head);
        a->head = prev;
    }
    arena_free_block(a->spare);
    a->spare = NULL;
    a->used_bytes = 0;
}

/* A block that can take `need` bytes becomes the head. */
static bool arena_push_block(struct arena *a, size_t need) {
    struct arena_block *b = a->spare;
    if (b && b->cap >= need) {
        a->spare = NULL;
    } else {
        size_t cap = a->head ? a->head->cap * 2 : ARENA_BLOCK_FIRST;
        cap = cap > ARENA_BLOCK_MAX ? ARENA_BLOCK_MAX : cap;
        cap = cap < need ? need : cap;
        b = mem_alloc(sizeof *b + cap);
        if (!b) {
            return false;
        }
        b->cap = cap;
        arena_poison(arena_payload(b), cap);
    }
    b->pos = 0;
    b->prev = a->head;
    a->head = b;
    return true;
}

MLXK_FN void *arena_alloc(struct arena *a, size_t size_bytes, size_t align) {
    MLXK_ASSERT(align > 0 && align <= ARENA_ALIGN_MAX && (align & (align - 1)) == 0);
    size_t size = size_bytes ? size_bytes : 1;   /* unique pointers for empty requests */
    if (size > a->max_bytes - a->used_bytes || size > PTRDIFF_MAX - ARENA_ALIGN_MAX) {
        return NULL;
    }
    if ((!a->head || !arena_fits(a->head, size, align)) && !arena_push_block(a, size + align)) {
        return NULL;
    }
    struct arena_block *b = a->head;
    size_t gap = arena_gap(b, align);
    if (gap > a->max_bytes - a->used_bytes - size) {
        return NULL;
    }
    uint8_t *p = arena_payload(b) + b->pos + gap;
    arena_unpoison(p, size);
    b->pos += gap + size;
    a->used_bytes += gap + size;
    return memset(p, 0, size);
}

MLXK_FN void *arena_array(struct arena *a, size_t count, size_t size_bytes, size_t align) {
    size_t total;
    return num_mul(count, size_bytes, &total) ? arena_alloc(a, total, align) : NULL;
}

MLXK_FN void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t first,
                         size_t size_bytes, size_t align) {
    if (n < *cap) {
        return items;
    }
    size_t more = *cap ? *cap * 2 : first;
    void *grown = arena_array(a, more, size_bytes, align);
    if (grown && n) {
        memcpy(grown, items, n * size_bytes);
    }
    if (grown) {
        *cap = more;
    }
    return grown;
}

MLXK_FN struct arena_mark arena_mark(const struct arena *a) {
    return (struct arena_mark){ a->head, a->head ? a->head->pos : 0, a->used_bytes };
}

MLXK_FN void arena_rewind(struct arena *a, struct arena_mark m) {
    while (a->head != m.block) {
        struct arena_block *b = a->head;
        MLXK_ASSERT(b != NULL);                  /* the mark is of another arena or older rewind */
        a->head = b->prev;
        arena_poison(arena_payload(b), b->cap);
        if (!a->spare || a->spare->cap < b->cap) {
            struct arena_block *smaller = a->spare;
            a->spare = b;
            b = smaller;
        }
        arena_free_block(b);
    }
    if (a->head) {
        MLXK_ASSERT(m.pos <= a->head->pos);
        arena_poison(arena_payload(a->head) + m.pos, a->head->cap - m.pos);
        a->head->pos = m.pos;
    }
    a->used_bytes = m.used_bytes;
}

#undef ARENA_ASAN
