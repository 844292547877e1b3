#!/bin/sh
# all.sh [ROW...]: every check of the release requirements, then row by row what answers it (tests/release/rows.tsv).
# Ten minutes; needs a built mlxk (MLXK=..., else build/mlxk); only the packages use the network, when it is there. A row without a check of its own
# is skipped with its reason, a row whose pattern finds no check has failed. Last line: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/../.." || exit 2
MLXK=${MLXK:-$PWD/build/mlxk} UNIT=${UNIT:-$PWD/build/test/unit}
export MLXK UNIT LC_ALL=C.UTF-8
[ -x "$MLXK" ] || { echo "all.sh: $MLXK is not there: ./build.sh first"; exit 2; }
out=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-release.XXXXXX")
trap 'chmod -R u+rwX "$out"; rm -rf "$out"' EXIT
trap 'exit 1' INT TERM HUP
# part NAME [PREFIX]: one script in a folder of its own; PREFIX goes in front of names that have no row.
part() {
    echo "# $1"
    rm -rf "$out/t"; mkdir "$out/t"
    T=$out/t HOME=$out/t TMPDIR=$out/t sh "$1" > "$out/log" 2>&1 < /dev/null
    status=$?
    chmod -R u+rwX "$out/t"
    if [ $status != 0 ] && ! grep -q '^not ok' "$out/log"; then echo "not ok ${2:-}$1 ended with $status" >> "$out/log"; fi
    grep -qE '^(not )?ok ' "$out/log" || echo "not ok ${2:-}$1 tested nothing" >> "$out/log"
    sed -n "s#^\(ok\|not ok\) #\1 ${2:-}#p" "$out/log" >> "$out/checks"
    grep -B 6 -A 4 '^not ok' "$out/log" | grep -v '^ok '
}
: > "$out/checks"
part tests/release/rules.sh
part tests/release/rows.sh
part tests/release/install.sh
part tests/long/45-release-1D.sh
part tests/long/46-release-killed.sh
part tests/long/47-release-rules.sh
part tests/long/48-install.sh
part tests/cli/24-migration.sh A11/
part tests/long/44-before.sh A27/
part tests/long/49-deb.sh A12/
part tests/long/49-systemd.sh A12/
part tests/long/94-python.sh A12/

grep -v '^#' tests/release/rows.tsv > "$out/rows"
while IFS='	' read -r row pattern what; do
    case " $* " in "  " | *" $row "*) ;; *) continue ;; esac
    if [ "$pattern" = - ]; then echo "row $row skipped: $what"; echo skip >> "$out/sum"; continue; fi
    good=$(grep -cE "^ok ($pattern)" "$out/checks"); bad=$(grep -cE "^not ok ($pattern)" "$out/checks")
    if [ "$bad" = 0 ] && [ "$good" != 0 ]; then echo "row $row ok ($good checks): $what"
    else echo "row $row NOT OK ($good passed, $bad failed): $what"; if [ "$good" = 0 ]; then echo "not ok $row has no check" >> "$out/checks"; fi; fi
done < "$out/rows"
skipped=$({ cat "$out/sum" 2>/dev/null; grep '^ok .*# SKIP' "$out/checks"; } | grep -c .)
failed=$(grep -c '^not ok' "$out/checks")
echo "$(grep '^ok ' "$out/checks" | grep -vc '# SKIP') passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
