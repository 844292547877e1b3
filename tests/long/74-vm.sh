#!/bin/sh
# 74-vm.sh: what this machine's kernel has not: a Debian kernel boots in an emulated machine (qemu; no KVM, no network, no disk).
# Its memory holds ext4 and XFS with quotas of users, groups and projects, FAT and exFAT, and an NFS server with two clients
# (v4.2, v3 without locks, and both where root is nobody). This file is both halves: outside it makes the system (mmdebstrap, from this machine's mirror) and boots it, and as
# process 1 in there it makes the tests. VM_ROOT=DIR keeps that system for the next time; VM_ONLY=quota|ext4|xfs|names|nfs makes a part.
# shellcheck disable=SC2016      # what another user runs is run by another shell
set -u

# ---- inside: words ------------------------------------------------------------------------------------
bytes() { wget -q -O - "$HF_ENDPOINT/metrics" | sed -n 's/^mlxk_http_response_bytes_total //p'; }
idle() { for _ in $(seq 600); do if wget -q -O - "$HF_ENDPOINT/metrics" | grep -q '^mlxk_http_in_flight 1$'; then return 0; fi; sleep 0.1; done; return 1; }
begins() { idle; base=$(bytes); }
sent() { idle; echo $(($(bytes) - base)); }
until_sent() { for _ in $(seq 1200); do if [ $(($(bytes) - base)) -ge "$1" ]; then return 0; fi; sleep 0.05; done; return 1; }
until_there() { for _ in $(seq 1200); do if eval "$1"; then return 0; fi; sleep 0.05; done; return 1; }
check() { name=$1; shift; if "$@"; then echo "ok $where: $name"; else echo "not ok $where: $name"; echo "# $*"; sed 's/^/# err: /' /tmp/err /tmp/out | head -n 6; fi; }
as() { setpriv --reuid="$who" --regid="$who" --clear-groups "$@"; }        # who: 0 or 1001
run() { as env HOME="$home" HF_HOME="$home/hf" mlxk "$@" > /tmp/out 2> /tmp/err < /dev/null; status=$?; }
succeeds() { name=$1; shift; run "$@"; check "$name" test "$status" = 0; }
refused() { name=$1 pattern=$2; shift 2; run "$@"; check "$name" test "$status" = 1; check "$name: says why" grep -Eq "$pattern" /tmp/err; }
few() { check "$1" test "$(sent)" -lt 100000; }
no_model() { check "$1" test ! -e "$home/hf/hub/models--o--$2"; }
filled() { as sh -c 'dd if=/dev/zero of="$1" bs=1M count="$2" 2> /dev/null' fill "$1" "$2"; }

# ---- inside: a folder that holds 20 MiB by some quota ---------------------------------------------------
# quota KIND MORE: all that writes, in $home, where `limit KIB` sets the quota. $by: how a refusal names it.
quota() {
    where="$1 quota" by=$2
    mkdir "$home" && chown $who:$who "$home"
    limit 20480
    begins
    refused "pull of too much" "48.0MB are still to come, and .* free$by" pull o/large
    few "nothing is downloaded for that"
    no_model "nothing is left of it" large
    refused "so a dry run says" "still to come" pull o/large --dry-run
    refused "--require-free counts the quota" "must stay free" pull o/shards --require-free 15M
    succeeds "pull of what there is room for" pull o/shards
    run doctor; check "doctor tells the room" grep -Eq "^(ok|bad|warn) .*(quota|free) .* of 2[01]\.[0-9]MB" /tmp/out
    run gc --until-free 15M; check "gc --until-free counts the quota" grep -q "^1 could go" /tmp/out

    # too much from elsewhere: a folder to import, a bundle, a copy, an export
    refused "import of a bundle" "48.0MB are still to come, and .* free$by" import /tmp/large.tar
    no_model "nothing is left of that" large
    refused "import of a folder" "free$by" import /tmp/large --name me/large
    check "nothing is left of that one" test ! -e "$home/hf/hub/models--me--large"
    filled "$home/filler" 5
    refused "clone of too much" "still to be copied, and .* free$by" clone o/shards "$home/copy"
    check "no copy stays" test ! -e "$home/copy"
    refused "export of too much" "the bundle takes 9.0MB, and .* free$by" export o/shards -o "$home/shards.tar"
    check "no part of it stays" test -z "$(find "$home" -name "shards.tar*")"
    rm -f "$home/filler"
    succeeds "export of what there is room for" export o/shards -o "$home/shards.tar"
    rm -f "$home/shards.tar"

    used_up
    rm -rf "$home"
    limit 0
}

# used_up: in the middle, by another writer. What the disk has is kept, and the next run goes on from there. (ext4 may lose pieces of 2 MB.)
used_up() {
    limit 71680
    begins
    as env HOME="$home" HF_HOME="$home/hf" mlxk pull o/large --limit-rate 8M > /tmp/out 2> /tmp/err < /dev/null & pid=$!
    until_sent "${1:-4000000}"
    limit 1024          # as if the others' files had filled it
    wait $pid; status=$?
    first=$(sent) how=$(head -n 1 /tmp/err)
    check "a quota that is used up in the middle" sh -c "[ $status = 1 ] && grep -Eq 'quota|No space|are free' /tmp/err || [ $status = 0 ]"
    echo "# $how; $first sent, $(find "$home" -name '*.incomplete' -exec du -k {} + | cut -f 1 | tr '\n' ' ')KiB kept"
    limit 71680
    echo 3 > /proc/sys/vm/drop_caches
    begins
    succeeds "with room again it goes on" pull o/large
    check "from where it was ($first, then $(sent))" test $(($(sent) + first)) -lt 72000000
    echo 3 > /proc/sys/vm/drop_caches
    run verify; check "every byte is right" test "$status" = 0
    check "no reserved room is kept" test "$(find "$home" -name '*.incomplete' | wc -l)" = 0
}

quotas_ext4() {
    truncate -s 400M /mnt/ext4 && mkfs.ext4 -q -O quota,project -E quotatype=usrquota:grpquota:prjquota /mnt/ext4 &&
        mount -o loop,usrquota,grpquota,prjquota /mnt/ext4 /disk; check "ext4 with quotas is mounted" test "$?" = 0
    home=/disk/u who=1001
    limit() { setquota -u 1001 0 "$1" 0 0 /disk; }
    quota "ext4 user" " by your quota"
    limit() { setquota -g 1001 0 "$1" 0 0 /disk; }
    quota "ext4 group" " by your group's quota"
    limit() { if [ ! -e "$home/hf" ]; then chattr -p 7 +P "$home"; fi; setquota -P 7 0 "$1" 0 0 /disk; } 2> /dev/null
    quota "ext4 project" ""
    for i in 1 2 3 4 5; do
        where="ext4 project quota, time $i"
        mkdir "$home" && chown $who:$who "$home"
        limit 71680
        used_up $((i * 8000000))
        rm -rf "$home"
    done
    limit 0

    where="ext4 limits"
    mkdir "$home" && chown $who:$who "$home"
    setquota -u 1001 5000 20480 0 0 /disk; setquota -t 1000 1000 /disk
    succeeds "a soft limit may be passed" pull o/shards
    run doctor; check "doctor tells it, and until when" grep -Eq "warn .*quota .* 5.1MB used, allowed until 20" /tmp/out
    setquota -T -u 1001 1 1 /disk; sleep 2
    refused "when its grace has run out it holds" "0 B free by your quota|0B free by your quota| by your quota" pull o/model
    run doctor; check "and doctor says that it is used up" grep -Eq "bad .*quota .* 5.1MB used" /tmp/out
    setquota -u 1001 0 0 0 40 /disk
    refused "a limit of files" "quota" pull o/many
    setquota -u 1001 0 0 0 0 /disk
    succeeds "without it all is well" pull o/many
    run verify; check "and right" test "$status" = 0
    umount /disk
}

quotas_xfs() {
    truncate -s 400M /mnt/xfs && mkfs.xfs -q /mnt/xfs && mount -o loop,uquota,gquota,pquota /mnt/xfs /disk; check "XFS with quotas is mounted" test "$?" = 0
    home=/disk/u who=1001
    limit() { xfs_quota -x -c "limit bhard=${1}k 1001" /disk; }
    quota "XFS user" " by your quota"
    limit() { xfs_quota -x -c "limit -g bhard=${1}k 1001" /disk; }
    quota "XFS group" " by your group's quota"
    limit() { if [ ! -e "$home/hf" ]; then xfs_quota -x -c "project -s -p $home 7" /disk > /dev/null; fi; xfs_quota -x -c "limit -p bhard=${1}k 7" /disk; }
    quota "XFS project" ""
    where="XFS default limit"
    xfs_quota -x -c 'limit -d bhard=20m' /disk
    mkdir "$home"; who=0
    succeeds "it does not bind root" pull o/large
    rm -rf "$home"
    mkdir "$home"; chown 1002:1002 "$home"; who=1002
    refused "it binds everybody else" "quota" pull o/large
    umount /disk
}

# ---- inside: NFS ----------------------------------------------------------------------------------------
# A client of its own: another network, another name of the machine.
client() { nsenter --net="/run/netns/$1" unshare --uts sh -c 'hostname "$1"; shift; "$@"' client "$@"; }
nfs_server() {
    truncate -s 200M /mnt/served && mkdir -p /served /m1 /m2 && mkfs.ext4 -q -m 0 /mnt/served && mount -o loop /mnt/served /served && chmod 1777 /served
    mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/v4recovery /run/rpcbind /etc/exports.d; : > /var/lib/nfs/state; : > /var/lib/nfs/etab; : > /var/lib/nfs/rmtab
    printf '_rpc:x:101:65534::/run/rpcbind:/bin/false\nstatd:x:102:65534::/var/lib/nfs:/bin/false\n' >> /etc/passwd
    chown 102 /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/state
    echo '/served *(rw,no_root_squash,insecure,no_subtree_check,fsid=1)' > /etc/exports
    for m in nfsd nfs nfsv3 nfsv4 veth; do modprobe $m; done
    mount -t nfsd none /proc/fs/nfsd
    echo 10 > /proc/fs/nfsd/nfsv4leasetime; echo 10 > /proc/fs/nfsd/nfsv4gracetime
    timeout 30 rpcbind -w && timeout 30 rpc.statd --no-notify && exportfs -ra && timeout 60 rpc.nfsd 4 && timeout 30 rpc.mountd
    for i in 1 2; do
        ip netns add c$i && ip link add s$i type veth peer name e$i netns c$i && ip addr add 10.1.$i.1/24 dev s$i && ip link set s$i up &&
            ip -n c$i addr add 10.1.$i.2/24 dev e$i && ip -n c$i link set e$i up
    done
}
left() { find /m1/hf/hub \( -name '*.incomplete' -o -name '*.lease*' -o -name '*.map' -o -name '.nfs*' -o -name '*.links' -o -name '*.names' \) -print; }
with_room() { HOME=/ HF_HOME="$1/hf" mlxk pull o/large --limit-rate 12M > "$2" 2>&1 < /dev/null; }

# nfs KIND MOST: /m1 and /m2 are two clients. MOST: bytes that two of them may fetch; where locks end at the client each fetches it.
nfs() {
    where=$1 home=/m1 who=0 most=$2
    begins
    with_room /m1 /tmp/one & one=$!
    with_room /m2 /tmp/two & two=$!
    wait $one; first=$?; wait $two; second=$?
    cat /tmp/one /tmp/two > /tmp/err
    check "two clients at the same time succeed" test "$first$second" = 00
    check "no more is fetched than locks allow ($(sent))" test "$(sent)" -lt "$most"
    for home in /m1 /m2; do run verify; check "every byte is right at $home" test "$status" = 0; done
    exec 9< "$(echo /m1/hf/hub/models--o--large/blobs/3b*)"
    home=/m1; run rm o/large --force; check "a model that is still read here is removed, or who reads it is to end" sh -c "[ $status = 0 ] || grep -q 'a program still uses it' /tmp/err"
    run list; check "and is gone" sh -c '! grep -q o/large /tmp/out'
    echo "# left while it is read: $(find /m1/hf/hub -name '.nfs*' | tr '\n' ' ')"
    run doctor; echo "# doctor: $(head -n 2 /tmp/err | tr '\n' ' ')"
    exec 9<&-
    check "nothing of it stays" sh -c '[ -z "$(find /m1/hf/hub -name ".nfs*")" ]'
    rm -rf /m1/hf

    begins
    with_room /m1 /tmp/one & one=$!
    with_room /m2 /tmp/two & two=$!
    until_sent 8000000
    kill -9 "$(pgrep -f 'mlxk pull' | head -n 1)" 2> /dev/null
    wait $one; first=$?; wait $two; second=$?
    cat /tmp/one /tmp/two > /tmp/err
    check "one of two is killed, the other one finishes ($first $second)" test "$first" = 0 -o "$second" = 0
    check "and does not begin anew ($(sent))" test "$(sent)" -lt $((most + 10000000))
    for home in /m1 /m2; do run verify; check "after that every byte is right at $home" test "$status" = 0; done
    rm -rf /m1/hf

    begins
    with_room /m1 /tmp/err & one=$!
    until_sent 16000000
    kill -9 "$(pgrep -f 'mlxk pull' | head -n 1)" 2> /dev/null
    wait $one
    home=/m2; succeeds "alone, killed, and the other client goes on" pull o/large
    check "from where it was ($(sent))" test "$(sent)" -lt 66000000
    run gc --yes --older-than 0d; check "gc" test "$status" = 0
    for home in /m1 /m2; do run verify; check "leaves every byte right at $home" test "$status" = 0; done
    check "and nothing else ($(left))" test -z "$(left)"
    rm -rf /m1/hf

    begins
    with_room /m1 /tmp/err & one=$!
    until_sent 8000000
    dd if=/dev/zero of=/served/filler bs=1M 2> /dev/null
    wait $one; first=$?
    check "no room on the server, in the middle ($first)" sh -c "[ $first = 0 ] || grep -Eq 'No space|are free' /tmp/err"
    echo "# $(head -n 1 /tmp/err) $(sent)"
    rm -f /served/filler
    home=/m1; succeeds "with room again it goes on" pull o/large
    echo "# in all $(sent)"
    echo 3 > /proc/sys/vm/drop_caches
    for home in /served /m2; do run verify; check "and every byte is right at $home" test "$status" = 0; done
    rm -rf /m1/hf
}

nfs_all() {
    where="NFS server"
    nfs_server > /tmp/out 2>&1
    check "it serves" until_there 'timeout 20 mount -t nfs -o vers=4.2 127.0.0.1:/served /m1 2> /tmp/err && umount /m1'
    mounts() {
        umount /m1 /m2 2> /dev/null
        for i in 1 2; do client c$i mount -t nfs -o "$1" 10.1.$i.1:/served /m$i > /tmp/out 2> /tmp/err; check "client $i mounts $1" test $? = 0; done
    }
    mounts vers=4.2
    nfs "NFS v4.2" 50100000
    mounts vers=3,nolock
    nfs "NFS v3 without locks" 98200000

    # root is nobody, and what was there belongs to somebody else
    where="root_squash"
    sed -i s/no_root_squash/root_squash/ /etc/exports && exportfs -ra; check "the server takes root for nobody" test $? = 0
    mounts vers=4.2
    nfs "NFS v4.2, root_squash" 50100000
    mounts vers=3,nolock
    nfs "NFS v3 without locks, root_squash" 98200000
    where="root_squash, files of another"
    home=/m1; run pull o/model; check "a model is pulled" test "$status" = 0
    check "all of it is nobody's" test -e /served/hf -a -z "$(find /served/hf ! -user 65534)"
    chown -R 1001:65534 /served/hf; find /served/hf -type d -exec chmod 2775 {} +; find /served/hf -type f -exec chmod 664 {} +
    succeeds "into folders of another user" pull o/shards
    succeeds "and what it lacks of another's" pull o/many
    run verify; check "all is right" test "$status" = 0
    run gc --yes --older-than 0d; check "gc" test "$status" = 0
    succeeds "rm of what is another's" rm o/model --force
    run list; check "is gone" sh -c '! grep -q o/model /tmp/out'
    run verify; check "the rest is right" test "$status" = 0
}

# ---- inside: file systems that do not take every name, nor links --------------------------------------
odd_names() {
    mkdir /tmp/odd /tmp/dots && echo '{"model_type": "llama"}' | tee /tmp/odd/config.json > /tmp/dots/config.json
    echo 1 > '/tmp/odd/what?'; echo 1 > /tmp/dots/two; echo 2 > /tmp/dots/two.
    home=/hub who=0 where="odd names"; succeeds "are taken elsewhere" import /tmp/dots --name me/dots
    succeeds "and written" export me/dots -o /tmp/dots.tar
}
names() {
    where=$1 who=0 home=/disk/u
    truncate -s 100M "/mnt/$1" && "mkfs.$1" "/mnt/$1" > /tmp/out 2> /tmp/err && mount -o loop "/mnt/$1" /disk; check "is mounted" test $? = 0
    begins
    refused "a name that it does not take" "odd.*txt: cannot create .*Invalid argument" pull o/model
    few "is told before anything is fetched"
    no_model "nothing is left of it" model
    refused "a folder with such a name" "what.: cannot create .*Invalid argument" import /tmp/odd --name me/odd
    refused "a name that would lose its last dot" "two[.]: /disk/u/hf/hub takes no name that ends with '[.]'" import /tmp/dots --name me/dots
    refused "a bundle with that name" "two[.]: /disk/u/hf/hub takes no name that ends with '[.]'" import /tmp/dots.tar
    check "nothing is written for them" test -z "$(find /disk/u -type f)"
    home=/hub; refused "a copy with such a name" "odd.*txt: cannot create .*Invalid argument" clone o/model /disk/copy
    refused "a copy that would lose a dot" "takes no name that ends with '[.]'" clone me/dots /disk/copy
    check "no copy is begun" test -z "$(find /disk -mindepth 1 -maxdepth 1 ! -name u)"
    home=/disk/u
    succeeds "what it takes is brought" pull o/shards
    run verify; check "and right" test "$status" = 0
    umount /disk
}

# ---- inside ---------------------------------------------------------------------------------------------
inside() {
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/programs:/applets
    mount -t proc none /proc && mkdir -p /applets && busybox --install -s /applets
    mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /run; mount -t tmpfs -o size=1g none /tmp; mount -t tmpfs -o size=1500m none /mnt
    exec > /dev/console 2>&1
    ip link set lo up
    for way in rmem wmem; do echo 4096 65536 65536 > /proc/sys/net/ipv4/tcp_$way; done      # what was sent has arrived
    chmod 1777 /tmp
    printf 'root:x:0:0::/:/bin/sh\nu:x:1001:1001::/:/bin/sh\n' >> /etc/passwd
    export HF_HUB_DISABLE_PROGRESS_BARS=1 HF_ENDPOINT=http://127.0.0.1:8090 MLXK_RETRY_BASE_MS=50
    where=machine
    mkdir -p /disk
    for m in loop quota_v2 xfs vfat exfat; do modprobe $m || echo "# no module $m"; done
    HOME=/hub HF_HOME=/hub/hf mlxk mirror --port 8090 --log off > /tmp/out 2> /tmp/err &
    check "its hub serves" until_there 'wget -q -O /dev/null "$HF_ENDPOINT/ready" 2> /dev/null'
    HOME=/hub HF_HOME=/hub/hf mlxk export o/large -o /tmp/large.tar > /tmp/out 2> /tmp/err; check "a bundle is made" test $? = 0
    mkdir /tmp/large && echo '{"model_type": "llama"}' > /tmp/large/config.json &&
        { printf '\120\0\0\0\0\0\0\0%-80s' '{"w":{"dtype":"U8","shape":[48000000],"data_offsets":[0,48000000]}}'; head -c 48000000 /dev/urandom; } > /tmp/large/model.safetensors
    case ${only:-} in '' | quota | ext4) quotas_ext4 ;; esac
    case ${only:-} in '' | quota | xfs) quotas_xfs ;; esac
    case ${only:-} in '' | names) odd_names; names vfat; names exfat ;; esac
    case ${only:-} in '' | nfs) nfs_all ;; esac
    echo "# $(cut -d' ' -f1 /proc/uptime) s"
    echo "the end"
    poweroff -f
}
if [ $$ = 1 ]; then inside; fi

# ---- outside --------------------------------------------------------------------------------------------
packages=dash,coreutils,grep,sed,gawk,findutils,hostname,procps,busybox-static,e2fsprogs,xfsprogs,dosfstools,exfatprogs,quota,nfs-kernel-server,nfs-common,rpcbind,kmod,util-linux,mount,iproute2,linux-image-cloud-amd64
skip() { echo "ok vm/boots # SKIP $1"; exit 0; }
if [ "$(id -u)" != 0 ] || [ "$(uname -m)" != x86_64 ] || ! command -v apt-get > /dev/null; then skip "the system for it is made by root on Debian, x86-64"; fi
if ! { command -v qemu-system-x86_64 && command -v mmdebstrap && command -v busybox; } > /dev/null; then
    apt-get -qq update > "$T/apt" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends qemu-system-x86 mmdebstrap busybox-static >> "$T/apt" 2>&1 || skip "no qemu can be installed here"
fi
root=${VM_ROOT:-$T/root}
if [ ! -d "$root/keep" ]; then
    mmdebstrap --quiet --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=$packages bookworm "$root" > "$T/strap" 2>&1 ||
        skip "no Debian can be had here: $(tail -n 1 "$T/strap")"
    mkdir "$root/keep" && mv "$root/boot"/vmlinuz-* "$root/keep/kernel"
    # What is not needed would only be unpacked into its memory. Modules: file systems, NFS and what they stand on.
    modules=$(echo "$root"/lib/modules/*)
    (cd "$modules/kernel" && find . -type f ! -path './fs/*' ! -path './net/sunrpc/*' ! -path './lib/*' ! -path './crypto/*' ! -path './arch/*' \
        ! -path './net/dns_resolver/*' ! -name loop.ko ! -name veth.ko -delete)
    chroot "$root" /sbin/depmod "$(basename "$modules")"
    rm -rf "${root:?}/boot" "${root:?}/usr/share" "$root/usr/lib/x86_64-linux-gnu/gconv" "$root/var/cache" "$root/var/lib/apt"
    for folder in proc sys dev run tmp mnt; do mkdir -p "$root/$folder"; done
fi
. tests/fake/hub.sh
# shellcheck disable=SC2119      # no faults here
hub_start
for model in o/model o/shards o/large o/many; do succeeds "$model is there to be served" pull $model; done
mkdir -p "$T/more/programs" "$T/more/hub" && cp "$MLXK" "$T/more/programs/mlxk" && cp -a "$HF_HOME" "$T/more/hub/hf" && cp "$0" "$T/more/init" && chmod 755 "$T/more/init"
pack() { (cd "$1" && find . ! -path './keep/*' | busybox cpio -o -H newc 2> "$T/cpio"); }
{ pack "$root"; pack "$T/more"; } > "$T/memory"
timeout "${VM_SECONDS:-3600}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3500 -nodefaults -no-reboot -display none \
    -serial "file:$T/console" -kernel "$root/keep/kernel" -initrd "$T/memory" \
    -append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off rdinit=/init${VM_ONLY:+ only=$VM_ONLY}" > "$T/qemu" 2>&1
check "the machine boots, and ends by itself" grep -aq '^the end' "$T/console"
tr -d '\r' < "$T/console" | grep -aE '^(ok|not ok|#) '
rm -f "$T/memory"
