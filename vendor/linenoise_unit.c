/* linenoise_unit.c: the line editor (UTF-8, history, completion, several rows) as one unit.
 * Its utf8_... helpers get a prefix of their own, because those names are ours.
 */
#define USE_UTF8 1
#define HAVE_UNISTD_H 1
#define UTF8_UTIL_H                    /* its header is replaced by the lines below */
#define MAX_UTF8_LEN 4
#define utf8_charlen     linenoise_utf8_charlen
#define utf8_fromunicode linenoise_utf8_fromunicode
#define utf8_getchars    linenoise_utf8_fromunicode
#define utf8_index       linenoise_utf8_index
#define utf8_lower       linenoise_utf8_lower
#define utf8_prev_len    linenoise_utf8_prev_len
#define utf8_strlen      linenoise_utf8_strlen
#define utf8_strwidth    linenoise_utf8_strwidth
#define utf8_title       linenoise_utf8_title
#define utf8_tounicode   linenoise_utf8_tounicode
#define utf8_upper       linenoise_utf8_upper
#define utf8_width       linenoise_utf8_width
int utf8_fromunicode(char *p, unsigned uc);
int utf8_charlen(int c);
int utf8_index(const char *str, int index);
int utf8_lower(int uc);
int utf8_prev_len(const char *str, int len);
int utf8_strlen(const char *str, int bytelen);
int utf8_strwidth(const char *str, int charlen);
int utf8_title(int uc);
int utf8_tounicode(const char *str, int *uc);
int utf8_upper(int uc);
int utf8_width(int ch);
#include <linenoise/utf8.c>
#include <linenoise/linenoise.c>

#include "linenoise_undef.h"
#undef USE_UTF8
#undef HAVE_UNISTD_H
#undef MAX_UTF8_LEN
#undef utf8_charlen
#undef utf8_fromunicode
#undef utf8_getchars
#undef utf8_index
#undef utf8_lower
#undef utf8_prev_len
#undef utf8_strlen
#undef utf8_strwidth
#undef utf8_title
#undef utf8_tounicode
#undef utf8_upper
#undef utf8_width
