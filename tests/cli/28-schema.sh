#!/bin/sh
# Every command's documents, success and failure, fit docs/schema; every command has a schema; and a wrong document does not fit.
# (The word `json` of the other scripts looks at the schema too.)
. tests/tap.sh
export HF_HOME="$T/hf" HF_ENDPOINT=http://127.0.0.1:9 MLXK_RETRY_BASE_MS=1
unset HF_TOKEN
tiny "$T/m"; tiny "$T/b" llama-bfloat16
"$MLXK" import "$T/m" --name o/m --quiet > /dev/null
# fits NAME STATUS ARGUMENTS...: the document and the exit status.
fits() {
    name=$1 want=$2; shift 2
    run "$MLXK" "$@" --json
    if [ "$status" != "$want" ]; then exits "$want" "schema/$name"; return; fi
    if python3 tests/schema.py "$T/out" > "$T/why" 2>&1; then echo "ok schema/$name"; else echo "not ok schema/$name"; sed 's/^/# /' "$T/why" | head -n 5; fi
}
fits version 0 --version; fits version_build 0 version --build; fits version_cpu 0 version --cpu; fits help 0 help; fits completion 0 completion bash
fits list 0 list; fits list_health 0 list --health --all; fits health 0 health; fits health_deep 0 health --deep; fits health_none 0 health nope
fits show 0 show o/m; fits show_files 0 show o/m --files; fits show_config 0 show o/m --config; fits show_missing 1 show nope
fits tokenize 0 tokenize o/m hi; fits detokenize 0 detokenize o/m 1,2; fits template 0 template o/m; fits logits 0 logits o/m --ids 1,2 --out "$T/l"
fits run 0 run o/m hi --max-tokens 2; fits run_missing 1 run nope hi; fits bench 0 bench o/m -p 4 -n 2 -r 1
fits verify 0 verify; fits du 0 du; fits gc 0 gc; fits export 0 export o/m -o "$T/e.tar"; fits export_dry 0 export o/m --dry-run
fits import_bundle 0 import "$T/e.tar"; fits import_model 0 import "$T/m" --name o/m; fits import_neither 1 import "$T/l"
fits convert 0 convert "$T/b" "$T/q" --quantize 4; fits convert_back 0 convert "$T/q" "$T/d" --dequantize; fits convert_none 1 convert "$T/b" "$T/x"
fits clone 0 clone o/m "$T/c"; fits clone_exists 1 clone o/m "$T/c"; fits list_workspace 0 list "$T/c"; fits show_workspace 0 show "$T/c"
fits push_check 0 push "$T/c" o/x --private --check-only; fits push_no_token 1 push "$T/c" o/x --private
fits pull_here 0 pull o/m; fits pull_no_hub 1 pull o/other; fits pull_bad_name 1 pull //
fits pull_oci_missing 1 pull "oci:$T/nowhere:v1"; fits copy_missing 1 copy "oci:$T/nowhere:v1" "oci:$T/there"; fits inspect_missing 1 inspect "oci:$T/nowhere"; fits tags_missing 1 tags "oci:$T/nowhere"
fits login_list 0 login --list; fits whoami_none 1 whoami; fits logout_none 1 logout
fits embed_gate 1 embed o/m hi; fits serve 1 serve --model nope; fits embed_serve_gate 1 embed-serve o/m; fits mirror_refused 1 mirror --host 192.0.2.1
run "$MLXK" doctor --json; python3 tests/schema.py "$T/out" > "$T/why"; ok $? schema/doctor
fits diff 0 diff "$T/m" "$T/b"; fits diff_missing 1 diff nope "$T/b"
fits store 0 store "$T/m" "oci:$T/ham"; fits release 0 release "$T/m" "oci:$T/ham"; fits release_same 1 release "$T/m" "oci:$T/ham"
fits install 0 install "oci:$T/ham:client-v0" --target "$T/lib"; fits install_missing 1 install "oci:$T/ham:client-v9" --target "$T/lib"
fits clean_versions 0 clean-versions "oci:$T/ham"; fits versions 0 versions "oci:$T/ham"; fits releases 0 releases "oci:$T/ham"; fits releases_missing 1 releases "oci:$T/none"
fits index_update 0 index update "oci:$T/ham"; fits index_search 0 index search ham; fits index_list 0 index list; fits index_show 0 index show "oci:$T/ham"; fits index_push 0 index push "oci:$T/dex"
fits index_pull 0 index pull "oci:$T/dex"; fits index_gc 0 index gc; fits index_update_push 0 index update --push "oci:$T/dex"; fits index_failed 1 index update "oci:$T/none"; fits index_none 2 index
fits rm_fragment 0 rm m; fits rm_dry 0 rm o/m --dry-run; fits rm 0 rm o/m; fits rm_missing 1 rm o/m
fits usage 2 show; fits unknown_command 2 frobnicate; fits no_command 1

run "$MLXK" help --json
python3 - "$T/out" <<'PY'
import json, os, sys
missing = [c["name"] for c in json.load(open(sys.argv[1]))["data"]["commands"] if not os.path.exists("docs/schema/%s.json" % c["name"])]
print(("not ok schema/every_command_has_one\n# without: %s" % missing) if missing else "ok schema/every_command_has_one")
sys.path.insert(0, "tests")
import schema
good = {"status": "success", "command": "tokenize", "data": {"ids": [1], "count": 1}, "error": None}
wrong = [dict(good, status="fine"), dict(good, extra=1), dict(good, error={"type": "x", "message": "y"}), dict(good, data={"ids": [1]}), dict(good, data={"ids": ["1"], "count": 1}),
         dict(good, data={"ids": [-1], "count": 1}), dict(good, data=None), dict(good, command="nope"), dict(good, data={"ids": [True], "count": 1}),
         dict(good, status="error", data=None), dict(good, status="error", data=None, error={"type": "", "message": "y"})]
accepted = [w for w in wrong if not schema.check(w)]
print("ok schema/right_is_right" if not schema.check(good) else "not ok schema/right_is_right")
print(("not ok schema/wrong_is_wrong\n# %s" % accepted) if accepted else "ok schema/wrong_is_wrong")
PY
