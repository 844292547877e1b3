#!/bin/sh
# A release is killed before every call of git (a git in front of the real one counts them): afterwards either nothing
# has happened, or the next run finishes it; the end is the same, and nothing is left over. KILL_STEP=n takes every nth.
. tests/tap.sh
. tests/release/scratch
scratch "$T/fresh"
( cd "$T/fresh" && at 1 ./release.sh rc > /dev/null && edit src/cli/a.c 'int c;' "More" ) || exit 1
real=$(command -v git)
mkdir -p "$T/bin"
cat > "$T/bin/git" <<KILL
#!/bin/sh
# The kill comes under the lock, so that it finds no other git of a pipe while that one writes the number.
exec 8> "$T/lock"; flock 8
n=\$((\$(cat "$T/count") + 1)); echo \$n > "$T/count"
if [ "\$n" = "\$(cat "$T/at")" ]; then kill -9 "-\$(cat "$T/group")"; fi
exec 8>&-
exec $real "\$@"
KILL
chmod +x "$T/bin/git"
# killed N: minor release in $T/r, killed before its Nth call of git.
killed() {
    rm -rf "$T/r"; cp -a "$T/fresh" "$T/r"
    echo 0 > "$T/count"; echo "$1" > "$T/at"
    # shellcheck disable=SC2016
    (cd "$T/r" && PATH=$T/bin:$PATH at 9 setsid -w sh -c 'echo $$ > "$T/group"; exec ./release.sh minor' > "$T/log" 2>&1)
}
# state: all refs, the witness, the tree, what lies about.
state() {
    (cd "$T/r" && git for-each-ref --format='%(refname) %(objectname)'; git -C "$T/r" status --porcelain
     cd "$T/r" && git diff --stat HEAD; ls build/dist/v0.1.0 2>/dev/null; find .git -maxdepth 1 \( -name '*.lock' -o -name mlxk-release -o -name worktrees \) ! -name mlxk-release.lock)
}
export T
killed 0
whole=$(state); total=$(cat "$T/count")
[ "$(git -C "$T/r" for-each-ref | wc -l)" = 4 ] && [ "$total" -gt 40 ]; ok $? killed/unkilled_run
rm -rf "$T/r"; cp -a "$T/fresh" "$T/r"; before=$(cd "$T/r" && git for-each-ref --format='%(refname) %(objectname)')
n=1; nothing=0; finished=0; bad=0
while [ "$n" -le "$total" ]; do
    killed "$n" 2>/dev/null
    [ "$(cat "$T/count")" -ge "$n" ] || { bad=1; echo "# $n: was not killed"; }
    if [ ! -f "$T/r/.git/mlxk-release" ] && [ "$(cd "$T/r" && git for-each-ref --format='%(refname) %(objectname)')" = "$before" ]; then nothing=$((nothing + 1))
    else finished=$((finished + 1)); fi
    (cd "$T/r" && at 9 ./release.sh minor > "$T/log" 2>&1); status=$?
    # A run killed after its last ref had moved was whole: the next one is on its way to the next version.
    if [ "$status" != 0 ] && [ "$(state)" != "$whole" ]; then bad=1; echo "# $n: the next run said"; tail -n 3 "$T/log" | sed 's/^/# /'
    elif [ "$(state)" != "$whole" ]; then bad=1; echo "# $n: another end"; state > "$T/s"; echo "$whole" | diff - "$T/s" | head -n 5 | sed 's/^/# /'; fi
    n=$((n + ${KILL_STEP:-1}))
done
echo "# $total calls; killed before them: $nothing times nothing had happened, $finished times the next run finished"
ok $bad killed/same_end_whenever_killed
[ "$nothing" -gt 0 ] && [ "$finished" -gt 0 ]; ok $? killed/both_kinds_were_seen
# Somebody worked on after the kill: that is not overwritten.
killed $((total - 3)) 2>/dev/null
if [ -f "$T/r/.git/mlxk-release" ]; then
    echo mine >> "$T/r/CHANGELOG.md"
    cd "$T/r" && run at 9 ./release.sh minor
    exits 1 killed/work_is_not_overwritten; grep -q '^mine$' CHANGELOG.md; ok $? killed/work_is_still_there
    sed -i '/^mine$/d' CHANGELOG.md; run at 9 ./release.sh minor; exits 0 killed/finished_after_all
    same killed/same_end "$whole" "$(state)"
else echo "not ok killed/no_journal_near_the_end"; fi
