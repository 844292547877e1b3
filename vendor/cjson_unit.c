/* cjson_unit.c: cJSON as one unit. It redefines five macros of the C library, which are put back;
 * behind its last line only macros called cJSON_... or CJSON_... are left of it (list made by
 * src/tools/undef.awk, checked by tests/house/vendor.sh).
 *
 * Its blocks come from mem_alloc, like every block of the program, so that "the n-th allocation
 * fails" reaches it and no hooks need be set at run time.
 */
#include "base/base.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define malloc mem_alloc
#define realloc mem_realloc
#define free mem_free
#pragma push_macro("true")
#pragma push_macro("false")
#pragma push_macro("isinf")
#pragma push_macro("isnan")
#pragma push_macro("NAN")
#define internal_hooks cjson_internal_hooks
#define error cjson_error
#define global_error cjson_global_error
#include <cjson/cJSON.c>
#undef internal_hooks
#undef error
#undef global_error
#undef malloc
#undef realloc
#undef free

#include "cjson_undef.h"
#pragma pop_macro("true")
#pragma pop_macro("false")
#pragma pop_macro("isinf")
#pragma pop_macro("isnan")
#pragma pop_macro("NAN")
