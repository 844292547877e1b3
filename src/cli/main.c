/* main.c: where the program starts. Tests leave it out (MLXK_NO_MAIN). */
#include "cli/cli.h"

int main(int argc, char **argv) {
    return cli_main(argc, argv);
}
