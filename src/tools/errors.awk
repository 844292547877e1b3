# errors.awk: docs/ERRORS.md from the table of error codes in src/base/base.h.
#
#   awk -f src/tools/errors.awk src/base/base.h > docs/ERRORS.md      (tests/cli/45-docs.sh compares)
BEGIN {
    print "# Errors"
    print ""
    print "Every failure has one code. The code decides the exit status, the status over HTTP, whether trying again can help, and"
    print "the type in the JSON form. The message says what happened to which object; the hint, when there is one, what to do."
    print ""
    print "For people: `COMMAND: Error: MESSAGE` and the hint on a line of its own, on stderr. With `--json`: one document on stdout,"
    print "`{\"status\": \"error\", \"command\": …, \"data\": null, \"error\": {\"type\", \"message\", \"detail\"}}`. Commands may replace the type by the"
    print "one that scripts of older tools expect (`run` says `execution_error`). A wrong command line has `\"command\": null`."
    print ""
    print "| code | exit | HTTP | retry | JSON type | meaning |"
    print "|---|---|---|---|---|---|"
}
/^ *X\([A-Z_]+,/ {
    line = $0
    sub(/^ *X\(/, "", line); sub(/\) *\\? *$/, "", line)
    split(line, quoted, "\"")
    split(quoted[1], plain, ",")
    for (i = 1; i <= 4; i++) gsub(/ /, "", plain[i])
    printf "| %s | %s | %s | %s | `%s` | %s |\n", plain[1], plain[2], plain[3], plain[4] == 1 ? "yes" : "no", quoted[2], quoted[4]
}
END { print ""; print "Made from `ERR_TABLE` in `src/base/base.h`; a test compares." }
