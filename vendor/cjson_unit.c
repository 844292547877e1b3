/* cjson_unit.c: cJSON as one unit. Behind its last line only macros called cJSON_... or CJSON_...
 * are left (list made by src/tools/undef.awk, checked by tests/house/vendor.sh).
 */
#define internal_hooks cjson_internal_hooks
#define error cjson_error
#define global_error cjson_global_error
#include <cjson/cJSON.c>
#undef internal_hooks
#undef error
#undef global_error

#include "cjson_undef.h"
