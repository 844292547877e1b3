# macros.awk: which macros a region of a unit leaves behind or spoils.
#
#   awk -v begin=NAME -v end=NAME -f src/tools/macros.awk BEFORE AFTER FLOW
#
# BEFORE, AFTER: `cc -E -dM` of the unit cut before the region, and of all of it. FLOW: `cc -E -dD` of
# all of it, the region lying between the declarations `int NAME;` of begin and end. Printed:
#   left X     made by a file below build/vendor and still there (guards of headers excepted)
#   changed X  was there before and is now another or gone
#   lost X     made by a system header inside the region, taken away by a vendored file
# System headers may add macros freely.
FNR == 1 { nth++ }
{ name = $2; sub(/\(.*/, "", name) }
nth == 1 && /^#define / { before[name] = $0; next }
nth == 2 && /^#define / { after[name] = $0; next }
/^# [0-9]+ "/ { file = $3; gsub(/"/, "", file); foreign = file ~ /(vendor|build\/gen)\//; next }
$0 == "int " begin ";" { inside = 1; next }
$0 == "int " end ";" { inside = 0; next }
inside && /^#define / { if (foreign) ours_not[$0] = name; else system_made[name] = 1; next }
inside && /^#undef / && foreign && name in system_made && !(name in after) { print "lost " name }
END {
    for (n in before) if (!(n in after) || after[n] != before[n]) print "changed " n
    for (n in after) if (after[n] in ours_not && !(n in before) && after[n] !~ /^#define [A-Za-z0-9_]+_[Hh] *$/) print "left " n
}
