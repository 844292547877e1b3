/* cjson_unit.c: cJSON as one unit. It redefines true and false, which are put back; behind its last
 * line only macros called cJSON_... or CJSON_... are left of it (list made by src/tools/undef.awk,
 * checked by tests/house/vendor.sh).
 */
#include <stdbool.h>
#pragma push_macro("true")
#pragma push_macro("false")
#define internal_hooks cjson_internal_hooks
#define error cjson_error
#define global_error cjson_global_error
#include <cjson/cJSON.c>
#undef internal_hooks
#undef error
#undef global_error

#include "cjson_undef.h"
#pragma pop_macro("true")
#pragma pop_macro("false")
