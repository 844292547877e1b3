/* oci_layout.h: what layouts in folders (oci_layout.c) and in tar files (oci_archive.c) share. */
#ifndef MLXK_OCI_LAYOUT_H
#define MLXK_OCI_LAYOUT_H

#include "oci/oci_int.h"

enum {
    OCI_LAYOUT_MEMBERS = 1000000, OCI_LAYOUT_PIECE = 1 << 18,
    OCI_LAYOUT_BEHIND = 8 << 20,         /* written, then sent on to the device */
};

struct oci_place { uint64_t offset, size_bytes; };
struct oci_layout {
    const char *dir_cstr; /* the folder, or where a tar file grows; NULL = a tar file, read only */
    int tar_fd;                  /* -1 = none */
    struct str mark_text, index_text;              /* of the tar file */
    struct map members;          /* digest -> place in the tar file */
    struct oci_place *places; size_t n_places;
    size_t n_put;                /* blobs that are in dir_cstr */
};

/* Reads the names in a tar file: members, mark_text and index_text are filled. err: ERR_FORMAT,
 * ... */
MLXK_FN bool oci_archive_open(struct oci *o, struct err *e);
/* The layout as a tar file: oci-layout, index.json, then what the index leads to, sorted. */
MLXK_FN bool oci_archive_write(struct oci *o, const char *path_cstr, struct err *e);
MLXK_FN bool oci_layout_index_text(struct arena *a, struct oci *o, struct oci_manifest *out,
                                   struct err *e);

#endif
