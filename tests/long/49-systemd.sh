#!/bin/sh
# 49-systemd.sh: the unit of the Debian package under a systemd that runs: a Debian of its own (mmdebstrap makes it from this machine's
# mirror) whose first process is systemd, in namespaces of its own. The mirror starts, answers, comes back when it was
# killed, reads its settings, writes nowhere, and is stopped when the package goes.
set -u
. tests/tap.sh
skipped() { echo "ok systemd/runs # SKIP $1"; exit 0; }
[ "$(id -u)" = 0 ] || skipped "only root makes systems"
if command -v apt-get > /dev/null; then
    apt-get -qq update > "$T/apt" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mmdebstrap >> "$T/apt" 2>&1
fi
for tool in mmdebstrap unshare nsenter pivot_root curl dpkg; do command -v $tool > /dev/null || skipped "no $tool here"; done
root=$T/root
mmdebstrap --quiet --variant=essential --include=passwd,systemd,systemd-sysv,dbus bookworm "$root" > "$T/strap" 2>&1 || skipped "no mirror of Debian can be reached"
mkdir "$T/pages"
python3 src/tools/release/man.py "$MLXK" > "$T/pages/mlxk.1"
for shell in bash zsh fish; do "$MLXK" completion $shell > "$T/pages/mlxk.$shell"; done
deb() { cp "$(SOURCE_DATE_EPOCH=1700000000 python3 src/tools/deb.py --program "$MLXK" --pages "$T/pages" --out "$T/deb" --number "$1")" "$root/p.deb"; }
deb 1.0.0
run chroot "$root" dpkg -i /p.deb; exits 0 systemd/installed

# What a container engine does for its first process, as far as systemd wants it.
cat > "$T/boot" <<'BOOT'
root=$1
mount --make-rprivate / && mount --bind "$root" "$root" && mount -t proc proc "$root/proc" || exit 1
mount --bind "$root/proc/sys" "$root/proc/sys" && mount -o remount,bind,ro "$root/proc/sys" || exit 1
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 cgroup "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup "$root/sys/fs/cgroup" || exit 1
mount -t tmpfs -o mode=755 run "$root/run"; mount -t tmpfs tmp "$root/tmp"; mount -t tmpfs -o mode=755 dev "$root/dev"
for d in null zero full random urandom tty; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"; ln -s pts/ptmx "$root/dev/ptmx"
cd "$root" && mkdir -p mnt && pivot_root . mnt && umount -l /mnt || exit 1
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=false
BOOT
groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -z "$groups" ] || ! mkdir "$groups/mlxk-test.$$" 2> /dev/null; then skipped "no cgroup2 to write to"; fi
sh -c 'echo $$ > "$0/cgroup.procs" && exec unshare -m -p -f -u -i -C -n sh "$1" "$2"' "$groups/mlxk-test.$$" "$T/boot" "$root" > "$T/boot.log" 2>&1 & outer=$!
first=
done_with_it() {
    [ -z "$first" ] || kill -9 "$first" 2> /dev/null
    kill "$outer" 2> /dev/null; wait "$outer" 2> /dev/null
    tries=0; while ! rmdir "$groups/mlxk-test.$$"/*/* "$groups/mlxk-test.$$"/* "$groups/mlxk-test.$$" 2> /dev/null && [ -d "$groups/mlxk-test.$$" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
}
trap done_with_it EXIT
in_it() { nsenter -t "$first" -m -p -u -i -n -C -r -w "$@"; }
get() { nsenter -t "$first" -n curl -s -m 10 "$@"; }
# until SECONDS COMMAND...: true as soon as it is.
until_true() { left=$(($1 * 5)); shift; while ! "$@" > /dev/null 2>&1; do left=$((left - 1)); [ $left -gt 0 ] || return 1; sleep 0.2; done; }
child() { first=$(tr -d ' ' < "/proc/$outer/task/$outer/children"); [ -n "$first" ] && [ "$(cat "/proc/$first/comm")" = systemd ]; }
until_true 60 child || { sed 's/^/# /' "$T/boot.log"; skipped "this machine lets no systemd be a first process"; }
up() { case $(in_it systemctl is-system-running) in running | degraded) ;; *) false ;; esac; }
until_true 120 up; ok $? systemd/is_up
healthy() { [ "$(get http://127.0.0.1:8090/health)" = '{"status":"ok"}' ]; }
main() { in_it systemctl show -P MainPID mlxk-mirror; }

run in_it systemctl is-enabled mlxk-mirror; says systemd/not_enabled_unasked out '^disabled'
run in_it systemctl is-active mlxk-mirror; says systemd/not_started_unasked out '^inactive'
run in_it systemctl enable --now mlxk-mirror; exits 0 systemd/started
until_true 60 healthy; ok $? systemd/answers
pid=$(main)
same systemd/its_own_account "mlxk mlxk" "$(in_it stat -c '%U %G' "/proc/$pid")"
run in_it grep "^CapEff:" "/proc/$pid/status"; says systemd/no_capabilities out "^CapEff:	0*\$"
run in_it grep -E '^(NoNewPrivs|Seccomp):' "/proc/$pid/status"; says systemd/no_new_privileges out '^NoNewPrivs:	1'; says systemd/calls_are_filtered out '^Seccomp:	2'
in_it sh -c "kill -9 $pid"
comes_back() { now=$(main) && [ "$now" != 0 ] && [ "$now" != "$pid" ] && healthy; }
until_true 60 comes_back; ok $? systemd/comes_back_when_killed

# A model that the account fetched is served; settings are read; keys are asked for.
tiny "$T/m"; HF_HOME=$root/var/lib/mlxk/huggingface "$MLXK" import "$T/m" --name o/m --quiet > /dev/null
chroot "$root" chown -R mlxk:mlxk /var/lib/mlxk/huggingface
mkdir -p "$root/etc/mlxk"; echo secret-of-the-test > "$root/etc/mlxk/keys"; chroot "$root" chown root:mlxk /etc/mlxk/keys; chmod 640 "$root/etc/mlxk/keys"
sed -i 's|^MLXK_MIRROR_OPTIONS=.*|MLXK_MIRROR_OPTIONS=--host 0.0.0.0 --key-file /etc/mlxk/keys|' "$root/etc/default/mlxk-mirror"
run in_it systemctl restart mlxk-mirror; exits 0 systemd/restarted
until_true 60 healthy; ok $? systemd/answers_again
same systemd/asks_for_the_key 401 "$(get -o /dev/null -w '%{http_code}' http://127.0.0.1:8090/api/models/o/m)"
same systemd/serves_with_the_key 200 "$(get -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer secret-of-the-test' http://127.0.0.1:8090/api/models/o/m)"
run in_it journalctl -u mlxk-mirror --no-pager; says systemd/journal_has_it out 'serving 1 repositor'
# An upgrade leaves it to the administrator, a removal stops it, what it served stays.
pid=$(main); deb 2.0.0; run in_it dpkg -i --force-confold /p.deb; exits 0 systemd/upgraded; same systemd/still_runs "$pid" "$(main)"
run in_it dpkg -r mlxk; exits 0 systemd/removed
run in_it systemctl is-active mlxk-mirror; says systemd/stopped_with_its_program out '^(inactive|failed|unknown)'
! healthy; ok $? systemd/answers_nobody
[ -e "$root/var/lib/mlxk/huggingface/hub/models--o--m" ]; ok $? systemd/models_stay
