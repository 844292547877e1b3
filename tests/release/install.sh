#!/bin/sh
# install.sh from a file server that lies and from folders: installs, upgrades, rolls back, removes, and refuses.
# INSTALL_SHELLS: which shells run it (tests/long/48-install.sh takes them all).
. tests/tap.sh
root=$PWD
machine=$(uname -m); case $machine in x86_64) other=aarch64 ;; *) other=x86_64 ;; esac
# made VERSION: a release in $T/web/vVERSION; its binary is a script that says its version. Signed by $T/key.
made() {
    d=$T/web/v$1; mkdir -p "$d"
    # shellcheck disable=SC2016
    { printf '#!/bin/sh\ncase ${1:-} in --version) echo "mlxk %s" ;; completion) echo "# completes in $2" ;;\nwait) echo $$ > "$2"; while [ ! -f "$3" ]; do sleep 0.1; done; echo %s > "$2" ;; esac; exit 0\n' "$1" "$1"
      awk 'BEGIN { for (i = 0; i < 3000; i++) print "# a line that takes room, as a program does" }'; } > "$d/mlxk-$1-$machine-linux"
    sed 's/^# a line/# another/' "$d/mlxk-$1-$machine-linux" > "$d/mlxk-$1-$other-linux"
    echo ".TH MLXK 1 $1" > "$d/mlxk.1"
    (cd "$d" && sha256sum mlxk-* mlxk.1 > SHA256SUMS && rm -f SHA256SUMS.sig && ssh-keygen -q -Y sign -n file -f "$T/key" SHA256SUMS && mv SHA256SUMS.sig SHA256SUMS.sshsig) 2> "$T/sign"
}
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/key"; ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/wrong"
echo "releases $(cut -d' ' -f1,2 "$T/key.pub")" > "$T/signers"; echo "releases $(cut -d' ' -f1,2 "$T/wrong.pub")" > "$T/wrong.signers"
made 1.0.0; made 1.1.0
python3 tests/release/files.py "$T/web" "$T/port" & server=$!
trap 'kill $server 2>/dev/null' EXIT
tries=0; while [ ! -f "$T/port" ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
web=http://127.0.0.1:$(cat "$T/port")
hash_10=$(sha256sum < "$T/web/v1.0.0/mlxk-1.0.0-$machine-linux" | cut -d' ' -f1)
unset MLXK_INSTALL_URL

all() {
    sh_name=$1; shift
    p=$T/$sh_name
    # i ARGUMENTS...: the installer; refused NAME PATTERN: with these words, and no file is left in the place.
    i() { run "$sh_1" ${sh_2:+"$sh_2"} "$root/install.sh" --prefix "$p" "$@"; }
    sh_1=$1 sh_2=${2:-}
    refused() { if [ "$status" = 1 ] && grep -Eq "$2" "$T/err" && [ -z "$(find "$p" ! -type d 2>/dev/null)" ]; then echo "ok install/$sh_name/$1"; else echo "not ok install/$sh_name/$1"; echo "# status $status; left: $(find "$p" ! -type d 2>/dev/null)"; told; fi; }

    i --version 1.0.0 --url "$web/ok"; refused nothing_to_trust_in 'nothing says that these files are genuine'
    i --version 1.0.0 --url "$web/nosums" --key "$T/signers"; refused no_sums 'no SHA256SUMS'
    i --version 1.0.0 --url "$web/empty" --key "$T/signers"; refused empty_sums 'is empty'
    i --version 1.0.0 --url "$web/empty" --sha256 "$hash_10"; refused empty_sums_with_hash 'is empty'
    i --version 1.0.0 --url "$web/cut" --key "$T/signers"; refused cut_off 'Nothing was installed|nothing was installed'
    i --version 1.0.0 --url "$web/swap" --key "$T/signers"; refused other_machines_binary 'was promised'
    i --version 1.0.0 --url "$web/ok" --key "$T/wrong.signers"; refused wrong_key 'not signed by a key'
    i --version 1.0.0 --url "$web/ok" --sha256 "$(echo x | sha256sum | cut -d' ' -f1)"; refused wrong_hash 'SHA256SUMS says'
    i --version 9.9.9 --url "$web/ok" --key "$T/signers"; refused no_such_version 'no SHA256SUMS'
    i --version 1.0.0 --url "http://192.0.2.1" --key "$T/signers"; refused plain_http_elsewhere 'only https'
    i --version 1.0.0 --key "$T/signers"; refused no_source 'where from'
    i --url "$web/ok" --key "$T/signers"; refused no_version 'which version'
    i --version '1;touch x' --url "$web/ok"; refused strange_version 'letters, digits'
    rm -rf "$T/old"; mkdir "$T/old"; cp "$T/web/v1.0.0/"* "$T/old"
    i --version 1.1.0 --offline "$T/old" --key "$T/signers"; refused old_release_as_new 'exactly one line'
    rm "$T/old/SHA256SUMS.sshsig"; i --version 1.0.0 --offline "$T/old" --key "$T/signers"; refused no_signature 'has no signature'
    cp "$T/web/v1.0.0/SHA256SUMS.sshsig" "$T/old"; echo '# more' >> "$T/old/mlxk-1.0.0-$machine-linux"
    i --version 1.0.0 --offline "$T/old" --key "$T/signers"; refused changed_file 'was promised'
    (cd "$T/old" && sha256sum mlxk-* > SHA256SUMS); i --offline "$T/old" --key "$T/signers"; refused changed_sums 'not signed by a key'
    sed -i 's/^.*$/&\n&/' "$T/old/SHA256SUMS"; i --version 1.0.0 --offline "$T/old" --sha256 "$hash_10"; refused two_lines 'exactly one line'
    # (That shell is a hash tool itself.)
    if [ "$sh_name" != ash ]; then
    run env PATH="$T/bare" "$sh_1" ${sh_2:+"$sh_2"} "$root/install.sh" --prefix "$p" --version 1.0.0 --offline "$T/web/v1.0.0" --sha256 "$hash_10"
    refused no_hash_tool 'no tool here computes SHA-256'
    fi
    run "$sh_1" ${sh_2:+"$sh_2"} "$root/install.sh" --version 1.0.0 --offline "$T/web/v1.0.0" --sha256 "$hash_10" --prefix /proc/mlxk
    exits 1 "install/$sh_name/read_only"; says "install/$sh_name/read_only_hint" err '--prefix DIR'
    i --frobnicate; exits 2 "install/$sh_name/usage"
    i --dry-run --version 1.0.0 --url "$web/ok"; exits 0 "install/$sh_name/dry_run"; same "install/$sh_name/dry_run_writes_nothing" '' "$(find "$p" ! -type d 2>/dev/null)"

    i --version 1.0.0 --url "$web/ok" --key "$T/signers"; exits 0 "install/$sh_name/installs"
    same "install/$sh_name/runs" 'mlxk 1.0.0' "$("$p/bin/mlxk" --version)"
    same "install/$sh_name/completions" '# completes in fish' "$(cat "$p/share/fish/vendor_completions.d/mlxk.fish")"
    same "install/$sh_name/manual_page" '.TH MLXK 1 1.0.0' "$(cat "$p/share/man/man1/mlxk.1")"
    i --rollback; exits 1 "install/$sh_name/nothing_to_roll_back"
    # A program that runs keeps its file through upgrade and rollback.
    rm -f "$T/said" "$T/go"; "$p/bin/mlxk" wait "$T/said" "$T/go" & runs=$!
    i --version 1.1.0 --offline "$T/web/v1.1.0" --key "$T/signers"; exits 0 "install/$sh_name/upgrades_offline"
    same "install/$sh_name/upgraded" 'mlxk 1.1.0' "$("$p/bin/mlxk" --version)"
    i --version 1.0.0 --url "$web/cut" --key "$T/signers"; exits 1 "install/$sh_name/failed_upgrade"
    same "install/$sh_name/failed_upgrade_changes_nothing" 'mlxk 1.1.0' "$("$p/bin/mlxk" --version)"
    i --version 1.1.0 --offline "$T/web/v1.1.0" --key "$T/signers"; says "install/$sh_name/again" out 'already'
    i --rollback; exits 0 "install/$sh_name/rollback"
    same "install/$sh_name/rolled_back" 'mlxk 1.0.0 mlxk 1.1.0' "$("$p/bin/mlxk" --version) $("$p/bin/mlxk.prev" --version)"
    touch "$T/go"; wait $runs; same "install/$sh_name/who_runs_keeps_its_file" 1.0.0 "$(cat "$T/said")"
    i --suffix 2 --version 1.1.0 --url "$web/ok" --sha256 "$(sha256sum < "$T/web/v1.1.0/mlxk-1.1.0-$machine-linux" | cut -d' ' -f1)"
    same "install/$sh_name/side_by_side" '0 mlxk 1.0.0 mlxk 1.1.0' "$status $("$p/bin/mlxk" --version) $("$p/bin/mlxk2" --version)"
    i --uninstall; exits 0 "install/$sh_name/uninstall"
    same "install/$sh_name/the_other_stays" 'mlxk2' "$(ls -A "$p/bin")"
    i --suffix 2 --uninstall; same "install/$sh_name/nothing_is_left" '' "$(find "$p" ! -type d)"
    i --uninstall; exits 1 "install/$sh_name/uninstall_twice"
}

# Only what a small system has, and no tool that hashes.
mkdir "$T/bare"
for tool in sh dash bash cat cp mv ln rm mkdir mktemp chmod sed awk head find uname sync cut tr env; do
    at=$(command -v $tool) && ln -s "$(readlink -f "$at")" "$T/bare/$tool"
done
for shell in ${INSTALL_SHELLS:-sh}; do
    case $shell in busybox) mkdir "$T/busy"; ln -s "$(command -v busybox)" "$T/busy/ash"; all ash "$T/busy/ash" ;; *) all "$shell" "$(command -v "$shell")" ;; esac
done

# A script that arrives in part does nothing.
bad=0; size=$(wc -c < install.sh); n=200
while [ "$n" -lt "$size" ]; do
    head -c "$n" install.sh | sh -s -- --prefix "$T/part" --version 1.0.0 --url "$web/ok" --key "$T/signers" > /dev/null 2>&1 < /dev/null
    [ ! -e "$T/part" ] || { bad=1; echo "# $n bytes of it did something"; }
    n=$((n + 997))
done
ok $bad install/truncated_script
sh -s -- --prefix "$T/pipe" --version 1.0.0 --url "$web/ok" --key "$T/signers" < install.sh > /dev/null 2>&1
same install/from_a_pipe 'mlxk 1.0.0' "$("$T/pipe/bin/mlxk" --version)"
# The README's commands, as a stranger would type them: none of them fails, and at the end nothing is left.
hash_11=$(sha256sum < "$T/web/v1.1.0/mlxk-1.1.0-$machine-linux" | cut -d' ' -f1)
sed -n 's/^    \(sh install\.sh .*\)/\1/p' README.md | sed 's/   *.*$//; s/HASH [a-z].*$/HASH/' > "$T/typed"
bad=0; n=0
while read -r line; do
    n=$((n + 1)); v=1.0.0 h=$hash_10; if [ $n -gt 2 ]; then v=1.1.0 h=$hash_11; fi
    line=$(echo "$line" | sed "s|X\.Y\.Z|$v|; s|BASE|$web/ok|; s|HASH|$h|; s|FOLDER|$T/web/v$v|; s|SIGNERS|$T/signers|")
    HOME=$T/readme sh -c "$line" > "$T/out" 2> "$T/err" < /dev/null || { bad=1; echo "# $line"; told; }
    echo "$line: $("$T/readme/.local/bin/mlxk" --version 2>/dev/null)" >> "$T/went"
done < "$T/typed"
ok $bad install/readme_commands
same install/readme_upgrade_and_rollback 'mlxk 1.0.0,mlxk 1.0.0,mlxk 1.1.0,mlxk 1.0.0,mlxk 1.0.0,,' "$(sed 's/^.*: //' "$T/went" | tr '\n' ',')"
same install/readme_leaves_the_other mlxk2 "$(ls -A "$T/readme/.local/bin")"
[ "$(wc -l < install.sh)" -lt 200 ]; ok $? install/under_200_lines
