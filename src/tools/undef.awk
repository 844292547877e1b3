# undef.awk: the list of macros that a vendored library leaves behind, as #undef lines.
#
#   awk -f src/tools/undef.awk -v keep='^(MBEDTLS|PSA)_' FILES...
#
# Reads every #define of the files, whatever the target, and drops: names matching `keep` (the library's
# own prefix, which its adapter needs), include guards (their headers may be asked for again), and names
# that belong to the C system (a leading underscore; the few listed below).
BEGIN { split("inline const void", system_names, " "); for (i in system_names) skip[system_names[i]] = 1 }
FNR == 1 { guard = "" }
/^[ \t]*#[ \t]*ifndef[ \t]/ && guard == "" { line = $0; sub(/^[ \t]*#[ \t]*ifndef[ \t]+/, "", line); sub(/[^A-Za-z0-9_].*/, "", line); guard = line; next }
/^[ \t]*#[ \t]*define[ \t]/ {
    name = $0
    sub(/^[ \t]*#[ \t]*define[ \t]+/, "", name)
    sub(/[^A-Za-z0-9_].*/, "", name)
    if (name == "") next
    if (name == guard && FILENAME ~ /\.h$/) { guards[name] = 1; next }
    if (name ~ keep || name ~ /^_[_A-Z]/ || name in skip) next
    names[name] = 1
}
END {
    for (name in names) if (!(name in guards)) print "#undef " name | "sort"
    close("sort")
}
