#!/bin/sh
# The numbered cases of mlx-knife's description that need a hub: pull, clone and push, beside tests/cli/21-named-cases.sh.
. tests/fake/hub.sh
. tests/fake/hub_json.sh
# shellcheck disable=SC2119
hub_start
good=hf_goodgoodgoodgoodgood
is() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "'$2' is not '$3'"; fi; }
there() { if [ -e "$2" ]; then ok "$1"; else bad "$1" "there is no $2"; fi; }
gone() { if [ -e "$2" ]; then bad "$1" "there is $2"; else ok "$1"; fi; }

run pull o/gated --json; check_json "mlx-knife 103: gated" 'x["download_status"] == "access_denied" and e["type"] == "access_denied"'
gone "mlx-knife 103: no folder in the cache" "$cache/models--o--gated"
run pull o/nothing --json; check_json "mlx-knife 103: unknown" 'x["download_status"] == "access_denied"'; gone "mlx-knife 103: none for an unknown one" "$cache/models--o--nothing"
fault "hub revision stall=30"; HF_HUB_DOWNLOAD_TIMEOUT=1 run pull o/small --json; fault
check_json "mlx-knife 104: a time-out is an error with a message" 'd["status"] == "error" and len(e["message"]) > 10'
fault "cdn . cut=4000"; HF_HUB_DOWNLOAD_TIMEOUT=1 run pull o/model; fault
succeeds "mlx-knife 105: an interrupted download goes on" pull o/model --force-resume
run health o/model --json; check_json "mlx-knife 105: and is complete" 'x["summary"]["total"] == 1'

mkdir -p "$T/home"; export MLXK_WORKSPACE_HOME="$T/home"
succeeds "mlx-knife 108: a target in the workspace home" clone o/small; there "mlx-knife 108: by the last part of the name" "$T/home/small"
succeeds "mlx-knife 108: the revision is no part of it" clone o/model@main; there "mlx-knife 108: home/model" "$T/home/model"
unset MLXK_WORKSPACE_HOME
run clone o/small "$T/unhealthy" --json; check_json "mlx-knife 109: cloned, and the health told" 'd["status"] == "success" and x["health"] in ("healthy", "unhealthy")'
run clone o/small "$T/nohealth" --no-health-check --json; check_json "mlx-knife 109: --no-health-check" 'd["status"] == "success" and "health" not in x'
run clone o/small "$T/again" --json; first=$(cat "$T/out"); rm -rf "$T/again"; run clone o/small "$T/again" --json; is "mlx-knife 110: the same again" "$(cat "$T/out")" "$first"
is "mlx-knife 110: nothing temporary stays" "$(find "$T" -maxdepth 1 -name '.*mlxk*' | wc -l)" 0

export HF_TOKEN=$good
mkdir -p "$T/ws/sub"; cp "$T/home/small"/* "$T/ws" 2> /dev/null; echo '{"model_type":"llama"}' > "$T/ws/config.json"; echo x > "$T/ws/a.pyc"; echo y > "$T/ws/sub/n.txt"; echo 'sub/' > "$T/ws/.hfignore"
run push "$T/ws" o/notthere --private --dry-run --json; check_json "mlx-knife 160: a repository that is not there" 'x["dry_run"] and x["would_create_repo"]'
run push "$T/ws" o/public --private --dry-run --json
check_json "mlx-knife 160: ignore rules" 'x["dry_run_summary"]["added"] == len(x["added_files"]) and "a.pyc" not in x["added_files"] and not any(f.startswith("sub/") for f in x["added_files"])'
check_json "mlx-knife 161: .hfignore and the sentinel stay here" '".hfignore" not in x["added_files"] and ".mlxk_workspace.json" not in x["added_files"]'
run push "$T/ws" o/target --private --json; check_json "mlx-knife 161: changed" 'not x["no_changes"] and x["uploaded_files_count"] >= 1 and x["commit_sha"]'
run push "$T/ws" o/target --private --json; check_json "mlx-knife 161: no changes" 'x["no_changes"] is True'
run push "$T/ws" o/target --private --dry-run --json; check_json "mlx-knife 160: nothing to do" 'x["dry_run"] and not x.get("would_create_repo")'
run push "$T/ws" o/fresh --private --create --json; check_json "mlx-knife 161: --create" 'x["created_repo"] is True and x["commit_sha"]'
