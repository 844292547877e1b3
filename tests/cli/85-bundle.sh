#!/bin/sh
# export and import: one file for a machine without network. Unpacked by hand it is a cache; read back it is the same cache;
# cut, damaged, hostile and incomplete ones change nothing that is seen.
. tests/tap.sh
export HF_HOME="$T/hf" SOURCE_DATE_EPOCH=1760000000
hub=$T/hf/hub
tiny "$T/m"
for n in one two; do "$MLXK" import "$T/m" --name "org/$n" --quiet > /dev/null || echo "not ok bundle/setup"; done
one=$(cat "$hub/models--org--one/refs/main")
# What a cache holds, without locks: names, links, contents.
state() { (cd "$1" && find . -path ./.locks -prune -o -name CACHEDIR.TAG -prune -o -name .mlxk -prune -o \( -type f -printf '%p ' -exec sha256sum {} \; -o -type l -printf '%p -> %l\n' \) | sed "s|  .*||" | sort); }
# elsewhere DIR COMMAND...: with another cache.
elsewhere() { dir=$1; shift; HF_HOME=$dir "$@"; }
nothing_seen() { n=$(find "$2/hub" -path '*/snapshots/*' -o -path '*/refs/*' -type f 2>/dev/null | wc -l); same "$1" "$n" 0; }

run "$MLXK" export org/one org/two -o "$T/b.tar"; exits 0 bundle/export
run "$MLXK" export org/one org/two -o "$T/c.tar"; cmp -s "$T/b.tar" "$T/c.tar"; ok $? bundle/same_bytes
tar tf "$T/b.tar" > "$T/names"; head -n 1 "$T/names" | grep -q '^\.locks/mlxk-bundle-'; ok $? bundle/manifest_first
tail -n 1 "$T/names" | grep -q refs/main; ok $? bundle/refs_last
[ "$(wc -c < "$T/b.tar")" -lt $(( $(du -sbL "$hub/models--org--one/snapshots" | cut -f1) * 3 / 2 )) ]; ok $? bundle/shared_once

# by hand
mkdir -p "$T/hand/hub"; tar xf "$T/b.tar" -C "$T/hand/hub"; same bundle/unpacked_by_hand "$(state "$T/hand/hub")" "$(state "$hub")"
run elsewhere "$T/hand" "$MLXK" health --json; json bundle/hand_healthy 'x["summary"]["healthy_count"] == 2'

# read back
run elsewhere "$T/h2" "$MLXK" import "$T/b.tar" --json; exits 0 bundle/import; json bundle/import_json 'x["import_status"] == "success" and x["repos"] == ["org/one", "org/two"]'
same bundle/same_cache "$(state "$T/h2/hub")" "$(state "$hub")"
run elsewhere "$T/h2" "$MLXK" import "$T/b.tar" --json; json bundle/again 'x["import_status"] == "unchanged" and x["n_blobs_new"] == 0'
run elsewhere "$T/h3" "$MLXK" import "$T/hand/hub"; exits 0 bundle/import_folder; same bundle/folder_same "$(state "$T/h3/hub")" "$(state "$hub")"
# a pipe where a file should be is not waited for
mkdir -p "$T/piped"; tar xf "$T/b.tar" -C "$T/piped"; blob=$(find "$T"/piped/models--*/blobs -type f | sort | head -1); rm "$blob"; mkfifo "$blob"
run elsewhere "$T/h3p" timeout 60 "$MLXK" import "$T/piped"; exits 1 bundle/import_folder_with_pipe; says bundle/import_folder_with_pipe_says err "device or pipe, not a file"
"$MLXK" export org/one org/two -o - 2>/dev/null | HF_HOME="$T/h4" "$MLXK" import - > "$T/out" 2> "$T/err"; status=$?; exits 0 bundle/pipe; same bundle/pipe_same "$(state "$T/h4/hub")" "$(state "$hub")"
run elsewhere "$T/h5" env HF_HUB_DISABLE_SYMLINKS=1 "$MLXK" import "$T/b.tar"; exits 0 bundle/without_links
same bundle/without_links_none "$(find "$T/h5" -type l | wc -l)" 0; run elsewhere "$T/h5" "$MLXK" health --json; json bundle/without_links_healthy 'x["summary"]["healthy_count"] == 2'
run elsewhere "$T/h5" "$MLXK" export org/one -o "$T/nolinks.tar"; exits 0 bundle/from_without_links
run elsewhere "$T/h51" "$MLXK" import "$T/nolinks.tar"; exits 0 bundle/from_without_links_back; same bundle/from_without_links_same "$(state "$T/h51/hub/models--org--one")" "$(state "$hub/models--org--one")"
for format in gnu pax ustar; do      # packed again by another tar
    mkdir -p "$T/re"; rm -rf "$T/re"; mkdir -p "$T/re"; tar xf "$T/b.tar" -C "$T/re"
    (cd "$T/re" && tar --format=$format -cf "$T/re.tar" ./.locks ./models--org--one ./models--org--two)
    run elsewhere "$T/h6$format" "$MLXK" import "$T/re.tar"; exits 0 "bundle/packed_again_$format"; same "bundle/packed_again_same_$format" "$(state "$T/h6$format/hub")" "$(state "$hub")"
done

# volumes
run "$MLXK" export org/one org/two -o "$T/v.tar" --split 100k; exits 0 bundle/split
(cd "$T" && sha256sum -c --quiet v.tar.sha256); ok $? bundle/volume_hashes
cat "$T"/v.tar.0?? | cmp -s - "$T/b.tar"; ok $? bundle/volumes_add_up
run elsewhere "$T/h7" "$MLXK" import "$T/v.tar.001"; exits 0 bundle/import_volumes; same bundle/volumes_same "$(state "$T/h7/hub")" "$(state "$hub")"
mv "$T/v.tar.002" "$T/away"; run elsewhere "$T/h8" "$MLXK" import "$T/v.tar.001"; exits 1 bundle/volume_missing; says bundle/volume_missing_says err 'volume 2 is missing'; nothing_seen bundle/volume_missing_unseen "$T/h8"
python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[50000] ^= 1; open(sys.argv[2], "wb").write(b)' "$T/away" "$T/v.tar.002"
run elsewhere "$T/h9" "$MLXK" import "$T/v.tar.001"; exits 1 bundle/volume_damaged; says bundle/volume_damaged_says err 'volume (2|.*v.tar.002)'; nothing_seen bundle/volume_damaged_unseen "$T/h9"
mv "$T/away" "$T/v.tar.002"; run elsewhere "$T/h9" "$MLXK" import "$T/v.tar.001"; exits 0 bundle/after_damage; same bundle/after_damage_same "$(state "$T/h9/hub")" "$(state "$hub")"

# any of the names of the volumes; what hurts and what does not
for name in v.tar v.tar.002 v.tar.sha256; do run elsewhere "$T/h15" "$MLXK" import "$T/$name"; exits 0 "bundle/all_volumes_by_$name"; done
same bundle/all_volumes_same "$(state "$T/h15/hub")" "$(state "$hub")"
run elsewhere "$T/h16" "$MLXK" import "$T/nowhere.tar"; exits 1 bundle/no_such_volumes; says bundle/no_such_volumes_says err 'nowhere.tar does not exist'
run "$MLXK" export org/one -o "$T/small.tar" --split 64k; exits 0 bundle/smallest_volumes; run "$MLXK" export org/one -o "$T/small2.tar" --split 63k; exits 1 bundle/smaller_volumes
mkdir "$T/vw"
vw() { rm -f "$T"/vw/*; cp "$T"/v.tar* "$T/vw"; }
refused() { run elsewhere "$T/h17" "$MLXK" import "$T/vw/v.tar.001"; exits 1 "bundle/$1"; says "bundle/$1_says" err "$2"; nothing_seen "bundle/$1_unseen" "$T/h17"; }
vw; mv "$T/vw/v.tar.002" "$T/vw/x"; mv "$T/vw/v.tar.003" "$T/vw/v.tar.002"; mv "$T/vw/x" "$T/vw/v.tar.003"; refused volumes_reordered 'v.tar.002 is damaged'
rm "$T/vw/v.tar.sha256"; refused volumes_reordered_without_hashes 'the bundle is damaged: copy it again'
vw; cp "$T/vw/v.tar.002" "$T/vw/v.tar.003"; refused volume_doubled 'volume 3 of .*the hash'
vw; truncate -s 50000 "$T/vw/v.tar.002"; refused volume_truncated 'v.tar.002 is damaged'
# a pipe is read to its end, as tar does, so that who writes there does not fail
tar -C "$T/re" -b 2000 -cf "$T/padded.tar" ./.locks ./models--org--one ./models--org--two
{ cat "$T/padded.tar"; echo $? > "$T/writer"; } | HF_HOME="$T/h18" "$MLXK" import - > "$T/out" 2> "$T/err"; status=$?
exits 0 bundle/padded_pipe; same bundle/padded_pipe_writer "$(cat "$T/writer")" 0

# two bundles, one behind the other: the second is not passed over in silence
for way in pipe file; do
    cat "$T/padded.tar" "$T/padded.tar" > "$T/double.tar"
    if [ $way = pipe ]; then HF_HOME="$T/h19$way" "$MLXK" import - < "$T/double.tar" > "$T/out" 2> "$T/err"; else HF_HOME="$T/h19$way" "$MLXK" import "$T/double.tar" > "$T/out" 2> "$T/err"; fi; status=$?
    exits 1 bundle/two_in_a_$way; says bundle/two_in_a_${way}_says err 'more follows behind the end of the bundle'
done

# delta
mkdir "$T/m2"; cp "$T/m"/* "$T/m2"; printf ' ' >> "$T/m2/config.json"
cp -r "$T/hf" "$T/old"; "$MLXK" import "$T/m2" --name org/one --quiet > /dev/null
run "$MLXK" export org/one -o "$T/d.tar" --base "$T/v.tar.001" --json; exits 0 bundle/delta; json bundle/delta_small 'x["n_blobs"] == 1 and x["payload_bytes"] < 5000'
run elsewhere "$T/h10" "$MLXK" import "$T/d.tar"; exits 1 bundle/delta_without_base; says bundle/delta_says err 'content_sha256 [0-9a-f]{64} first'; nothing_seen bundle/delta_unseen "$T/h10"
run elsewhere "$T/old" "$MLXK" import "$T/d.tar"; exits 0 bundle/delta_on_base
same bundle/delta_ref "$(cat "$T/old/hub/models--org--one/refs/main")" "$(cat "$hub/models--org--one/refs/main")"
run "$MLXK" export "org/one@$(echo "$one" | cut -c1-8)" -o "$T/rev.tar"; exits 0 bundle/revision; if tar tf "$T/rev.tar" | grep -q refs/; then ok 1 bundle/revision_without_ref; else ok 0 bundle/revision_without_ref; fi
run elsewhere "$T/h11" "$MLXK" import "$T/rev.tar" --ref main; exits 0 bundle/ref; same bundle/ref_written "$(cat "$T/h11/hub/models--org--one/refs/main")" "$one"

# damage at every kind of place, cuts everywhere, hostile archives
python3 - "$T" <<'PY'
import hashlib, io, json, os, sys, tarfile
T = sys.argv[1]
good = open(T + "/b.tar", "rb").read()
def put(name, data): os.makedirs(T + "/bad", exist_ok=True); open("%s/bad/%s" % (T, name), "wb").write(data)
for i in range(12): put("cut%02d" % i, good[:len(good) * i // 12 + 700 if i else 600])
t = tarfile.open(T + "/b.tar"); members = t.getmembers()
blob = next(m for m in members if "/blobs/" in m.name and m.size > 1000)
b = bytearray(good); b[blob.offset_data + 500] ^= 4; put("flipped_blob", b)
b = bytearray(good); b[blob.offset + 3] ^= 1; put("flipped_header", b)
b = bytearray(good); b[700] ^= 1; put("flipped_manifest", b)
def build(name, change_manifest=None, extra=(), only=None, with_tree=None):
    out = io.BytesIO(); w = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
    for i, m in enumerate(members):
        data = t.extractfile(m).read() if m.isfile() else None
        if i == 0 and change_manifest:
            d = json.loads(data); change_manifest(d); data = json.dumps(d).encode()
            m = tarfile.TarInfo(".locks/mlxk-bundle-%s.json" % hashlib.sha256(data).hexdigest()[:16]); m.size = len(data)
        if with_tree and "/trees/" in m.name: data = with_tree; m = tarfile.TarInfo(m.name); m.size = len(data)
        if only is None or i == 0 or only(m): w.addfile(m, io.BytesIO(data) if data is not None else None)
        if i == 0:
            for x, content in extra: x.size = len(content); w.addfile(x, io.BytesIO(content))
    w.close(); put(name, out.getvalue())
def file(name, kind=tarfile.REGTYPE, link=""): x = tarfile.TarInfo(name); x.type = kind; x.linkname = link; return x
build("dotdot", extra=[(file("../../evil"), b"x")])
build("absolute", extra=[(file("/tmp/evil-mlxk"), b"x")])
build("stray", extra=[(file("models--org--one/blobs/" + "0" * 64), b"x")])
build("other_repo", extra=[(file("models--other--x/blobs/" + "0" * 64), b"x")])
build("link_as_blob", extra=[(file(blob.name, tarfile.SYMTYPE, "/etc/passwd"), b"")])
build("device", extra=[(file("models--org--one/blobs/x", tarfile.CHRTYPE), b"")])
build("hardlink_out", extra=[(file(blob.name, tarfile.LNKTYPE, "../../etc/passwd"), b"")])
build("snapshot_file", extra=[(file("models--org--one/snapshots/" + "0" * 40 + "/a"), b"x")])
build("no_blobs", only=lambda m: "/blobs/" not in m.name)
def first(d): return d["repos"][0]
build("bad_repo", lambda d: first(d).update(repo="../x"))
build("bad_path", lambda d: first(d)["commits"][0]["files"].update({"../../x": first(d)["blobs"][0]["etag"]}))
build("bad_etag", lambda d: first(d)["blobs"][0].update(etag="../x"))
build("bad_ref", lambda d: first(d)["refs"].update({"../../x": first(d)["commits"][0]["commit"]}))
build("bad_size", lambda d: first(d)["blobs"][0].update(size=-1))
build("huge_size", lambda d: first(d)["blobs"][0].update(size=2**62))
build("later", lambda d: d.update(version=2))
build("twice", lambda d: d["repos"].append(d["repos"][0]))
build("unknown_commit", lambda d: first(d)["refs"].update(main="0" * 40))
build("empty", lambda d: d.update(repos=[]))
# what says which files there are: a digit of it, the wrong one, none, two
tree = next(m for m in members if "/trees/" in m.name)
listed = t.extractfile(tree).read()
at = good.index(b'"lfs_sha256":"', tree.offset_data) + 20
b = bytearray(good); b[at] = ord("0") if b[at] != ord("0") else ord("1"); put("flipped_tree", b)
at = good.index(b'"main"') + 1
b = bytearray(good); b[at] = ord("n"); put("flipped_ref", b)
other = json.loads(listed); name = next(k for k, v in other["files"].items() if "lfs_sha256" in v)
other["files"][name]["lfs_sha256"] = "0" * 64; other = json.dumps(other).encode()
def says(sha): return lambda d: [c.update(tree_sha256=sha) if sha else c.pop("tree_sha256", None) for r in d["repos"] for c in r["commits"]]
build("other_tree", says(hashlib.sha256(other).hexdigest()), with_tree=other)
build("other_tree_old", says(None), with_tree=other)       # as bundles were before they told the list's hash
more = json.loads(listed); more["files"]["more.txt"] = {"blob_id": "0" * 40, "size": 1}; more = json.dumps(more).encode()
build("longer_tree", says(None), with_tree=more)
build("no_tree", only=lambda m: "/trees/" not in m.name)
build("tree_twice", extra=[(file(tree.name), listed)])
build("old", says(None)); os.rename(T + "/bad/old", T + "/old.tar")
# sizes that lie, kinds that no bundle has
def raw(header, data=b""): return good[:members[1].offset] + header + data + good[members[1].offset:]
def pax(**k): x = file(blob.name); x.size = blob.size; x.pax_headers = {a.replace("_", "."): v for a, v in k.items()}; return x.tobuf(tarfile.PAX_FORMAT)
content = good[blob.offset_data:blob.offset_data + blob.size]
for name, size in (("pax_size_huge", "9223372036854775807"), ("pax_size_more", str(blob.size + 512)), ("pax_size_less", str(blob.size - 1)), ("pax_size_no_number", "-1"), ("pax_size_words", "1e9")): put(name, raw(pax(size=size), content))
put("pax_sparse", raw(pax(GNU_sparse_map="0,1"), content))
for name, kind in (("sparse", tarfile.GNUTYPE_SPARSE), ("fifo", tarfile.FIFOTYPE), ("block_device", tarfile.BLKTYPE), ("unknown_kind", b"Z")): build(name, extra=[(file("models--org--one/blobs/" + "1" * 64, kind), b"")])
x = bytearray(file("models--org--one/blobs/" + "1" * 64).tobuf()); x[124:136] = b"\xff" * 12; x[148:156] = b"%06o\0 " % sum(x[:148] + b" " * 8 + x[156:]); put("negative_size", raw(bytes(x)))
x[124:136] = b"\x80" + b"\x7f" * 11; x[148:156] = b"%06o\0 " % sum(x[:148] + b" " * 8 + x[156:]); put("size_of_88_bits", raw(bytes(x)))
comment = b"1000000 comment=" + b"a" * 999983 + b"\n"
x = tarfile.TarInfo("pax"); x.type = b"x"; x.size = len(comment); comment = x.tobuf() + comment + bytes(-len(comment) % 512)
put("headers_without_end", raw(comment * 17))
other_case = bytearray(blob.name.upper().replace("MODELS--ORG--ONE/BLOBS", "models--org--one/blobs").encode()); build("other_case", extra=[(file(other_case.decode()), b"x")])
open(T + "/chatter", "wb").write(raw((comment + file("d/", tarfile.DIRTYPE).tobuf()) * 150))
PY
run elsewhere "$T/h13" "$MLXK" import "$T/old.tar"; exits 0 bundle/without_hash_of_the_list; same bundle/without_hash_of_the_list_same "$(state "$T/h13/hub")" "$(state "$T/h2/hub")"
cat > "$T/peak.py" <<'PY'
import resource, subprocess, sys
r = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(r, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000)
PY
HF_HOME="$T/h14" python3 "$T/peak.py" "$MLXK" import "$T/chatter" > "$T/peak"
same bundle/chatter_is_passed_over "$(cut -d' ' -f1 "$T/peak")" 0
[ "$(cut -d' ' -f2 "$T/peak")" -lt 60 ]; ok $? "bundle/chatter_costs_no_memory ($(cut -d' ' -f2 "$T/peak") MB)"
for bad in "$T"/bad/*; do
    name=${bad##*/}
    run elsewhere "$T/x-$name" "$MLXK" import "$bad"; exits 1 "bundle/refuses_$name"; nothing_seen "bundle/unseen_$name" "$T/x-$name"
done
[ ! -e /tmp/evil-mlxk ] && [ ! -e "$T/evil" ]; ok $? bundle/nothing_outside
run elsewhere "$T/h12" "$MLXK" import "$T/bad/dotdot"; says bundle/says_what err "holds '\.\./\.\./evil'"

# what cannot be exported
blob=$(readlink -f "$hub/models--org--two/snapshots"/*/model.safetensors)
cp "$blob" "$T/keep"; printf X | dd of="$blob" bs=1 seek=2000 conv=notrunc 2> /dev/null
run "$MLXK" export org/two -o "$T/never.tar"; exits 1 bundle/damaged_source; says bundle/damaged_source_says err 'does not hold what its name'; [ ! -e "$T/never.tar" ] && [ ! -e "$T/never.tar.part" ]; ok $? bundle/nothing_half_written
cp "$T/keep" "$blob"; rm "$blob"; run "$MLXK" export org/two -o "$T/never.tar"; exits 1 bundle/dangling; says bundle/dangling_says err 'leads nowhere'
cp "$T/keep" "$blob"; for list in "$hub"/models--org--two/trees/*.json; do sed -i 's/"lfs_sha256":"....../"lfs_sha256":"000000/' "$list"; done
run "$MLXK" export org/two -o "$T/never.tar"; exits 1 bundle/list_contradicts; says bundle/list_contradicts_says err 'file list of its commit'
run "$MLXK" export nope -o "$T/never.tar"; exits 1 bundle/unknown
run "$MLXK" export "$T/m" -o "$T/never.tar"; exits 1 bundle/workspace
run "$MLXK" export org/one; exits 1 bundle/no_output; run "$MLXK" export -o x; exits 2 bundle/no_model
run "$MLXK" export org/one -o /dev/full; exits 1 bundle/full; says bundle/full_says err 'space'; [ -c /dev/full ]; ok $? bundle/devices_stay
run "$MLXK" export org/one -o "$T"; exits 1 bundle/folder
run "$MLXK" import "$T/b.tar" --name a/b; exits 1 bundle/name_refused
echo hello > "$T/text"; run "$MLXK" import "$T/text"; exits 1 bundle/neither
run "$MLXK" export org/one --dry-run --json; exits 0 bundle/dry_run; json bundle/dry_run_json 'x["dry_run"] and x["output"] is None and x["repos"][0]["repo"] == "org/one"'
