#!/bin/sh
# 49-deb.sh: the Debian package, for both architectures: made twice with the same bytes; installed, used, upgraded, removed
# and purged by dpkg in a system of its own (mmdebstrap makes it, from this machine's mirror; without one, or with DEB_OWN_ROOT=1, in a bare root);
# what lintian thinks; the unit for systemd. Installs mmdebstrap and lintian where it may.
set -u
. tests/tap.sh
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get -qq update > "$T/apt" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mmdebstrap lintian >> "$T/apt" 2>&1
fi
if ! command -v dpkg-deb > /dev/null; then echo "ok deb/made # SKIP no dpkg here"; exit 0; fi
mkdir "$T/pages" "$T/two"
python3 src/tools/release/man.py "$MLXK" > "$T/pages/mlxk.1"
for shell in bash zsh fish; do "$MLXK" completion $shell > "$T/pages/mlxk.$shell"; done

# deb OUT [PROGRAM] [NUMBER]: prints the package's path.
deb() { SOURCE_DATE_EPOCH=1700000000 python3 src/tools/deb.py --program "${2:-$MLXK}" --pages "$T/pages" --out "$1" ${3:+--number "$3"}; }
package=$(deb "$T/one"); [ -f "$package" ]; ok $? deb/made
cp "$MLXK" "$T/program"; cp -r "$T/pages" "$T/pages2"; touch -d 2001-01-01 "$T/program" "$T"/pages2/*
again=$(umask 077; cd "$T" && SOURCE_DATE_EPOCH=1700000000 TZ=Pacific/Apia LC_ALL=C python3 "$OLDPWD/src/tools/deb.py" --program program --pages pages2 --out two)
cmp "$package" "$T/$again"; ok $? deb/same_bytes_again
dpkg-deb --info "$package" > "$T/info" && dpkg-deb --contents "$package" > "$T/list"; ok $? deb/dpkg_reads_it
[ "$(awk '{ print $2 }' "$T/list" | sort -u)" = root/root ]; ok $? deb/everything_is_roots
grep -qE '^-rwxr-xr-x .* \./usr/bin/mlxk$' "$T/list"; ok $? deb/program_is_there
! grep -vE ' \./(etc|usr|)(/.*)?$' "$T/list" | grep .; ok $? deb/only_etc_and_usr
# The other architecture: same scripts and pages, its own name.
for target in x86_64:amd64 aarch64:arm64; do
    file=build/${target%:*}-linux-musl/mlxk
    if [ ! -f "$file" ]; then ./build.sh "${target%:*}-linux" > "$T/build.log" 2>&1 || { ok 1 "deb/builds_${target#*:}"; continue; }; fi
    other=$(deb "$T/both" "$file")
    same "deb/architecture_${target#*:}" "${target#*:}" "$(dpkg-deb -f "$other" Architecture)"
    dpkg-deb --fsys-tarfile "$other" | tar -xOf - ./usr/bin/mlxk | cmp -s - "$file"; ok $? "deb/program_of_${target#*:}"
done
# Numbers in dpkg's own order.
before=
for number in 0.2.0-dev 0.2.0.dev20260102 0.2.0.dev20260103 0.2.0-alpha.2 0.2.0-beta.1 0.2.0-rc.1 0.2.0-rc.10 0.2.0 0.2.1-dev; do
    now=$(dpkg-deb -f "$(deb "$T/n" "$MLXK" $number)" Version)
    if [ -n "$before" ]; then dpkg --compare-versions "$before" lt "$now"; ok $? "deb/order_$number"; fi
    before=$now
done
if command -v lintian > /dev/null; then
    # Static on purpose; no bug to close; the maintainers have no address yet.
    lintian --allow-root "$package" 2> /dev/null | grep -vE 'shared-library-lacks-prerequisites|initial-upload-closes-no-bugs|bogus-mail-host|statically-linked-binary' > "$T/lintian"
    [ ! -s "$T/lintian" ]; ok $? deb/lintian; sed 's/^/# /' "$T/lintian"
else echo "ok deb/lintian # SKIP no lintian"; fi

# ---- a system of its own ------------------------------------------------------------------------------
root=$T/root kind=own
if [ -z "${DEB_OWN_ROOT:-}" ] && [ "$(id -u)" = 0 ] && command -v mmdebstrap > /dev/null &&
    mmdebstrap --quiet --variant=essential --include=passwd bookworm "$root" > "$T/strap" 2>&1; then kind=debian
elif [ "$(id -u)" = 0 ]; then chmod -R u+rwX "$root" 2> /dev/null; rm -rf "$root"; mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"; : > "$root/var/lib/dpkg/status"
else echo "ok deb/installed # SKIP not root"; exit 0; fi
echo "# a system of kind: $kind"
look() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache \) -prune -o -print | sort); }
look > "$T/before"
in_root() { if [ $kind = debian ]; then chroot "$root" "$@"; else "$root$1" "$2"; fi; }
dpkg_in() { if [ $kind = debian ]; then cp "$package" "$root/p.deb" 2> /dev/null; chroot "$root" dpkg "$@"; else dpkg --root="$root" --force-script-chrootless "$@"; fi; }
where() { if [ $kind = debian ]; then echo /p.deb; else echo "$package"; fi; }
run dpkg_in -i "$(where)"; exits 0 deb/installed
run in_root /usr/bin/mlxk --version; exits 0 deb/runs; same deb/tells_its_version "$("$MLXK" --version)" "$(cat "$T/out")"
for name in mlxk-json mlxk2 mlx-run; do [ -x "$root/usr/bin/$name" ]; ok $? "deb/$name"; done
run dpkg_in -V mlxk; exits 0 deb/dpkg_verifies; same deb/nothing_differs '' "$(cat "$T/out")"
if [ $kind = debian ]; then
    run chroot "$root" getent passwd mlxk; says deb/account out ':/var/lib/mlxk:/usr/sbin/nologin$'
    gzip -dc "$root/usr/share/man/man1/mlxk.1.gz" | grep -q '^\.TH MLXK 1'; ok $? deb/manual_page
    bash -n "$root/usr/share/bash-completion/completions/mlxk"; ok $? deb/completion
    # It serves as that account, from an empty network of its own.
    mkdir -p "$root/var/lib/mlxk/huggingface"
    run chroot "$root" sh -c 'mlxk doctor --json > /tmp/doctor; test -s /tmp/doctor'; exits 0 deb/doctor; rm -f "$root/tmp/doctor"
fi
# An upgrade keeps what an administrator changed.
echo '# mine' >> "$root/etc/default/mlxk-mirror"
package=$(deb "$T/next" "$MLXK" 99.0.0)
run dpkg_in --force-confold -i "$(where)"; exits 0 deb/upgraded
grep -q '^# mine$' "$root/etc/default/mlxk-mirror"; ok $? deb/settings_are_kept
same deb/new_number 99.0.0-1 "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' mlxk)"
mkdir -p "$root/var/lib/mlxk/huggingface/hub"; echo weights > "$root/var/lib/mlxk/huggingface/hub/model"
run dpkg_in -r mlxk; exits 0 deb/removed
[ ! -e "$root/usr/bin/mlxk" ] && [ -e "$root/etc/default/mlxk-mirror" ]; ok $? deb/removed_but_for_settings
run dpkg_in -P mlxk; exits 0 deb/purged
same deb/models_stay weights "$(cat "$root/var/lib/mlxk/huggingface/hub/model")"
rm -rf "$root/var/lib/mlxk" "$root/p.deb"; look > "$T/after"
diff "$T/before" "$T/after" | grep '^>' | grep -vE '^> \./(etc/(passwd|group|shadow|gshadow|sub[ug]id)-?|etc/default|etc|etc/\.pwd\.lock)$' > "$T/left"
[ ! -s "$T/left" ]; ok $? deb/nothing_is_left; sed 's/^/# /' "$T/left"

# ---- the unit --------------------------------------------------------------------------------------------
if command -v systemd-analyze > /dev/null; then
    sed "s|/usr/bin/mlxk|$MLXK|; /^Documentation/d" docs/packaging/systemd/mlxk-mirror.service > "$T/mlxk-mirror.service"
    run systemd-analyze verify "$T/mlxk-mirror.service"; exits 0 deb/unit_is_valid; same deb/unit_without_a_word '' "$(cat "$T/out" "$T/err")"
    # The program asks for quotas (quotactl) where it fetches: that may fail, and must not end it.
    grep -qx 'SystemCallErrorNumber=EPERM' "$T/mlxk-mirror.service"; ok $? deb/a_refused_call_is_an_answer
    run systemd-analyze security --offline=true --threshold=20 "$T/mlxk-mirror.service"; exits 0 deb/unit_is_closed
    run systemd-analyze security --offline=true --threshold=5 "$T/mlxk-mirror.service"; exits 1 deb/the_measure_measures
else echo "ok deb/unit_is_valid # SKIP no systemd-analyze"; fi
