/* driver.c: one fuzz target as a libFuzzer program (./build.sh fuzz T=NAME).
 * FUZZ_FILE and FUZZ_TARGET come from build.sh; the target is compiled into the whole program.
 */
#define MLXK_NO_MAIN
#include "../../mlxk.c"
#include FUZZ_FILE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return FUZZ_TARGET(data, size);
}
