#!/bin/sh
# `store`, `release`, `versions`, `clean-versions` against registries of three kinds: nothing sent twice, releases survive cleaning.
. tests/tap.sh
export HF_HOME="$T/hf" XDG_STATE_HOME="$T/state" MLXK_RETRY_BASE_MS=1 DOCKER_CONFIG="$T/docker"
for profile in dist2 dist3 zot; do
    rm -f "$T/port"; python3 tests/fake/fake_registry.py "$T/port" $profile & pid=$!
    n=0; while [ ! -e "$T/port" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
    r=$(cat "$T/port")/org/ham; w=$T/$profile; tiny "$w"
    run "$MLXK" store "$w" "$r" --json; json "$profile/store" "x['n_sent'] >= 4"
    run "$MLXK" release "$w" "$r" --json; json "$profile/release_sends_nothing" "x['version'] == 'v0.1.0' and x['n_sent'] == 0"
    run "$MLXK" release "$w" "$r"; exits 1 "$profile/same"
    echo pass > "$w/a.py"; run "$MLXK" store "$w" "$r" --json; json "$profile/store_sends_what_is_new" "x['n_sent'] <= 2"
    echo more >> "$w/a.py"; run "$MLXK" release "$w" "$r" --json; json "$profile/second" "x['version'] == 'v0.2.0' and x['base'] == 'v0.1.0'"
    run "$MLXK" clean-versions "$r" --yes --json; json "$profile/clean" "sorted(d['action'] for d in x['digests']) == ['delete'] + ['keep'] * 6"
    run "$MLXK" versions "$r" --json; json "$profile/releases_stay" "[v['version'] for v in x['versions'] if v['version']] == ['v0.2.0', 'v0.1.0']"
    run "$MLXK" pull "oci://$r:v0.1.0" --json; exits 0 "$profile/pulled"
    run "$MLXK" diff "$w" "oci://$r:v0.1.0" --json; json "$profile/pulled_is_the_first" "x['bump'] == 'minor' and [f['path'] for f in x['files']] == ['a.py']"
    run "$MLXK" release "$w" "${r%/*}/fresh" --json; json "$profile/first_release_makes_the_repository" "x['version'] == 'v0.1.0' and x['n_sent'] > 0"
    kill "$pid"; wait "$pid" 2> /dev/null || :
done
