/* reversed.c: names of a folder from the last to the first (LD_PRELOAD), for whoever takes them as they come. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { REVERSED_NAMES = 4096, REVERSED_FOLDERS = 64 };

static struct {
    DIR *of;
    size_t n;
    struct dirent *names[REVERSED_NAMES];
} reversed_folders[REVERSED_FOLDERS];

static int reversed_compare(const void *a, const void *b) {
    return strcmp((*(struct dirent *const *)a)->d_name, (*(struct dirent *const *)b)->d_name);
}

/* The next name of d; a folder is read whole at its first name. What does not fit comes in the system's order. */
struct dirent *readdir(DIR *d) {
    struct dirent *(*real)(DIR *);
    *(void **)&real = dlsym(RTLD_NEXT, "readdir");
    size_t i = 0;
    while (i < REVERSED_FOLDERS && reversed_folders[i].of != d) i++;
    if (i == REVERSED_FOLDERS) {
        for (i = 0; i < REVERSED_FOLDERS && reversed_folders[i].of; i++) { }
        if (i == REVERSED_FOLDERS) return real(d);
        struct dirent *e;
        reversed_folders[i].of = d;
        reversed_folders[i].n = 0;
        while (reversed_folders[i].n < REVERSED_NAMES && (e = real(d)) != NULL) {
            struct dirent *copy = malloc(sizeof *copy);
            if (!copy) abort();
            *copy = *e;
            reversed_folders[i].names[reversed_folders[i].n++] = copy;
        }
        qsort(reversed_folders[i].names, reversed_folders[i].n, sizeof(struct dirent *), reversed_compare);
    }
    if (reversed_folders[i].n) return reversed_folders[i].names[--reversed_folders[i].n];
    return real(d);
}

struct dirent64 *readdir64(DIR *d) { return (struct dirent64 *)readdir(d); }

int closedir(DIR *d) {
    int (*real)(DIR *);
    *(void **)&real = dlsym(RTLD_NEXT, "closedir");
    for (size_t i = 0; i < REVERSED_FOLDERS; i++)
        if (reversed_folders[i].of == d) reversed_folders[i].of = NULL;
    return real(d);
}
