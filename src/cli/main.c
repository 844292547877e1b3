/* main.c: where the system starts the program. Everything else is cli_main() in cli_main.c.
 * A file of its own, so that tests can include the whole program without it.
 */
#include "cli/cli.h"

int main(int argc, char **argv) {
    return cli_main(argc, argv);
}
