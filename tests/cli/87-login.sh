#!/bin/sh
# login, logout, whoami: tokens from stdin or a file, kept as the hub's other clients keep them, and never shown.
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
good=hf_goodgoodgoodgoodgood
token=$HF_HOME/token stored=$HF_HOME/stored_tokens
has() { if grep -Eq -- "$3" "$2"; then ok "$1"; else bad "$1" "no line of $2 fits $3"; sed 's/^/# /' "$2" 2>/dev/null; fi; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "'$2' is not '$3'"; fi; }
input() { text=$1; shift; printf '%s' "$text" | "$MLXK" "$@" > "$T/out" 2> "$T/err"; status=$?; }
secret() { if grep -rqF "$good" "$T/out" "$T/err"; then bad "$1" "the token was shown"; else ok "$1"; fi; }

fails login/whoami_without 'not logged in' whoami
input "$good
" login; is login/from_stdin $status 0; secret login/not_shown; has login/names_account "$T/out" 'ada.*laptop'
is login/token_file "$(cat "$token")" "$good"; is login/mode "$(stat -c %a "$token" "$stored" | tr '\n' ' ')" "600 600 "
has login/section "$stored" '^\[laptop\]$'; has login/key "$stored" "^hf_token = $good\$"
succeeds login/whoami whoami; has login/whoami_name "$T/out" '^Account: *ada \(Ada L\.\)'; has login/whoami_role "$T/out" 'laptop \(read\)'; secret login/whoami_secret
run whoami --json
if python3 -c 'import json,sys; d=json.load(open(sys.argv[1]))["data"]; assert d["name"]=="ada" and d["orgs"]==["o","p"] and d["token_role"]=="read", d' "$T/out"
then ok login/whoami_json; else bad login/whoami_json; fi
input hf_badbadbadbadbad login; is login/refused $status 1; has login/refused_says "$T/err" 'does not accept the token'; is login/refused_keeps "$(cat "$token")" "$good"
input hf_otherotherother login --no-check --name work; is login/unchecked $status 0; is login/unchecked_used "$(cat "$token")" hf_otherotherother
succeeds login/list login --list; has login/list_marks "$T/out" '^work +\| yes'; has login/list_other "$T/out" '^laptop *$'
succeeds login/use login --use laptop; is login/used "$(cat "$token")" "$good"
fails login/use_unknown 'there are: laptop, work|there are: work, laptop' login --use nope
input '' login; is login/empty $status 1; has login/empty_says "$T/err" 'no token was given'
input 'two words' login --no-check; is login/odd $status 1; has login/odd_says "$T/err" 'characters that no token has'
input x login --no-check --name '../x'; is login/odd_name $status 1
run login "$good"; is login/not_an_argument $status 2
input hf_more login --no-check --name "$good"; is login/token_as_name $status 1; has login/token_as_name_says "$T/err" 'a token stands where'; secret login/token_as_name_hidden
run login --use "$good"; is login/token_as_known_name $status 1; secret login/token_as_known_name_hidden
run whoami "$good"; is login/token_as_word $status 2; secret login/token_as_word_hidden
run whoami "$good" --json; secret login/token_as_word_hidden_json
printf '%s\n' "$good" > "$T/file"; succeeds login/from_file login --token-file "$T/file" --name filed; has login/filed "$stored" '^\[filed\]$'
printf '[oauth]\nhf_token = hf_oauthoauth\nrefresh_token = r\nexpires_at = 12%%34\n\n' >> "$stored"
input hf_more login --no-check --name more; if python3 -c 'import configparser,sys; c=configparser.RawConfigParser(); c.read(sys.argv[1]); assert c.get("more","hf_token")=="hf_more" and c.get("oauth","expires_at")=="12%34"' "$stored"; then ok login/ini; else bad login/ini; fi
has login/keeps_more "$stored" '^expires_at = 12%34$'
HF_TOKEN=$good run whoami; has login/environment "$T/out" '^From: *HF_TOKEN'
succeeds login/logout logout; if [ -e "$token" ]; then bad login/logout_file there; else ok login/logout_file; fi
if grep -q more "$stored"; then bad login/logout_section there; else ok login/logout_section; fi
has login/others_stay "$stored" '^\[work\]$'
fails login/logout_again 'no token is in use' logout
fails login/logout_unknown "under the name 'nope'" logout --name nope
succeeds login/logout_all logout --all; if [ -e "$stored" ] || [ -e "$token" ]; then bad login/all_gone there; else ok login/all_gone; fi
printf '[a\nx\n' > "$stored"; input x login --no-check; is login/strange_file $status 1; has login/strange_says "$T/err" 'stored_tokens, line 1'; is login/strange_kept "$(head -c 2 "$stored")" '[a'
rm "$stored"; chmod 500 "$HF_HOME"
if [ "$(id -u)" != 0 ]; then input x login --no-check; is login/read_only $status 1; fi
chmod 700 "$HF_HOME"

# ---- a token in the wrong place is not repeated; links of others are not followed --------------------------------
run login --token "$good"; is login/as_a_file $status 1; secret login/as_a_file_hidden
run login --use "$good"; is login/as_a_name $status 1; secret login/as_a_name_hidden
run logout --name "$good" --json; is login/as_a_name_json $status 1; secret login/as_a_name_json_hidden
rm -f "$token" "$stored"; echo kept > "$T/elsewhere"; chmod 640 "$T/elsewhere"; ln -s "$T/elsewhere" "$token"; ln -s "$T/nowhere" "$stored"
input "$good" login --no-check; is login/link $status 0; is login/link_replaced "$(cat "$token")" "$good"
is login/link_mode "$(stat -c '%a %F' "$token" "$stored" | tr '\n' ' ')" "600 regular file 600 regular file "
is login/link_target "$(cat "$T/elsewhere") $(stat -c %a "$T/elsewhere")" "kept 640"; if [ -e "$T/nowhere" ]; then bad login/link_dangling written; else ok login/link_dangling; fi
# while a login runs, nobody sees the token in its command line, environment or open files' names
mkfifo "$T/pipe"; "$MLXK" login --no-check < "$T/pipe" > "$T/out" 2> "$T/err" & pid=$!
exec 3> "$T/pipe"; printf '%s' "$good" >&3
if tr '\0' '\n' < /proc/$pid/cmdline | grep -qF "$good" || tr '\0' '\n' < /proc/$pid/environ | grep -qF "$good"; then bad login/process shown; else ok login/process; fi
exec 3>&-; wait $pid; is login/process_ends $? 0; secret login/process_quiet
HF_HUB_OFFLINE=1; export HF_HUB_OFFLINE; input "$good" login; is login/offline $status 1; has login/offline_says "$T/err" 'HF_HUB_OFFLINE'
