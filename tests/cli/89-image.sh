#!/bin/sh
# `image build`: layouts that are what the specification says, the same bytes whenever and wherever they are made, and
# programs that do not belong together refused. What real tools say of it is in tests/long/89-image-tools.sh.
. tests/tap.sh
python3 tests/cli/release_bundle.py "$T/b" > "$T/row"
amd=$T/b/mlxk-1.2.3-x86_64-linux arm=$T/b/mlxk-1.2.3-aarch64-linux
build() { run "$MLXK" image build "$@"; }
judge() { python3 tests/cli/image_judge.py "$@" > "$T/judge" 2>&1; }

build "oci:$T/one" --program "$amd" --program "$arm"; exits 0 image/build; says image/tag out "^oci:$T/one:client-1\.2\.3$"
judge "$T/one" client-1.2.3 "$T/root"; ok $? image/as_specified; grep -v '^sha256' "$T/judge" | tail -n 1 | sed 's/^/# /'
same image/both_platforms "$(sed -n 2p "$T/out") amd64 arm64" "$(cat "$T/judge")"
cmp -s "$T/root/mlxk" "$amd" || cmp -s "$T/root/mlxk" "$arm"; ok $? image/the_program_is_in_it
build "oci-archive:$T/one.tar" --program "$amd" --program "$arm"; exits 0 image/archive
judge "$T/one.tar" client-1.2.3 -; ok $? image/archive_as_specified
(cd "$T" && umask 077 && TZ=Asia/Tokyo HOME=/nowhere "$MLXK" image build oci-archive:two.tar --program b/mlxk-1.2.3-x86_64-linux --program b/mlxk-1.2.3-aarch64-linux > /dev/null)
cmp -s "$T/one.tar" "$T/two.tar"; ok $? image/the_same_bytes_elsewhere
build "oci-archive:$T/one.tar" --flavour engine --program "$amd" --program "$arm"; exits 0 image/two_flavours_in_one
judge "$T/one.tar" engine-1.2.3 - && judge "$T/one.tar" client-1.2.3 -; ok $? image/both_are_there
build "oci:$T/doc:v1" --program "$amd" --source https://example.org/src --json; json image/document 'x["platforms"] == ["linux/amd64"] and x["target"].endswith(":v1") and x["flavour"] == "client"'
run "$MLXK" copy "oci:$T/one:client-1.2.3" "oci-archive:$T/copy.tar:c"; exits 0 image/copied
judge "$T/copy.tar" c -; ok $? image/copied_whole
run "$MLXK" inspect "oci:$T/one:client-1.2.3"; exits 0 image/inspected

build "oci:$T/x" --program "$amd" --program "$amd"; exits 1 image/same_machine_twice; says image/same_machine_twice_says err 'same kind of machine'
build "oci:$T/x" --program "$T/b/mlxk-1.2.3-aarch64-macos"; exits 1 image/no_macos; says image/no_macos_says err 'static programs for Linux'
build "oci:$T/x" --program /bin/sh; exits 1 image/another_program; says image/another_program_says err 'no build facts'
python3 tests/cli/release_bundle.py "$T/o" version=1.2.4 > "$T/row"
build "oci:$T/x" --program "$amd" --program "$T/o/mlxk-1.2.3-aarch64-linux"; exits 1 image/other_version; says image/other_version_says err 'another version'
build "oci:$T/x" --program "$T/none"; exits 1 image/no_program
build registry.example.org/mlxk --program "$amd"; exits 1 image/no_registry; says image/no_registry_says err 'mlxk copy oci:DIR'
build "oci:$T/x" --flavour other --program "$amd"; exits 2 image/flavours
run "$MLXK" image make "oci:$T/x"; exits 2 image/actions
[ ! -e "$T/x" ]; ok $? image/refused_leaves_nothing
python3 tests/cli/release_bundle.py "$T/d" version=0.1.0-dev+gabc.dirty > "$T/row"
build "oci:$T/dev" --program "$T/d/mlxk-1.2.3-x86_64-linux"; exits 0 image/dev; says image/dev_tag out ':client-0\.1\.0-dev-gabc\.dirty$'

# This program itself, alone in a root of its own: no loader, no libc, no shell, and not as root.
if [ "$(id -u)" = 0 ] && "$MLXK" version --of "$MLXK" | grep -q '^target  *[a-z0-9_]*-linux-musl$'; then
    build "oci:$T/self:s" --program "$MLXK"; exits 0 image/self
    rm -rf "$T/root"; judge "$T/self" s "$T/root"; ok $? image/self_as_specified
    chmod 755 "$T" "$T/root"
    alone() { run env -i HOME=/models HF_HOME=/models SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$(command -v unshare)" -n "$(command -v chroot)" --userspec=65532:65532 "$T/root" /mlxk "$@"; }
    alone --version; exits 0 image/runs_alone; same image/runs_alone_says "$("$MLXK" --version)" "$(cat "$T/out")"
    alone list --json; exits 0 image/list_alone
    alone doctor --json; json image/trusts_the_roots_inside "[int(r['value']) > 100 and r['from'] for r in x['checks'] if r['name'] == 'trusted roots'] == ['SSL_CERT_FILE']"
    alone pull o/nothing; exits 1 image/no_network_is_said
else echo "ok image/self # SKIP needs root and a static program"; fi
