#!/bin/sh
# 94-python.sh: the wheel with a real pip: made twice with the same bytes, installed from a file and from a local index into a
# fresh environment, from where `mlxk` and its other names run and `import mlxk` works; uninstalled without a rest.
set -u
. tests/tap.sh
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 HF_HOME="$T/hf"
version=$("$MLXK" --version | sed -n 's/^mlxk //p')

run python3 src/tools/wheel.py --program "$MLXK" --out "$T/one"; exits 0 wheel/made
wheel=$(cat "$T/out")
cp "$MLXK" "$T/program"; touch -d 2001-01-01 "$T/program"
(umask 077; TZ=Pacific/Apia python3 src/tools/wheel.py --program "$T/program" --out "$T/two" > "$T/out" 2> "$T/err")
cmp "$wheel" "$(cat "$T/out")"; ok $? wheel/same_bytes_again
[ "$(wc -c < "$wheel")" -lt $(($(wc -c < "$MLXK") + 60000)) ]; ok $? wheel/little_more_than_the_program
if command -v readelf > /dev/null && ! readelf -l "$MLXK" | grep -q INTERP; then
    case $wheel in *-py3-none-manylinux2014_*.manylinux_2_17_*.musllinux_1_1_*.whl) ok 0 wheel/for_every_linux ;; *) ok 1 wheel/for_every_linux ;; esac
fi

if ! python3 -m venv "$T/venv" > "$T/out" 2>&1; then echo "ok wheel/installed # SKIP python3 has no venv"; exit 0; fi
bin=$T/venv/bin
run "$bin/pip" install -q "$wheel"; exits 0 wheel/installed
run "$bin/pip" check; exits 0 wheel/pip_check
run "$bin/mlxk" --version; exits 0 wheel/program_runs; grep -qFx "mlxk $version" "$T/out"; ok $? wheel/program_tells_its_version
cmp "$MLXK" "$bin/mlxk"; ok $? wheel/program_is_the_very_file
run "$bin/mlxk2" --version; exits 0 wheel/mlxk2
run "$bin/mlx-run" --help; says wheel/mlx-run_is_run out '^usage: mlxk run'
run "$bin/mlxk-json" list; json wheel/mlxk-json_prints_json "x['models'] == []"
run "$bin/python" -m mlxk --version; grep -qFx "mlxk $version" "$T/out"; ok $? wheel/python_m
# Without PATH: the program that came along is found.
tiny "$T/ham"
cat > "$T/use.py" <<'PY'
import sys
import mlxk
ham = mlxk.Model(sys.argv[1], "oci:" + sys.argv[2])
assert ham.release().version == "v0.1.0"
assert mlxk.find_program().startswith(sys.prefix), mlxk.find_program()
assert ham.from_version("v0").version == "v0.1.0"
print(mlxk.__version__)
PY
run env PATH=/nonexistent "$bin/python" "$T/use.py" "$T/ham" "$T/layout"; exits 0 wheel/import_works
case $version in *-dev*) says wheel/version out '^[0-9.]+\.dev0$' ;; *) says wheel/version out '^[0-9.]+((a|b|rc)[0-9]+)?$' ;; esac
run "$bin/pip" uninstall -qy mlxk; exits 0 wheel/uninstalled
[ ! -e "$bin/mlxk" ] && [ ! -e "$bin/mlxk-json" ] && [ -z "$(cd "$T/venv" && find . -ipath '*mlxk*')" ]; ok $? wheel/nothing_is_left
run "$bin/pip" install -q --find-links "$T/one" --pre mlxk; exits 0 wheel/installed_from_an_index
run "$bin/mlxk" --version; exits 0 wheel/runs_again
run "$bin/pip" install -q --target "$T/target" "$wheel"; exits 0 wheel/installed_into_a_folder
run env PATH=/usr/bin:/bin PYTHONPATH="$T/target" python3 -c 'import mlxk; print(mlxk.find_program())'; says wheel/found_in_the_folder out "/target/bin/mlxk\$"
# pip does not look at RECORD, others do: each member once, with its hash and size.
python3 - "$wheel" <<'PY'
import base64, hashlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    names = z.namelist()
    text = z.read([n for n in names if n.endswith("/RECORD")][0]).decode()
    rows = [line.rsplit(",", 2) for line in text.splitlines()]
    assert sorted(names) == sorted(r[0] for r in rows) and len(set(names)) == len(names)
    for name, digest, size in rows:
        data = z.read(name)
        want = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert name.endswith("/RECORD") and not digest or (digest, size) == (want, str(len(data))), name
PY
ok $? wheel/record_is_true

# An index as pip knows them, on loopback: the wheels of both architectures, asked for by name.
arm=build/aarch64-linux-musl/mlxk x86=build/x86_64-linux-musl/mlxk
for file in $arm $x86; do
    target=${file#build/}
    [ -f "$file" ] || ./build.sh "${target%%-*}-linux" > "$T/build.log" 2>&1 || ok 1 "wheel/builds_$target"
done
mkdir -p "$T/index/simple/mlxk"
for file in $arm $x86; do python3 src/tools/wheel.py --program "$file" --number 0.9.0 --out "$T/index/simple/mlxk" > "$T/out"; done
(cd "$T/index/simple/mlxk" && for w in *.whl; do echo "<a href=\"$w#sha256=$(sha256sum "$w" | cut -d' ' -f1)\">$w</a>"; done > index.html)
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$T/index" > "$T/port" 2> /dev/null & server=$!
trap 'kill $server 2>/dev/null' EXIT
tries=0; while ! grep -q 'port [0-9]' "$T/port" && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
index=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$T/port")/simple/
pip() { env -u PIP_NO_INDEX NO_PROXY=127.0.0.1 "$bin/pip" "$@" --index-url "$index"; }
for platform in manylinux2014_x86_64 manylinux_2_17_aarch64 musllinux_1_1_x86_64 musllinux_1_1_aarch64; do
    run pip download -q --no-deps --only-binary=:all: --platform $platform --dest "$T/got-$platform" mlxk; exits 0 "wheel/for_$platform"
    case $platform in *aarch64) want=$arm ;; *) want=$x86 ;; esac
    python3 -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); sys.stdout.buffer.write(z.read([n for n in z.namelist() if n.endswith("/scripts/mlxk")][0]))' "$T/got-$platform"/*.whl 2> /dev/null | cmp -s - $want; ok $? "wheel/its_program_$platform"
done
"$bin/pip" uninstall -qy mlxk
run pip install -q mlxk; exits 0 wheel/pip_install_mlxk
run "$bin/mlxk" --version; exits 0 wheel/on_path; run "$bin/python" -c 'import mlxk; print(mlxk.__version__)'; says wheel/module out '^0\.9\.0$'
sed -i 's/sha256=..../sha256=0000/' "$T/index/simple/mlxk/index.html"
run pip install -q --force-reinstall --no-cache-dir mlxk; exits 1 wheel/other_bytes_are_refused
# Numbers between releases, as Python orders them.
before=
for number in 0.2.0-dev 0.2.0.dev20260102 0.2.0-alpha.2 0.2.0-beta.1 0.2.0-rc.1 0.2.0-rc.10 0.2.0 0.2.1.dev3+g0123456789ab; do
    python3 src/tools/wheel.py --program $x86 --number $number --out "$T/n-$number" > "$T/out"; now=$(basename "$(cat "$T/out")" | cut -d- -f2)
    if [ -n "$before" ]; then
        "$bin/python" -c 'import sys; from pip._vendor.packaging.version import Version as V; sys.exit(not V(sys.argv[1]) < V(sys.argv[2]))' "$before" "$now"; ok $? "wheel/order_$number"
    fi
    before=$now
done
