/* rel_index_int.h: what the files of the index share. */
#ifndef MLXK_REL_INDEX_INT_H
#define MLXK_REL_INDEX_INT_H

#include "release/rel_index.h"
#include "net/net.h"

#define REL_INDEX_FILE "index.json.z"

/* A packed document into an empty index (rel_index_file.c). err: as rel_index_parse. */
MLXK_FN bool rel_index_unpack(struct rel_index *x, struct str packed, struct err *e);
/* The table of the index that lies in this folder; under its lock (rel_index_table.c). */
MLXK_FN bool rel_index_table_write(const struct rel_index *x, const char *dir_cstr, struct err *e);
/* Rows of a table that a search would read: what belongs to another index, or is damaged, is false
 * with code OK. text: the whole file. */
MLXK_FN bool rel_index_table_rows(struct str text, const struct os_stat *index, struct str *rows,
                                  size_t *n_rows);

#endif
