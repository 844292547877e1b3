#!/bin/sh
# install.sh in every shell, with wget alone, on a full disk, and killed before and after each program that it runs:
# there is always a whole binary, the old one or the new one.
. tests/tap.sh
mkdir "$T/cases"
env T="$T/cases" HOME="$T/cases" INSTALL_SHELLS="dash bash busybox" sh tests/release/install.sh
machine=$(uname -m)
for v in 1.0.0 1.1.0; do
    mkdir -p "$T/web/v$v"
    # shellcheck disable=SC2016
    { printf '#!/bin/sh\ncase ${1:-} in --version) echo "mlxk %s" ;; completion) echo "# for $2" ;; esac\n' $v
      awk 'BEGIN { for (i = 0; i < 9000; i++) print "# a line that takes room, as a program does" }'; } > "$T/web/v$v/mlxk-$v-$machine-linux"
    (cd "$T/web/v$v" && sha256sum mlxk-* > SHA256SUMS)
done
sum() { sha256sum < "$T/web/v$1/mlxk-$1-$machine-linux" | cut -d' ' -f1; }

# wget without curl; both kinds where they are.
python3 tests/release/files.py "$T/web" "$T/port" & server=$!
trap 'kill $server 2>/dev/null' EXIT
tries=0; while [ ! -f "$T/port" ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
mkdir "$T/few"
for tool in sh cat cp mv ln rm mkdir mktemp chmod sed awk head find uname sync cut tr env sha256sum grep; do ln -s "$(readlink -f "$(command -v $tool)")" "$T/few/$tool"; done
for kind in wget busybox; do
    at=$(command -v $kind) || continue
    ln -sf "$at" "$T/few/wget"
    run env PATH="$T/few" sh install.sh --prefix "$T/by-$kind" --url "http://127.0.0.1:$(cat "$T/port")/ok" --version 1.0.0 --sha256 "$(sum 1.0.0)"
    exits 0 "install/by_$kind"
    run env PATH="$T/few" sh install.sh --prefix "$T/by2-$kind" --url "http://127.0.0.1:$(cat "$T/port")/nosums" --version 1.0.0 --sha256 "$(sum 1.0.0)"
    exits 1 "install/by_${kind}_404"
done
rm "$T/few/wget"
run env PATH="$T/few" sh install.sh --prefix "$T/by" --url "http://127.0.0.1:1/ok" --version 1.0.0 --sha256 "$(sum 1.0.0)"
exits 1 install/no_fetcher; says install/no_fetcher_hint err '--offline'

# A disk with room for one binary and not for two.
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    mkdir "$T/disk"
    cat > "$T/full.sh" <<FULL
mount -t tmpfs -o size=700k none "$T/disk" || exit 9
sh install.sh --prefix "$T/disk" --offline "$T/web/v1.0.0" --sha256 $(sum 1.0.0) > /dev/null || exit 8
head -c 200000 /dev/zero > "$T/disk/filler"
if sh install.sh --prefix "$T/disk" --offline "$T/web/v1.1.0" --sha256 $(sum 1.1.0) > /dev/null 2> "$T/full.err"; then exit 7; fi
"$T/disk/bin/mlxk" --version; ls -A "$T/disk/bin"
FULL
    run unshare -m sh "$T/full.sh"
    exits 0 install/full_disk; same install/full_disk_leaves_the_old_one 'mlxk 1.0.0 mlxk ' "$(tr '\n' ' ' < "$T/out")"
else echo "ok install/full_disk # SKIP needs a mount, and so root on Linux"; fi

# Killed: each external program is a script that counts, and kills the installer before or after its own work.
mkdir "$T/shim"
for tool in mv ln cp chmod rm mkdir mktemp sync find awk sha256sum cut sed; do
    at=$(command -v $tool)
    cat > "$T/shim/$tool" <<SHIM
#!/bin/sh
# Two programs of a pipe count one after the other: who read a file that is being written would begin again.
exec 8> "$T/lock"; flock 8
n=\$((\$(/bin/cat "$T/count") + 1)); echo \$n > "$T/count"
exec 8>&-
if [ "\$n" = "\$(/bin/cat "$T/at")" ]; then
    if [ "\$(/bin/cat "$T/when")" = after ]; then "$at" "\$@"; fi
    kill -9 "-\$(/bin/cat "$T/group")"
fi
exec "$at" "\$@"
SHIM
    chmod +x "$T/shim/$tool"
done
export T
killed() {
    # shellcheck disable=SC2016
    PATH=$T/shim:$PATH setsid -w sh -c 'echo $$ > "$T/group"; exec sh install.sh "$@"' sh --prefix "$T/k" --offline "$T/web/v1.1.0" --sha256 "$(sum 1.1.0)" > "$T/log" 2>&1
}
prepare() { rm -rf "$T/k"; sh install.sh --prefix "$T/k" --offline "$T/web/v1.0.0" --sha256 "$(sum 1.0.0)" > /dev/null; echo 0 > "$T/count"; }
prepare; echo 0 > "$T/at"; killed; total=$(cat "$T/count"); bad=0 old=0 new=0
[ "$total" -gt 15 ]; ok $? install/kill_points
for when in before after; do
    echo $when > "$T/when"; n=1
    while [ "$n" -le "$total" ]; do
        prepare; echo "$n" > "$T/at"; killed 2>/dev/null
        case $("$T/k/bin/mlxk" --version 2>&1) in
        'mlxk 1.0.0') old=$((old + 1)) ;;
        'mlxk 1.1.0') new=$((new + 1)) ;;
        *) bad=1; echo "# $when $n: no whole binary" ;;
        esac
        # The next run does it, and clears what is old enough.
        find "$T/k/bin" -name '.mlxk.*' -exec touch -d '2 hours ago' {} +
        sh install.sh --prefix "$T/k" --offline "$T/web/v1.1.0" --sha256 "$(sum 1.1.0)" > /dev/null || bad=1
        [ "$("$T/k/bin/mlxk" --version) $(find "$T/k/bin" -name '.*' ! -name . | wc -l)" = 'mlxk 1.1.0 0' ] || { bad=1; echo "# $when $n: left $(find "$T/k/bin" -name '.*')"; }
        n=$((n + 1))
    done
done
echo "# $total programs; the old one was there $old times, the new one $new times"
ok $bad install/killed_anywhere
[ "$old" -gt 0 ] && [ "$new" -gt 0 ]; ok $? install/killed_on_both_sides

# ---- a first-time user, with the real program and the pages alone -----------------------------------------------
# Two releases of it, which differ in the number that they tell.
full=$("$MLXK" --version | sed 's/^[^ ]* //')
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/key"; echo "releases $(cut -d' ' -f1,2 "$T/key.pub")" > "$T/SIGNERS"
python3 src/tools/release/man.py "$MLXK" > "$T/mlxk.1"
for v in 1.0.0 1.1.0; do
    d=$T/real/v$v; mkdir -p "$d"
    python3 - "$MLXK" "$full" $v "$d/mlxk-$v-$machine-linux" <<'PY'
import sys
program, full, number, to = sys.argv[1:]
data, old = open(program, "rb").read(), b"\0" + full.encode() + b"\0"
assert data.count(old) == 1, data.count(old)
open(to, "wb").write(data.replace(old, b"\0" + number.encode().ljust(len(old) - 1, b"\0")))
PY
    cp "$T/mlxk.1" install.sh "$d"
    (cd "$d" && sha256sum -- * > "$T/sums" && mv "$T/sums" SHA256SUMS && ssh-keygen -q -Y sign -n file -f "$T/key" SHA256SUMS && mv SHA256SUMS.sig SHA256SUMS.sshsig) 2> "$T/sign"
done
rm -f "$T/port"; kill $server; python3 tests/release/files.py "$T/real" "$T/port" & server=$!
tries=0; while [ ! -f "$T/port" ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
base=http://127.0.0.1:$(cat "$T/port")/ok
hash_of() { sha256sum < "$T/real/v$1/mlxk-$1-$machine-linux" | cut -d' ' -f1; }

# walk NAME PAGE NUMBER...: the page's `sh install.sh` lines in their order, each with the NUMBER for X.Y.Z, in a home of its own
# that holds nothing but a model; after each line the program says its number and reads the model.
walk() {
    name=$1 page=$2; shift 2
    home=$T/home-$name; mkdir -p "$home"; cp install.sh "$home"; cp "$T/SIGNERS" "$home"; tiny "$home/model"
    HOME=$home HF_HOME=$home/hf "$MLXK" import "$home/model" --name o/m --quiet > /dev/null; look=$(cd "$home/hf" && find . -type f | sort | xargs sha256sum)
    # The line's command ends where its explanation begins, behind two blanks or more.
    sed -n 's/^    \(sh install\.sh .*\)/\1/p' "$page" | sed 's/   *.*$//; s/HASH [a-z].*$/HASH/' > "$T/typed"
    [ "$(wc -l < "$T/typed")" = $# ]; ok $? "walk/$name/lines_as_expected"
    went=
    while read -r line; do
        v=$1; shift
        line=$(echo "$line" | sed "s|X\.Y\.Z|$v|; s|BASE|$base|; s|HASH|$(hash_of "$v")|; s|FOLDER|$T/real/v$v|; s|vX\.Y\.Z|$T/real/v$v|")
        (cd "$home" && HOME=$home sh -c "$line") > "$T/out" 2> "$T/err" < /dev/null || { ok 1 "walk/$name"; echo "# $line"; told; }
        went="$went$(HOME=$home "$home/.local/bin/mlxk" --version 2> /dev/null),"
        if [ -x "$home/.local/bin/mlxk" ]; then
            HOME=$home HF_HOME=$home/hf "$home/.local/bin/mlxk" verify o/m > "$T/out" 2>&1 || { ok 1 "walk/$name/reads_the_model"; told; }
        fi
    done < "$T/typed"
    same "walk/$name/models_stay" "$look" "$(cd "$home/hf" && find . -type f | sort | xargs sha256sum)"
}
walk readme README.md 1.0.0 1.0.0 1.1.0 1.0.0 1.1.0 1.0.0
same walk/readme/went 'mlxk 1.0.0,mlxk 1.0.0,mlxk 1.1.0,mlxk 1.0.0,mlxk 1.0.0,,' "$went"
same walk/readme/the_other_stays 'mlxk2 1.1.0' "$("$home/.local/bin/mlxk2" --version)"
walk install docs/INSTALL.md 1.0.0 1.1.0 1.0.0 1.1.0 1.0.0
same walk/install/went 'mlxk 1.0.0,mlxk 1.1.0,mlxk 1.0.0,mlxk 1.0.0,,' "$went"
# By hand, as the page says; and the same from a pipe.
hand=$(sed -n 's/^    \(ssh-keygen -Y verify .*\)/\1/p; s/^    \(grep mlxk-X.*\)/\1/p' docs/INSTALL.md | sed "s/X\.Y\.Z/1.1.0/; s/x86_64/$machine/")
same walk/by_hand_lines 2 "$(echo "$hand" | grep -c .)"
mkdir "$T/hand"; cp "$T/real/v1.1.0/"* "$T/SIGNERS" "$T/hand"
(cd "$T/hand" && echo "$hand" | sh -e) > "$T/out" 2>&1; ok $? walk/by_hand
echo x >> "$T/hand/mlxk-1.1.0-$machine-linux"; (cd "$T/hand" && echo "$hand" | sh -e) > "$T/out" 2>&1; [ $? = 1 ]; ok $? walk/by_hand_sees_a_change
mkdir "$T/piped"; cp "$T/SIGNERS" "$T/piped"
# shellcheck disable=SC2016
piped=$(sed -n 's/.*`\(curl -fsSL BASE[^`]*\) --version X\.Y\.Z …`.*/\1/p' README.md | sed "s|BASE|$base|; s|X\.Y\.Z|1.1.0|")
(cd "$T/piped" && HOME=$T/piped sh -c "$piped --version 1.1.0 --url $base --key SIGNERS") > "$T/out" 2> "$T/err"
same walk/from_a_pipe 'mlxk 1.1.0' "$("$T/piped/.local/bin/mlxk" --version)"
